//! PARTITION BY and CLUSTER BY of CREATE TABLE as fields of the REST API.

use datafusion::sql::sqlparser::ast::{CreateTable, Expr, WrappedCollection};
use serde_json::{Value, json};

use super::not_served;
use super::parse::Written;
use super::rewrite::arguments;
use crate::bigquery::resource::Object;
use crate::error::ApiError;

/// PARTITION BY and CLUSTER BY as the table's settings.
pub fn layout(create: &CreateTable, written: &Written) -> Result<Object, ApiError> {
    let mut settings = Object::new();
    if let Some(by) = &create.partition_by {
        let (name, value) = partitioning(by, written)?;
        settings.insert(name.to_owned(), value);
    }
    if let Some(WrappedCollection::NoWrapping(by) | WrappedCollection::Parentheses(by)) =
        &create.cluster_by
    {
        let names = by
            .iter()
            .map(|expr| column_name(expr, written))
            .collect::<Result<Vec<_>, _>>()?;
        settings.insert("clustering".to_owned(), json!({"fields": names}));
    }
    Ok(settings)
}

fn column_name(expr: &Expr, written: &Written) -> Result<String, ApiError> {
    match expr {
        Expr::Identifier(ident) => Ok(written.name(ident)),
        other => Err(not_served(&format!(
            "{other} in PARTITION BY or CLUSTER BY"
        ))),
    }
}

/// `d`, `DATE(ts)`, `DATE_TRUNC(d, MONTH)`, `_PARTITIONDATE`, `RANGE_BUCKET(n, GENERATE_ARRAY(0, 100, 10))`.
fn partitioning(by: &Expr, written: &Written) -> Result<(&'static str, Value), ApiError> {
    let refused = || not_served(&format!("PARTITION BY {by}"));
    let time = |value| Ok(("timePartitioning", value));
    let Expr::Function(function) = by else {
        let name = column_name(by, written)?;
        return match name.to_uppercase().as_str() {
            "_PARTITIONDATE" => time(json!({"type": "DAY"})),
            _ => time(json!({"type": "DAY", "field": name})),
        };
    };
    let args = arguments(function).ok_or_else(refused)?;
    match (function.name.to_string().as_str(), args.as_slice()) {
        ("date", [column]) => time(json!({"type": "DAY", "field": column_name(column, written)?})),
        ("date_trunc" | "timestamp_trunc" | "datetime_trunc", [column, part]) => {
            let kind = part.to_string().to_uppercase();
            let name = column_name(column, written)?;
            match name.to_uppercase().as_str() {
                "_PARTITIONTIME" => time(json!({"type": kind})),
                _ => time(json!({"type": kind, "field": name})),
            }
        }
        ("range_bucket", [column, Expr::Function(array)]) => {
            let bounds = arguments(array).ok_or_else(refused)?;
            let range = match bounds.as_slice() {
                [start, end] => {
                    json!({"start": start.to_string(), "end": end.to_string(), "interval": "1"})
                }
                [start, end, interval] => json!({
                    "start": start.to_string(), "end": end.to_string(), "interval": interval.to_string(),
                }),
                _ => return Err(refused()),
            };
            let name = column_name(column, written)?;
            Ok(("rangePartitioning", json!({"field": name, "range": range})))
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;

    fn settings(clauses: &str) -> Value {
        let text = parse(&format!("CREATE TABLE d.t (n INT64) {clauses}")).unwrap();
        let Statement::CreateTable(create) = text.statement else {
            panic!("no CREATE TABLE");
        };
        Value::Object(layout(&create, &text.written).unwrap())
    }

    #[test]
    fn partitions_are_by_time_by_arrival_or_by_ranges() {
        assert_eq!(
            settings("PARTITION BY TIMESTAMP_TRUNC(UpdatedAt, MONTH) CLUSTER BY Id, n"),
            json!({"timePartitioning": {"type": "MONTH", "field": "UpdatedAt"}, "clustering": {"fields": ["Id", "n"]}})
        );
        assert_eq!(
            settings("PARTITION BY _PARTITIONDATE"),
            json!({"timePartitioning": {"type": "DAY"}})
        );
        assert_eq!(
            settings("PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 100, 10))"),
            json!({"rangePartitioning": {"field": "n", "range": {"start": "0", "end": "100", "interval": "10"}}})
        );
    }
}
