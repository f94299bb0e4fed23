//! A table's schema: what columns a stream's records fill, and of which type.
//!
//! Made from the stream's JSON Schema (`declared`) or from its first records
//! (`inferred`); written as Arrow (`arrow`) and as BigQuery's JSON (`bigquery`); settled with
//! the table that is there (`evolution`).
//! Nothing here knows a bucket, a table or a run.

pub mod arrow;
pub mod bigquery;
pub mod declared;
pub mod evolution;
pub mod inferred;
pub mod names;

use serde::{Deserialize, Serialize};

/// The run that brought a row.
pub const RUN_ID: &str = "_xetl_run_id";
/// When the run that brought a row began to read.
pub const EXTRACTED_AT: &str = "_xetl_extracted_at";
/// What of the record fitted no column, as JSON: pointer in the record to value.
pub const RESCUED: &str = "_xetl_rescued";

/// The columns of a stream's records, xetl's own three apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableSchema {
    pub columns: Vec<Column>,
}

/// A field of a record and the column it goes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// The field in the record.
    pub field: String,
    /// The column in the table.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// The form of its dates or times, where it is not one that is known anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A column's type, by BigQuery's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    Bool,
    Int64,
    Float64,
    /// Up to 29 digits before the point and 9 after it, exact.
    Numeric,
    /// Up to 38 digits before the point and 38 after it, exact.
    BigNumeric,
    String,
    /// JSON text in a STRING: a Parquet load cannot fill a JSON column.
    Text,
    Timestamp,
    Date,
    Datetime,
    Time,
    Bytes,
    Geography,
    Struct(Vec<Column>),
}

impl Kind {
    /// The type's name in SQL.
    pub fn sql(&self) -> &'static str {
        match self {
            Kind::Bool => "BOOL",
            Kind::Int64 => "INT64",
            Kind::Float64 => "FLOAT64",
            Kind::Numeric => "NUMERIC",
            Kind::BigNumeric => "BIGNUMERIC",
            Kind::String | Kind::Text => "STRING",
            Kind::Timestamp => "TIMESTAMP",
            Kind::Date => "DATE",
            Kind::Datetime => "DATETIME",
            Kind::Time => "TIME",
            Kind::Bytes => "BYTES",
            Kind::Geography => "GEOGRAPHY",
            Kind::Struct(_) => "STRUCT",
        }
    }
}

impl TableSchema {
    /// Whether a value of this column can stand in `PARTITION BY`.
    pub fn groupable(&self, field: &str) -> bool {
        let column = self.column_of(field);
        column.is_some_and(|column| {
            let ungroupable = matches!(
                column.kind,
                Kind::Struct(_) | Kind::Float64 | Kind::Geography
            );
            !column.repeated && !ungroupable
        })
    }

    /// The column a top-level field goes to.
    pub fn column_of(&self, field: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.field == field)
    }

    /// The same columns, with objects and arrays as JSON text.
    pub fn as_text(mut self) -> TableSchema {
        for column in &mut self.columns {
            if column.repeated || matches!(column.kind, Kind::Struct(_)) {
                column.kind = Kind::Text;
                column.repeated = false;
            }
        }
        self
    }

    /// This schema, and after its columns those that only `newer` has.
    ///
    /// Where both have a column this one's type stays, as the table has it already, unless it
    /// can become the newer one.
    pub fn extended_by(&self, newer: &TableSchema) -> TableSchema {
        TableSchema {
            columns: extended(&self.columns, &newer.columns, names::Level::Top),
        }
    }
}

impl TableSchema {
    /// This schema with the types that `given` has, and its columns that are not here.
    pub fn overridden_by(&self, given: &TableSchema) -> TableSchema {
        TableSchema {
            columns: overridden(&self.columns, &given.columns, names::Level::Top),
        }
    }
}

fn overridden(columns: &[Column], given: &[Column], level: names::Level) -> Vec<Column> {
    let mut columns = extended(columns, given, level);
    for given in given {
        let Some(column) = columns.iter_mut().find(|it| it.field == given.field) else {
            continue;
        };
        match (&mut column.kind, &given.kind) {
            (Kind::Struct(fields), Kind::Struct(given)) => {
                *fields = overridden(fields, given, names::Level::Nested);
            }
            (kind, given) => *kind = given.clone(),
        }
    }
    columns
}

fn extended(known: &[Column], newer: &[Column], level: names::Level) -> Vec<Column> {
    let mut columns = known.to_vec();
    for column in newer {
        match columns.iter_mut().find(|old| old.field == column.field) {
            Some(old) => extend_column(old, column),
            None => {
                let name = names::column_name(&column.field, &columns, level);
                columns.push(Column {
                    name,
                    ..column.clone()
                });
            }
        }
    }
    columns
}

fn extend_column(old: &mut Column, newer: &Column) {
    if old.repeated != newer.repeated {
        return;
    }
    if let (Kind::Struct(old), Kind::Struct(newer)) = (&mut old.kind, &newer.kind) {
        *old = extended(old, newer, names::Level::Nested);
    } else if let Some(wider) = evolution::wider(&old.kind, &newer.kind) {
        old.kind = wider;
    }
}
