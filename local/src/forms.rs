//! Small forms that Google's APIs share: timestamps, durations, pages, enums by number.
//!
//! Values only: nothing here knows a service.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// A `google.protobuf.Timestamp`.
pub fn timestamp(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Reads a `google.protobuf.Duration` such as `3.5s`.
pub fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Writes a `google.protobuf.Duration`, without a fraction where there is none.
pub fn duration_text(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

/// `{"<key>": [...], "nextPageToken": "..."}`; an empty list is left out, as Google does.
pub fn list_reply<T: Serialize>(key: &str, items: &[T], next: Option<String>) -> Value {
    let mut reply = Map::new();
    if !items.is_empty() {
        reply.insert(key.to_owned(), serde_json::json!(items));
    }
    if let Some(next) = next {
        reply.insert("nextPageToken".to_owned(), Value::String(next));
    }
    Value::Object(reply)
}

/// Turns an enum's number into its name: clients that say `enum-encoding=int` may send numbers.
pub fn name_enum(object: &mut Map<String, Value>, key: &str, names: &[&str]) {
    let Some(number) = object.get(key).and_then(Value::as_u64) else {
        return;
    };
    if let Some(name) = usize::try_from(number).ok().and_then(|n| names.get(n)) {
        object.insert(key.to_owned(), Value::String((*name).to_owned()));
    }
}

/// Reads a JSON object as `T`, with Google's words for what does not fit.
pub fn read<T: serde::de::DeserializeOwned>(object: Map<String, Value>) -> Result<T, ApiError> {
    serde_json::from_value(Value::Object(object))
        .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))
}

/// Whether labels keep the rules all of Google's APIs share.
///
/// # Errors
/// The first label that breaks them.
pub fn check_labels<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), ApiError> {
    for (key, value) in labels {
        let good_key = key.starts_with(|c: char| c.is_lowercase()) && label_text(key);
        if !good_key || !label_text(value) {
            return Err(ApiError::invalid(format!(
                "label `{key}: {value}` is invalid: keys and values hold at most 63 lower-case \
                 letters, digits, `_` and `-`, and keys start with a letter"
            )));
        }
    }
    Ok(())
}

fn label_text(text: &str) -> bool {
    let good = |c: char| c.is_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    text.chars().count() <= 63 && text.chars().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("600s"), Some(Duration::from_secs(600)));
        assert_eq!(duration("0.5s"), Some(Duration::from_millis(500)));
        assert_eq!(duration("600"), None);
        assert_eq!(duration("-1s"), None);
        assert_eq!(duration_text(Duration::from_millis(1500)), "1.5s");
    }

    #[test]
    fn an_enum_by_number_gets_its_name() {
        let mut object = Map::from_iter([("format".to_owned(), Value::from(1))]);
        name_enum(&mut object, "format", &["FORMAT_UNSPECIFIED", "DOCKER"]);
        assert_eq!(object["format"], "DOCKER");
    }

    #[test]
    fn labels_are_lower_case() {
        let label = |key: &str, value: &str| [(key.to_owned(), value.to_owned())];
        let check = |label: [(String, String); 1]| {
            check_labels(label.iter().map(|(key, value)| (key, value)))
        };
        assert!(check(label("managed-by", "xetl")).is_ok());
        assert!(check(label("Managed", "xetl")).is_err());
        assert!(check(label("a", "a b")).is_err());
    }
}
