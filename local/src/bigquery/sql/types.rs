//! BigQuery's type names in SQL, as Arrow types.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, TimezoneInfo,
};
use serde_json::{Map, Value};

use crate::bigquery::schema::{self, Mode, Type};

#[derive(Debug)]
pub struct BigQueryTypes;

impl TypePlanner for BigQueryTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        Ok(arrow_type(sql_type).map(|kind| Arc::new(Field::new("", kind, true))))
    }
}

pub fn arrow_type(sql_type: &SqlType) -> Option<DataType> {
    match sql_type {
        SqlType::Array(ArrayElemTypeDef::AngleBracket(item)) => Some(DataType::List(Arc::new(
            Field::new("item", arrow_type(item)?, true),
        ))),
        SqlType::Struct(fields, _) => {
            let fields = fields.iter().enumerate().map(|(index, field)| {
                let name = field
                    .field_name
                    .as_ref()
                    .map_or(format!("_field_{}", index + 1), |name| name.value.clone());
                Some(Field::new(name, arrow_type(&field.field_type)?, true))
            });
            Some(DataType::Struct(fields.collect::<Option<Fields>>()?))
        }
        other => Some(schema::Field::new("", scalar_type(other)?, Mode::Nullable).item_type()),
    }
}

/// The BigQuery type a name in SQL stands for, if it is no STRUCT or ARRAY.
pub fn scalar_type(sql_type: &SqlType) -> Option<Type> {
    Some(match sql_type {
        SqlType::Int64 | SqlType::Int(_) | SqlType::Integer(_) | SqlType::BigInt(_) => {
            Type::Integer
        }
        SqlType::SmallInt(_) | SqlType::TinyInt(_) => Type::Integer,
        SqlType::Float64 => Type::Float,
        SqlType::Numeric(_) | SqlType::Decimal(_) => Type::Numeric,
        SqlType::BigNumeric(_) | SqlType::BigDecimal(_) => Type::Bignumeric,
        SqlType::Bool | SqlType::Boolean => Type::Boolean,
        SqlType::String(_) => Type::String,
        SqlType::Bytes(_) => Type::Bytes,
        SqlType::Date => Type::Date,
        SqlType::Datetime(_) => Type::Datetime,
        SqlType::Time(None, TimezoneInfo::None) => Type::Time,
        SqlType::Timestamp(None, TimezoneInfo::None) => Type::Timestamp,
        SqlType::JSON => Type::Json,
        SqlType::Custom(name, _) if name.to_string() == "geography" => Type::Geography,
        _ => return None,
    })
}

/// The schema field that a column of this type is, or `None` for types BigQuery lacks.
pub fn schema_field(name: &str, sql_type: &SqlType) -> Option<schema::Field> {
    match sql_type {
        SqlType::Array(ArrayElemTypeDef::AngleBracket(item)) => {
            let item = schema_field(name, item)?;
            Some(schema::Field {
                mode: Mode::Repeated,
                ..item
            })
        }
        SqlType::Struct(fields, _) => {
            let fields = fields
                .iter()
                .map(|field| schema_field(&field.field_name.as_ref()?.value, &field.field_type));
            Some(schema::Field::record(
                name,
                Mode::Nullable,
                fields.collect::<Option<_>>()?,
            ))
        }
        other => Some(schema::Field {
            other: parameters(other),
            ..schema::Field::new(name, scalar_type(other)?, Mode::Nullable)
        }),
    }
}

/// `STRING(10)`, `NUMERIC(12, 2)`: the API has their parameters as attributes.
fn parameters(sql_type: &SqlType) -> Map<String, Value> {
    let given: Vec<(&str, i64)> = match sql_type {
        SqlType::String(Some(length)) => vec![("maxLength", length.cast_signed())],
        SqlType::Bytes(Some(length)) => vec![("maxLength", length.cast_signed())],
        SqlType::Numeric(info)
        | SqlType::Decimal(info)
        | SqlType::BigNumeric(info)
        | SqlType::BigDecimal(info) => match info {
            ExactNumberInfo::None => Vec::new(),
            ExactNumberInfo::Precision(precision) => vec![("precision", precision.cast_signed())],
            ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                vec![("precision", precision.cast_signed()), ("scale", *scale)]
            }
        },
        _ => Vec::new(),
    };
    let named = given
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_string().into()));
    named.collect()
}

/// TIMESTAMP's Arrow type.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// DATETIME's Arrow type.
pub fn datetime() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}
