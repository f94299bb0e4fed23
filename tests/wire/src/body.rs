//! A JSON body set against a schema.

use serde_json::{Map, Value};

use crate::document::{Document, Method, Schema};
use crate::exchange::Exchange;

/// Which of the two bodies it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// A way through one body.
pub struct Walk<'d> {
    document: &'d Document,
    method: &'d Method,
    side: Side,
    has_numeric_enums: bool,
    sends_back: bool,
    is_change: bool,
}

impl<'d> Walk<'d> {
    pub fn new(
        document: &'d Document,
        method: &'d Method,
        side: Side,
        exchange: &Exchange,
    ) -> Walk<'d> {
        Walk {
            document,
            method,
            side,
            has_numeric_enums: exchange.has_numeric_enums(),
            sends_back: exchange.sends_back(),
            is_change: matches!(exchange.method.as_str(), "PUT" | "PATCH"),
        }
    }

    /// What is wrong with a body of the schema of that name; each problem begins with its place.
    pub fn problems(&self, place: &str, body: &Value, name: &str) -> Vec<String> {
        let mut problems = Vec::new();
        match self.document.schemas.get(name) {
            Some(schema) => self.value(place, body, schema, &mut problems),
            None => problems.push(format!("{place}: the document has no schema `{name}`")),
        }
        problems
    }

    fn value(&self, place: &str, value: &Value, schema: &Schema, problems: &mut Vec<String>) {
        let schema = match &schema.reference {
            Some(name) => &self.document.schemas[name.as_str()],
            None => schema,
        };
        match (schema.kind.as_str(), value) {
            ("any", _) => {}
            // In a patch it takes a field away; elsewhere it says nothing.
            (_, Value::Null) if self.side == Side::Request => {}
            ("object", Value::Object(fields)) => self.object(place, fields, schema, problems),
            ("array", Value::Array(items)) => {
                let Some(schema) = &schema.items else { return };
                for (index, item) in items.iter().enumerate() {
                    self.value(&format!("{place}[{index}]"), item, schema, problems);
                }
            }
            _ => problems.extend(self.scalar(place, value, schema)),
        }
    }

    fn object(
        &self,
        place: &str,
        fields: &Map<String, Value>,
        schema: &Schema,
        problems: &mut Vec<String>,
    ) {
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            let known = schema.properties.get(name);
            match known.or(schema.additional_properties.as_deref()) {
                None => problems.push(format!("{place}: unknown field")),
                // Google's clients put into a change whose it is, where its address has it, too.
                Some(_) if self.is_change && name == "name" => {}
                Some(field) if self.is_refused(field, value) => {
                    problems.push(format!("{place}: Google sets it, no request may"));
                }
                Some(field) => self.value(&place, value, field, problems),
            }
        }
        let missing = schema.properties.iter().filter(|(name, field)| {
            let is_required = field.annotations.required.contains(&self.method.id);
            self.side == Side::Request && is_required && !fields.contains_key(name.as_str())
        });
        problems.extend(missing.map(|(name, _)| format!("{place}.{name}: this method needs it")));
        if let Some(name) = fields.get("@type").and_then(Value::as_str) {
            self.typed(place, fields, name, problems);
        }
    }

    /// What an operation brings is a message whose name stands beside its fields.
    fn typed(
        &self,
        place: &str,
        fields: &Map<String, Value>,
        name: &str,
        problems: &mut Vec<String>,
    ) {
        let name = name.rsplit('/').next().unwrap_or(name);
        let Some(schema) = self.message(name) else {
            return;
        };
        let mut fields = fields.clone();
        fields.remove("@type");
        self.object(place, &fields, schema, problems);
    }

    /// The schema of a protobuf message: `google.cloud.run.v2.Job` is `GoogleCloudRunV2Job` in one
    /// document, and would be `Job` in another.
    fn message(&self, name: &str) -> Option<&Schema> {
        let capital = |part: &str| {
            let (first, rest) = part.split_at(part.len().min(1));
            first.to_uppercase() + rest
        };
        let whole: String = name.split('.').map(capital).collect();
        let last = name.rsplit('.').next().unwrap_or(name);
        let schemas = &self.document.schemas;
        schemas.get(&whole).or_else(|| schemas.get(last))
    }

    /// Whether a request says what only Google may. Empty values of that kind are tolerated, as
    /// Google's own clients send them.
    fn is_refused(&self, field: &Schema, value: &Value) -> bool {
        self.side == Side::Request && field.read_only && !self.sends_back && !is_empty(value)
    }

    fn scalar(&self, place: &str, value: &Value, schema: &Schema) -> Option<String> {
        let fits = match (schema.kind.as_str(), value) {
            ("boolean", Value::Bool(_)) => true,
            ("integer", Value::Number(number)) => number.is_i64() || number.is_u64(),
            ("number", Value::Number(_)) => true,
            ("number", Value::String(text)) => ["NaN", "Infinity", "-Infinity"].contains(&&**text),
            ("string", Value::String(text)) => return self.text(place, text, schema),
            ("string", Value::Number(number)) if !schema.values.is_empty() => {
                self.has_numeric_enums && number.is_u64()
            }
            // Google reads a 64-bit number in both forms, and writes it as text.
            ("string", Value::Number(number)) => {
                let is_long = matches!(schema.format.as_str(), "int64" | "uint64");
                self.side == Side::Request && is_long && !number.is_f64()
            }
            _ => false,
        };
        (!fits).then(|| format!("{place}: {} is no {}", kind(value), wanted(schema)))
    }

    fn text(&self, place: &str, text: &str, schema: &Schema) -> Option<String> {
        if !schema.values.is_empty() {
            let known = schema.values.iter().any(|it| it == text);
            return (!known && !text.is_empty())
                .then(|| format!("{place}: `{text}` is none of {:?}", schema.values));
        }
        let fits = match schema.format.as_str() {
            "int64" => text.parse::<i64>().is_ok(),
            "uint64" => text.parse::<u64>().is_ok(),
            "date-time" | "google-datetime" => is_time(text),
            "google-duration" => is_duration(text),
            _ => true,
        };
        let is_unset = self.side == Side::Request && text.is_empty();
        (!fits && !is_unset).then(|| format!("{place}: `{text}` is no {}", schema.format))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
    }
}

/// Whether it has the form of RFC 3339.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|it| it.iter().all(u8::is_ascii_digit))
    };
    let has_offset = text.ends_with('Z')
        || text
            .get(text.len().saturating_sub(6)..)
            .is_some_and(|it| it.starts_with(['+', '-']));
    digits(0..4)
        && digits(5..7)
        && digits(8..10)
        && digits(11..13)
        && bytes[10] == b'T'
        && has_offset
}

fn is_duration(text: &str) -> bool {
    text.strip_suffix('s')
        .is_some_and(|number| number.parse::<f64>().is_ok())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wanted(schema: &Schema) -> String {
    match schema.format.as_str() {
        "" => schema.kind.clone(),
        format => format!("{} ({format})", schema.kind),
    }
}
