//! JSON text to values, each string copied once and each number kept as written.
//!
//! Beside `value/json` the only module that knows the JSON parser. It takes what Python's
//! parser takes beyond JSON: `NaN` and `Infinity` (null once written) and half a surrogate pair.

mod objects;

use std::ops::Range;

use bytes::Bytes;
use indexmap::IndexMap;
use jiter::{Jiter, JiterResult, Peek};

use crate::value::json::{DEEPEST, shown, too_deep};
use crate::value::{Object, Value};
pub use objects::objects;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Decodes one JSON document.
pub fn decode(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    document(bytes).or_else(|problem| match with_whole_letters(bytes) {
        Some(repaired) => document(&repaired),
        None => Err(problem),
    })
}

/// Where the elements of the lists at `path` stand in a document, in order.
///
/// A segment is a key; `item` also stands for every element of a list.
pub fn spans(bytes: &[u8], path: &[&str]) -> Result<Vec<Range<usize>>, String> {
    let mut reader = Jiter::new(bytes).with_allow_inf_nan();
    let mut found = Vec::new();
    let walked = reader
        .peek()
        .and_then(|peek| walk(&mut reader, peek, path, &mut found))
        .and_then(|()| reader.finish());
    walked.map_err(|error| shown(&reader, &error))?;
    Ok(found)
}

/// Where the fields of a document stand that is one object; of fields with one name the last.
pub fn fields(bytes: &[u8]) -> Result<Option<IndexMap<String, Range<usize>>>, String> {
    let mut reader = Jiter::new(bytes).with_allow_inf_nan();
    let found = field_spans(&mut reader);
    found.map_err(|error| shown(&reader, &error))
}

/// The elements of the list under `keys`, none for a list that is the whole document; `None`
/// where there is no such list. All of the document is checked first.
pub fn elements(body: &Bytes, keys: &[&str]) -> Result<Option<Elements>, String> {
    checked_elements(body, keys).or_else(|problem| match with_whole_letters(body) {
        Some(repaired) => checked_elements(&repaired.into(), keys),
        None => Err(problem),
    })
}

fn checked_elements(body: &Bytes, keys: &[&str]) -> Result<Option<Elements>, String> {
    let start = body.len() - body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).len();
    let mut span = start..body.len();
    if keys.is_empty() {
        let mut reader = Jiter::new(&body[span.clone()]).with_allow_inf_nan();
        let skipped = reader.next_skip().and_then(|()| reader.finish());
        skipped.map_err(|error| shown(&reader, &error))?;
    }
    for key in keys {
        let found = fields(&body[span.clone()])?;
        let Some(found) = found.as_ref().and_then(|found| found.get(*key)) else {
            return Ok(None);
        };
        span = span.start + found.start..span.start + found.end;
    }
    let list = body[span.clone()].trim_ascii();
    Ok(list.strip_prefix(b"[").map(|rest| Elements {
        body: body.slice_ref(rest),
    }))
}

/// The elements of a list, each decoded when it is asked for.
pub struct Elements {
    /// From the next element on.
    body: Bytes,
}

impl Iterator for Elements {
    type Item = Result<Value, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.body.trim_ascii_start();
        if rest.is_empty() || rest.starts_with(b"]") {
            return None;
        }
        let mut reader = Jiter::new(rest).with_allow_inf_nan();
        if let Err(error) = reader.next_skip() {
            let problem = shown(&reader, &error);
            self.body.clear();
            return Some(Err(problem));
        }
        let (element, rest) = rest.split_at(reader.current_index());
        let rest = rest.trim_ascii_start();
        let next = self.body.slice_ref(rest.strip_prefix(b",").unwrap_or(rest));
        let decoded = decode(element);
        self.body = next;
        Some(decoded)
    }
}

fn field_spans(reader: &mut Jiter<'_>) -> JiterResult<Option<IndexMap<String, Range<usize>>>> {
    if reader.peek()? != Peek::Object {
        return Ok(None);
    }
    let mut found = IndexMap::new();
    let mut key = reader.known_object()?.map(str::to_owned);
    while let Some(name) = key {
        let peek = reader.peek()?;
        let start = reader.current_index();
        reader.known_skip(peek)?;
        found.insert(name, start..reader.current_index());
        key = reader.next_key()?.map(str::to_owned);
    }
    reader.finish()?;
    Ok(Some(found))
}

fn document(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Jiter::new(bytes).with_allow_inf_nan();
    let document = reader.peek().and_then(|peek| value(&mut reader, peek, 0));
    document
        .and_then(|document| reader.finish().map(|()| document))
        .map_err(|error| shown(&reader, &error))
}

fn value(reader: &mut Jiter<'_>, peek: Peek, depth: usize) -> JiterResult<Value> {
    Ok(match peek {
        Peek::Null => {
            reader.known_null()?;
            Value::Null
        }
        Peek::True | Peek::False => Value::Bool(reader.known_bool(peek)?),
        Peek::String => Value::String(reader.known_str()?.to_owned()),
        Peek::Array | Peek::Object if depth == DEEPEST => return Err(too_deep(reader)),
        Peek::Array => Value::Array(array(reader, depth + 1)?),
        Peek::Object => Value::Object(object(reader, depth + 1)?),
        _ => number(reader.known_number_bytes(peek)?),
    })
}

fn number(digits: &[u8]) -> Value {
    match digits.last() {
        Some(last) if last.is_ascii_digit() => {
            // The parser has checked that these bytes are a JSON number, so they are ASCII.
            Value::number(&String::from_utf8_lossy(digits))
        }
        // Not a number, or endless.
        _ => Value::Null,
    }
}

fn array(reader: &mut Jiter<'_>, depth: usize) -> JiterResult<Vec<Value>> {
    let mut values = Vec::new();
    let mut next = reader.known_array()?;
    while let Some(peek) = next {
        values.push(value(reader, peek, depth)?);
        next = reader.array_step()?;
    }
    Ok(values)
}

fn object(reader: &mut Jiter<'_>, depth: usize) -> JiterResult<Object> {
    let mut fields = Object::default();
    let mut key = reader.known_object()?.map(str::to_owned);
    while let Some(name) = key {
        let peek = reader.peek()?;
        fields.insert(name, value(reader, peek, depth)?);
        key = reader.next_key()?.map(str::to_owned);
    }
    Ok(fields)
}

fn walk(
    reader: &mut Jiter<'_>,
    peek: Peek,
    path: &[&str],
    found: &mut Vec<Range<usize>>,
) -> JiterResult<()> {
    match (peek, path.split_first()) {
        (Peek::Array, None) => element_spans(reader, found),
        (Peek::Array, Some((&"item", rest))) => {
            let mut next = reader.known_array()?;
            while let Some(peek) = next {
                walk(reader, peek, rest, found)?;
                next = reader.array_step()?;
            }
            Ok(())
        }
        (Peek::Object, Some((wanted, rest))) => {
            let mut hit = reader.known_object()?.map(|key| key == *wanted);
            while let Some(wanted_here) = hit {
                let peek = reader.peek()?;
                match wanted_here {
                    true => walk(reader, peek, rest, found)?,
                    false => reader.known_skip(peek)?,
                }
                hit = reader.next_key()?.map(|key| key == *wanted);
            }
            Ok(())
        }
        _ => reader.known_skip(peek),
    }
}

fn element_spans(reader: &mut Jiter<'_>, found: &mut Vec<Range<usize>>) -> JiterResult<()> {
    let mut next = reader.known_array()?;
    while let Some(peek) = next {
        let start = reader.current_index();
        reader.known_skip(peek)?;
        found.push(start..reader.current_index());
        next = reader.array_step()?;
    }
    Ok(())
}

/// The text with U+FFFD for escaped halves of surrogate pairs; `None` where there are none.
fn with_whole_letters(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut repaired = Vec::with_capacity(bytes.len());
    let mut broken = false;
    let mut at = 0;
    while at < bytes.len() {
        let (length, half) = match &bytes[at..] {
            [b'\\', b'u', ..] => surrogates(&bytes[at..]),
            [b'\\', _, ..] => (2, false),
            _ => (1, false),
        };
        let letter = &bytes[at..bytes.len().min(at + length)];
        repaired.extend_from_slice(if half { b"\\ufffd" } else { letter });
        broken |= half;
        at += length;
    }
    broken.then_some(repaired)
}

/// The length of the escape that begins here, and whether it is half a pair.
fn surrogates(text: &[u8]) -> (usize, bool) {
    match (unit(text), text.get(6..).and_then(unit)) {
        (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, false),
        (Some(0xd800..0xe000), _) => (6, true),
        _ => (2, false),
    }
}

/// The number of a `\uXXXX` escape.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"a":0.10,"b":-3,"c":[1e-10,null,true],"d":"caf\u00e9"}"#;
        let document = decode(text.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
            r#"{"a":0.10,"b":-3,"c":[1e-10,null,true],"d":"café"}"#
        );
    }

    #[test]
    fn a_cut_document_says_where_it_ends() {
        let problem = decode(b"{\"a\": [1, 2").unwrap_err();
        assert!(problem.contains("line 1 column"), "{problem}");
    }

    fn written(text: &str) -> String {
        serde_json::to_string(&decode(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_python_takes_beyond_json_is_taken() {
        assert_eq!(
            written("[NaN, -Infinity, Infinity, 1]"),
            "[null,null,null,1]"
        );
        assert_eq!(
            written(r#"["\ud83d\ude00 \ud83d \\ud83d"]"#),
            "[\"😀 \u{fffd} \\\\ud83d\"]"
        );
        assert_eq!(
            written("\u{feff}{\"a\": 1, \"b\": 2, \"a\": 3}"),
            r#"{"a":3,"b":2}"#
        );
    }

    #[test]
    fn a_document_nested_too_deep_is_an_error_and_no_crash() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(decode(deep(200).as_bytes()).is_ok());
        let problem = decode(deep(100_000).as_bytes()).unwrap_err();
        assert!(problem.starts_with("recursion limit exceeded"), "{problem}");
        assert!(spans(deep(100_000).as_bytes(), &[]).is_err());
    }

    #[test]
    fn elements_are_those_of_the_whole_document() {
        for (text, keys) in [
            (r#"[1, {"a": [2, 3]} , "x,]", [] ]"#, vec![]),
            (
                r#" {"a": 1, "b": {"c": [ 0.10,"\ud83d" ]}, "d": []} "#,
                vec!["b", "c"],
            ),
            (r#"{"a": [1], "a": [2, null]}"#, vec!["a"]),
            ("{\"a\": [ ]}", vec!["a"]),
            ("\u{feff}[NaN]", vec![]),
        ] {
            let body = Bytes::copy_from_slice(text.as_bytes());
            let elements = elements(&body, &keys).unwrap().unwrap();
            let one_by_one: Result<Vec<Value>, String> = elements.collect();
            let whole = keys
                .iter()
                .fold(decode(text.as_bytes()).unwrap(), |it, key| {
                    it.get(key).cloned().unwrap()
                });
            assert_eq!(Value::Array(one_by_one.unwrap()), whole, "{text}");
        }
    }

    #[test]
    fn no_element_is_given_of_a_document_that_breaks_off() {
        let found = |text: &'static str, keys: &[&str]| {
            elements(&Bytes::from_static(text.as_bytes()), keys).map(|found| found.is_some())
        };
        assert!(found("[1, 2", &[]).is_err());
        assert!(found("[1] 2", &[]).is_err());
        assert!(found("{\"a\": [1, 2], \"b\": ", &["a"]).is_err());
        assert_eq!(found("{\"a\": {}}", &["a"]), Ok(false));
        assert_eq!(found("{\"a\": [1]}", &["b"]), Ok(false));
        assert_eq!(found("[[1]]", &["a"]), Ok(false));
    }

    #[test]
    fn spans_are_the_elements_of_the_lists_at_a_path() {
        let text =
            r#"{"x": [0], "data": [{"rows": [1, {"a": [2]}]}, {"rows": []}, {"rows": [ 3 ]}]}"#;
        let found = spans(text.as_bytes(), &["data", "item", "rows"]).unwrap();
        let found: Vec<&str> = found.into_iter().map(|span| &text[span]).collect();
        assert_eq!(found, ["1", r#"{"a": [2]}"#, "3"]);
        assert!(spans(b"{\"data\": [1, 2", &["data"]).is_err());
    }
}
