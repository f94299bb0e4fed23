//! A table's schema in BigQuery's JSON.

use serde_json::{Value as Json, json};

use super::{Column, EXTRACTED_AT, Kind, RESCUED, RUN_ID, TableSchema};

/// Why rows of this schema cannot be added to the table that is there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    #[error("column `{column}` is {table} in the table, but the source's records need {ours}")]
    Type {
        column: String,
        table: String,
        ours: String,
    },
    #[error("column `{column}` was in the table when it was last loaded, and is gone")]
    Gone { column: String },
}

impl TableSchema {
    /// The fields for a table or a load, xetl's own last.
    pub fn bigquery(&self) -> Vec<Json> {
        let own = [
            json!({"name": RUN_ID, "type": "STRING", "mode": "NULLABLE"}),
            json!({"name": EXTRACTED_AT, "type": "TIMESTAMP", "mode": "NULLABLE"}),
            json!({"name": RESCUED, "type": "STRING", "mode": "NULLABLE"}),
        ];
        self.columns.iter().map(field).chain(own).collect()
    }
}

fn field(column: &Column) -> Json {
    let mode = if column.repeated {
        "REPEATED"
    } else {
        "NULLABLE"
    };
    let mut field = json!({"name": column.name, "type": type_name(&column.kind), "mode": mode});
    if let Kind::Struct(columns) = &column.kind {
        field["fields"] = columns.iter().map(self::field).collect();
    }
    field
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "BOOLEAN",
        Kind::Int64 => "INTEGER",
        Kind::Float64 => "FLOAT",
        Kind::Numeric => "NUMERIC",
        Kind::BigNumeric => "BIGNUMERIC",
        Kind::String | Kind::Text => "STRING",
        Kind::Timestamp => "TIMESTAMP",
        Kind::Date => "DATE",
        Kind::Datetime => "DATETIME",
        Kind::Time => "TIME",
        Kind::Bytes => "BYTES",
        Kind::Geography => "GEOGRAPHY",
        Kind::Struct(_) => "RECORD",
    }
}

/// Complains about a column of `loaded` that the table has no more.
pub fn still_there(table: &[Json], loaded: &[Json]) -> Result<(), Mismatch> {
    match loaded
        .iter()
        .find(|field| find(table, name(field)).is_none())
    {
        Some(field) => Err(Mismatch::Gone {
            column: name(field).to_owned(),
        }),
        None => Ok(()),
    }
}

pub(super) fn find<'a>(fields: &'a [Json], name: &str) -> Option<&'a Json> {
    fields
        .iter()
        .find(|field| self::name(field).eq_ignore_ascii_case(name))
}

pub(super) fn nested(field: &Json) -> &[Json] {
    field
        .get("fields")
        .and_then(Json::as_array)
        .map_or(&[], Vec::as_slice)
}

pub(super) fn name(field: &Json) -> &str {
    field.get("name").and_then(Json::as_str).unwrap_or_default()
}

pub(super) fn mode(field: &Json) -> &str {
    field
        .get("mode")
        .and_then(Json::as_str)
        .unwrap_or("NULLABLE")
}

/// The API gives both the old and the SQL names of types.
pub(super) fn canonical(field: &Json) -> &str {
    match field.get("type").and_then(Json::as_str).unwrap_or_default() {
        "BOOL" => "BOOLEAN",
        "INT64" => "INTEGER",
        "FLOAT64" => "FLOAT",
        "STRUCT" => "RECORD",
        "DECIMAL" => "NUMERIC",
        "BIGDECIMAL" => "BIGNUMERIC",
        name => name,
    }
}

pub(super) fn described(field: &Json) -> String {
    match mode(field) {
        "REPEATED" => format!("REPEATED {}", canonical(field)),
        _ => canonical(field).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::declared;

    fn fields(properties: Json) -> Vec<Json> {
        declared::table_schema(&json!({"properties": properties}))
            .unwrap()
            .bigquery()
    }

    #[test]
    fn a_struct_becomes_a_record_with_fields() {
        let object = json!({"type": "object", "properties": {"City": {"type": "string"}}});
        insta::assert_json_snapshot!(fields(json!({"Address": object}))[0], @r#"
        {
          "name": "Address",
          "type": "RECORD",
          "mode": "NULLABLE",
          "fields": [
            {
              "name": "City",
              "type": "STRING",
              "mode": "NULLABLE"
            }
          ]
        }
        "#);
    }

    #[test]
    fn a_column_taken_out_of_the_table_is_noticed() {
        let loaded = fields(json!({"a": {"type": "string"}}));
        let gone = still_there(&loaded[1..], &loaded).unwrap_err();
        assert_eq!(gone, Mismatch::Gone { column: "a".into() });
    }
}
