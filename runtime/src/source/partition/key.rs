//! What tells partitions apart: their fields as JSON, sorted by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// The same for the same fields, whatever their order.
pub fn partition_key(fields: &Map<String, Json>) -> String {
    sorted_object(fields).to_string()
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(fields) => sorted_object(fields),
        Json::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

fn sorted_object(fields: &Map<String, Json>) -> Json {
    let fields: BTreeMap<_, _> = fields.iter().collect();
    let fields = fields.into_iter();
    Json::Object(
        fields
            .map(|(name, value)| (name.clone(), sorted(value)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let key = |json: Json| partition_key(json.as_object().unwrap());
        let one = key(json!({"parent_slice": {"b": 1, "a": 2}, "id": 3}));
        assert_eq!(one, r#"{"id":3,"parent_slice":{"a":2,"b":1}}"#);
        assert_eq!(one, key(json!({"id": 3, "parent_slice": {"a": 2, "b": 1}})));
        assert_ne!(
            one,
            key(json!({"id": "3", "parent_slice": {"a": 2, "b": 1}}))
        );
    }
}
