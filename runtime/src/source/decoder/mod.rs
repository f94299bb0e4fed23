//! Decoders: the bytes of a reply as documents, read as they are asked for.
//!
//! Beyond the body's bytes a decoder holds one document, or one piece of a
//! file. What a document's records are is not known here.

mod csv;
mod parser;
mod text;
mod xml;

use std::io::{Cursor, Read};

use bytes::Bytes;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::json;
use super::response::Response;
pub use csv::Rows;
pub use parser::{Parser, charset_of, inflated};
pub use text::{Charset, Text};

/// The documents of a reply; whoever reads them stops at an error.
pub type Documents = Box<dyn Iterator<Item = Result<Value, String>> + Send>;

/// How a reply's bytes become documents.
#[derive(Debug, Clone, Default)]
pub enum Decoder {
    /// One JSON document, or the elements of a list; what is no JSON is an empty object.
    #[default]
    Json,
    /// A file's records, one after another.
    Parsed(Parser),
    Xml,
    /// Files in an archive, each with its records.
    Zip(Parser),
    /// Each line as a record.
    Lines,
}

const TYPES: &str = "JsonDecoder, JsonlDecoder, JsonItemsDecoder, CsvDecoder, XmlDecoder, GzipDecoder, \
                     ZipfileDecoder or IterableDecoder";

impl Decoder {
    pub fn open(component: Option<&Component<'_>>) -> Result<Decoder, SourceError> {
        let Some(component) = component else {
            return Ok(Decoder::Json);
        };
        Ok(match component.kind() {
            "JsonDecoder" => Decoder::Json,
            "XmlDecoder" => Decoder::Xml,
            "IterableDecoder" => Decoder::Lines,
            "ZipfileDecoder" => Decoder::Zip(Parser::open(&component.need("decoder")?)?),
            "JsonlDecoder" | "JsonItemsDecoder" | "CsvDecoder" | "GzipDecoder" => {
                Decoder::Parsed(Parser::open(component)?)
            }
            _ => return Err(component.unknown(TYPES)),
        })
    }

    /// Whether a reply may be large, so that paging does not look into it.
    pub fn is_stream(&self) -> bool {
        matches!(self, Decoder::Parsed(_) | Decoder::Lines)
    }

    /// Whether a paginator may stand beside this decoder, as the reference has it.
    pub fn can_page(&self) -> bool {
        match self {
            Decoder::Json | Decoder::Xml => true,
            Decoder::Parsed(parser) => parser.is_gzipped_json(),
            Decoder::Zip(_) | Decoder::Lines => false,
        }
    }

    pub fn documents(&self, response: &Response) -> Documents {
        let body = response.body.clone();
        match self {
            Decoder::Json => lenient(json::decode(&body), &body, begins_as_json),
            Decoder::Xml => lenient(parser::xml(response), &body, begins_as_xml),
            Decoder::Parsed(parser) => parser.documents(reader(body)),
            Decoder::Zip(parser) => parser::unzipped(body, parser.clone()),
            Decoder::Lines => Box::new(lines(body)),
        }
    }

    /// What a paginator's templates see as the reply: its first document.
    pub fn first(&self, response: &Response) -> Value {
        if self.is_stream() {
            return empty();
        }
        let first = self.documents(response).next();
        first.and_then(Result::ok).unwrap_or_else(empty)
    }
}

fn reader(body: Bytes) -> Box<dyn Read + Send> {
    Box::new(Cursor::new(body))
}

fn empty() -> Value {
    Value::Object(Object::default())
}

/// One document or a list's elements, and an empty object where there are none.
///
/// A body of another kind holds nothing, as in the reference; one that begins as
/// it should and breaks off would be lost records, so it is an error.
fn lenient(decoded: Result<Value, String>, body: &[u8], is_ours: fn(&[u8]) -> bool) -> Documents {
    match decoded {
        Ok(Value::Array(values)) if !values.is_empty() => Box::new(values.into_iter().map(Ok)),
        Ok(Value::Array(_) | Value::Null) => one(Ok(empty())),
        Ok(document) => one(Ok(document)),
        Err(problem) if is_ours(body) => one(Err(problem)),
        Err(problem) => {
            tracing::warn!(
                problem,
                bytes = body.len(),
                "the reply is no document of its kind"
            );
            one(Ok(empty()))
        }
    }
}

fn one(document: Result<Value, String>) -> Documents {
    Box::new(std::iter::once(document))
}

fn begins_as_json(body: &[u8]) -> bool {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    matches!(start.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn begins_as_xml(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<?xml")
}

/// `{"record": line}` for every line, whatever ends it.
fn lines(body: Bytes) -> impl Iterator<Item = Result<Value, String>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let line = &rest[..end.unwrap_or(rest.len())];
        let ending = match &rest[line.len()..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        at += line.len() + ending;
        Some(match std::str::from_utf8(line) {
            Ok(line) => Ok(Value::Object(Object::from_iter([(
                "record".to_owned(),
                line.into(),
            )]))),
            Err(error) => Err(format!("a line is no UTF-8: {error}")),
        })
    })
}

#[cfg(test)]
mod tests;
