use super::*;
use crate::schema::{EXTRACTED_AT, RESCUED, RUN_ID, declared};
use serde_json::json;

fn schema(properties: Json) -> TableSchema {
    declared::table_schema(&json!({ "properties": properties })).unwrap()
}

fn fields(properties: Json) -> Vec<Json> {
    schema(properties).bigquery()
}

fn existing(fields: &[Json]) -> Option<Existing<'_>> {
    Some(Existing {
        fields,
        widens: true,
        fixed: &[],
    })
}

fn changes(ours: Json, table: &[Json]) -> (TableSchema, String) {
    let (columns, changes) = reconciled(&schema(ours), existing(table));
    let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
    (columns, lines.join("\n"))
}

fn kinds(schema: &TableSchema) -> Vec<&Kind> {
    schema.columns.iter().map(|column| &column.kind).collect()
}

#[test]
fn a_new_column_is_added_and_a_wider_one_widened() {
    let table = fields(json!({"a": {"type": "integer"}, "b": {"type": "integer"}}));
    let ours = json!({
        "a": {"type": "number"},
        "b": {"xetl_type": "NUMERIC"},
        "c": {"type": "array", "items": {"type": "string"}},
    });
    let (columns, told) = changes(ours, &table);
    insta::assert_snapshot!(told, @r"
    widen a from INTEGER to FLOAT64
    widen b from INTEGER to NUMERIC
    add c REPEATED STRING
    ");
    assert_eq!(
        kinds(&columns),
        [&Kind::Float64, &Kind::Numeric, &Kind::String]
    );
}

#[test]
fn a_table_that_is_wider_already_stays() {
    let table = fields(json!({"a": {"xetl_type": "BIGNUMERIC"}, "b": {"type": "number"}}));
    let (columns, told) = changes(
        json!({"a": {"xetl_type": "NUMERIC"}, "b": {"type": "integer"}}),
        &table,
    );
    assert_eq!(told, "");
    assert_eq!(kinds(&columns), [&Kind::BigNumeric, &Kind::Float64]);
}

#[test]
fn another_type_keeps_the_tables_and_is_rescued() {
    let table = [
        json!({"name": "a", "type": "INT64"}),
        json!({"name": "b", "type": "STRING"}),
        json!({"name": "c", "type": "JSON"}),
        json!({"name": "d", "type": "NUMERIC"}),
        json!({"name": "e", "type": "STRING", "mode": "REPEATED"}),
    ];
    let ours = json!({
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "object"},
        "d": {"type": "number"},
        "e": {"type": "string"},
    });
    let (columns, told) = changes(ours, &table);
    insta::assert_snapshot!(told, @r"
    keep a INTEGER, rescue what is STRING
    keep b STRING, rescue what is INT64
    keep c JSON, rescue what is any value
    keep d NUMERIC, rescue what is FLOAT64
    keep e REPEATED STRING, rescue what is STRING
    ");
    assert_eq!(
        kinds(&columns),
        [&Kind::Int64, &Kind::String, &Kind::Numeric, &Kind::String]
    );
}

#[test]
fn structs_grow_inside_and_keep_their_types() {
    let object = |fields: Json| json!({"o": {"type": "object", "properties": fields}});
    let table = fields(object(json!({"x": {"type": "integer"}})));
    let ours = object(json!({"x": {"type": "number"}, "y": {"type": "string"}}));
    let (columns, told) = changes(ours, &table);
    insta::assert_snapshot!(told, @r"
    keep o.x INTEGER, rescue what is FLOAT64
    add o.y STRING
    ");
    assert!(evolved(&table, &columns.bigquery()).is_ok());
}

#[test]
fn what_the_table_is_kept_by_and_what_is_in_files_is_not_widened() {
    let table = fields(json!({"a": {"type": "integer"}}));
    let wide = schema(json!({"a": {"type": "number"}}));
    let fixed = ["A".to_owned()];
    for existing in [
        Existing {
            fields: &table,
            widens: true,
            fixed: &fixed,
        },
        Existing {
            fields: &table,
            widens: false,
            fixed: &[],
        },
    ] {
        let (columns, changes) = reconciled(&wide, Some(existing));
        assert_eq!(kinds(&columns), [&Kind::Int64]);
        assert!(
            matches!(changes.as_slice(), [Change::Rescue { .. }]),
            "{changes:?}"
        );
    }
}

#[test]
fn a_required_column_is_relaxed_also_where_the_source_has_it_no_more() {
    let table = [
        json!({"name": "a", "type": "INTEGER", "mode": "REQUIRED"}),
        json!({"name": "b", "type": "STRING", "mode": "REQUIRED"}),
    ];
    let (columns, told) = changes(json!({"a": {"type": "integer"}}), &table);
    insta::assert_snapshot!(told, @r"
    relax a to NULLABLE
    relax b to NULLABLE
    ");
    let fields = evolved(&table, &columns.bigquery()).unwrap().fields;
    assert!(fields.iter().all(|field| mode(field) == "NULLABLE"));
}

#[test]
fn columns_past_the_limit_are_rescued() {
    let many: serde_json::Map<String, Json> = (0..10_050)
        .map(|n| (format!("c{n}"), json!({"type": "integer"})))
        .collect();
    let (columns, changes) = reconciled(&schema(many.into()), None);
    assert_eq!(columns.bigquery().len(), MOST_COLUMNS);
    assert_eq!(changes.len(), 53);
    insta::assert_snapshot!(changes[0], @"rescue c9997: a table has 10000 columns at most");
    let table = columns.bigquery();
    let (columns, told) = self::changes(json!({"c1": {"type": "integer"}, "new": {}}), &table);
    assert_eq!(columns.columns.len(), 1);
    insta::assert_snapshot!(told, @"rescue new: a table has 10000 columns at most");
}

#[test]
fn a_new_field_comes_after_the_tables_own() {
    let table = fields(json!({"a": {"type": "string"}, "gone": {"type": "string"}}));
    let ours = fields(json!({"b": {"type": "integer"}, "a": {"type": "string"}}));
    let union = evolved(&table, &ours).unwrap().fields;
    let names: Vec<_> = union.iter().map(name).collect();
    assert_eq!(names, ["a", "gone", RUN_ID, EXTRACTED_AT, RESCUED, "b"]);
}

#[test]
fn the_old_and_the_new_name_of_a_type_are_one() {
    let table = [json!({"name": "a", "type": "INT64"})];
    let ours = [json!({"name": "a", "type": "INTEGER", "mode": "NULLABLE"})];
    assert_eq!(evolved(&table, &ours).unwrap().fields, table);
}

#[test]
fn a_type_the_columns_were_not_settled_for_is_refused() {
    let table = fields(json!({"a": {"type": "string"}}));
    let ours = fields(json!({"a": {"type": "integer"}}));
    assert_eq!(
        evolved(&table, &ours).unwrap_err().to_string(),
        "column `a` is STRING in the table, but the source's records need INTEGER"
    );
}

#[test]
fn columns_to_widen_are_widened_by_statements() {
    let table = fields(json!({"a": {"type": "integer"}}));
    let ours = fields(json!({"a": {"xetl_type": "BIGNUMERIC"}}));
    let widened = evolved(&table, &ours).unwrap().widened;
    assert_eq!(widened, [("a".to_owned(), "BIGNUMERIC")]);
    insta::assert_snapshot!(widening("p.d.t", "a", "BIGNUMERIC"), @"ALTER TABLE `p.d.t` ALTER COLUMN `a` SET DATA TYPE BIGNUMERIC");
}

#[test]
fn a_load_names_no_column_that_it_cannot_fill() {
    let table = [
        json!({"name": "a", "type": "JSON"}),
        json!({"name": "o", "type": "RECORD", "fields": [{"name": "x", "type": "JSON"}, {"name": "y", "type": "STRING"}]}),
    ];
    assert_eq!(
        loadable(&table),
        [json!({"name": "o", "type": "RECORD", "fields": [{"name": "y", "type": "STRING"}]})]
    );
}
