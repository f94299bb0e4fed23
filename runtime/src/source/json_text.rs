//! Values to JSON text as Python's `json.dumps` writes it, byte for byte.
//!
//! Signatures, cache keys and sources that compare raw bodies see the same bytes as from the reference.

use std::fmt::Write;

use crate::value::{Object, Value};

use super::python;

/// What stands between elements, and between a key and its value.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    comma: &'static str,
    colon: &'static str,
}

/// `json.dumps(value)`.
pub const SPACED: Style = Style {
    comma: ", ",
    colon: ": ",
};

/// `json.dumps(value, separators=(",", ":"))`.
pub const COMPACT: Style = Style {
    comma: ",",
    colon: ":",
};

/// The object's text; non-ASCII letters are escaped.
pub fn object(fields: &Object, style: Style) -> String {
    let mut out = String::new();
    write_object(&mut out, fields, style);
    out
}

fn write_value(out: &mut String, value: &Value, style: Style) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(_) | Value::Number(_) => out.push_str(&python::repr(value)),
        Value::String(text) => write_text(out, text),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index > 0 { style.comma } else { "" });
                write_value(out, value, style);
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(out, fields, style),
    }
}

fn write_object(out: &mut String, fields: &Object, style: Style) {
    out.push('{');
    for (index, (key, value)) in fields.iter().enumerate() {
        out.push_str(if index > 0 { style.comma } else { "" });
        write_text(out, key);
        out.push_str(style.colon);
        write_value(out, value, style);
    }
    out.push('}');
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
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
    fn text_is_as_python_writes_it() {
        let json =
            r#"{"a": [1, 1.50, true, null], "b": "caf\u00e9 \ud83d\ude00 \"\\\u007f\n", "c": {}}"#;
        let Ok(Value::Object(fields)) = super::super::json::decode(json.as_bytes()) else {
            panic!("the text is JSON");
        };
        assert_eq!(
            object(&fields, SPACED),
            r#"{"a": [1, 1.5, true, null], "b": "caf\u00e9 \ud83d\ude00 \"\\\u007f\n", "c": {}}"#
        );
        assert_eq!(
            object(&fields, COMPACT),
            r#"{"a":[1,1.5,true,null],"b":"caf\u00e9 \ud83d\ude00 \"\\\u007f\n","c":{}}"#
        );
    }
}
