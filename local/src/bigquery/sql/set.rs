//! SET: the new values of columns, and of records of which a part is set.

use datafusion::sql::sqlparser::ast::{Assignment, AssignmentTarget, Expr, Ident};

use super::rewrite::call;
use super::{invalid, not_served};
use crate::bigquery::schema::{Field, Mode, Schema, Type};
use crate::error::ApiError;

/// A path inside a column, and what it is set to.
pub type Assigned<'a> = (&'a [String], &'a Expr);

/// What SET says, each with the path it is for.
pub fn assigned(
    schema: &Schema,
    alias: &Ident,
    assignments: &[Assignment],
) -> Result<Vec<(Vec<String>, Expr)>, ApiError> {
    let assigned = assignments
        .iter()
        .map(|assignment| path_and_value(schema, alias, assignment))
        .collect::<Result<Vec<_>, _>>()?;
    check_distinct(&assigned)?;
    Ok(assigned)
}

/// The assignments to a column or in it.
pub fn inside<'a>(field: &Field, assigned: &'a [(Vec<String>, Expr)]) -> Vec<Assigned<'a>> {
    assigned
        .iter()
        .filter_map(|(path, value)| below(field, path, value))
        .collect()
}

fn path_and_value(
    schema: &Schema,
    alias: &Ident,
    assignment: &Assignment,
) -> Result<(Vec<String>, Expr), ApiError> {
    let AssignmentTarget::ColumnName(name) = &assignment.target else {
        return Err(not_served("SET of several columns at once"));
    };
    let idents = name.0.iter().filter_map(|part| part.as_ident());
    let mut path: Vec<String> = idents.map(|ident| ident.value.clone()).collect();
    let qualified = path.len() > 1 && path[0] == alias.value && schema.field(&path[0]).is_none();
    if qualified {
        path.remove(0);
    }
    if path
        .first()
        .is_none_or(|first| schema.field(first).is_none())
    {
        return Err(invalid(format!("Unrecognized name: {name}")));
    }
    Ok((path, assignment.value.clone()))
}

fn check_distinct(assigned: &[(Vec<String>, Expr)]) -> Result<(), ApiError> {
    let overlap = |a: &[String], b: &[String]| a.starts_with(b) || b.starts_with(a);
    let twice = assigned.iter().enumerate().find(|(index, (path, _))| {
        assigned[..*index]
            .iter()
            .any(|(other, _)| overlap(path, other))
    });
    match twice {
        Some((_, (path, _))) => Err(invalid(format!(
            "Update item {} assigned more than once",
            path.join(".")
        ))),
        None => Ok(()),
    }
}

/// An assignment seen from inside `field`, if it is in it.
fn below<'a>(field: &Field, path: &'a [String], value: &'a Expr) -> Option<Assigned<'a>> {
    let (first, rest) = path.split_first()?;
    field.is(first).then_some((rest, value))
}

/// The value of a field after the assignments in it.
pub fn new_value(field: &Field, old: Expr, assigned: &[Assigned]) -> Result<Expr, ApiError> {
    match assigned {
        [] => Ok(old),
        [([], value)] => Ok((*value).clone()),
        _ => record(field, &old, assigned),
    }
}

/// A record with some of its fields set: all others keep their values.
fn record(field: &Field, old: &Expr, assigned: &[Assigned]) -> Result<Expr, ApiError> {
    if field.kind != Type::Record || field.mode == Mode::Repeated {
        return Err(invalid(format!(
            "Cannot access a field of {}, which has type {}",
            field.name,
            field.sql_type()
        )));
    }
    let unknown = assigned.iter().find(|(path, _)| {
        let known = |name: &String| field.fields.iter().any(|field| field.is(name));
        !path.first().is_some_and(known)
    });
    if let Some((path, _)) = unknown {
        return Err(invalid(format!(
            "Field name {} does not exist in {}",
            path.join("."),
            field.sql_type()
        )));
    }
    let mut args = Vec::new();
    for inner in &field.fields {
        let name = super::rewrite::text(inner.name.to_lowercase());
        let here: Vec<Assigned> = assigned
            .iter()
            .filter_map(|(path, value)| below(inner, path, value))
            .collect();
        let old = call("get_field", vec![old.clone(), name.clone()]);
        args.extend([name, new_value(inner, old, &here)?]);
    }
    Ok(call("named_struct", args))
}

#[cfg(test)]
mod tests {
    use super::super::tree::truth;
    use super::*;
    use serde_json::json;

    fn schema(fields: serde_json::Value) -> Schema {
        serde_json::from_value(json!({"fields": fields})).unwrap()
    }

    #[test]
    fn a_field_of_a_record_is_set_and_the_others_stay() {
        let record = schema(json!([{"name": "r", "type": "RECORD", "fields": [
            {"name": "a", "type": "INTEGER"}, {"name": "b", "type": "INTEGER"}]}]));
        let path = ["b".to_owned()];
        let value = truth(true);
        let set = record_of(&record, &path, &value);
        assert_eq!(set, "named_struct('a', get_field(r, 'a'), 'b', true)");
    }

    fn record_of(schema: &Schema, path: &[String], value: &Expr) -> String {
        let old = Expr::Identifier(Ident::new("r"));
        record(&schema.fields[0], &old, &[(path, value)])
            .unwrap()
            .to_string()
    }
}
