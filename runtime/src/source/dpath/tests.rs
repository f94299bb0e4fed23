use serde_json::{Value as Json, json};

use super::pattern::matches;
use super::*;
use crate::value::Object;

fn path(text: &str) -> Vec<Step> {
    text.split('.').map(Step::key).collect()
}

fn object(json: Json) -> Object {
    match Value::from(&json) {
        Value::Object(fields) => fields,
        other => panic!("{other:?} is no object"),
    }
}

fn taken(body: &Json, steps: &[Step]) -> Option<Json> {
    let found = take(Value::from(body), steps).unwrap();
    found.map(|value| value.to_json())
}

#[test]
fn a_path_leads_through_keys_and_places() {
    let body = json!({"a": [{"x": [1]}, {"x": [2, 3]}], "0": "zero", "b*": 1});
    assert_eq!(taken(&body, &path("a.1.x")), Some(json!([2, 3])));
    assert_eq!(taken(&body, &path("a.-1.x.0")), Some(json!(2)));
    assert_eq!(taken(&body, &path("a.x")), None);
    assert_eq!(taken(&body, &path("0")), Some(json!("zero")));
    assert_eq!(taken(&body, &[Step::of(&Value::Int(0))]), None);
    assert_eq!(taken(&body, &path("b?")), Some(json!(1)));
    assert_eq!(taken(&body, &path("[!a0]*")), Some(json!(1)));
    assert_eq!(take(Value::from(&body), &path("?")), Err(Ambiguous));
}

#[test]
fn stars_take_from_every_branch() {
    let body = Value::from(&json!({"a": [{"x": [1]}, {"x": [2, 3]}, {"y": 0}]}));
    let found = values(body.clone(), &path("a.*.x"));
    assert_eq!(Value::Array(found).to_json(), json!([[1], [2, 3]]));
    let found = values(body, &path("**.x.*"));
    assert_eq!(Value::Array(found).to_json(), json!([1, 2, 3]));
    let nested = Value::from(&json!({"x": {"x": 1}, "y": {"x": 2}}));
    let found = values(nested, &path("**.x"));
    assert_eq!(Value::Array(found).to_json(), json!([{"x": 1}, 1, 2]));
}

#[test]
fn patterns_are_the_shells() {
    for (pattern, name, hit) in [
        ("*", "", true),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abcdef", false),
        ("[a-c]x", "bx", true),
        ("[!a-c]x", "bx", false),
        ("[]x]", "]", true),
        ("a[", "a[", true),
        ("?", "é", true),
    ] {
        assert_eq!(matches(pattern, name), hit, "{pattern} {name}");
    }
    assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
}

#[test]
fn setting_makes_what_is_missing() {
    let set_all = |record: Json, sets: &[(&str, i64)]| {
        let mut record = object(record);
        for (path, value) in sets {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            set(&mut record, &path, Value::Int(*value))?;
        }
        Ok::<_, Unwritable>(Value::Object(record).to_json())
    };
    assert_eq!(
        set_all(json!({"a": 1}), &[("b.c.d", 2), ("a", 3)]).unwrap(),
        json!({"a": 3, "b": {"c": {"d": 2}}})
    );
    assert_eq!(
        set_all(json!({"l": [1]}), &[("l.2", 3), ("m.1.x", 4)]).unwrap(),
        json!({"l": [1, null, 3], "m": [null, {"x": 4}]})
    );
    let problem = set_all(json!({"a": null}), &[("a.b", 1)]).unwrap_err();
    assert_eq!(problem.to_string(), "cannot set `b` in null");
    assert!(set_all(json!({"a": []}), &[("a.b", 1)]).is_err());
    assert!(set_all(json!({"a": []}), &[("a.99999999999", 1)]).is_err());
}

#[test]
fn deleting_leaves_nulls_in_lists() {
    let deleted = |record: Json, text: &str| {
        let mut record = object(record);
        delete(&mut record, &path(text));
        Value::Object(record).to_json()
    };
    assert_eq!(
        deleted(json!({"l": [{"k": 1, "s": 2}, {"k": 3}]}), "l.*.k"),
        json!({"l": [{"s": 2}, {}]})
    );
    assert_eq!(
        deleted(json!({"x_1": 1, "x_2": 2, "y": 3}), "x_*"),
        json!({"y": 3})
    );
    assert_eq!(
        deleted(json!({"l": [1, 2, 3]}), "l.0"),
        json!({"l": [null, 2, 3]})
    );
    assert_eq!(
        deleted(json!({"l": [1, 2, 3]}), "l.*"),
        json!({"l": [null, null]})
    );
    assert_eq!(
        deleted(json!({"x": 1, "a": {"x": 2, "y": [{"x": 3}]}}), "**.x"),
        json!({"a": {"y": [{}]}})
    );
    assert_eq!(deleted(json!({"x": 1, "a": {"x": 2}}), "**"), json!({}));
    assert_eq!(deleted(json!({"a": 1}), "no.such"), json!({"a": 1}));
}

#[test]
fn leaves_are_deleted_wherever_they_are() {
    let mut record =
        object(json!({"a": null, "b": {"c": null, "d": 1}, "l": [null, 1, null], "e": {}}));
    delete_leaves(&mut record, &mut |value| *value == Value::Null);
    assert_eq!(
        Value::Object(record).to_json(),
        json!({"b": {"d": 1}, "l": [null, 1], "e": {}})
    );
}
