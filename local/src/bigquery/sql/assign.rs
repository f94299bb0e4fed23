//! Which values go into which columns: BigQuery converts only where nothing is lost.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, Value};

use super::changes::Action;
use super::invalid;
use crate::bigquery::schema::{Field, Mode, Schema, Type};
use crate::error::ApiError;

/// Whether a value of one scalar type becomes one of the other by itself.
pub fn widens(from: Type, to: Type) -> bool {
    use Type::*;
    from == to
        || matches!(
            (from, to),
            (Integer, Numeric | Bignumeric | Float)
                | (Numeric, Bignumeric | Float)
                | (Bignumeric, Float)
        )
}

/// A column a statement sets, and whether what it is set to is a literal.
pub struct Target<'a> {
    pub field: &'a Field,
    pub literal: bool,
}

/// Literals take the type of their place: `'2024-01-01'` is a DATE where one is wanted.
pub fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_literal(inner),
        Expr::Value(value) => !matches!(value.value, Value::Placeholder(_)),
        _ => false,
    }
}

/// Checks that each column of a result may go into its target.
pub fn check(
    action: Action,
    arrow: &SchemaRef,
    result: &Schema,
    targets: &[Target],
) -> Result<(), ApiError> {
    let columns = result.fields.iter().zip(arrow.fields()).enumerate();
    for ((index, (have, engine)), target) in columns.zip(targets) {
        let free = target.literal || *engine.data_type() == DataType::Null;
        if !free && !fits(have, target.field) {
            return Err(invalid(refusal(action, index + 1, have, target.field)));
        }
    }
    Ok(())
}

fn refusal(action: Action, position: usize, have: &Field, want: &Field) -> String {
    let (from, to, name) = (have.sql_type(), want.sql_type(), &want.name);
    match action {
        Action::Insert => format!(
            "Query column {position} has type {from} which cannot be inserted into column {name}, which has type {to}"
        ),
        _ => {
            format!("Value of type {from} cannot be assigned to {name}, which has type {to}")
        }
    }
}

fn fits(have: &Field, want: &Field) -> bool {
    let repeated = |field: &Field| field.mode == Mode::Repeated;
    if repeated(have) != repeated(want) {
        return false;
    }
    match (have.kind, want.kind) {
        (Type::Record, Type::Record) => {
            have.fields.len() == want.fields.len()
                && have
                    .fields
                    .iter()
                    .zip(&want.fields)
                    .all(|(have, want)| have.is(&want.name) && fits(have, want))
        }
        // Arrays are not converted item by item.
        (from, to) if repeated(have) => text_like(from, to) || from == to,
        (from, to) => text_like(from, to) || widens(from, to),
    }
}

/// The engine has one type for what BigQuery keeps apart as STRING, JSON and GEOGRAPHY.
fn text_like(from: Type, to: Type) -> bool {
    let text = |kind| matches!(kind, Type::String | Type::Json | Type::Geography);
    text(from) && text(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(kind: Type) -> Field {
        Field::new("c", kind, Mode::Nullable)
    }

    #[test]
    fn numbers_widen_and_never_narrow() {
        assert!(fits(&plain(Type::Integer), &plain(Type::Numeric)));
        assert!(fits(&plain(Type::Bignumeric), &plain(Type::Float)));
        assert!(!fits(&plain(Type::Float), &plain(Type::Numeric)));
        assert!(!fits(&plain(Type::Integer), &plain(Type::String)));
    }

    #[test]
    fn a_record_goes_only_into_one_with_the_same_fields() {
        let record = |name: &str| {
            let field = Field::new(name, Type::Integer, Mode::Nullable);
            Field::record("c", Mode::Nullable, vec![field])
        };
        assert!(fits(&record("a"), &record("A")));
        assert!(!fits(&record("a"), &record("b")));
    }

    #[test]
    fn arrays_are_not_converted() {
        let array = |kind| Field::new("c", kind, Mode::Repeated);
        assert!(fits(&array(Type::Integer), &array(Type::Integer)));
        assert!(!fits(&array(Type::Integer), &array(Type::Numeric)));
        assert!(!fits(&array(Type::Integer), &plain(Type::Integer)));
    }
}
