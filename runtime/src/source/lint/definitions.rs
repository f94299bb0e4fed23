//! Definitions that nothing leads to.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::yaml::escaped;
use super::document::Document;

/// Where definitions are kept; what stands elsewhere is in use.
const KEPT: [&str; 2] = ["definitions", "schemas"];

/// The pointers of the definitions that nothing in use refers to, the largest parts whole.
pub fn unreachable(document: &Document) -> Vec<String> {
    let reached = reached(document);
    let mut found = Vec::new();
    for kept in KEPT {
        let pointer = format!("/{kept}");
        search(document, &pointer, &reached, &mut found);
    }
    found
}

/// What is referred to from what is in use, directly or through other definitions.
fn reached(document: &Document) -> BTreeSet<String> {
    let mut references = Vec::new();
    for (name, value) in document.json.as_object().into_iter().flatten() {
        if !KEPT.contains(&name.as_str()) {
            collect(value, &mut references);
        }
    }
    let mut reached = BTreeSet::new();
    while let Some(reference) = references.pop() {
        let Some(pointer) = document.target(reference) else {
            continue;
        };
        if reached.insert(pointer.clone()) {
            collect(document.value(&pointer), &mut references);
        }
    }
    reached
}

fn collect<'j>(value: &'j Json, references: &mut Vec<&'j str>) {
    match value {
        Json::String(text) if text.starts_with("#/") => references.push(text),
        Json::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Json::Object(fields) => fields.values().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// A part is in use if a reference leads to it, into it or to what it stands in.
fn search(document: &Document, pointer: &str, reached: &BTreeSet<String>, found: &mut Vec<String>) {
    let Json::Object(fields) = document.value(pointer) else {
        return;
    };
    for (name, value) in fields {
        let child = format!("{pointer}/{}", escaped(name));
        let inside = format!("{child}/");
        let next = reached.range(inside.clone()..).next();
        let into = next.is_some_and(|known| known.starts_with(&inside));
        if reached.contains(&child) {
            continue;
        }
        match into {
            // Parts of a component that is quoted from stand for the whole.
            true if value.get("type").is_none() => search(document, &child, reached, found),
            true => {}
            false => found.push(child),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_reached_through_others_or_not_at_all() {
        let text = "definitions:\n  used: {$ref: '#/definitions/base'}\n  base: {type: X}\n  lost: {$ref: '#/definitions/only_lost'}\n  only_lost: 1\n  group: {a: '#/definitions/quoted/part', b: 2}\n  quoted: {type: Y, part: 1}\nstreams: ['#/definitions/used', '#/definitions/group/a']\n";
        let document = Document::read(text).unwrap();
        assert_eq!(
            unreachable(&document),
            [
                "/definitions/lost",
                "/definitions/only_lost",
                "/definitions/group/b"
            ]
        );
    }
}
