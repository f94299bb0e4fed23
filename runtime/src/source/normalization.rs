//! Values cast to the types of the stream's schema, as the reference casts them.
//!
//! The schema is walked with the record: `properties`, `items` and `$ref`, nothing
//! else. What cannot be cast stays as it is.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::python;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Normalization {
    None,
    Default,
}

/// References that lead on for longer lead in a circle.
const DEEPEST: usize = 200;
const TRUE: [&str; 6] = ["y", "yes", "t", "true", "on", "1"];
const FALSE: [&str; 6] = ["n", "no", "f", "false", "off", "0"];

impl Normalization {
    pub fn open(selector: &Component<'_>) -> Result<Normalization, SourceError> {
        match selector.field("schema_normalization") {
            None => Ok(Normalization::None),
            Some(Json::String(name)) if name == "None" => Ok(Normalization::None),
            Some(Json::String(name)) if name == "Default" => Ok(Normalization::Default),
            Some(Json::Object(_)) => {
                let custom = selector.need("schema_normalization")?;
                Err(custom.unknown("`schema_normalization: Default` or `None`"))
            }
            Some(other) => Err(selector.error(format!(
                "`schema_normalization: {other}` is not supported; expected Default or None"
            ))),
        }
    }

    pub fn apply(self, record: &mut Object, schema: &Json) {
        if self == Normalization::Default {
            let walk = Walk { root: schema };
            walk.object(record, schema, 0);
        }
    }
}

struct Walk<'s> {
    root: &'s Json,
}

impl Walk<'_> {
    fn object(&self, fields: &mut Object, schema: &Json, depth: usize) {
        let properties = schema.get("properties").and_then(Json::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            if let Some(value) = fields.get_mut(name) {
                cast(value, schema);
                self.inside(value, schema, depth + 1);
            }
        }
        if let Some(schema) = self.referred(schema, depth) {
            self.object(fields, schema, depth + 1);
        }
    }

    fn list(&self, values: &mut [Value], schema: &Json, depth: usize) {
        let one_for_all = schema.get("items").filter(|items| items.is_object());
        if let Some(items) = one_for_all {
            for value in values.iter_mut() {
                cast(value, items);
                self.inside(value, items, depth + 1);
            }
        }
        if let Some(schema) = self.referred(schema, depth) {
            self.list(values, schema, depth + 1);
        }
    }

    fn inside(&self, value: &mut Value, schema: &Json, depth: usize) {
        match value {
            Value::Object(fields) => self.object(fields, schema, depth),
            Value::Array(values) => self.list(values, schema, depth),
            _ => {}
        }
    }

    fn referred(&self, schema: &Json, depth: usize) -> Option<&Json> {
        let reference = schema.get("$ref")?.as_str()?;
        let pointer = reference.strip_prefix('#')?;
        self.root.pointer(pointer).filter(|_| depth < DEEPEST)
    }
}

/// The one type to cast to; none where there are several, or null is meant.
fn target<'s>(value: &Value, schema: &'s Json) -> Option<&'s str> {
    match schema.get("type")? {
        Json::String(name) => Some(name),
        Json::Array(names) => {
            let mut names = names.iter().filter_map(Json::as_str);
            if *value == Value::Null && names.clone().any(|name| name == "null") {
                return None;
            }
            let mut others = names.by_ref().filter(|name| *name != "null");
            others.next().filter(|_| others.next().is_none())
        }
        _ => None,
    }
}

fn cast(value: &mut Value, schema: &Json) {
    let cast = match target(value, schema) {
        Some("string") => match &*value {
            Value::String(_) => None,
            other => Some(Value::String(python::text(other))),
        },
        Some("number") => float(value),
        Some("integer") => integer(value),
        Some("boolean") => boolean(value).map(Value::Bool),
        Some("array")
            if holds_scalars(schema) && !matches!(value, Value::Array(_) | Value::Object(_)) =>
        {
            Some(Value::Array(vec![std::mem::take(value)]))
        }
        _ => None,
    };
    if let Some(cast) = cast {
        *value = cast;
    }
}

/// `float(value)`; a number that is one keeps its digits.
fn float(value: &Value) -> Option<Value> {
    let whole = match value {
        Value::Bool(value) => i64::from(*value),
        Value::Int(number) => *number,
        Value::String(text) => return float_text(text),
        _ => return None,
    };
    Some(Value::Number(python::float(whole as f64).into()))
}

fn float_text(text: &str) -> Option<Value> {
    let digits = python_number(text)?;
    let is_json = serde_json::from_str::<serde_json::Number>(&digits).is_ok();
    if is_json && digits.contains(['.', 'e', 'E']) {
        return Some(Value::Number(digits.into()));
    }
    match digits.parse::<f64>().ok()? {
        float if float.is_finite() => Some(Value::Number(python::float(float).into())),
        // Written, it would be null.
        _ => Some(Value::Null),
    }
}

/// The text of a number without Python's spaces and underscores.
fn python_number(text: &str) -> Option<String> {
    let text = text.trim();
    let lone = |at: usize| {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let bytes = text.as_bytes();
        digit(at.checked_sub(1).and_then(|at| bytes.get(at))) && digit(bytes.get(at + 1))
    };
    let well_placed = text.match_indices('_').all(|(at, _)| lone(at));
    (well_placed && !text.is_empty()).then(|| text.replace('_', ""))
}

/// `int(value)`.
fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(value) => Some(Value::Int(i64::from(*value))),
        Value::Number(digits) if digits.contains(['.', 'e', 'E']) => {
            let number: f64 = digits.parse().ok()?;
            // Not `-0`.
            Some(Value::number(&format!("{:.0}", number.trunc() + 0.0)))
        }
        Value::String(text) => {
            let digits = python_number(text)?;
            let unsigned = digits.trim_start_matches('+');
            let plain = unsigned.strip_prefix('-').unwrap_or(unsigned);
            let whole = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
            if !whole || digits.len() - plain.len() > 1 {
                return None;
            }
            let sign = if digits.starts_with('-') { "-" } else { "" };
            match plain.trim_start_matches('0') {
                "" => Some(Value::Int(0)),
                plain => Some(Value::number(&format!("{sign}{plain}"))),
            }
        }
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    let Value::String(text) = value else {
        return Some(python::truth(value));
    };
    let text = text.to_lowercase();
    let text = text.trim();
    match (TRUE.contains(&text), FALSE.contains(&text)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// Whether a list's elements are scalars, as far as the reference can tell: it
/// understands a list of types, and no types at all.
fn holds_scalars(schema: &Json) -> bool {
    let simple = ["string", "number", "integer", "boolean", "null"];
    match schema.get("items").and_then(|items| items.get("type")) {
        None => !matches!(schema.get("items"), Some(Json::Array(_) | Json::Bool(_))),
        Some(Json::Array(names)) => names
            .iter()
            .all(|name| name.as_str().is_some_and(|name| simple.contains(&name))),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cast_to(schema: Json, value: Json) -> String {
        let schema = json!({"properties": {"x": schema}, "definitions": {"n": {"properties": {"d": {"type": "string"}}}}});
        let Value::Object(mut record) = Value::from(&json!({"x": value})) else {
            panic!("no object")
        };
        Normalization::Default.apply(&mut record, &schema);
        serde_json::to_string(&record["x"]).unwrap()
    }

    #[test]
    fn scalars_are_cast_as_python_casts() {
        for (kind, value, expected) in [
            ("string", json!(1.50), "\"1.5\""),
            ("string", json!(true), "\"True\""),
            ("string", json!({"a": null}), "\"{'a': None}\""),
            ("string", json!(null), "\"None\""),
            ("number", json!("1.50"), "1.50"),
            ("number", json!(" 1_000 "), "1000.0"),
            ("number", json!(4), "4.0"),
            ("number", json!(true), "1.0"),
            ("number", json!("4,5"), "\"4,5\""),
            ("number", json!(""), "\"\""),
            ("number", json!("nan"), "null"),
            ("integer", json!("0012"), "12"),
            ("integer", json!("-7"), "-7"),
            ("integer", json!("1.0"), "\"1.0\""),
            ("integer", json!(3.9), "3"),
            ("integer", json!(-0.5), "0"),
            ("integer", json!([1]), "[1]"),
            ("boolean", json!("Yes "), "true"),
            ("boolean", json!("0"), "false"),
            ("boolean", json!("maybe"), "\"maybe\""),
            ("boolean", json!(0), "false"),
            ("boolean", json!([]), "false"),
            ("array", json!("a"), "[\"a\"]"),
            ("array", json!(null), "[null]"),
            ("object", json!("a"), "\"a\""),
        ] {
            assert_eq!(
                cast_to(json!({"type": kind}), value.clone()),
                expected,
                "{kind} {value}"
            );
        }
    }

    #[test]
    fn null_stays_where_it_may_be_and_several_types_cast_nothing() {
        assert_eq!(
            cast_to(json!({"type": ["null", "string"]}), json!(null)),
            "null"
        );
        assert_eq!(
            cast_to(json!({"type": ["null", "string"]}), json!(1)),
            "\"1\""
        );
        assert_eq!(
            cast_to(json!({"type": ["string", "integer"]}), json!(1.5)),
            "1.5"
        );
        assert_eq!(
            cast_to(json!({"oneOf": [{"type": "string"}]}), json!(1)),
            "1"
        );
        assert_eq!(cast_to(json!(true), json!(1)), "1");
    }

    #[test]
    fn lists_objects_and_references_are_walked() {
        let texts = json!({"type": "array", "items": {"type": "string"}});
        assert_eq!(cast_to(texts.clone(), json!([1, "a"])), r#"["1","a"]"#);
        assert_eq!(cast_to(texts, json!("a")), "\"a\"");
        let nullable = json!({"type": "array", "items": {"type": ["null", "string"]}});
        assert_eq!(cast_to(nullable, json!(1)), r#"["1"]"#);
        let deep = json!({"type": "object", "properties": {"l": {"items": {"properties": {"n": {"type": "number"}}}}}});
        assert_eq!(
            cast_to(deep, json!({"l": [{"n": "1"}]})),
            r#"{"l":[{"n":1.0}]}"#
        );
        assert_eq!(
            cast_to(json!({"$ref": "#/definitions/n"}), json!({"d": 1})),
            r#"{"d":"1"}"#
        );
        assert_eq!(
            cast_to(json!({"$ref": "#/properties/x"}), json!({"d": 1})),
            r#"{"d":1}"#
        );
    }
}
