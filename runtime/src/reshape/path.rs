//! Places in a record: `email`, `contact.email`, `lines.*.amount` with `*` for each element of a list.

use serde_json::{Map, Value as Json};

use crate::value::{Object, Value};

/// Keys from a record's top, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    parents: Vec<String>,
    last: String,
}

impl Path {
    /// The path written as `text`; `None` where a key is empty or no field is named.
    pub fn parse(text: &str) -> Option<Path> {
        let mut keys: Vec<String> = text.split('.').map(str::to_owned).collect();
        let last = keys.pop().filter(|last| last != "*")?;
        let is_whole = !last.is_empty() && keys.iter().all(|key| !key.is_empty());
        is_whole.then_some(Path {
            parents: keys,
            last,
        })
    }

    pub fn last(&self) -> &str {
        &self.last
    }

    /// The field's name if it is at the record's top.
    pub fn top(&self) -> Option<&str> {
        self.parents.is_empty().then_some(self.last.as_str())
    }

    /// Changes each value at this path.
    pub fn change(&self, record: &mut Object, change: &mut dyn FnMut(&mut Value)) {
        self.change_parents(record, &mut |parent| {
            if let Some(value) = parent.get_mut(self.last.as_str()) {
                change(value);
            }
        });
    }

    /// Changes each object that can hold the path's last key.
    pub fn change_parents(&self, record: &mut Object, change: &mut dyn FnMut(&mut Object)) {
        in_fields(record, &self.parents, change);
    }

    /// Changes the properties that the path's last key is among; those on the way are made.
    pub fn change_schema(
        &self,
        schema: &mut Map<String, Json>,
        change: &mut dyn FnMut(&mut Map<String, Json>),
    ) {
        let mut at = schema;
        for key in &self.parents {
            at = match key.as_str() {
                "*" => object(at, "items"),
                key => object(object(at, "properties"), key),
            };
        }
        change(object(at, "properties"));
    }
}

fn in_fields(fields: &mut Object, path: &[String], change: &mut dyn FnMut(&mut Object)) {
    match path.split_first() {
        None => change(fields),
        Some((key, rest)) => {
            if let Some(value) = fields.get_mut(key.as_str()) {
                in_value(value, rest, change);
            }
        }
    }
}

fn in_value(value: &mut Value, path: &[String], change: &mut dyn FnMut(&mut Object)) {
    match (value, path.split_first()) {
        (Value::Object(fields), _) => in_fields(fields, path, change),
        (Value::Array(values), Some((key, rest))) if key == "*" => {
            for value in values {
                in_value(value, rest, change);
            }
        }
        _ => {}
    }
}

/// The object at `key`, made where there is none.
fn object<'j>(parent: &'j mut Map<String, Json>, key: &str) -> &'j mut Map<String, Json> {
    let value = parent.entry(key).or_insert_with(|| Map::new().into());
    if !value.is_object() {
        *value = Map::new().into();
    }
    match value {
        Json::Object(object) => object,
        _ => unreachable!("it was made an object just now"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(path: &str) -> Path {
        Path::parse(path).unwrap()
    }

    fn record(json: Json) -> Object {
        match Value::from(&json) {
            Value::Object(fields) => fields,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_path_reaches_fields_nested_and_in_lists() {
        let mut it = record(json!({"a": 1, "b": {"c": 1}, "d": [{"e": 1}, {"e": 1}, 5]}));
        for path in ["a", "b.c", "d.*.e", "b.none.c", "none"] {
            at(path).change(&mut it, &mut |value| *value = Value::Int(2));
        }
        let expected = json!({"a": 2, "b": {"c": 2}, "d": [{"e": 2}, {"e": 2}, 5]});
        assert_eq!(Value::Object(it).to_json(), expected);
    }

    #[test]
    fn a_schema_is_changed_at_the_same_place() {
        let mut schema = Map::new();
        at("d.*.e").change_schema(&mut schema, &mut |properties| {
            properties.insert("e".into(), json!({"type": "string"}));
        });
        let expected =
            json!({"properties": {"d": {"items": {"properties": {"e": {"type": "string"}}}}}});
        assert_eq!(Json::Object(schema), expected);
    }

    #[test]
    fn what_names_no_field_is_no_path() {
        for text in ["", ".", "a.", "a..b", "a.*"] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }
}
