//! Values that borrow their texts from the document they stand in, or from a `Value`.
//!
//! What records are written from: they live no longer than it takes to write one.

use std::borrow::Cow;

use serde::ser::{Serialize, Serializer};

use super::{Value, raw_number};

/// As `Value`; an object's fields stand in their order, each name once.
#[derive(Debug, Clone, PartialEq)]
pub enum Borrowed<'b> {
    Null,
    Bool(bool),
    Int(i64),
    Number(&'b str),
    String(Cow<'b, str>),
    Array(Vec<Borrowed<'b>>),
    Object(Fields<'b>),
}

pub type Fields<'b> = Vec<(Cow<'b, str>, Borrowed<'b>)>;

impl<'b> Borrowed<'b> {
    /// The number written as `digits` (a JSON number).
    pub fn number(digits: &'b str) -> Borrowed<'b> {
        let is_whole = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
        match is_whole.then(|| digits.parse()) {
            Some(Ok(number)) => Borrowed::Int(number),
            _ => Borrowed::Number(digits),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Borrowed::Null)
    }
}

impl<'b> From<&'b Value> for Borrowed<'b> {
    fn from(value: &'b Value) -> Borrowed<'b> {
        match value {
            Value::Null => Borrowed::Null,
            Value::Bool(value) => Borrowed::Bool(*value),
            Value::Int(value) => Borrowed::Int(*value),
            Value::Number(digits) => Borrowed::Number(digits),
            Value::String(text) => Borrowed::String(text.into()),
            Value::Array(values) => Borrowed::Array(values.iter().map(Borrowed::from).collect()),
            Value::Object(fields) => {
                let fields = fields.iter();
                Borrowed::Object(
                    fields
                        .map(|(name, value)| (name.into(), value.into()))
                        .collect(),
                )
            }
        }
    }
}

impl From<Borrowed<'_>> for Value {
    fn from(value: Borrowed<'_>) -> Value {
        match value {
            Borrowed::Null => Value::Null,
            Borrowed::Bool(value) => Value::Bool(value),
            Borrowed::Int(value) => Value::Int(value),
            Borrowed::Number(digits) => Value::Number(digits.into()),
            Borrowed::String(text) => Value::String(text.into_owned()),
            Borrowed::Array(values) => Value::Array(values.into_iter().map(Value::from).collect()),
            Borrowed::Object(fields) => {
                let fields = fields.into_iter();
                Value::Object(
                    fields
                        .map(|(name, value)| (name.into_owned(), value.into()))
                        .collect(),
                )
            }
        }
    }
}

impl Serialize for Borrowed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Borrowed::Null => serializer.serialize_unit(),
            Borrowed::Bool(value) => serializer.serialize_bool(*value),
            Borrowed::Int(value) => serializer.serialize_i64(*value),
            Borrowed::Number(digits) => raw_number(digits, serializer),
            Borrowed::String(text) => serializer.serialize_str(text),
            Borrowed::Array(values) => serializer.collect_seq(values),
            Borrowed::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}
