//! A record's values, with numbers kept as they were written.
//!
//! `serde_json::Value` turns 0.1 into a binary fraction; money must not be.

mod borrowed;
pub mod json;

use indexmap::IndexMap;
use serde::ser::{Serialize, Serializer};

pub use borrowed::{Borrowed, Fields};

/// Fields in the order they came.
pub type Object = IndexMap<String, Value, foldhash::fast::RandomState>;

/// A JSON value; a number that is no `i64` keeps its digits.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    /// A JSON number with a fraction, an exponent or more digits than an `i64` holds, as written.
    Number(Box<str>),
    String(String),
    Array(Vec<Value>),
    Object(Object),
}

impl Value {
    /// The text of a string; `None` for everything else.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The field of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(fields) => fields.get(key),
            _ => None,
        }
    }

    /// The number written as `digits` (a JSON number).
    pub fn number(digits: &str) -> Value {
        let integer = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
        match (integer, digits.parse()) {
            (true, Ok(number)) => Value::Int(number),
            _ => Value::Number(digits.into()),
        }
    }

    /// This value for code that speaks `serde_json`; numbers lose digits a double has no room for.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Number(digits) => serde_json::from_str(digits).unwrap_or_default(),
            Value::String(text) => text.as_str().into(),
            Value::Array(values) => values.iter().map(Value::to_json).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| (key.clone(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => Value::number(&number.to_string()),
            serde_json::Value::String(text) => Value::String(text.clone()),
            serde_json::Value::Array(values) => {
                Value::Array(values.iter().map(Value::from).collect())
            }
            serde_json::Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, value)| (key.clone(), Value::from(value)))
                    .collect(),
            ),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::Number(digits) => raw_number(digits, serializer),
            Value::String(value) => serializer.serialize_str(value),
            Value::Array(values) => serializer.collect_seq(values),
            Value::Object(fields) => serializer.collect_map(fields),
        }
    }
}

/// Exact in JSON; other serializers see serde_json's raw value.
fn raw_number<S: Serializer>(digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: &serde_json::value::RawValue =
        serde_json::from_str(digits).map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_as_it_was_read() {
        let record = Value::Array(vec![
            Value::number("10"),
            Value::number("0.10"),
            Value::number("12345678901234567890"),
            Value::number("1E5"),
        ]);
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            "[10,0.10,12345678901234567890,1E5]"
        );
    }
}
