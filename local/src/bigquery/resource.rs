//! What datasets and tables have in common: settings as the user sent them,
//! a version behind the etag, and Google's three ways to write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::ApiError;
use crate::router::Request;

pub type Object = Map<String, Value>;

pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// An etag in the service's form: base64 of something that changes with each write.
pub fn etag(key: &str, version: u64) -> String {
    let digest = Sha256::digest(format!("{key}@{version}"));
    STANDARD.encode(&digest[..16])
}

/// Holds a request's `If-Match` against the present etag.
pub fn check_match(request: &Request, etag: &str) -> Result<(), ApiError> {
    match request.header("if-match") {
        Some(wanted) if wanted != "*" && wanted.trim_matches('"') != etag => Err(
            ApiError::condition_not_met("Precondition check failed: the etag has changed."),
        ),
        _ => Ok(()),
    }
}

/// JSON merge patch: `null` removes, objects merge, all else replaces.
pub fn merge(into: &mut Object, patch: &Object) {
    for (key, value) in patch {
        match (into.get_mut(key), value) {
            (_, Value::Null) => {
                into.remove(key);
            }
            (Some(Value::Object(into)), Value::Object(patch)) => merge(into, patch),
            (_, Value::Object(patch)) => {
                let mut fresh = Object::new();
                merge(&mut fresh, patch);
                into.insert(key.clone(), Value::Object(fresh));
            }
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// The body's fields that a user may set: everything but `fixed` and nulls.
pub fn writable(body: &Object, fixed: &[&str]) -> Object {
    let kept = body
        .iter()
        .filter(|(key, value)| !fixed.contains(&key.as_str()) && !value.is_null());
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Label keys and values as Google takes them: lower case, digits, `_`, `-`, at most 63 characters.
pub fn check_labels(settings: &Object) -> Result<(), ApiError> {
    let Some(labels) = settings.get("labels").and_then(Value::as_object) else {
        return Ok(());
    };
    let good = |text: &str| {
        text.chars().count() <= 63
            && text
                .chars()
                .all(|c| c == '_' || c == '-' || (c.is_alphanumeric() && !c.is_uppercase()))
    };
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        if key.is_empty() || !good(key) || !good(value) {
            return Err(ApiError::invalid(format!(
                "Invalid label \"{key}\": \"{value}\". Label keys and values may contain lowercase \
                 letters, numbers, underscores and dashes, at most 63 characters."
            )));
        }
    }
    Ok(())
}

/// Whether `labels.k:v` terms (joined by spaces) all hold.
pub fn matches_filter(settings: &Object, filter: &str) -> bool {
    let label = |name: &str| settings.get("labels")?.get(name)?.as_str();
    filter
        .split_whitespace()
        .filter(|term| *term != "AND")
        .filter_map(|term| term.strip_prefix("labels."))
        .all(|term| match term.split_once(':') {
            None | Some((_, "*")) => label(term.trim_end_matches(":*")).is_some(),
            Some((name, value)) => label(name) == Some(value),
        })
}

/// One page of `items` and the token of the next.
pub fn page<T>(
    items: Vec<T>,
    request: &Request,
    size: usize,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start = match request.query("pageToken") {
        None | Some("") => 0,
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::invalid(format!("Invalid page token `{token}`.")))?,
    };
    let size = match number(request, "maxResults")? {
        None | Some(0) => size,
        Some(asked) => size.min(asked),
    };
    let more = items.len() > start + size;
    let items = items.into_iter().skip(start).take(size).collect();
    Ok((items, more.then(|| (start + size).to_string())))
}

/// A whole number of the query.
pub fn number(request: &Request, name: &str) -> Result<Option<usize>, ApiError> {
    request
        .query(name)
        .map(|text| {
            text.parse()
                .map_err(|_| ApiError::invalid(format!("Invalid value for {name}: \"{text}\"")))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn a_patch_merges_labels_and_replaces_lists() {
        let mut settings = object(json!({"labels": {"a": "1", "b": "2"}, "access": [1, 2]}));
        merge(
            &mut settings,
            &object(json!({"labels": {"a": null, "c": "3"}, "access": [3]})),
        );
        assert_eq!(
            Value::Object(settings),
            json!({"labels": {"b": "2", "c": "3"}, "access": [3]})
        );
    }

    #[test]
    fn a_filter_asks_for_every_label() {
        let settings = object(json!({"labels": {"managed-by": "xetl", "xetl-client": "acme"}}));
        assert!(matches_filter(
            &settings,
            "labels.managed-by:xetl labels.xetl-client:acme"
        ));
        assert!(matches_filter(&settings, "labels.managed-by"));
        assert!(!matches_filter(
            &settings,
            "labels.managed-by:xetl labels.xetl-client:globex"
        ));
    }

    #[test]
    fn upper_case_labels_are_refused() {
        assert!(check_labels(&object(json!({"labels": {"Team": "x"}}))).is_err());
        assert!(check_labels(&object(json!({"labels": {"team": "x-1"}}))).is_ok());
    }
}
