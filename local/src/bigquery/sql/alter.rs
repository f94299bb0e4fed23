//! ALTER TABLE: columns are added, relaxed and widened in place.
//!
//! Pure, over schemas: files keep the rows as they were written and are read
//! in the form the table has by then.

use datafusion::sql::sqlparser::ast::{
    AlterColumnOperation, AlterTableOperation, ColumnDef, ColumnOption, DataType,
};
use serde_json::Value;

use super::assign::widens;
use super::options::column_options;
use super::parse::Written;
use super::types::schema_field;
use super::{invalid, not_served};
use crate::bigquery::schema::{Field, Mode, Schema, Type};
use crate::error::ApiError;

/// Attributes of a field that narrow its type.
const PARAMETERS: [&str; 3] = ["maxLength", "precision", "scale"];

pub fn columns(columns: &[ColumnDef], written: &Written) -> Result<Vec<Field>, ApiError> {
    columns
        .iter()
        .map(|column| field(column, written))
        .collect()
}

fn field(column: &ColumnDef, written: &Written) -> Result<Field, ApiError> {
    let name = written.name(&column.name);
    let mut field = schema_field(&name, &column.data_type)
        .ok_or_else(|| not_served(&format!("the column type {}", column.data_type)))?;
    for option in &column.options {
        match &option.option {
            ColumnOption::NotNull => field.mode = Mode::Required,
            ColumnOption::Null => {}
            ColumnOption::Options(options) => field.other.extend(column_options(options)?),
            other => return Err(not_served(&format!("the column option {other}"))),
        }
    }
    Ok(field)
}

/// The schema after one operation.
pub fn altered(
    schema: &Schema,
    table: &str,
    operation: &AlterTableOperation,
    written: &Written,
) -> Result<Schema, ApiError> {
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            ..
        } => add(schema, table, field(column_def, written)?, *if_not_exists),
        AlterTableOperation::AlterColumn { column_name, op } => {
            let name = written.name(column_name);
            let mut schema = schema.clone();
            let column = schema.fields.iter_mut().find(|field| field.is(&name));
            let column = column.ok_or_else(|| invalid(format!("Column not found: {name}")))?;
            alter_column(column, op)?;
            Ok(schema)
        }
        other => Err(not_served(&format!("ALTER TABLE {other}"))),
    }
}

fn add(
    schema: &Schema,
    table: &str,
    field: Field,
    if_not_exists: bool,
) -> Result<Schema, ApiError> {
    match (schema.field(&field.name).is_some(), if_not_exists) {
        (true, true) => Ok(schema.clone()),
        (true, false) => Err(invalid(format!("Column already exists: {}", field.name))),
        (false, _) => {
            let mut wanted = schema.clone();
            wanted.fields.push(field);
            schema.patched(&wanted, table)
        }
    }
}

fn alter_column(column: &mut Field, operation: &AlterColumnOperation) -> Result<(), ApiError> {
    match operation {
        AlterColumnOperation::DropNotNull => {
            column.mode = Mode::Nullable;
            Ok(())
        }
        AlterColumnOperation::SetDataType { data_type, .. } => widen(column, data_type),
        other => Err(not_served(&format!("ALTER COLUMN {other}"))),
    }
}

/// Types only widen in place.
fn widen(column: &mut Field, to: &DataType) -> Result<(), ApiError> {
    let wanted = schema_field(&column.name, to)
        .ok_or_else(|| not_served(&format!("the column type {to}")))?;
    if !assignable(column, &wanted) {
        return Err(invalid(format!(
            "ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type ({}) is assignable to the \
             new type ({})",
            column.sql_type(),
            wanted.sql_type()
        )));
    }
    retype(column, &wanted);
    Ok(())
}

fn assignable(from: &Field, to: &Field) -> bool {
    let repeated = |field: &Field| field.mode == Mode::Repeated;
    if repeated(from) != repeated(to) || !widens(from.kind, to.kind) {
        return false;
    }
    if from.kind == Type::Record {
        return from.fields.len() == to.fields.len()
            && from
                .fields
                .iter()
                .zip(&to.fields)
                .all(|(from, to)| from.is(&to.name) && assignable(from, to));
    }
    let same = from.kind == to.kind;
    (same || !repeated(from)) && room(from, to, same)
}

/// Whether every value that fits the parameters of one type fits those of the other.
fn room(from: &Field, to: &Field, same: bool) -> bool {
    let (have, want) = (Bounds::of(from), Bounds::of(to));
    let longer = match (have.length, want.length) {
        (_, None) => true,
        (Some(have), Some(want)) => same && have <= want,
        (None, Some(_)) => false,
    };
    longer && have.whole <= want.whole && have.scale <= want.scale
}

/// How long a text and how large a number may be.
struct Bounds {
    length: Option<i64>,
    /// Digits before the point and after it.
    whole: i64,
    scale: i64,
}

impl Bounds {
    fn of(field: &Field) -> Bounds {
        let given = |name: &str| number(field.other.get(name)?);
        let (whole, scale) = match field.kind {
            Type::Integer => (19, 0),
            Type::Numeric => (29, 9),
            Type::Bignumeric => (39, 38),
            // A FLOAT64 takes them all, rounded.
            Type::Float => (i64::MAX, i64::MAX),
            _ => (0, 0),
        };
        let (whole, scale) = match given("precision") {
            Some(precision) => {
                let scale = given("scale").unwrap_or(0);
                (precision - scale, scale)
            }
            None => (whole, scale),
        };
        Bounds {
            length: given("maxLength"),
            whole,
            scale,
        }
    }
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn retype(column: &mut Field, to: &Field) {
    column.kind = to.kind;
    for name in PARAMETERS {
        match to.other.get(name) {
            Some(value) => column.other.insert(name.to_owned(), value.clone()),
            None => column.other.remove(name),
        };
    }
    for (column, to) in column.fields.iter_mut().zip(&to.fields) {
        retype(column, to);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use datafusion::sql::sqlparser::ast::Statement;
    use serde_json::json;

    fn after(fields: Value, sql: &str) -> Result<Value, String> {
        let schema: Schema = serde_json::from_value(json!({"fields": fields})).unwrap();
        let text = parse(&format!("ALTER TABLE d.t {sql}")).unwrap();
        let Statement::AlterTable(alter) = text.statement else {
            panic!("no ALTER TABLE");
        };
        alter
            .operations
            .iter()
            .try_fold(schema, |schema, operation| {
                altered(&schema, "p:d.t", operation, &text.written)
            })
            .map(|schema| json!(schema.fields))
            .map_err(|error| error.message)
    }

    fn widened(from: Value, to: &str) -> Result<Value, String> {
        after(json!([from]), &format!("ALTER COLUMN n SET DATA TYPE {to}"))
            .map(|fields| fields[0].clone())
    }

    #[test]
    fn numbers_widen_and_never_narrow() {
        let column = |kind: &str| json!({"name": "n", "type": kind});
        for (from, to) in [
            ("INTEGER", "NUMERIC"),
            ("INTEGER", "BIGNUMERIC"),
            ("INTEGER", "FLOAT64"),
            ("NUMERIC", "BIGNUMERIC"),
            ("NUMERIC", "FLOAT64"),
            ("BIGNUMERIC", "FLOAT64"),
        ] {
            assert!(widened(column(from), to).is_ok(), "{from} {to}");
        }
        for (from, to) in [
            ("NUMERIC", "INT64"),
            ("FLOAT", "NUMERIC"),
            ("INTEGER", "STRING"),
            ("DATE", "TIMESTAMP"),
        ] {
            assert!(widened(column(from), to).is_err(), "{from} {to}");
        }
        assert_eq!(
            widened(column("INTEGER"), "STRING").unwrap_err(),
            "ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type (INT64) is assignable to \
             the new type (STRING)"
        );
    }

    #[test]
    fn lengths_and_precisions_only_grow() {
        let text = || json!({"name": "n", "type": "STRING", "maxLength": "10"});
        assert_eq!(widened(text(), "STRING(20)").unwrap()["maxLength"], "20");
        assert_eq!(widened(text(), "STRING").unwrap().get("maxLength"), None);
        assert!(widened(text(), "STRING(5)").is_err());
        assert!(widened(json!({"name": "n", "type": "STRING"}), "STRING(5)").is_err());
        let amount = || json!({"name": "n", "type": "NUMERIC", "precision": "10", "scale": "2"});
        assert!(widened(amount(), "NUMERIC(12, 2)").is_ok());
        assert!(widened(amount(), "NUMERIC(10, 4)").is_err());
        assert!(widened(json!({"name": "n", "type": "INTEGER"}), "NUMERIC(10)").is_err());
    }

    #[test]
    fn fields_of_a_record_widen_too() {
        let record = || {
            json!({"name": "n", "type": "RECORD", "fields": [
                {"name": "A", "type": "INTEGER"}, {"name": "b", "type": "STRING"}]})
        };
        let fields = widened(record(), "STRUCT<a NUMERIC, b STRING>").unwrap()["fields"].clone();
        assert_eq!(
            (&fields[0]["name"], &fields[0]["type"]),
            (&json!("A"), &json!("NUMERIC"))
        );
        assert!(widened(record(), "STRUCT<a INT64, b STRING, c STRING>").is_err());
    }

    #[test]
    fn columns_are_added_at_the_end_and_never_required() {
        let id = || json!([{"name": "id", "type": "STRING", "mode": "REQUIRED"}]);
        let added = after(
            id(),
            "ADD COLUMN Doc JSON OPTIONS(description='all'), ADD COLUMN IF NOT EXISTS ID INT64",
        );
        assert_eq!(
            added.unwrap()[1],
            json!({"name": "Doc", "type": "JSON", "mode": "NULLABLE", "description": "all"})
        );
        assert_eq!(
            after(id(), "ADD COLUMN id STRING").unwrap_err(),
            "Column already exists: id"
        );
        assert!(
            after(id(), "ADD COLUMN n INT64 NOT NULL")
                .unwrap_err()
                .contains("Cannot add required fields")
        );
        assert_eq!(
            after(id(), "ALTER COLUMN id DROP NOT NULL").unwrap()[0]["mode"],
            "NULLABLE"
        );
    }
}
