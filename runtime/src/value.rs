//! A record's values, with numbers kept as they were written.
//!
//! `serde_json::Value` turns 0.1 into a binary fraction; money must not be.

use indexmap::IndexMap;
use serde::ser::{Serialize, Serializer};

/// Fields in the order they came.
pub type Object = IndexMap<String, Value>;

/// A JSON value; a number that is no `i64` keeps its digits.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// A JSON number with a fraction, an exponent or more digits than an `i64` holds, as written.
    Number(Box<str>),
    String(String),
    Array(Vec<Value>),
    Object(Object),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            // Exact in JSON; other serializers see serde_json's raw value.
            Value::Number(digits) => {
                let raw: &serde_json::value::RawValue =
                    serde_json::from_str(digits).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
            Value::String(value) => serializer.serialize_str(value),
            Value::Array(values) => serializer.collect_seq(values),
            Value::Object(fields) => serializer.collect_map(fields),
        }
    }
}
