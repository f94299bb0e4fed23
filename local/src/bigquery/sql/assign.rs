//! Which values go into which columns: BigQuery converts only where nothing is lost.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator, Value};

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
        Expr::Nested(inner) | Expr::Named { expr: inner, .. } => is_literal(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Minus | UnaryOperator::Plus,
            expr,
        } => is_literal(expr),
        Expr::Array(array) => array.elem.iter().all(is_literal),
        Expr::Struct { values, .. } => values.iter().all(is_literal),
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
        if !fits(have, engine.data_type(), target.field, target.literal) {
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

/// `engine` tells NULLs and empty arrays, which take any type, from what they look like.
fn fits(have: &Field, engine: &DataType, want: &Field, literal: bool) -> bool {
    let repeated = |field: &Field| field.mode == Mode::Repeated;
    let item = match engine {
        DataType::Null => return true,
        DataType::List(item) | DataType::LargeList(item) if repeated(have) => item.data_type(),
        other => other,
    };
    if repeated(have) != repeated(want) {
        return false;
    }
    match (have.kind, want.kind) {
        _ if *item == DataType::Null => true,
        (Type::Record, Type::Record) => same_fields(have, item, want, literal),
        (Type::Record, _) | (_, Type::Record) => false,
        _ if literal => true,
        (from, to) if text_like(from, to) => true,
        // Arrays are not converted item by item.
        (from, to) if repeated(have) => from == to,
        (from, to) => widens(from, to),
    }
}

fn same_fields(have: &Field, engine: &DataType, want: &Field, literal: bool) -> bool {
    let DataType::Struct(engines) = engine else {
        return false;
    };
    let pairs = have.fields.iter().zip(engines).zip(&want.fields);
    have.fields.len() == want.fields.len()
        && pairs.into_iter().all(|((have, engine), want)| {
            have.is(&want.name) && fits(have, engine.data_type(), want, literal)
        })
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

    /// Whether a value of `have`, as the engine has it, fits.
    fn goes(have: &Field, want: &Field) -> bool {
        fits(have, have.arrow().data_type(), want, false)
    }

    #[test]
    fn numbers_widen_and_never_narrow() {
        assert!(goes(&plain(Type::Integer), &plain(Type::Numeric)));
        assert!(goes(&plain(Type::Bignumeric), &plain(Type::Float)));
        assert!(!goes(&plain(Type::Float), &plain(Type::Numeric)));
        assert!(!goes(&plain(Type::Integer), &plain(Type::String)));
    }

    fn record(name: &str) -> Field {
        let field = Field::new(name, Type::Integer, Mode::Nullable);
        Field::record("c", Mode::Nullable, vec![field])
    }

    #[test]
    fn a_record_goes_only_into_one_with_the_same_fields() {
        assert!(goes(&record("a"), &record("A")));
        assert!(!goes(&record("a"), &record("b")));
        assert!(!goes(&record("a"), &plain(Type::String)));
    }

    #[test]
    fn arrays_are_not_converted() {
        let array = |kind| Field::new("c", kind, Mode::Repeated);
        assert!(goes(&array(Type::Integer), &array(Type::Integer)));
        assert!(!goes(&array(Type::Integer), &array(Type::Numeric)));
        assert!(!goes(&array(Type::Integer), &plain(Type::Integer)));
    }

    #[test]
    fn nulls_and_empty_arrays_take_any_type_and_literals_any_scalar() {
        let empty = DataType::new_list(DataType::Null, true);
        let lines = Field {
            mode: Mode::Repeated,
            ..record("a")
        };
        let nothing = Field::new("c", Type::Integer, Mode::Repeated);
        assert!(fits(&nothing, &empty, &lines, false));
        assert!(!fits(&nothing, &empty, &record("a"), false));
        let null = plain(Type::Integer);
        assert!(fits(&null, &DataType::Null, &record("a"), false));
        assert!(fits(
            &plain(Type::String),
            &DataType::Utf8,
            &plain(Type::Date),
            true
        ));
    }
}
