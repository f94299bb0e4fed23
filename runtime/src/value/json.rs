//! JSON text to values that borrow it: a text is copied only where it has escapes.
//!
//! Beside `source/json` the only file that knows the JSON parser.

use std::borrow::Cow;
use std::collections::HashSet;

use indexmap::IndexMap;
use jiter::{Jiter, JiterError, JiterResult, Peek};

use super::{Borrowed, Fields};

/// Deeper documents are refused: whatever reads them recurses.
pub const DEEPEST: usize = 200;

/// The value that is the whole text; as in Python's parser a number may be `NaN` or `Infinity`,
/// which is null.
pub fn borrowed(text: &str) -> Result<Borrowed<'_>, String> {
    let mut reader = Reader::of(text);
    let value = reader.jiter.peek().and_then(|peek| reader.value(peek, 0));
    let whole = value.and_then(|value| reader.jiter.finish().map(|()| value));
    whole.map_err(|error| shown(&reader.jiter, &error))
}

/// A field of the object that is the whole text; of several with that name the last.
pub fn field<'t>(text: &'t str, name: &str) -> Result<Option<Borrowed<'t>>, String> {
    let mut reader = Reader::of(text);
    let found = reader.field(name);
    found.map_err(|error| shown(&reader.jiter, &error))
}

/// What went wrong and where.
pub fn shown(reader: &Jiter<'_>, error: &JiterError) -> String {
    let position = reader.error_position(error.index);
    format!("{} at {position}", error.error_type)
}

pub fn too_deep(reader: &Jiter<'_>) -> JiterError {
    JiterError {
        error_type: jiter::JiterErrorType::JsonError(jiter::JsonErrorType::RecursionLimitExceeded),
        index: reader.current_index(),
    }
}

struct Reader<'t> {
    text: &'t str,
    jiter: Jiter<'t>,
}

impl<'t> Reader<'t> {
    fn of(text: &'t str) -> Reader<'t> {
        Reader {
            text,
            jiter: Jiter::new(text.as_bytes()).with_allow_inf_nan(),
        }
    }

    fn value(&mut self, peek: Peek, depth: usize) -> JiterResult<Borrowed<'t>> {
        Ok(match peek {
            Peek::Null => {
                self.jiter.known_null()?;
                Borrowed::Null
            }
            Peek::True | Peek::False => Borrowed::Bool(self.jiter.known_bool(peek)?),
            Peek::String => Borrowed::String(self.string()?),
            Peek::Array | Peek::Object if depth == DEEPEST => return Err(too_deep(&self.jiter)),
            Peek::Array => Borrowed::Array(self.array(depth + 1)?),
            Peek::Object => Borrowed::Object(self.object(depth + 1)?),
            _ => self.number(peek)?,
        })
    }

    fn number(&mut self, peek: Peek) -> JiterResult<Borrowed<'t>> {
        let start = self.jiter.current_index();
        let length = self.jiter.known_number_bytes(peek)?.len();
        let digits = &self.text[start..start + length];
        Ok(match digits.ends_with(|last: char| last.is_ascii_digit()) {
            true => Borrowed::number(digits),
            // Not a number, or endless.
            false => Borrowed::Null,
        })
    }

    fn string(&mut self) -> JiterResult<Cow<'t, str>> {
        let start = self.jiter.current_index() + 1;
        let length = self.jiter.known_bytes()?.len();
        self.whole(start, length)
    }

    /// The text between two quotes.
    fn whole(&self, start: usize, length: usize) -> JiterResult<Cow<'t, str>> {
        let written = &self.text[start..start + length];
        if !written.as_bytes().contains(&b'\\') {
            return Ok(written.into());
        }
        let quoted = &self.text.as_bytes()[start - 1..start + length + 1];
        Ok(Jiter::new(quoted).known_str()?.to_owned().into())
    }

    fn array(&mut self, depth: usize) -> JiterResult<Vec<Borrowed<'t>>> {
        let mut values = Vec::new();
        let mut next = self.jiter.known_array()?;
        while let Some(peek) = next {
            values.push(self.value(peek, depth)?);
            next = self.jiter.array_step()?;
        }
        Ok(values)
    }

    fn object(&mut self, depth: usize) -> JiterResult<Fields<'t>> {
        let mut fields = Fields::new();
        let mut key = self.first_key()?;
        while let Some(name) = key {
            let peek = self.jiter.peek()?;
            fields.push((name, self.value(peek, depth)?));
            key = self.next_key()?;
        }
        Ok(each_once(fields))
    }

    fn first_key(&mut self) -> JiterResult<Option<Cow<'t, str>>> {
        let from = self.jiter.current_index();
        let length = self.jiter.next_object_bytes()?.map(<[u8]>::len);
        self.key(from, length)
    }

    fn next_key(&mut self) -> JiterResult<Option<Cow<'t, str>>> {
        let from = self.jiter.current_index();
        let length = self.jiter.next_key_bytes()?.map(<[u8]>::len);
        self.key(from, length)
    }

    /// The first text after `from`: before a key stand only blanks, a comma or a brace.
    fn key(&self, from: usize, length: Option<usize>) -> JiterResult<Option<Cow<'t, str>>> {
        let Some(length) = length else {
            return Ok(None);
        };
        let quote = self.text.as_bytes()[from..]
            .iter()
            .position(|it| *it == b'"');
        let start = from + quote.unwrap_or_default() + 1;
        self.whole(start, length).map(Some)
    }

    fn field(&mut self, name: &str) -> JiterResult<Option<Borrowed<'t>>> {
        let mut found = None;
        let mut key = self.first_key()?;
        while let Some(this) = key {
            let peek = self.jiter.peek()?;
            match this == name {
                true => found = Some(self.value(peek, 1)?),
                false => self.jiter.known_skip(peek)?,
            }
            key = self.next_key()?;
        }
        Ok(found)
    }
}

/// Objects have few fields mostly, and comparing them all costs less than hashing them.
const FEW: usize = 32;

/// Of fields with one name the last, where the first one stands: as in a mapping that is filled.
fn each_once(fields: Fields<'_>) -> Fields<'_> {
    match has_doubles(&fields) {
        false => fields,
        true => fields
            .into_iter()
            .collect::<IndexMap<_, _>>()
            .into_iter()
            .collect(),
    }
}

fn has_doubles(fields: &Fields<'_>) -> bool {
    if fields.len() > FEW {
        let mut seen = HashSet::with_capacity(fields.len());
        return !fields.iter().all(|(name, _)| seen.insert(name));
    }
    let names = fields.iter().map(|(name, _)| name).enumerate();
    let mut names = names.skip(1);
    names.any(|(at, name)| fields[..at].iter().any(|(before, _)| before == name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::json::decode;
    use crate::value::Value;

    fn same(text: &str) -> Value {
        let value = Value::from(borrowed(text).unwrap());
        assert_eq!(value, decode(text.as_bytes()).unwrap(), "{text}");
        value
    }

    #[test]
    fn a_text_is_the_same_borrowed_or_owned() {
        for text in [
            r#" { "a" : 0.10 , "b": [ -3, 1e-10, null, true, NaN, 12345678901234567890 ] } "#,
            r#"{"caf\u00e9 \"x\"":"\ud83d\ude00 \\","é":"日本","a":{},"b":[]}"#,
            r#"{"a":1,"b":2,"a":{"c":3}}"#,
            "-0",
            "\"\"",
        ] {
            same(text);
        }
    }

    #[test]
    fn of_fields_with_one_name_the_last_is_kept_among_many_too() {
        let many: Vec<String> = (0..100)
            .map(|at| format!("\"k{}\":{at}", at % 60))
            .collect();
        let text = format!("{{{}}}", many.join(","));
        assert_eq!(same(&text).get("k1"), Some(&Value::Int(61)));
        assert_eq!(field(&text, "k1"), Ok(Some(Borrowed::Int(61))));
        assert_eq!(field(&text, "none"), Ok(None));
    }

    #[test]
    fn what_is_nested_too_deep_is_an_error_and_no_crash() {
        let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(borrowed(&deep(200)).is_ok());
        let problem = borrowed(&deep(100_000)).unwrap_err();
        assert!(problem.starts_with("recursion limit exceeded"), "{problem}");
    }

    proptest! {
        #[test]
        fn any_text_decodes_as_it_does_owned(text in r#"[\[\]{}",:\\ua-c0-9é. \-]{0,40}"#) {
            // Halves of surrogate pairs are mended only in owned values.
            if let Ok(value) = borrowed(&text) {
                prop_assert_eq!(Value::from(value), decode(text.as_bytes()).unwrap());
            }
        }
    }
}
