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

use crate::stream::{SourceError, Texts};
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

/// Of a body this long no more than a record is decoded at a time.
const LARGE: usize = 4 * 1024 * 1024;
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
            Decoder::Json => self
                .elements(response, &[])
                .unwrap_or_else(|| lenient(json::decode(&body), &body, begins_as_json)),
            Decoder::Xml => lenient(parser::xml(response), &body, begins_as_xml),
            Decoder::Parsed(parser) => parser.documents(reader(body)),
            Decoder::Zip(parser) => parser::unzipped(body, parser.clone()),
            Decoder::Lines => Box::new(lines(body)),
        }
    }

    /// The elements of the list under `keys` in a large JSON body; `None` where the body is
    /// better decoded as a whole.
    pub fn elements(&self, response: &Response, keys: &[&str]) -> Option<Documents> {
        let body = &response.body;
        let start = body.trim_ascii_start();
        let is_list = start.starts_with(b"[");
        let fits = is_list == keys.is_empty() && (is_list || start.starts_with(b"{"));
        if !matches!(self, Decoder::Json) || body.len() < LARGE || !fits {
            return None;
        }
        match json::elements(body, keys) {
            Ok(elements) => Some(Box::new(elements?)),
            Err(problem) => Some(one(Err(problem))),
        }
    }

    /// The objects of the list under `keys` as they stand in a JSON body; `None` where it has
    /// to be decoded to say what they are.
    pub fn texts(&self, response: &Response, keys: &[&str]) -> Option<Texts> {
        let body = &response.body;
        if !matches!(self, Decoder::Json) {
            return None;
        }
        let objects = json::objects(body, keys)?;
        // A list that is the body is one of documents, of which an empty one is no record.
        let is_document = |object: &[u8]| !object[1..].trim_ascii_start().starts_with(b"}");
        let all = keys.is_empty() && !objects.iter().all(|at| is_document(&body[at.clone()]));
        (!all).then(|| Texts::new(body.clone(), objects))
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
        Err(_) if is_html(body) => one(Err(format!(
            "it is a page of HTML{}: a login, an error or a notice, and no document",
            title(body)
        ))),
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

fn is_html(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |with: &[u8]| {
        let start = start.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    begins(b"<!doctype html") || begins(b"<html")
}

/// What a page of HTML calls itself, as part of a sentence.
fn title(body: &[u8]) -> String {
    let start = &body[..body.len().min(10_000)];
    let text = String::from_utf8_lossy(start);
    let title = text.split_once("<title>");
    let title = title.and_then(|(_, rest)| rest.split_once("</title>"));
    match title {
        Some((title, _)) => {
            let words: Vec<&str> = title.split_whitespace().collect();
            let title: String = words.join(" ").chars().take(100).collect();
            format!(" (`{title}`)")
        }
        None => String::new(),
    }
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
