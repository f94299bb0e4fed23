//! What steps make of one value.

use hmac::{Hmac, KeyInit, Mac};
use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::value::Value;

use super::step::CastType;

/// The value as one of the type, where it can be read as one; else as it is, for the load
/// to put aside.
pub fn cast(value: &mut Value, to: CastType) {
    let cast = match (&*value, to) {
        (Value::Null, _) | (_, CastType::Json) => return,
        (Value::String(text), CastType::String) => Value::String(text.clone()),
        (other, CastType::String) => Value::String(text(other)),
        (Value::String(text), _) if text.trim().is_empty() => Value::Null,
        (Value::String(text), CastType::Bool) => match boolean(text.trim()) {
            Some(boolean) => Value::Bool(boolean),
            None => return,
        },
        (Value::Int(number @ (0 | 1)), CastType::Bool) => Value::Bool(*number == 1),
        (Value::Bool(boolean), to) if to.is_number() => Value::Int((*boolean).into()),
        (Value::String(text), to) if to.is_number() => match number(text.trim()) {
            Some(number) => number,
            None => return,
        },
        (Value::String(text), _) => Value::String(text.trim().to_owned()),
        _ => return,
    };
    *value = cast;
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A number with the digits it was written with.
fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = serde_json::from_str::<serde_json::Number>(digits).is_ok();
    is_number.then(|| Value::number(digits))
}

/// A text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // A value's keys are strings, so it always serializes.
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// HMAC-SHA-256 of the value, in hex: the same value gives the same hash, and without the
/// key nobody can try values out.
pub fn hash(value: &mut Value, key: &SecretString) {
    if *value == Value::Null {
        return;
    }
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()) else {
        return *value = Value::Null;
    };
    mac.update(text(value).as_bytes());
    *value = Value::String(hex::encode(mac.finalize().into_bytes()));
}

/// `****` and the last `keep` characters, where at least twice as many are hidden.
pub fn mask(value: &mut Value, keep: usize) {
    if *value == Value::Null {
        return;
    }
    let text = text(value);
    let length = text.chars().count();
    let shown: String = match length >= keep.saturating_mul(3) {
        true => text.chars().skip(length - keep).collect(),
        false => String::new(),
    };
    *value = Value::String(format!("****{shown}"));
}

/// A moment without an offset read in zone `from`; shown in UTC, or as the clocks of zone
/// `to` say. What is no moment stays as it is.
pub fn in_zone(value: &mut Value, from: &TimeZone, to: Option<&TimeZone>) {
    let Value::String(text) = &*value else { return };
    if text.trim().is_empty() {
        return *value = Value::Null;
    }
    if let Some(moment) = moved(text.trim(), from, to) {
        *value = Value::String(moment);
    }
}

fn moved(text: &str, from: &TimeZone, to: Option<&TimeZone>) -> Option<String> {
    let pieces = Pieces::parse(text).ok()?;
    let local = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    let moment = match pieces.to_numeric_offset() {
        Some(offset) => offset.to_timestamp(local).ok()?,
        None => from.to_timestamp(local).ok()?,
    };
    Some(match to {
        None => moment.to_string(),
        Some(zone) => zone.to_datetime(moment).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: Value, change: impl Fn(&mut Value)) -> Value {
        let mut value = value;
        change(&mut value);
        value
    }

    #[test]
    fn texts_are_read_as_what_they_are_cast_to() {
        let cast_to = |text: &str, to| after(text.into(), |value| cast(value, to));
        assert_eq!(
            cast_to(" 12.50 ", CastType::Numeric),
            Value::number("12.50")
        );
        assert_eq!(cast_to("007x", CastType::Int64), "007x".into());
        assert_eq!(cast_to("", CastType::Date), Value::Null);
        assert_eq!(cast_to("Yes", CastType::Bool), Value::Bool(true));
        assert_eq!(cast_to("maybe", CastType::Bool), "maybe".into());
        let number = after(Value::number("0.10"), |value| cast(value, CastType::String));
        assert_eq!(number, "0.10".into());
    }

    #[test]
    fn a_hash_depends_on_the_key_and_null_stays_null() {
        let hashed = |key: &str| after("a@b.c".into(), |value| hash(value, &key.to_owned().into()));
        assert_eq!(hashed("k"), hashed("k"));
        assert_ne!(hashed("k"), hashed("l"));
        assert_eq!(
            hashed("key"),
            // Python: hmac.new(b"key", b"a@b.c", "sha256").hexdigest()
            "39ae49c50426b2bd08543508b376ed900cccf8729da709864ff1e0ef842c25b6".into()
        );
        assert_eq!(
            after(Value::Null, |value| hash(value, &"k".to_owned().into())),
            Value::Null
        );
    }

    #[test]
    fn a_mask_shows_an_end_only_of_what_is_long() {
        let masked = |text: &str, keep| after(text.into(), |value| mask(value, keep));
        assert_eq!(masked("4111111111111234", 4), "****1234".into());
        assert_eq!(masked("12345", 4), "****".into());
        assert_eq!(masked("secret", 0), "****".into());
    }

    #[test]
    fn a_local_time_is_read_in_its_zone_and_shown_in_another() {
        let london = TimeZone::get("Europe/London").unwrap();
        let auckland = TimeZone::get("Pacific/Auckland").unwrap();
        let told = |text: &str, to| after(text.into(), |value| in_zone(value, &london, to));
        assert_eq!(
            told("2024-07-01T09:30:00", None),
            "2024-07-01T08:30:00Z".into()
        );
        assert_eq!(
            told("2024-07-01T09:30:00+02:00", None),
            "2024-07-01T07:30:00Z".into()
        );
        assert_eq!(
            told("2024-07-01T09:30:00", Some(&auckland)),
            "2024-07-01T20:30:00".into()
        );
        assert_eq!(told("soon", None), "soon".into());
    }
}
