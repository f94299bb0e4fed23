//! `xetl.FoldFields`: fields whose names share a beginning become one list of names and values.
//!
//! For fields that a customer defines and renames, and whose names cannot be columns.

use crate::value::{Object, Value};

#[derive(Debug, Clone)]
pub struct FoldFields {
    pub prefix: String,
    pub into: String,
}

impl FoldFields {
    /// `{"custom.cf_1": 5}` becomes `{"custom_fields": [{"id": "cf_1", "value": "5"}]}`.
    pub fn transform(&self, record: &mut Object) {
        let names: Vec<String> = record
            .keys()
            .filter(|name| name.starts_with(&self.prefix))
            .map(ToString::to_string)
            .collect();
        let folded = names.into_iter().filter_map(|name| {
            let value = record.shift_remove(name.as_str())?;
            Some(pair(&name[self.prefix.len()..], value))
        });
        let folded: Vec<Value> = folded.collect();
        record.insert(self.into.as_str().into(), Value::Array(folded));
    }
}

/// Text stays as it is; any other value is written as JSON, so that all fit one column.
fn pair(id: &str, value: Value) -> Value {
    let value = match value {
        Value::Null | Value::String(_) => value,
        other => Value::String(serde_json::to_string(&other).unwrap_or_default()),
    };
    let mut pair = Object::default();
    pair.insert("id".into(), Value::String(id.into()));
    pair.insert("value".into(), value);
    Value::Object(pair)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_with_the_prefix_become_a_list_in_their_order() {
        let fold = FoldFields {
            prefix: "custom.".to_owned(),
            into: "custom_fields".to_owned(),
        };
        let record = json!({"id": 1, "custom.b": [1, "x"], "custom": {"a": 1}, "custom.a": "text", "custom.c": null});
        let Value::Object(mut record) = Value::from(&record) else {
            panic!("an object")
        };
        fold.transform(&mut record);
        let folded = serde_json::to_value(Value::Object(record)).unwrap();
        assert_eq!(
            folded,
            json!({"id": 1, "custom": {"a": 1}, "custom_fields": [
                {"id": "b", "value": "[1,\"x\"]"}, {"id": "a", "value": "text"}, {"id": "c", "value": null}]})
        );
    }
}
