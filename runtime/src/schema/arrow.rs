//! A table's schema in Arrow's terms, as the Parquet parts have it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::{Column, EXTRACTED_AT, Kind, RESCUED, RUN_ID, TableSchema};

impl TableSchema {
    /// The records' columns and, last, xetl's own.
    pub fn arrow(&self) -> SchemaRef {
        let mut fields: Vec<Field> = self.columns.iter().map(field).collect();
        fields.push(Field::new(RUN_ID, DataType::Utf8, true));
        fields.push(Field::new(EXTRACTED_AT, data_type(&Kind::Timestamp), true));
        fields.push(Field::new(RESCUED, DataType::Utf8, true));
        Arc::new(Schema::new(fields))
    }
}

fn field(column: &Column) -> Field {
    let data_type = data_type(&column.kind);
    if column.repeated {
        Field::new(&column.name, DataType::List(element(data_type)), true)
    } else {
        Field::new(&column.name, data_type, true)
    }
}

/// A list's element; BigQuery keeps no null in an array.
pub fn element(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", data_type, false))
}

pub fn fields(columns: &[Column]) -> Fields {
    columns.iter().map(field).collect()
}

pub fn data_type(kind: &Kind) -> DataType {
    match kind {
        Kind::Bool => DataType::Boolean,
        Kind::Int64 => DataType::Int64,
        Kind::Float64 => DataType::Float64,
        Kind::Numeric => DataType::Decimal128(38, 9),
        Kind::BigNumeric => DataType::Decimal256(76, 38),
        Kind::String | Kind::Text | Kind::Geography => DataType::Utf8,
        Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Date => DataType::Date32,
        Kind::Datetime => DataType::Timestamp(TimeUnit::Microsecond, None),
        Kind::Time => DataType::Time64(TimeUnit::Microsecond),
        Kind::Bytes => DataType::Binary,
        Kind::Struct(columns) => DataType::Struct(fields(columns)),
    }
}
