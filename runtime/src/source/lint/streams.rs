//! What the language's table cannot say: names that must be there, and only once.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::document::Document;
use super::{Findings, Severity};

pub fn check(document: &Document, findings: &mut Findings) {
    let streams = document.json["streams"].as_array().map_or(0, Vec::len);
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for index in 0..streams {
        let Some((name, at)) = name(document, &format!("/streams/{index}")) else {
            continue;
        };
        if let Some(first) = names.insert(name.clone(), at.clone()) {
            let line = document.places.of_value(&first).line;
            let message = format!("a stream named `{name}` is already there, on line {line}");
            findings.add(Severity::Error, &at, document.places.of_value(&at), message);
        }
    }
    check_names(document, &names, findings);
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
            let near = super::components::nearest(name, names.keys().map(String::as_str));
            let message = format!("there is no stream `{name}`{near}");
            findings.add(Severity::Error, &at, document.places.of_value(&at), message);
        }
    }
}
