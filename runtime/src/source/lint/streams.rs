//! What the language's table cannot say: names that must be there, and only once.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::document::Document;
use super::{Findings, Severity};

pub fn check(document: &Document, findings: &mut Findings) {
    let has = |name| document.json.get(name).is_some();
    if document.json.is_object() && !has("streams") && !has("dynamic_streams") {
        let message = "a manifest needs `streams` or `dynamic_streams`".to_owned();
        findings.add(Severity::Error, "", document.places.of_value(""), message);
    }
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut conditional_names = BTreeMap::new();
    for pointer in elements(document, "/streams") {
        if let Some(conditional) = conditional(document, &pointer) {
            // Only one of several conditions may hold, so names may come again.
            let inner = elements(document, &conditional);
            conditional_names.extend(inner.iter().filter_map(|inner| name(document, inner)));
            continue;
        }
        let Some((name, at)) = name(document, &pointer) else {
            continue;
        };
        if let Some(first) = names.insert(name.clone(), at.clone()) {
            let line = document.places.of_value(&first).line;
            let message = format!("a stream named `{name}` is already there, on line {line}");
            findings.add(Severity::Error, &at, document.places.of_value(&at), message);
        }
    }
    names.extend(conditional_names);
    check_names(document, &names, findings);
}

/// The pointers of a list's elements.
fn elements(document: &Document, pointer: &str) -> Vec<String> {
    let length = document.value(pointer).as_array().map_or(0, Vec::len);
    (0..length)
        .map(|index| format!("{pointer}/{index}"))
        .collect()
}

/// The list of streams under a condition, where this is one.
fn conditional(document: &Document, pointer: &str) -> Option<String> {
    let at = document.follow(pointer).ok()?;
    let fields = document.fields(&at).ok()?;
    let kind = document.value(fields.get("type")?);
    let streams = (kind == "ConditionalStreams").then(|| fields.get("streams"))??;
    document.follow(streams).ok()
}

/// A stream's name and where it is written; `None` where a template makes it.
fn name(document: &Document, pointer: &str) -> Option<(String, String)> {
    let stream = document.follow(pointer).ok()?;
    let fields = document.fields(&stream).ok()?;
    let found = match fields.get("name") {
        Some(found) => found.clone(),
        None => {
            let parameters = document.fields(fields.get("$parameters")?).ok()?;
            parameters.get("name")?.clone()
        }
    };
    let found = document.follow(&found).ok()?;
    let name = document.value(&found).as_str()?;
    (!name.contains("{{")).then(|| (name.to_owned(), found.clone()))
}

/// The streams that `check` reads must be there.
fn check_names(document: &Document, names: &BTreeMap<String, String>, findings: &mut Findings) {
    let is_dynamic = document.json.get("dynamic_streams").is_some();
    let Ok(check) = document.follow("/check") else {
        return;
    };
    let pointer = format!("{check}/stream_names");
    let listed = document.value(&pointer).as_array().into_iter().flatten();
    for (index, name) in listed.enumerate() {
        let Json::String(name) = name else { continue };
        if !names.contains_key(name) && !is_dynamic && !name.contains("{{") {
            let at = format!("{pointer}/{index}");
            let near = super::nearest::nearest(name, names.keys().map(String::as_str));
            let message = format!("there is no stream `{name}`{near}");
            findings.add(Severity::Error, &at, document.places.of_value(&at), message);
        }
    }
}
