//! How Python writes and reads values: `str`, `repr`, truth and literals.
//!
//! Templates of the language are rendered to text and read back as Python
//! literals, so both directions decide what a request or a record holds.

use std::fmt::Write;

use crate::value::Value;

/// `str(value)`.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr(value)`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

fn write_repr(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(number) => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::Number(digits) => out.push_str(&number(digits)),
        Value::String(text) => quote(out, text),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(out, value);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (index, (key, value)) in fields.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                quote(out, key);
                out.push_str(": ");
                write_repr(out, value);
            }
            out.push('}');
        }
    }
}

fn number(digits: &str) -> String {
    if digits.contains(['.', 'e', 'E']) {
        digits.parse().map_or_else(|_| digits.to_owned(), float)
    } else {
        digits.to_owned()
    }
}

/// `repr` of a float.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust's debug form has Python's digits and thresholds, with another exponent.
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let exponent: i32 = exponent.parse().unwrap_or_default();
            format!("{}e{exponent:+03}", digits.trim_end_matches(".0"))
        }
        None => text,
    }
}

/// A Python string literal of `text`.
pub fn quote(out: &mut String, text: &str) {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == mark => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter < ' ' || letter == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", letter as u32);
            }
            letter => out.push(letter),
        }
    }
    out.push(mark);
}

/// Whether `if value:` holds.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Int(number) => *number != 0,
        Value::Number(digits) => digits.parse::<f64>() != Ok(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_does() {
        let record = super::super::json::decode(
            br#"{"a": null, "b": [true, 1.50, 1e20, 12345678901234567890], "c": "it's", "d": "\n"}"#,
        )
        .unwrap();
        assert_eq!(
            text(&record),
            r#"{'a': None, 'b': [True, 1.5, 1e+20, 12345678901234567890], 'c': "it's", 'd': '\n'}"#
        );
        assert_eq!(float(1e16), "1e+16");
        assert_eq!(float(0.00001), "1e-05");
        assert_eq!(float(100000.0), "100000.0");
    }
}
