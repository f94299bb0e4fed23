//! A table's schema from records, where the source declares none.

use indexmap::IndexMap;

use super::{Column, Kind, TableSchema, names};
use crate::value::{Object, Value};

/// As in a declared schema: deeper objects are text.
const DEEPEST: usize = 14;

/// What the values of one field have been so far.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Nothing,
    Bool,
    Int,
    Number,
    Text,
    Object(IndexMap<String, Seen>),
    Array(Box<Seen>),
    Mixed,
}

/// The columns that hold these records; a field that is null throughout has none.
pub fn table_schema<'a>(records: impl IntoIterator<Item = &'a Value>) -> TableSchema {
    let mut seen = Seen::Nothing;
    for record in records {
        seen = seen.and(of(record));
    }
    let columns = match &seen {
        Seen::Object(fields) => columns(fields, names::Level::Top, 1),
        _ => Vec::new(),
    };
    TableSchema { columns }
}

fn of(value: &Value) -> Seen {
    match value {
        Value::Null => Seen::Nothing,
        Value::Bool(_) => Seen::Bool,
        Value::Int(_) => Seen::Int,
        Value::Number(_) => Seen::Number,
        Value::String(_) => Seen::Text,
        Value::Array(items) => {
            let items = items.iter().map(of).fold(Seen::Nothing, Seen::and);
            Seen::Array(Box::new(items))
        }
        Value::Object(fields) => Seen::Object(of_fields(fields)),
    }
}

fn of_fields(fields: &Object) -> IndexMap<String, Seen> {
    fields
        .iter()
        .map(|(name, value)| (name.clone(), of(value)))
        .collect()
}

impl Seen {
    fn and(self, other: Seen) -> Seen {
        match (self, other) {
            (Seen::Nothing, seen) | (seen, Seen::Nothing) => seen,
            (Seen::Int, Seen::Number) | (Seen::Number, Seen::Int) => Seen::Number,
            (Seen::Object(left), Seen::Object(right)) => Seen::Object(merged(left, right)),
            (Seen::Array(left), Seen::Array(right)) => Seen::Array(Box::new(left.and(*right))),
            (left, right) if left == right => left,
            _ => Seen::Mixed,
        }
    }
}

fn merged(
    mut left: IndexMap<String, Seen>,
    right: IndexMap<String, Seen>,
) -> IndexMap<String, Seen> {
    for (name, seen) in right {
        let before = left
            .insert(name.clone(), Seen::Nothing)
            .unwrap_or(Seen::Nothing);
        left.insert(name, before.and(seen));
    }
    left
}

fn columns(fields: &IndexMap<String, Seen>, level: names::Level, depth: usize) -> Vec<Column> {
    let mut columns = Vec::new();
    for (field, seen) in fields {
        let (kind, repeated) = match seen {
            Seen::Nothing => continue,
            Seen::Array(items) => match kind(items, depth) {
                Kind::Text => (Kind::Text, false),
                kind => (kind, true),
            },
            seen => (kind(seen, depth), false),
        };
        let name = names::column_name(field, &columns, level);
        columns.push(Column {
            field: field.clone(),
            name,
            kind,
            repeated,
            format: None,
        });
    }
    columns
}

fn kind(seen: &Seen, depth: usize) -> Kind {
    match seen {
        Seen::Bool => Kind::Bool,
        Seen::Int => Kind::Int64,
        Seen::Number => Kind::Float64,
        Seen::Text => Kind::String,
        Seen::Object(fields) if depth < DEEPEST => {
            let columns = columns(fields, names::Level::Nested, depth + 1);
            if columns.is_empty() {
                Kind::Text
            } else {
                Kind::Struct(columns)
            }
        }
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(fields: &[(&str, Value)]) -> Value {
        Value::Object(
            fields
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn a_field_has_the_type_all_its_values_have() {
        let schema = table_schema(&[
            object(&[
                ("id", Value::Int(1)),
                ("rate", Value::Int(1)),
                ("note", Value::Null),
            ]),
            object(&[("id", Value::Int(2)), ("rate", Value::Number("0.5".into()))]),
        ]);
        let columns: Vec<_> = schema
            .columns
            .iter()
            .map(|c| (c.name.as_str(), &c.kind))
            .collect();
        assert_eq!(columns, [("id", &Kind::Int64), ("rate", &Kind::Float64)]);
    }

    #[test]
    fn values_of_two_types_are_text() {
        let schema = table_schema(&[
            object(&[("a", Value::Int(1))]),
            object(&[("a", Value::String("x".into()))]),
        ]);
        assert_eq!(schema.columns[0].kind, Kind::Text);
    }

    #[test]
    fn a_later_run_only_adds_columns() {
        let known = table_schema(&[object(&[("a", Value::Int(1))])]);
        let newer = table_schema(&[object(&[("A", Value::Int(1)), ("a", Value::Bool(true))])]);
        let both = known.extended_by(&newer);
        assert_eq!(both.columns[0], known.columns[0]);
        assert!(both.columns[1].name.starts_with("A_"), "{both:?}");
    }
}
