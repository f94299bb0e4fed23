//! Which clients a command is for. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::Client;

/// Which clients of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    All,
    One(String),
    /// Those that meet all conditions.
    Where(Vec<Condition>),
}

/// `source=xero`: what a client must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    key: Key,
    /// A `*` stands for anything.
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Client,
    Source,
    Pipeline,
    Project,
    Region,
}

const KEYS: [(&str, Key); 5] = [
    ("client", Key::Client),
    ("source", Key::Source),
    ("pipeline", Key::Pipeline),
    ("project", Key::Project),
    ("region", Key::Region),
];

#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no condition: write KEY=VALUE with the key client, source, pipeline, project or region"
)]
pub struct NoCondition(String);

impl FromStr for Condition {
    type Err = NoCondition;

    fn from_str(text: &str) -> Result<Condition, NoCondition> {
        let no_condition = || NoCondition(text.to_owned());
        let (key, value) = text.split_once('=').ok_or_else(no_condition)?;
        let known = KEYS.iter().find(|(name, _)| *name == key);
        let (_, key) = known.ok_or_else(no_condition)?;
        Ok(Condition {
            key: *key,
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = KEYS.iter().find(|(_, key)| *key == self.key);
        let name = named.map_or("", |(name, _)| name);
        write!(f, "{name}={}", self.value)
    }
}

impl TryFrom<String> for Condition {
    type Error = NoCondition;

    fn try_from(text: String) -> Result<Condition, NoCondition> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> String {
        condition.to_string()
    }
}

impl Selection {
    pub fn holds(&self, client: &Client) -> bool {
        match self {
            Selection::All => true,
            Selection::One(name) => client.name == *name,
            Selection::Where(conditions) => conditions.iter().all(|it| it.holds(client)),
        }
    }
}

impl Condition {
    fn holds(&self, client: &Client) -> bool {
        let matches = |text: &str| matches(&self.value, text);
        let mut pipelines = client.pipelines.iter();
        match self.key {
            Key::Client => matches(&client.name),
            Key::Project => matches(&client.project),
            Key::Region => matches(&client.region),
            Key::Source => pipelines.any(|pipeline| matches(&pipeline.source)),
            Key::Pipeline => pipelines.any(|pipeline| matches(&pipeline.name)),
        }
    }
}

/// Whether `text` is `pattern`, whose `*` stand for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().any(|at| matches(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in [
            ("acme", "acme"),
            ("a*", "acme"),
            ("*me", "acme"),
            ("a*m*", "acme"),
        ] {
            assert!(matches(pattern, text), "{pattern}");
        }
        for (pattern, text) in [
            ("acm", "acme"),
            ("b*", "acme"),
            ("a*x", "acme"),
            ("", "acme"),
        ] {
            assert!(!matches(pattern, text), "{pattern}");
        }
    }

    #[test]
    fn a_condition_is_kept_as_it_is_written() {
        for (text, _) in KEYS.map(|(name, key)| (format!("{name}=a*"), key)) {
            let condition: Condition = text.parse().unwrap();
            let json = serde_json::to_value(&condition).unwrap();
            assert_eq!(json, text.as_str());
            assert_eq!(
                serde_json::from_value::<Condition>(json).unwrap(),
                condition
            );
        }
    }

    #[test]
    fn what_is_no_condition_is_told_with_the_keys_there_are() {
        for text in ["xero", "sources=xero", "=x"] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("source"), "{error}");
        }
    }
}
