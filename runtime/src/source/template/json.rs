//! `json.dumps` as Python has it: a space after each comma and colon, only ASCII letters.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::source::python;
use crate::value;

use super::objects::from_template;

pub fn add(environment: &mut Environment<'_>) {
    environment.add_filter("tojson", tojson);
}

/// Jinja's `tojson`: keys in order, and no letter that HTML gives a meaning.
fn tojson(value: Value) -> Result<String, Error> {
    let json = dumps(&value, true)?;
    Ok(json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\'', "\\u0027"))
}

/// The value as JSON; an error where Python has one.
pub fn dumps(value: &Value, sorted: bool) -> Result<String, Error> {
    if value.is_undefined() {
        let problem = "what is not defined has no JSON";
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            problem.replace("not defined", "missing"),
        ));
    }
    // Dates and other things of ours are no JSON.
    if value.kind() == ValueKind::Plain {
        let problem = "a value of this kind has no JSON";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let mut text = String::new();
    write(&mut text, &from_template(value), sorted);
    Ok(text)
}

fn write(out: &mut String, value: &value::Value, sorted: bool) {
    match value {
        value::Value::String(text) => quote(out, text),
        value::Value::Array(values) => {
            let parts = values.iter().map(|value| (None, value));
            list(out, ('[', ']'), parts, sorted);
        }
        value::Value::Object(fields) => {
            let mut parts: Vec<_> = fields
                .iter()
                .map(|(key, value)| (Some(key.as_str()), value))
                .collect();
            if sorted {
                parts.sort_by_key(|(key, _)| *key);
            }
            list(out, ('{', '}'), parts.into_iter(), sorted);
        }
        value::Value::Null => out.push_str("null"),
        value::Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        number => out.push_str(&python::text(number)),
    }
}

fn list<'v>(
    out: &mut String,
    (open, close): (char, char),
    parts: impl Iterator<Item = (Option<&'v str>, &'v value::Value)>,
    sorted: bool,
) {
    out.push(open);
    for (index, (key, value)) in parts.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        if let Some(key) = key {
            quote(out, key);
            out.push_str(": ");
        }
        write(out, value, sorted);
    }
    out.push(close);
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // Writing to text does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_as_python_writes_it() {
        let value = minijinja::context! { b => vec![1, 2], a => "é\"\n<" };
        let sorted = dumps(&value, true).unwrap();
        assert_eq!(sorted, r#"{"a": "\u00e9\"\n<", "b": [1, 2]}"#);
        assert!(tojson(value).unwrap().contains("\\u003c"));
    }
}
