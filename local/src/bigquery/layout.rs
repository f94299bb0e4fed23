//! Partitioning and clustering: what a table's settings may say.
//!
//! Pure, over settings and schemas.

use serde_json::Value;

use super::partitioning::invalid;
pub use super::partitioning::{Id, Partitioning, number};
use super::resource::Object;
use super::schema::{Mode, Schema, Type};
use crate::error::ApiError;

/// Holds partitioning and clustering against the columns they name.
pub fn check(settings: &Object, schema: &Schema) -> Result<(), ApiError> {
    let partitioning = Partitioning::of(settings)?;
    if let Some(partitioning) = &partitioning {
        partitioning.check(schema)?;
    }
    if requires_filter(settings) && partitioning.is_none() {
        return invalid("requirePartitionFilter can be set for partitioned tables only");
    }
    let by = settings.get("clustering").map(|by| &by["fields"]);
    let fields: Vec<&str> = by
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if fields.len() > 4 {
        return invalid(format!(
            "Too many clustering columns: {}; at most 4 are allowed",
            fields.len()
        ));
    }
    fields.iter().try_for_each(|name| clusterable(schema, name))
}

fn clusterable(schema: &Schema, name: &str) -> Result<(), ApiError> {
    let Some(field) = schema.field(name) else {
        return invalid(format!(
            "The field specified for clustering cannot be found in the schema: {name}"
        ));
    };
    let sorts = !matches!(
        field.kind,
        Type::Float | Type::Bytes | Type::Time | Type::Json | Type::Record | Type::Interval
    );
    if sorts && field.mode != Mode::Repeated {
        return Ok(());
    }
    invalid(format!(
        "Clustering is not supported on column {name} of type {}",
        field.sql_type()
    ))
}

/// Whether queries must filter by the partitioning column.
pub fn requires_filter(settings: &Object) -> bool {
    let own = settings.get("requirePartitionFilter");
    let old = settings
        .get("timePartitioning")
        .map(|time| &time["requirePartitionFilter"]);
    [own, old]
        .into_iter()
        .flatten()
        .any(|value| value.as_bool() == Some(true))
}

/// Whether two settings partition alike; how long partitions live may differ.
pub fn same(a: &Object, b: &Object) -> Result<bool, ApiError> {
    let timeless = |settings| -> Result<Option<Partitioning>, ApiError> {
        Ok(Partitioning::of(settings)?.map(|by| match by {
            Partitioning::Time { unit, field, .. } => Partitioning::Time {
                unit,
                field: field.map(|field| field.to_lowercase()),
                expiration_ms: None,
            },
            range => range,
        }))
    };
    Ok(timeless(a)? == timeless(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    fn schema() -> Schema {
        let fields = json!([
            {"name": "at", "type": "TIMESTAMP"}, {"name": "day", "type": "DATE"},
            {"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING"},
            {"name": "x", "type": "FLOAT"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}]);
        serde_json::from_value(json!({"fields": fields})).unwrap()
    }

    fn checked(settings: Value) -> Result<(), String> {
        check(&object(settings), &schema()).map_err(|error| error.message)
    }

    #[test]
    fn a_partitioning_column_is_there_and_of_a_type_that_divides() {
        let time = |kind: &str, field: &str| {
            checked(json!({"timePartitioning": {"type": kind, "field": field}}))
        };
        assert_eq!(time("HOUR", "at"), Ok(()));
        assert_eq!(time("DAY", "DAY"), Ok(()));
        assert!(time("HOUR", "day").is_err());
        assert!(time("DAY", "s").is_err());
        assert!(time("WEEK", "at").is_err());
        assert_eq!(
            time("DAY", "gone").unwrap_err(),
            "The field specified for partitioning cannot be found in the schema: gone"
        );
        let range = |field: &str| {
            let range = json!({"start": "0", "end": "100", "interval": "10"});
            checked(json!({"rangePartitioning": {"field": field, "range": range}}))
        };
        assert_eq!(range("n"), Ok(()));
        assert!(range("s").is_err());
        assert_eq!(
            checked(json!({"timePartitioning": {"type": "DAY"}})),
            Ok(())
        );
    }

    #[test]
    fn at_most_four_columns_that_sort_cluster_a_table() {
        let clustered = |fields: Value| checked(json!({"clustering": {"fields": fields}}));
        assert_eq!(clustered(json!(["s", "n", "day", "at"])), Ok(()));
        assert!(clustered(json!(["s", "n", "day", "at", "s"])).is_err());
        for name in ["x", "tags", "gone"] {
            assert!(clustered(json!([name])).is_err(), "{name}");
        }
    }
}
