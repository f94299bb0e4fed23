use serde_json::json;

use super::*;
use crate::value::Value;

fn transformed(component: Json, record: Json) -> Result<Json, RecordError> {
    let scope = Scope::new(minijinja::context! { org => "o1" });
    let component = Component::new(&component, "here");
    let transformations = [Transformation::open(&component, &scope).unwrap()];
    let Value::Object(mut record) = Value::from(&record) else {
        panic!("no object")
    };
    Steps::new(&transformations, scope).apply(&mut record)?;
    Ok(Value::Object(record).to_json())
}

#[test]
fn fields_are_added_with_types_and_conditions() {
    let add = json!({"type": "AddFields", "fields": [
        {"path": ["org"], "value": "{{ config.org }}"},
        {"path": ["n"], "value": "{{ record.a + 1 }}"},
        {"path": ["t"], "value": "{{ record.a }}", "value_type": "string"},
        {"path": ["deep", "x"], "value": "5"},
        {"path": ["after"], "value": "{{ record.deep.x }}"},
    ]});
    assert_eq!(
        transformed(add, json!({"a": 1})).unwrap(),
        json!({"a": 1, "org": "o1", "n": 2, "t": "1", "deep": {"x": 5}, "after": 5})
    );
    let condition = json!({"type": "AddFields", "condition": "{{ record.a > 1 }}",
        "fields": [{"path": ["b"], "value": "2"}]});
    assert_eq!(
        transformed(condition.clone(), json!({"a": 1})).unwrap(),
        json!({"a": 1})
    );
    assert_eq!(
        transformed(condition, json!({"a": 2})).unwrap(),
        json!({"a": 2, "b": 2})
    );
}

#[test]
fn a_field_inside_of_null_cannot_be_added() {
    let add = json!({"type": "AddFields", "fields": [{"path": ["a", "b"], "value": "1"}]});
    let error = transformed(add, json!({"a": null})).unwrap_err();
    assert_eq!(error.to_string(), "cannot set `b` in null");
}

#[test]
fn fields_are_removed_by_path_or_condition() {
    let remove = json!({"type": "RemoveFields", "field_pointers": [["a", "b"], ["gone"]]});
    assert_eq!(
        transformed(remove, json!({"a": {"b": 1, "c": 2}})).unwrap(),
        json!({"a": {"c": 2}})
    );
    let nulls = json!({"type": "RemoveFields", "field_pointers": [["a"]], "condition": "{{ property is none }}"});
    assert_eq!(
        transformed(nulls, json!({"a": {"x": null}, "b": null, "c": 0})).unwrap(),
        json!({"a": {}, "c": 0})
    );
}

#[test]
fn keys_are_renamed() {
    let kind = |kind: &str| json!({"type": kind});
    let record = json!({"InvoiceID": 1, "Due Date": {"inTwo": 2}, "l": [{"A": 1}]});
    assert_eq!(
        transformed(kind("KeysToLower"), record.clone()).unwrap(),
        json!({"invoiceid": 1, "due date": {"inTwo": 2}, "l": [{"A": 1}]})
    );
    assert_eq!(
        transformed(kind("KeysToSnakeCase"), record.clone()).unwrap(),
        json!({"invoice_id": 1, "due_date": {"in_two": 2}, "l": [{"A": 1}]})
    );
    let keys = json!({"Größe": 1, "1st": 2, " x ": 3, "a--B9": 4, "HTTPCode": 5, "": 6});
    assert_eq!(
        transformed(kind("KeysToSnakeCase"), keys).unwrap(),
        json!({"grosse": 1, "_1_st": 2, "_x_": 3, "a_b_9": 4, "httpcode": 5, "": 6})
    );
    let replace = json!({"type": "KeysReplace", "old": " ", "new": "_"});
    assert_eq!(
        transformed(replace, record).unwrap(),
        json!({"InvoiceID": 1, "Due_Date": {"inTwo": 2}, "l": [{"A": 1}]})
    );
}

#[test]
fn leaves_come_to_the_top() {
    let flatten = json!({"type": "FlattenFields"});
    assert_eq!(
        transformed(flatten, json!({"a": {"b": 1}, "l": [{"c": 2}]})).unwrap(),
        json!({"l.0.c": 2, "a.b": 1})
    );
    let objects = json!({"type": "FlattenFields", "flatten_lists": false});
    assert_eq!(
        transformed(objects, json!({"a": {"b": 1}, "l": [{"c": 2}], "b": 3})).unwrap(),
        json!({"b": 3, "l": [{"c": 2}], "a.b": 1})
    );
}

#[test]
fn one_object_comes_to_the_top() {
    let flattened = |options: Json, record: Json| {
        let mut component = json!({"type": "DpathFlattenFields", "field_path": ["a", "b"]});
        let fields = component.as_object_mut().unwrap();
        fields.extend(options.as_object().unwrap().clone());
        transformed(component, record).unwrap()
    };
    let record = json!({"id": 1, "a": {"b": {"x": 2}, "c": 3}});
    assert_eq!(
        flattened(json!({}), record.clone()),
        json!({"id": 1, "a": {"b": {"x": 2}, "c": 3}, "x": 2})
    );
    assert_eq!(
        flattened(json!({"delete_origin_value": true}), record.clone()),
        json!({"id": 1, "a": {"c": 3}, "x": 2})
    );
    let affixes = json!({"replace_record": true, "key_transformation": {"prefix": "p_", "suffix": "{{ config.org }}"}});
    assert_eq!(flattened(affixes, record.clone()), json!({"p_xo1": 2}));
    assert_eq!(
        flattened(json!({"field_path": ["a", "*"]}), record.clone()),
        { json!({"id": 1, "a": {"b": {"x": 2}, "c": 3}, "x": 2}) }
    );
    let clash = json!({"x": 0, "a": {"b": {"x": 2}}});
    assert_eq!(
        flattened(json!({"delete_origin_value": true}), clash.clone()),
        clash
    );
    assert_eq!(
        flattened(json!({"field_path": ["id"]}), record.clone()),
        record
    );
}
