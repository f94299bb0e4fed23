//! Text to value: whether an answer is of the field's kind and keeps its rules.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use regex::Regex;
use serde_json::{Number, Value};

use super::field::{Field, Kind, plain};

impl Field {
    /// The value a text stands for; the error says what is wanted instead.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        let value = value(&self.kind, text)?;
        self.check_range(&value)?;
        // A list's pattern is its items' business, and is left to the source.
        if matches!(self.kind, Kind::Text | Kind::Date | Kind::DateTime) {
            self.check_pattern(text)
                .map_err(|problem| format!("{problem}, not `{text}`"))?;
        }
        Ok(value)
    }

    /// Whether a secret's value will do; the error does not show it.
    pub fn check_secret(&self, value: &str) -> Result<(), String> {
        if value.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        self.check_pattern(value)
    }

    fn check_pattern(&self, text: &str) -> Result<(), String> {
        let Some(pattern) = &self.rules.pattern else {
            return Ok(());
        };
        // A pattern of a dialect that is not ours is the source's to check.
        match Regex::new(pattern) {
            Ok(regex) if !regex.is_match(text) => Err(match &self.rules.descriptor {
                Some(words) => format!("must look like {words}"),
                None => format!("must match {pattern}"),
            }),
            _ => Ok(()),
        }
    }

    fn check_range(&self, value: &Value) -> Result<(), String> {
        let Some(number) = value.as_f64() else {
            return Ok(());
        };
        match (self.rules.minimum, self.rules.maximum) {
            (Some(minimum), _) if number < minimum => Err(format!("must be at least {minimum}")),
            (_, Some(maximum)) if number > maximum => Err(format!("must be at most {maximum}")),
            _ => Ok(()),
        }
    }
}

fn value(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Text => Ok(Value::from(text)),
        Kind::Date => match text.parse::<Date>() {
            Ok(_) if text.len() == 10 => Ok(Value::from(text)),
            _ => Err(format!("must be a date like 2024-01-31, not `{text}`")),
        },
        Kind::DateTime => {
            match text.parse::<Timestamp>().is_ok() || text.parse::<DateTime>().is_ok() {
                true => Ok(Value::from(text)),
                false => Err(format!(
                    "must be a time like 2024-01-31T00:00:00Z, not `{text}`"
                )),
            }
        }
        Kind::Integer => text
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("must be a whole number, not `{text}`")),
        Kind::Number => text
            .parse::<Number>()
            .map(Value::Number)
            .map_err(|_| format!("must be a number, not `{text}`")),
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" => Ok(Value::Bool(true)),
            "false" | "no" | "n" => Ok(Value::Bool(false)),
            _ => Err(format!("must be true or false, not `{text}`")),
        },
        Kind::Choice(values) => one_of(text, values.iter()),
        Kind::Variant(variants) => one_of(text, variants.iter().map(|variant| &variant.value)),
        Kind::List(item) => list(item, text),
        Kind::Json => serde_json::from_str(text).map_err(|error| format!("must be JSON ({error})")),
    }
}

fn one_of<'a>(
    text: &str,
    values: impl Iterator<Item = &'a Value> + Clone,
) -> Result<Value, String> {
    let found = values.clone().find(|value| plain(value) == text);
    found.cloned().ok_or_else(|| {
        let known: Vec<_> = values.map(plain).collect();
        format!("must be one of {}, not `{text}`", known.join(", "))
    })
}

/// A JSON array, or values with commas between them.
fn list(item: &Kind, text: &str) -> Result<Value, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|error| format!("must be JSON ({error})"));
    }
    text.split(',')
        .map(|part| value(item, part.trim()))
        .collect()
}
