//! A line of a container's output as Cloud Logging reads it.

use serde_json::{Map, Value, json};

const SEVERITIES: &[&str] = &[
    "DEFAULT",
    "DEBUG",
    "INFO",
    "NOTICE",
    "WARNING",
    "ERROR",
    "CRITICAL",
    "ALERT",
    "EMERGENCY",
];

/// The rank of a severity, lowest first.
pub fn rank(severity: &str) -> Option<usize> {
    SEVERITIES
        .iter()
        .position(|name| name.eq_ignore_ascii_case(severity))
}

/// Special fields of the payload and the fields of an entry they become
/// (Cloud Logging, structured logging).
const LIFTED: &[(&str, &str)] = &[
    ("httpRequest", "httpRequest"),
    ("logging.googleapis.com/insertId", "insertId"),
    ("logging.googleapis.com/operation", "operation"),
    ("logging.googleapis.com/sourceLocation", "sourceLocation"),
    ("logging.googleapis.com/spanId", "spanId"),
    ("logging.googleapis.com/trace", "trace"),
    ("logging.googleapis.com/trace_sampled", "traceSampled"),
];

/// The entry's fields that the line itself decides: its payload, and what is lifted out of it.
pub fn payload(line: &str) -> Map<String, Value> {
    match serde_json::from_str(line) {
        Ok(Value::Object(payload)) => structured(payload),
        _ => Map::from_iter([("textPayload".to_owned(), json!(line))]),
    }
}

fn structured(mut payload: Map<String, Value>) -> Map<String, Value> {
    let mut entry = Map::new();
    let severity = payload.get("severity").and_then(Value::as_str);
    if let Some(rank) = severity.and_then(rank) {
        entry.insert("severity".to_owned(), json!(SEVERITIES[rank]));
        payload.remove("severity");
    }
    let time = payload.get("time").and_then(Value::as_str);
    if let Some(time) = time.and_then(|time| time.parse::<jiff::Timestamp>().ok()) {
        entry.insert("timestamp".to_owned(), json!(crate::forms::timestamp(time)));
        payload.remove("time");
    }
    for (special, field) in LIFTED {
        if let Some(value) = payload.remove(*special) {
            entry.insert((*field).to_owned(), value);
        }
    }
    if let Some(labels @ Value::Object(_)) = payload.remove("logging.googleapis.com/labels") {
        entry.insert("labels".to_owned(), labels);
    }
    entry.insert("jsonPayload".to_owned(), Value::Object(payload));
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_fields_are_lifted_out_of_the_payload() {
        let line = r#"{"severity":"warning","time":"2026-11-21T00:00:00+01:00","message":"m","n":1,
            "logging.googleapis.com/labels":{"a":"b"},"logging.googleapis.com/trace":"projects/p/traces/t"}"#;
        insta::assert_json_snapshot!(payload(line), @r#"
        {
          "severity": "WARNING",
          "timestamp": "2026-11-20T23:00:00.000000Z",
          "trace": "projects/p/traces/t",
          "labels": {
            "a": "b"
          },
          "jsonPayload": {
            "message": "m",
            "n": 1
          }
        }
        "#);
    }

    #[test]
    fn other_lines_are_text() {
        for line in ["hello", "[1]", "12", "{broken"] {
            assert_eq!(payload(line)["textPayload"], line);
        }
    }

    #[test]
    fn a_severity_nobody_knows_stays_in_the_payload() {
        let entry = payload(r#"{"severity":"LOUD"}"#);
        assert_eq!(entry["jsonPayload"]["severity"], "LOUD");
        assert!(!entry.contains_key("severity"));
    }
}
