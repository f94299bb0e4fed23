//! What a token endpoint's reply says.

use crate::source::moment::{Moment, Span};
use crate::source::{isoparse, python};
use crate::value::Value;

/// Where the token is, in replies that wrap it.
const DEEPEST: usize = 5;
const HOUR: Span = Span {
    months: 0,
    micros: 3_600_000_000,
};

/// The first field of this name that is not null, on any level.
pub fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    find_below(value, name, 0).filter(|value| **value != Value::Null)
}

fn find_below<'v>(value: &'v Value, name: &str, depth: usize) -> Option<&'v Value> {
    if depth > DEEPEST {
        return None;
    }
    let below = |value: &'v Value| {
        let found = find_below(value, name, depth + 1);
        found.filter(|found| **found != Value::Null)
    };
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(found) => Some(found),
            None => fields.values().find_map(below),
        },
        Value::Array(values) => values.iter().find_map(below),
        _ => None,
    }
}

/// When the token ends: as the reply says, else as known before, else in an hour.
pub fn expiry(
    said: Option<&Value>,
    is_a_date: bool,
    before: Option<Moment>,
    now: Moment,
) -> Result<Moment, String> {
    let Some(said) = said.map(python::text) else {
        let before = before.filter(|expires| *expires >= now);
        return Ok(before.or_else(|| now.plus(HOUR)).unwrap_or(now));
    };
    if is_a_date {
        return date(&said).ok_or(format!("`{said}` is no date"));
    }
    let seconds: f64 = said
        .trim()
        .parse()
        .map_err(|_| format!("`{said}` is no number of seconds"))?;
    let span = Span {
        months: 0,
        micros: (seconds.trunc() * 1e6) as i64,
    };
    Ok(now.plus(span).unwrap_or(now))
}

/// A date as text, or as seconds since 1970.
pub fn date(text: &str) -> Option<Moment> {
    match text.parse::<i64>() {
        Ok(seconds) => {
            let at = jiff::Timestamp::from_second(seconds).ok();
            at.filter(|_| seconds >= 0 && text.len() <= 10)
                .map(Moment::utc)
        }
        Err(_) => isoparse::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_on_any_level_unless_null() {
        let reply = Value::from(&json!({"a": {"token": null}, "b": [{"data": {"token": "t"}}]}));
        assert_eq!(find(&reply, "token"), Some(&Value::from("t")));
        assert_eq!(find(&reply, "other"), None);
        let null_on_top = Value::from(&json!({"token": null, "b": {"token": "t"}}));
        assert_eq!(find(&null_on_top, "token"), None);
    }

    #[test]
    fn a_token_ends_when_the_reply_says_else_in_an_hour() {
        let now = Moment::utc("2024-01-01T00:00:00Z".parse().unwrap());
        let end = |said: Option<Value>, is_a_date| {
            let end = expiry(said.as_ref(), is_a_date, None, now);
            end.map(|end| end.at.to_string())
        };
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(
            end(Some(Value::from("90.7")), false),
            ok("2024-01-01T00:01:30Z")
        );
        assert_eq!(end(None, false), ok("2024-01-01T01:00:00Z"));
        assert_eq!(
            end(Some(Value::from("2024-05-01 10:00:00")), true),
            ok("2024-05-01T10:00:00Z")
        );
        assert_eq!(
            end(Some(Value::Int(1_704_067_205)), true),
            ok("2024-01-01T00:00:05Z")
        );
        assert!(end(Some(Value::from("soon")), false).is_err());
    }
}
