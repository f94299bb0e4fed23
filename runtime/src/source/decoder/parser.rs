//! Parsers of files, which decoders nest: a gzipped file of lines of JSON, a table in an archive.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Cursor, Read};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::stream::SourceError;
use crate::value::Value;

use super::csv::{self, Dialect, Rows};
use super::text::{Charset, Text};
use super::{Documents, one, reader, xml};
use crate::source::component::Component;
use crate::source::json;
use crate::source::literal;
use crate::source::response::Response;

/// A document or line longer than this is refused: an archive can hide an endless one.
const LONGEST: usize = 512 * 1024 * 1024;
const GZIP: &[u8] = b"\x1f\x8b";

/// What a file holds.
#[derive(Debug, Clone)]
pub enum Parser {
    Json,
    /// JSON, a document a line.
    Lines,
    /// The elements of a list inside of one JSON document.
    Items {
        path: Vec<String>,
        charset: Charset,
    },
    Csv {
        dialect: Dialect,
        charset: Charset,
    },
    /// Packed, or as it is.
    Gzip(Box<Parser>),
}

impl Parser {
    pub fn open(component: &Component<'_>) -> Result<Parser, SourceError> {
        Ok(match component.kind() {
            "JsonDecoder" => Parser::Json,
            "JsonlDecoder" => Parser::Lines,
            "JsonItemsDecoder" => Parser::Items {
                path: items_path(component)?,
                charset: charset(component)?,
            },
            "CsvDecoder" => Parser::Csv {
                dialect: dialect(component)?,
                charset: charset(component)?,
            },
            "GzipDecoder" => Parser::Gzip(Box::new(Parser::open(&component.need("decoder")?)?)),
            _ => {
                return Err(component.unknown(
                    "JsonDecoder, JsonlDecoder, JsonItemsDecoder, CsvDecoder or GzipDecoder",
                ));
            }
        })
    }

    pub fn is_gzipped_json(&self) -> bool {
        matches!(self, Parser::Gzip(inner) if matches!(**inner, Parser::Json))
    }

    pub fn documents(&self, source: Box<dyn Read + Send>) -> Documents {
        match self {
            Parser::Json => match whole(source).and_then(|bytes| json::decode(&bytes)) {
                Ok(Value::Array(values)) => Box::new(values.into_iter().map(Ok)),
                Ok(Value::Null) => one(Err("it is null, no document".to_owned())),
                document => one(document),
            },
            Parser::Lines => Box::new(json_lines(source)),
            Parser::Items { path, charset } => items(source, path, *charset),
            Parser::Csv { dialect, charset } => {
                let rows = Rows::new(Text::new(source, *charset), dialect.delimiter);
                Box::new(csv::records(rows, dialect.nothing.clone()))
            }
            Parser::Gzip(inner) => match unpacked(source) {
                Ok(source) => inner.documents(source),
                Err(problem) => one(Err(problem)),
            },
        }
    }
}

fn items_path(component: &Component<'_>) -> Result<Vec<String>, SourceError> {
    match component.text("items_path").filter(|path| !path.is_empty()) {
        Some(path) => Ok(path.split('.').map(str::to_owned).collect()),
        None => Err(component.error("JsonItemsDecoder needs `items_path`")),
    }
}

fn charset(component: &Component<'_>) -> Result<Charset, SourceError> {
    let name = component.text("encoding").unwrap_or("utf-8");
    Charset::named(name).map_err(|problem| component.error(problem))
}

fn dialect(component: &Component<'_>) -> Result<Dialect, SourceError> {
    let written = component.text("delimiter").unwrap_or(",");
    let letters: Vec<char> = match written {
        "" => vec![','],
        escaped if escaped.starts_with('\\') => unescaped(escaped).chars().collect(),
        written => written.chars().collect(),
    };
    let [delimiter] = letters[..] else {
        return Err(component.error(format!("the delimiter `{written}` is not one letter")));
    };
    let nothing = component.children("set_values_to_none");
    let nothing = nothing.iter().filter_map(|value| value.json().as_str());
    Ok(Dialect {
        delimiter,
        nothing: nothing.map(str::to_owned).collect(),
    })
}

/// A Python escape such as `\t` or `\x01`.
fn unescaped(written: &str) -> String {
    match literal::evaluate(&format!("'{written}'")) {
        Some(Value::String(text)) => text,
        _ => written.to_owned(),
    }
}

fn whole(source: Box<dyn Read + Send>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = source.take(LONGEST as u64 + 1).read_to_end(&mut bytes);
    match read.map_err(|error| error.to_string())? {
        length if length > LONGEST => Err(format!("it is longer than {LONGEST} bytes")),
        _ => Ok(bytes),
    }
}

/// What is packed unpacked, anything else as it is.
fn unpacked(source: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, String> {
    let mut source = BufReader::new(source);
    let mut start = [0; 2];
    let mut length = 0;
    while length < start.len() {
        match source.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) => return Err(error.to_string()),
        }
    }
    let source = Cursor::new(start).take(length as u64).chain(source);
    Ok(match start.starts_with(GZIP) {
        true => Box::new(MultiGzDecoder::new(source)),
        false => Box::new(source),
    })
}

/// A body that may be packed, by gzip or zlib, read as what it holds.
pub fn inflated(body: Bytes) -> Box<dyn Read + Send> {
    let zlib = matches!(body[..], [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]);
    match body.starts_with(GZIP) {
        true => Box::new(MultiGzDecoder::new(Cursor::new(body))),
        false if zlib => Box::new(ZlibDecoder::new(Cursor::new(body))),
        false => reader(body),
    }
}

/// A line that is no JSON is passed over with a warning, as in the reference.
fn json_lines(source: Box<dyn Read + Send>) -> impl Iterator<Item = Result<Value, String>> {
    let mut source = BufReader::new(source);
    let mut done = false;
    std::iter::from_fn(move || {
        while !done {
            let line = match line(&mut source) {
                Ok(line) => line,
                Err(problem) => {
                    done = true;
                    return Some(Err(problem));
                }
            };
            let Some(line) = line else { break };
            if std::str::from_utf8(&line).is_err() {
                done = true;
                return Some(Err("a line is no UTF-8".to_owned()));
            }
            match json::decode(&line) {
                Ok(document) => return Some(Ok(document)),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(problem) => tracing::warn!(problem, "a line of the reply is no JSON"),
            }
        }
        None
    })
}

fn line(source: &mut impl BufRead) -> Result<Option<Vec<u8>>, String> {
    let mut line = Vec::new();
    let read = source.take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
    match read.map_err(|error| error.to_string())? {
        0 => Ok(None),
        length if length > LONGEST => Err(format!("a line is longer than {LONGEST} bytes")),
        _ => Ok(Some(line)),
    }
}

/// Finds every element first, then decodes one after another.
fn items(source: Box<dyn Read + Send>, path: &[String], charset: Charset) -> Documents {
    let bytes = match charset {
        Charset::Utf8 => whole(source),
        charset => Text::new(source, charset)
            .read_all(LONGEST)
            .map(String::into_bytes),
    };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let found = bytes.and_then(|bytes| Ok((json::spans(&bytes, &path)?, bytes)));
    match found {
        Ok((spans, bytes)) => Box::new(
            spans
                .into_iter()
                .map(move |span| json::decode(&bytes[span])),
        ),
        Err(problem) => one(Err(problem)),
    }
}

/// The records of every file of an archive.
pub fn unzipped(body: Bytes, parser: Parser) -> Documents {
    let archive = zip::ZipArchive::new(Cursor::new(body));
    let mut archive = match archive {
        Ok(archive) => archive,
        Err(error) => return one(Err(format!("it is no zip file: {error}"))),
    };
    let files = (0..archive.len()).map(move |index| file(&mut archive, index, &parser));
    Box::new(files.flatten())
}

fn file(archive: &mut zip::ZipArchive<Cursor<Bytes>>, index: usize, parser: &Parser) -> Documents {
    let opened = archive.by_index(index);
    let file = match opened {
        Ok(file) if file.is_dir() => return Box::new(std::iter::empty()),
        Ok(file) => file,
        Err(error) => return one(Err(format!("cannot read the zip file: {error}"))),
    };
    let name = file.name().map(Cow::into_owned).unwrap_or_default();
    let mut bytes = Vec::new();
    let read = file.take(LONGEST as u64 + 1).read_to_end(&mut bytes);
    match read {
        Ok(length) if length <= LONGEST => {
            let documents = parser.documents(reader(bytes.into()));
            Box::new(documents.map(move |document| {
                document.map_err(|problem| format!("`{name}` in the zip file: {problem}"))
            }))
        }
        Ok(_) => one(Err(format!(
            "`{name}` in the zip file is longer than {LONGEST} bytes"
        ))),
        Err(error) => one(Err(format!("`{name}` in the zip file: {error}"))),
    }
}

/// The body as one XML document, in the encoding the headers or the document name.
pub fn xml(response: &Response) -> Result<Value, String> {
    let text = xml_text(response)?;
    xml::decode(&text)
}

fn xml_text(response: &Response) -> Result<String, String> {
    let declared = response.header("content-type").and_then(charset_of);
    let name = match declared {
        Some(name) => name,
        None if std::str::from_utf8(&response.body).is_ok() => "utf-8".to_owned(),
        None => declaration(&response.body).unwrap_or_else(|| "latin-1".to_owned()),
    };
    Text::new(reader(response.body.clone()), Charset::named(&name)?).read_all(LONGEST)
}

/// The charset of a content type.
pub fn charset_of(content_type: &str) -> Option<String> {
    let mut parameters = content_type.split(';').skip(1);
    parameters.find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let is_charset = key.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    })
}

/// The encoding of an XML declaration.
fn declaration(body: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let (_, rest) = start.split_once("encoding=")?;
    let mark = rest.chars().next()?;
    rest[1..].split(mark).next().map(str::to_owned)
}
