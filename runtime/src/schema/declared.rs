//! A stream's JSON Schema as a table's schema.

use serde_json::{Map, Value as Json};

use super::{Column, Kind, TableSchema, names};

/// BigQuery nests structs 15 deep; what is deeper is kept as text.
const DEEPEST: usize = 14;

/// A schema whose references make it larger is not one of a record.
const MOST_NODES: usize = 100_000;

/// The columns a JSON Schema declares; `None` where it declares no field.
pub fn table_schema(schema: &Json) -> Option<TableSchema> {
    let mut expansion = Expansion {
        root: schema,
        open: Vec::new(),
        nodes: 0,
    };
    let schema = &expansion.whole(schema);
    let properties = schema.get("properties")?.as_object()?;
    let columns = columns(properties, names::Level::Top, 1);
    (!columns.is_empty()).then_some(TableSchema { columns })
}

fn columns(properties: &Map<String, Json>, level: names::Level, depth: usize) -> Vec<Column> {
    let mut columns = Vec::with_capacity(properties.len());
    for (field, schema) in properties {
        let (kind, repeated) = column_type(schema, depth);
        columns.push(Column {
            field: field.clone(),
            name: names::column_name(field, &columns, level),
            kind,
            repeated,
            format: date_format(schema),
        });
    }
    columns
}

/// References to a schema's own parts, looked up; one that leads back to itself is open.
struct Expansion<'s> {
    root: &'s Json,
    open: Vec<&'s str>,
    nodes: usize,
}

impl<'s> Expansion<'s> {
    fn whole(&mut self, schema: &'s Json) -> Json {
        self.nodes += 1;
        match schema {
            _ if self.nodes > MOST_NODES => Json::Object(Map::new()),
            Json::Object(fields) => match fields.get("$ref") {
                Some(Json::String(reference)) => self.referred(reference),
                _ => fields
                    .iter()
                    .map(|(key, value)| (key.clone(), self.whole(value)))
                    .collect(),
            },
            Json::Array(values) => values.iter().map(|value| self.whole(value)).collect(),
            other => other.clone(),
        }
    }

    fn referred(&mut self, reference: &'s str) -> Json {
        let pointer = reference.strip_prefix('#');
        let found = pointer.and_then(|pointer| self.root.pointer(pointer));
        let Some(found) = found.filter(|_| !self.open.contains(&reference)) else {
            return Json::Object(Map::new());
        };
        self.open.push(reference);
        let whole = self.whole(found);
        self.open.pop();
        whole
    }
}

/// A field's type, and whether it is a list of it.
fn column_type(schema: &Json, depth: usize) -> (Kind, bool) {
    if let Some([one]) = choices(schema).as_deref() {
        return column_type(one, depth);
    }
    match one_type(schema) {
        Some("array") => match schema.get("items").map(|items| kind(items, depth)) {
            Some(Kind::Text) | None => (Kind::Text, false),
            Some(kind) => (kind, true),
        },
        _ => (kind(schema, depth), false),
    }
}

/// The type of one value; an array among values is text.
fn kind(schema: &Json, depth: usize) -> Kind {
    if let Some(kind) = schema.get("xetl_type").and_then(Json::as_str).map(named) {
        return kind;
    }
    if schema.get("airbyte_type").and_then(Json::as_str) == Some("big_number") {
        return Kind::Numeric;
    }
    if let Some(choices) = choices(schema) {
        return agreed(choices, depth);
    }
    if date_format(schema).is_some() {
        return date_kind(schema).unwrap_or(Kind::Timestamp);
    }
    match one_type(schema) {
        Some("boolean") => Kind::Bool,
        Some("integer") => Kind::Int64,
        Some("number") if schema.get("airbyte_type") == Some(&Json::from("integer")) => Kind::Int64,
        Some("number") => Kind::Float64,
        Some("string") => string_kind(schema),
        Some("object") => object_kind(schema, depth),
        _ => Kind::Text,
    }
}

fn string_kind(schema: &Json) -> Kind {
    date_kind(schema).unwrap_or(Kind::String)
}

fn date_kind(schema: &Json) -> Option<Kind> {
    let word = |key| schema.get(key).and_then(Json::as_str);
    match (word("format")?, word("airbyte_type")) {
        ("date-time", Some("timestamp_without_timezone")) => Some(Kind::Datetime),
        ("date-time", _) => Some(Kind::Timestamp),
        ("date", _) => Some(Kind::Date),
        ("time", _) => Some(Kind::Time),
        _ => None,
    }
}

/// The form of the dates of a field, or of its items.
fn date_format(schema: &Json) -> Option<String> {
    let one = match choices(schema).as_deref() {
        Some([one]) => one,
        _ => schema,
    };
    let own = one.get("xetl_format").and_then(Json::as_str);
    let items = one.get("items").and_then(|items| items.get("xetl_format"));
    own.or(items.and_then(Json::as_str)).map(str::to_owned)
}

fn object_kind(schema: &Json, depth: usize) -> Kind {
    match schema.get("properties").and_then(Json::as_object) {
        Some(properties) if !properties.is_empty() && depth < DEEPEST => {
            Kind::Struct(columns(properties, names::Level::Nested, depth + 1))
        }
        _ => Kind::Text,
    }
}

/// A BigQuery type by its name; what a Parquet load cannot fill is text.
fn named(name: &str) -> Kind {
    match name.to_ascii_uppercase().as_str() {
        "BOOL" | "BOOLEAN" => Kind::Bool,
        "INT64" | "INTEGER" => Kind::Int64,
        "FLOAT64" | "FLOAT" => Kind::Float64,
        "NUMERIC" | "DECIMAL" => Kind::Numeric,
        "BIGNUMERIC" | "BIGDECIMAL" => Kind::BigNumeric,
        "STRING" => Kind::String,
        "TIMESTAMP" => Kind::Timestamp,
        "DATE" => Kind::Date,
        "DATETIME" => Kind::Datetime,
        "TIME" => Kind::Time,
        "BYTES" => Kind::Bytes,
        "GEOGRAPHY" => Kind::Geography,
        _ => Kind::Text,
    }
}

/// The one type besides null, if it is one.
fn one_type(schema: &Json) -> Option<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => Some(name),
        Some(Json::Array(names)) => {
            let mut names = names
                .iter()
                .filter_map(Json::as_str)
                .filter(|name| *name != "null");
            let first = names.next()?;
            match names.next() {
                None => Some(first),
                // Any integer is a number.
                Some("integer" | "number") if matches!(first, "integer" | "number") => {
                    names.next().is_none().then_some("number")
                }
                Some(_) => None,
            }
        }
        _ if schema.get("properties").is_some() => Some("object"),
        _ if schema.get("items").is_some() => Some("array"),
        _ => None,
    }
}

fn choices(schema: &Json) -> Option<Vec<&Json>> {
    let choices = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))?
        .as_array()?;
    let is_null = |choice: &&Json| choice.get("type") == Some(&Json::from("null"));
    Some(choices.iter().filter(|choice| !is_null(choice)).collect())
}

/// The type all choices have, or text.
fn agreed(choices: Vec<&Json>, depth: usize) -> Kind {
    let mut kinds = choices.into_iter().map(|choice| kind(choice, depth));
    let Some(first) = kinds.next() else {
        return Kind::Text;
    };
    if kinds.all(|kind| kind == first) {
        first
    } else {
        Kind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn types(properties: Json) -> Vec<(Kind, bool)> {
        let schema = table_schema(&json!({"properties": properties})).unwrap();
        schema
            .columns
            .into_iter()
            .map(|column| (column.kind, column.repeated))
            .collect()
    }

    #[test]
    fn scalars_have_their_bigquery_types() {
        assert_eq!(
            types(json!({
                "a": {"type": "string"},
                "b": {"type": ["null", "integer"]},
                "c": {"type": "number"},
                "d": {"type": "boolean"},
                "e": {"type": ["string", "null"], "format": "date-time"},
                "f": {"type": "string", "format": "date"},
                "g": {"type": "string", "airbyte_type": "big_number"},
                "h": {"type": "number", "xetl_type": "BIGNUMERIC"},
                "i": {"type": ["integer", "number"]},
            })),
            [
                Kind::String,
                Kind::Int64,
                Kind::Float64,
                Kind::Bool,
                Kind::Timestamp,
                Kind::Date,
                Kind::Numeric,
                Kind::BigNumeric,
                Kind::Float64,
            ]
            .map(|kind| (kind, false))
        );
    }

    #[test]
    fn what_has_no_one_type_is_text() {
        let text = (Kind::Text, false);
        assert_eq!(
            types(json!({
                "mixed": {"type": ["string", "integer"]},
                "unknown": {},
                "free": {"type": "object"},
                "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
                "list": {"type": "array"},
            })),
            [text.clone(), text.clone(), text.clone(), text.clone(), text]
        );
    }

    #[test]
    fn objects_are_structs_and_arrays_repeat() {
        let line = json!({"type": "object", "properties": {"Qty": {"type": "number"}}});
        let types = types(json!({"Lines": {"type": "array", "items": line}}));
        let [(Kind::Struct(columns), true)] = types.as_slice() else {
            panic!("{types:?}");
        };
        assert_eq!(columns[0].name, "Qty");
    }

    #[test]
    fn a_choice_of_null_and_a_type_is_that_type() {
        let choice = json!({"oneOf": [{"type": "null"}, {"type": "integer"}]});
        assert_eq!(types(json!({"a": choice})), [(Kind::Int64, false)]);
    }

    #[test]
    fn a_choice_of_null_and_a_list_is_that_list() {
        let list = json!({"type": "array", "items": {"type": "string"}});
        let choice = json!({"anyOf": [{"type": "null"}, list]});
        assert_eq!(types(json!({"a": choice})), [(Kind::String, true)]);
    }

    #[test]
    fn references_are_looked_up_and_circles_are_text() {
        let schema = json!({
            "properties": {"a": {"$ref": "#/definitions/a"}, "b": {"$ref": "#/definitions/b"}, "c": {"$ref": "other.json"}},
            "definitions": {
                "a": {"type": "integer"},
                "b": {"type": "object", "properties": {"n": {"$ref": "#/definitions/a"}, "b": {"$ref": "#/definitions/b"}}},
            },
        });
        let columns = table_schema(&schema).unwrap().columns;
        assert_eq!(columns[0].kind, Kind::Int64);
        assert_eq!(columns[2].kind, Kind::Text);
        let Kind::Struct(inner) = &columns[1].kind else {
            panic!("{columns:?}");
        };
        assert_eq!(
            (&inner[0].kind, &inner[1].kind),
            (&Kind::Int64, &Kind::Text)
        );
    }

    #[test]
    fn dates_are_of_the_kind_their_format_says() {
        let date_time =
            |zone| json!({"type": "string", "format": "date-time", "airbyte_type": zone});
        let schema = json!({"properties": {
            "a": date_time("timestamp_without_timezone"),
            "b": date_time("timestamp_with_timezone"),
            "c": {"type": "string", "format": "time"},
            "d": {"type": "integer", "xetl_format": "%s"},
            "e": {"type": "string", "format": "date", "xetl_format": "%d/%m/%Y"},
            "f": {"type": "array", "items": {"type": "integer", "xetl_format": "%ms"}},
        }});
        let columns = table_schema(&schema).unwrap().columns;
        let kinds: Vec<_> = columns
            .iter()
            .map(|column| (&column.kind, column.format.as_deref()))
            .collect();
        assert_eq!(
            kinds,
            [
                (&Kind::Datetime, None),
                (&Kind::Timestamp, None),
                (&Kind::Time, None),
                (&Kind::Timestamp, Some("%s")),
                (&Kind::Date, Some("%d/%m/%Y")),
                (&Kind::Timestamp, Some("%ms")),
            ]
        );
    }

    #[test]
    fn structs_are_no_deeper_than_bigquery_has_them() {
        let mut schema = json!({"type": "string"});
        for _ in 0..30 {
            schema = json!({"type": "object", "properties": {"o": schema}});
        }
        let mut columns = table_schema(&schema).unwrap().columns;
        let mut depth = 1;
        while let Kind::Struct(inner) = &columns[0].kind {
            columns = inner.clone();
            depth += 1;
        }
        assert_eq!((depth, &columns[0].kind), (DEEPEST, &Kind::Text));
    }

    #[test]
    fn a_schema_without_fields_declares_nothing() {
        assert_eq!(table_schema(&json!({})), None);
        assert_eq!(table_schema(&json!({"properties": {}})), None);
    }
}
