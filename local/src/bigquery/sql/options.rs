//! `OPTIONS(..)` of tables, views and columns as fields of the REST API.

use datafusion::sql::sqlparser::ast::{
    CreateTableOptions, Expr, SqlOption, UnaryOperator, Value as Literal,
};
use serde_json::{Map, Value, json};

use super::{invalid, not_served};
use crate::bigquery::resource::Object;
use crate::error::ApiError;

/// One option of a table: a field of its settings and its value, `null` to remove it.
pub enum TableOption {
    Set(&'static str, Value),
    /// `partition_expiration_days` and `require_partition_filter` belong to the partitioning.
    Partitions(&'static str, Value),
    /// A moment, to be told by the engine.
    Expires(Box<Expr>),
}

pub fn listed(options: &CreateTableOptions) -> &[SqlOption] {
    match options {
        CreateTableOptions::Options(options) => options,
        _ => &[],
    }
}

fn pair(option: &SqlOption) -> Result<(&str, &Expr), ApiError> {
    match option {
        SqlOption::KeyValue { key, value } => Ok((&key.value, value)),
        other => Err(not_served(&format!("the option {other}"))),
    }
}

pub fn table_options(options: &[SqlOption]) -> Result<Vec<TableOption>, ApiError> {
    options.iter().map(table_option).collect()
}

fn table_option(option: &SqlOption) -> Result<TableOption, ApiError> {
    let (name, value) = pair(option)?;
    Ok(match name {
        "description" => TableOption::Set("description", literal(name, value)?),
        "friendly_name" => TableOption::Set("friendlyName", literal(name, value)?),
        "labels" => TableOption::Set("labels", labels(value)?),
        "require_partition_filter" => {
            TableOption::Set("requirePartitionFilter", literal(name, value)?)
        }
        "partition_expiration_days" => {
            TableOption::Partitions("expirationMs", days_in_ms(name, value)?)
        }
        "expiration_timestamp" => match literal(name, value) {
            Ok(Value::Null) => TableOption::Set("expirationTime", Value::Null),
            _ => TableOption::Expires(Box::new(value.clone())),
        },
        _ => return Err(not_served(&format!("the table option {name}"))),
    })
}

/// Options of a column.
pub fn column_options(options: &[SqlOption]) -> Result<Object, ApiError> {
    let mut found = Map::new();
    for option in options {
        let (name, value) = pair(option)?;
        match name {
            "description" => found.insert("description".to_owned(), literal(name, value)?),
            _ => return Err(not_served(&format!("the column option {name}"))),
        };
    }
    Ok(found)
}

fn literal(name: &str, value: &Expr) -> Result<Value, ApiError> {
    let bad = || invalid(format!("Invalid value for option {name}: {value}"));
    match value {
        Expr::Value(value) => match &value.value {
            Literal::Null => Ok(Value::Null),
            Literal::Boolean(value) => Ok((*value).into()),
            Literal::Number(text, _) => text.parse().map(|n: f64| json!(n)).map_err(|_| bad()),
            Literal::SingleQuotedString(text)
            | Literal::DoubleQuotedString(text)
            | Literal::TripleDoubleQuotedString(text)
            | Literal::TripleSingleQuotedString(text) => Ok(text.clone().into()),
            _ => Err(bad()),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            ..
        } => Err(bad()),
        _ => Err(bad()),
    }
}

/// `[("key", "value"), ..]`.
fn labels(value: &Expr) -> Result<Value, ApiError> {
    let bad = || invalid(format!("Invalid value for option labels: {value}"));
    let Expr::Array(array) = value else {
        return Err(bad());
    };
    let mut found = Map::new();
    for item in &array.elem {
        let (Expr::Tuple(pair) | Expr::Struct { values: pair, .. }) = item else {
            return Err(bad());
        };
        let [key, value] = pair.as_slice() else {
            return Err(bad());
        };
        let key = literal("labels", key)?;
        let key = key.as_str().ok_or_else(bad)?;
        found.insert(key.to_owned(), literal("labels", value)?);
    }
    Ok(Value::Object(found))
}

fn days_in_ms(name: &str, value: &Expr) -> Result<Value, ApiError> {
    match literal(name, value)? {
        Value::Null => Ok(Value::Null),
        days => {
            let days = days.as_f64().unwrap_or_default();
            let ms = (days * 86_400_000.0).round() as i64;
            Ok(ms.to_string().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;

    fn options(text: &str) -> Result<Vec<TableOption>, ApiError> {
        let text = parse(&format!("CREATE TABLE d.t (n INT64) OPTIONS({text})")).unwrap();
        let Statement::CreateTable(create) = text.statement else {
            panic!("no CREATE TABLE");
        };
        table_options(listed(&create.table_options))
    }

    #[test]
    fn options_are_fields_of_the_api() {
        let found = options(
            "description='x', labels=[('a', 'b')], partition_expiration_days=1.5, expiration_timestamp=NULL",
        )
        .unwrap();
        let shown: Vec<String> = found
            .iter()
            .map(|option| match option {
                TableOption::Set(name, value) | TableOption::Partitions(name, value) => {
                    format!("{name}={value}")
                }
                TableOption::Expires(expr) => expr.to_string(),
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"description="x""#,
                r#"labels={"a":"b"}"#,
                r#"expirationMs="129600000""#,
                "expirationTime=null"
            ]
        );
    }

    #[test]
    fn unknown_options_are_named() {
        let error = options("kms_key_name='k'").err().unwrap();
        assert!(error.message.contains("kms_key_name"), "{}", error.message);
    }
}
