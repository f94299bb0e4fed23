use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::*;

fn response(body: &str) -> Response {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Response::new(200, String::new(), Vec::new(), body)
}

fn extracted(extractor: Json, body: &str) -> Result<Json, RecordError> {
    let scope = Scope::new(minijinja::context! { list => "rows" });
    let component = Component::new(&extractor, "here");
    let extractor = Extractor::open(&component, &Decoder::Json, &scope).unwrap();
    let records = extractor.records(&Decoder::Json, &response(body), &scope)?;
    let records: Vec<Value> = records
        .map(|record| Ok(record?.unwrap_or(Value::from("dropped"))))
        .collect::<Result<_, RecordError>>()?;
    Ok(Value::Array(records).to_json())
}

fn at(path: Json, body: &str) -> Json {
    extracted(json!({"type": "DpathExtractor", "field_path": path}), body).unwrap()
}

#[test]
fn a_path_leads_to_records() {
    assert_eq!(
        at(json!([]), r#"[{"a": 1}, {}, null, [2, 3]]"#),
        json!([{"a": 1}, 2, 3])
    );
    assert_eq!(at(json!([]), r#"{"a": 1}"#), json!([{"a": 1}]));
    assert_eq!(
        at(
            json!(["data"]),
            r#"[{"data": [1, null]}, {"data": {"b": 2}}]"#
        ),
        json!([1, null, {"b": 2}])
    );
    assert_eq!(
        at(json!(["x", "{{ config.list }}"]), r#"{"x": {"rows": [1]}}"#),
        json!([1])
    );
    assert_eq!(
        at(
            json!(["l", "*", "r"]),
            r#"{"l": [{"r": [1]}, {"r": 0}, {}]}"#
        ),
        json!([[1], 0])
    );
    assert_eq!(
        at(json!(["a", "0"]), r#"{"a": [[1, 2], 3]}"#),
        json!([1, 2])
    );
    for nothing in [
        r#"{"data": {}}"#,
        r#"{"data": null}"#,
        r#"{"other": 1}"#,
        "",
        "[]",
        "\"text\"",
    ] {
        assert_eq!(at(json!(["data"]), nothing), json!([]), "{nothing}");
    }
}

#[test]
fn extractors_are_combined() {
    let path = |name: &str| json!({"type": "DpathExtractor", "field_path": [name]});
    let combined = |mode: &str, skip: bool| {
        let body = r#"{"a": [null, {}], "b": [{"x": 1}, null], "c": [{"x": 2}]}"#;
        let extractor = json!({"type": "CombinedExtractor", "mode": mode, "skip_empty_records": skip,
            "extractors": [path("no"), path("a"), path("b"), path("c")]});
        extracted(extractor, body).unwrap()
    };
    assert_eq!(
        combined("union", false),
        json!([null, {}, {"x": 1}, null, {"x": 2}])
    );
    assert_eq!(
        combined("union", true),
        json!(["dropped", "dropped", {"x": 1}, "dropped", {"x": 2}])
    );
    assert_eq!(combined("first_match", false), json!([null, {}]));
    assert_eq!(combined("first_match", true), json!([{"x": 1}, "dropped"]));
}

#[test]
fn lists_inside_of_records_are_expanded() {
    let expanded = |options: Json, body: &str| {
        let mut expander =
            json!({"type": "RecordExpander", "expand_records_from_field": ["l", "d"]});
        let fields = expander.as_object_mut().unwrap();
        fields.extend(options.as_object().unwrap().clone());
        let extractor =
            json!({"type": "DpathExtractor", "field_path": ["r"], "record_expander": expander});
        extracted(extractor, body)
    };
    let body =
        r#"{"r": [{"id": 7, "l": {"d": [{"id": 1}, 2], "n": 2}}, {"id": 8, "l": {"d": []}}, 5]}"#;
    assert_eq!(expanded(json!({}), body).unwrap(), json!([{"id": 1}, 2, 5]));
    assert_eq!(
        expanded(
            json!({"on_no_records": "emit_parent", "parent_fields": [
            {"type": "ParentFieldPath", "parent_path": ["id"], "record_path": ["parent", "id"]},
            {"type": "ParentFieldPath", "parent_path": ["none"], "record_path": ["none"]}]}),
            body
        )
        .unwrap(),
        json!([{"id": 1, "parent": {"id": 7}, "none": null},
            {"value": 2, "parent": {"id": 7}, "none": null},
            {"id": 8, "l": {"d": []}}, 5])
    );
    assert_eq!(
        expanded(json!({"merge_parent": true}), body).unwrap(),
        json!([{"id": 1, "l": {"n": 2}}, {"id": 7, "l": {"n": 2}, "value": 2}, 5])
    );
    assert_eq!(
        expanded(
            json!({"remain_original_record": true}),
            r#"{"r": {"l": {"d": [{}]}}}"#
        )
        .unwrap(),
        json!([{"original_record": {"l": {"d": [{}]}}}])
    );
    let into_text = json!({"parent_fields": [{"parent_path": ["id"], "record_path": ["id", "x"]}]});
    assert!(expanded(into_text, body).is_err());
}

#[test]
fn a_table_has_pandas_names_and_nulls() {
    let table = |keep: bool, body: &str| {
        let extractor = json!({"type": "ResponseToFileExtractor", "preserve_na_values": keep});
        extracted(extractor, body)
    };
    let body = "\u{feff}a,a,,a.1\n1,NA,\"x\ny\",null\n \n2\n";
    assert_eq!(
        table(false, body).unwrap(),
        json!([{"a": "1", "a.2": null, "Unnamed: 2": "x\ny", "a.1": null},
            {"a": "2", "a.2": null, "Unnamed: 2": null, "a.1": null}])
    );
    assert_eq!(
        table(true, "a,b\nNA,\n").unwrap(),
        json!([{"a": "NA", "b": null}])
    );
    assert_eq!(table(true, "").unwrap(), json!([]));
    assert!(table(true, "a\n1,2\n").is_err());
}
