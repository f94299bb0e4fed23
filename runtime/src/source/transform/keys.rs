//! Keys renamed: in lower case, in snake case, or with a part replaced.

use std::sync::LazyLock;

use any_ascii::any_ascii;
use regex::Regex;

use crate::value::{Object, Value};

use crate::source::record_error::RecordError;
use crate::source::template::{Scope, Template};

use super::lent::lend;

#[derive(Debug, Clone)]
pub enum Rename {
    /// Only the record's own keys.
    Lower,
    Snake,
    Replace {
        old: Template,
        new: Template,
    },
}

impl Rename {
    pub fn apply(&self, record: &mut Object, scope: &Scope) -> Result<(), RecordError> {
        match self {
            Rename::Lower => {
                let fields = std::mem::take(record).into_iter();
                *record = fields
                    .map(|(key, value)| (key.to_lowercase(), value))
                    .collect();
            }
            Rename::Snake => *record = renamed(std::mem::take(record), &snake_case),
            Rename::Replace { old, new } => {
                let (old, new) = lend(record, |shown| {
                    let scope = scope.clone().with("record", shown);
                    Ok::<_, RecordError>((old.text(&scope)?, new.text(&scope)?))
                })?;
                *record = renamed(std::mem::take(record), &|key| key.replace(&old, &new));
            }
        }
        Ok(())
    }
}

/// Keys of the record and of objects in it; those in lists stay.
fn renamed(record: Object, name: &dyn Fn(&str) -> String) -> Object {
    let fields = record.into_iter().map(|(key, value)| match value {
        Value::Object(fields) => (name(&key), Value::Object(renamed(fields, name))),
        value => (name(&key), value),
    });
    fields.collect()
}

/// `CamelCase`, `with spaces` and `x1` to `camel_case`, `with_spaces` and `x_1`.
fn snake_case(key: &str) -> String {
    static TOKENS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"[A-Z]+[a-z]*|[a-z]+|[0-9]+|(?P<none>[^a-zA-Z0-9]+)").ok());
    let key = any_ascii(key);
    let Some(pattern) = TOKENS.as_ref() else {
        return key;
    };
    let tokens = pattern.captures_iter(&key);
    let mut tokens: Vec<String> = tokens
        .map(|found| match found.name("none") {
            Some(_) => String::new(),
            None => found[0].to_lowercase(),
        })
        .collect();
    let last = tokens.len().saturating_sub(1);
    let mut index = 0;
    // Gaps at the ends stay, as an underscore.
    tokens.retain(|token| {
        let keep = index == 0 || index == last || !token.is_empty();
        index += 1;
        keep
    });
    let first = tokens.first().and_then(|first| first.chars().next());
    if first.is_some_and(|first| first.is_ascii_digit()) {
        tokens.insert(0, String::new());
    }
    tokens.join("_")
}
