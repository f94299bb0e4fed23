//! Table schemas: fields in BigQuery's words, and the Arrow types their values
//! are kept in. What a schema may hold and become is in `schema_rules`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{
    DataType, Field as ArrowField, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::schema_rules::{check_fields, check_patch};
use crate::error::ApiError;

/// Arrow metadata that tells JSON and GEOGRAPHY from STRING.
pub const TYPE_KEY: &str = "bigquery.type";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Type {
    String,
    Bytes,
    #[serde(alias = "INT64", alias = "INT", alias = "BIGINT")]
    Integer,
    #[serde(alias = "FLOAT64")]
    Float,
    #[serde(alias = "DECIMAL")]
    Numeric,
    #[serde(alias = "BIGDECIMAL")]
    Bignumeric,
    #[serde(alias = "BOOL")]
    Boolean,
    Timestamp,
    Date,
    Time,
    Datetime,
    Geography,
    Json,
    Interval,
    Range,
    #[serde(alias = "STRUCT")]
    Record,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    #[default]
    Nullable,
    Required,
    Repeated,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Type,
    #[serde(default, deserialize_with = "mode_or_default")]
    pub mode: Mode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Description, precision, policy tags: kept as sent.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An absent, null or empty mode is NULLABLE.
fn mode_or_default<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Mode, D::Error> {
    let mode = Option::<String>::deserialize(from)?.unwrap_or_default();
    match mode.to_ascii_uppercase().as_str() {
        "" | "NULLABLE" => Ok(Mode::Nullable),
        "REQUIRED" => Ok(Mode::Required),
        "REPEATED" => Ok(Mode::Repeated),
        other => Err(serde::de::Error::custom(format!("unknown mode `{other}`"))),
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Schema {
    #[serde(default)]
    pub fields: Vec<Field>,
}

impl Type {
    /// The name the REST API gives.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "STRING",
            Type::Bytes => "BYTES",
            Type::Integer => "INTEGER",
            Type::Float => "FLOAT",
            Type::Numeric => "NUMERIC",
            Type::Bignumeric => "BIGNUMERIC",
            Type::Boolean => "BOOLEAN",
            Type::Timestamp => "TIMESTAMP",
            Type::Date => "DATE",
            Type::Time => "TIME",
            Type::Datetime => "DATETIME",
            Type::Geography => "GEOGRAPHY",
            Type::Json => "JSON",
            Type::Interval => "INTERVAL",
            Type::Range => "RANGE",
            Type::Record => "RECORD",
        }
    }

    /// The name SQL gives.
    pub fn sql_name(self) -> &'static str {
        match self {
            Type::Integer => "INT64",
            Type::Float => "FLOAT64",
            Type::Boolean => "BOOL",
            Type::Record => "STRUCT",
            other => other.name(),
        }
    }
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Nullable => "NULLABLE",
            Mode::Required => "REQUIRED",
            Mode::Repeated => "REPEATED",
        }
    }
}

impl Field {
    pub fn new(name: &str, kind: Type, mode: Mode) -> Field {
        Field {
            name: name.to_owned(),
            kind,
            mode,
            fields: Vec::new(),
            other: Map::new(),
        }
    }

    pub fn record(name: &str, mode: Mode, fields: Vec<Field>) -> Field {
        Field {
            fields,
            ..Field::new(name, Type::Record, mode)
        }
    }

    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The column's type as SQL writes it: `ARRAY<STRUCT<a INT64>>`.
    pub fn sql_type(&self) -> String {
        let item = match self.kind {
            Type::Record => {
                let fields = self.fields.iter();
                let fields = fields.map(|field| format!("{} {}", field.name, field.sql_type()));
                format!("STRUCT<{}>", fields.collect::<Vec<_>>().join(", "))
            }
            kind => kind.sql_name().to_owned(),
        };
        match self.mode {
            Mode::Repeated => format!("ARRAY<{item}>"),
            _ => item,
        }
    }

    /// The Arrow type of one value, without the list of a REPEATED field.
    pub fn item_type(&self) -> DataType {
        match self.kind {
            Type::Integer => DataType::Int64,
            Type::Float => DataType::Float64,
            Type::Numeric => DataType::Decimal128(38, 9),
            Type::Bignumeric => DataType::Decimal256(76, 38),
            Type::Boolean => DataType::Boolean,
            Type::Bytes => DataType::Binary,
            Type::Date => DataType::Date32,
            Type::Time => DataType::Time64(TimeUnit::Microsecond),
            Type::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Type::Record => DataType::Struct(arrow_fields(&self.fields)),
            Type::String | Type::Geography | Type::Json | Type::Interval | Type::Range => {
                DataType::Utf8
            }
        }
    }

    /// All columns are nullable in Arrow: REQUIRED is checked when data comes in.
    pub fn arrow(&self) -> ArrowField {
        let metadata = match self.kind {
            Type::Json | Type::Geography => {
                HashMap::from([(TYPE_KEY.to_owned(), self.kind.name().to_owned())])
            }
            _ => HashMap::new(),
        };
        let item = self.item_type();
        let kind = match self.mode {
            Mode::Repeated => DataType::List(Arc::new(ArrowField::new("item", item, true))),
            _ => item,
        };
        ArrowField::new(&self.name, kind, true).with_metadata(metadata)
    }

    /// The field of a query's result.
    pub fn of_arrow(field: &ArrowField) -> Field {
        let (item, mode) = match field.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                (item.data_type(), Mode::Repeated)
            }
            other => (other, Mode::Nullable),
        };
        let kind = match field.metadata().get(TYPE_KEY).map(String::as_str) {
            Some("JSON") => Type::Json,
            Some("GEOGRAPHY") => Type::Geography,
            _ => kind_of(item),
        };
        let fields = match item {
            DataType::Struct(fields) => fields.iter().map(|field| Field::of_arrow(field)).collect(),
            _ => Vec::new(),
        };
        Field {
            fields,
            ..Field::new(field.name(), kind, mode)
        }
    }
}

fn kind_of(item: &DataType) -> Type {
    match item {
        DataType::Boolean => Type::Boolean,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Type::Float,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
            Type::Numeric
        }
        DataType::Decimal256(..) => Type::Bignumeric,
        DataType::Date32 | DataType::Date64 => Type::Date,
        DataType::Time32(_) | DataType::Time64(_) => Type::Time,
        DataType::Timestamp(_, None) => Type::Datetime,
        DataType::Timestamp(_, Some(_)) => Type::Timestamp,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Type::Bytes,
        DataType::Struct(_) => Type::Record,
        DataType::Interval(_) | DataType::Duration(_) => Type::Interval,
        // A bare NULL has the type INT64 in BigQuery.
        DataType::Null => Type::Integer,
        integer if integer.is_integer() => Type::Integer,
        _ => Type::String,
    }
}

fn arrow_fields(fields: &[Field]) -> Fields {
    fields.iter().map(Field::arrow).collect()
}

impl Schema {
    pub fn arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(arrow_fields(&self.fields)))
    }

    pub fn of_arrow(schema: &ArrowSchema) -> Schema {
        Schema {
            fields: schema
                .fields()
                .iter()
                .map(|field| Field::of_arrow(field))
                .collect(),
        }
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.is(name))
    }

    /// Column names and types as BigQuery takes them.
    pub fn check(&self) -> Result<(), ApiError> {
        check_fields(&self.fields, 1)
    }

    /// `wanted` in place of this schema, if that only adds columns, relaxes or redescribes.
    pub fn patched(&self, wanted: &Schema, table: &str) -> Result<Schema, ApiError> {
        wanted.check()?;
        let refuse = |what: String| {
            ApiError::invalid(format!(
                "Provided Schema does not match Table {table}. {what}"
            ))
        };
        check_patch(&self.fields, &wanted.fields, "").map_err(refuse)?;
        Ok(wanted.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(fields: Value) -> Schema {
        serde_json::from_value(json!({"fields": fields})).unwrap()
    }

    #[test]
    fn standard_type_names_come_back_as_the_legacy_ones() {
        let given = schema(
            json!([{"name": "n", "type": "INT64"}, {"name": "s", "type": "STRUCT", "fields": [{"name": "x", "type": "BOOL"}]}]),
        );
        let back = serde_json::to_value(&given).unwrap();
        assert_eq!(
            back["fields"][0],
            json!({"name": "n", "type": "INTEGER", "mode": "NULLABLE"})
        );
        assert_eq!(back["fields"][1]["type"], "RECORD");
    }

    #[test]
    fn a_patch_may_add_and_relax() {
        let old = schema(json!([{"name": "id", "type": "STRING", "mode": "REQUIRED"}]));
        let new = schema(
            json!([{"name": "id", "type": "STRING"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"}]),
        );
        assert_eq!(old.patched(&new, "p:d.t").unwrap(), new);
    }

    #[test]
    fn a_patch_may_not_drop_retype_tighten_or_add_required() {
        let old =
            schema(json!([{"name": "id", "type": "STRING"}, {"name": "n", "type": "INTEGER"}]));
        let refused = |new: Value| old.patched(&schema(new), "p:d.t").unwrap_err().message;
        let id = json!({"name": "id", "type": "STRING"});
        let n = json!({"name": "n", "type": "INTEGER"});
        assert!(refused(json!([id])).contains("Field n is missing in new schema"));
        assert!(
            refused(json!([id, {"name": "n", "type": "NUMERIC"}]))
                .contains("has changed type from INTEGER to NUMERIC")
        );
        assert!(
            refused(json!([id, {"name": "n", "type": "INTEGER", "mode": "REQUIRED"}]))
                .contains("from NULLABLE to REQUIRED")
        );
        assert!(
            refused(json!([id, n, {"name": "x", "type": "DATE", "mode": "REQUIRED"}]))
                .contains("Cannot add required fields")
        );
    }

    #[test]
    fn names_differ_without_regard_to_case_and_keep_off_reserved_prefixes() {
        assert!(
            schema(json!([{"name": "a", "type": "STRING"}, {"name": "A", "type": "STRING"}]))
                .check()
                .is_err()
        );
        assert!(
            schema(json!([{"name": "_partition_x", "type": "STRING"}]))
                .check()
                .is_err()
        );
        assert!(
            schema(json!([{"name": "_xetl_run_id", "type": "STRING"}]))
                .check()
                .is_ok()
        );
        assert!(
            schema(json!([{"name": "a.b", "type": "STRING"}]))
                .check()
                .is_err()
        );
    }

    #[test]
    fn a_schema_survives_the_way_through_arrow() {
        let given = schema(json!([
            {"name": "id", "type": "STRING", "mode": "NULLABLE"},
            {"name": "doc", "type": "JSON", "mode": "NULLABLE"},
            {"name": "lines", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "amount", "type": "NUMERIC", "mode": "NULLABLE"},
                {"name": "at", "type": "TIMESTAMP", "mode": "NULLABLE"}]},
        ]));
        assert_eq!(Schema::of_arrow(&given.arrow()), given);
    }

    #[test]
    fn types_read_as_in_sql() {
        let amount = Field::new("amount", Type::Integer, Mode::Nullable);
        let lines = Field::record("lines", Mode::Repeated, vec![amount]);
        assert_eq!(lines.sql_type(), "ARRAY<STRUCT<amount INT64>>");
    }
}
