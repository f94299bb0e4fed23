//! The config of a source, with its secrets, and how neither reaches a log.

use std::fmt;
use std::sync::{Arc, RwLock};

use futures::future::BoxFuture;
use secrecy::SecretString;
use serde_json::{Map, Value as Json};

/// A source's config; printing it shows only the names of its fields.
#[derive(Clone, Default, PartialEq)]
pub struct Config(pub Map<String, Json>);

impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

impl Config {
    /// The value at a path of keys.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Json> {
        let (first, rest) = path.split_first()?;
        let start = self.0.get(first.as_ref())?;
        rest.iter()
            .try_fold(start, |value, key| value.get(key.as_ref()))
    }
}

/// Why a rotated secret could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Where a secret that the source replaced is kept. When `store` returns, it is durable.
pub trait SecretSink: Send + Sync {
    fn store<'a>(
        &'a self,
        config_path: &'a [String],
        value: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>>;
}

/// Texts that must not be shown.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Vec<String>>>);

impl fmt::Debug for Redactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Redactor")
    }
}

/// Shorter texts would blot out ordinary words.
const SHORTEST_SECRET: usize = 4;

impl Redactor {
    /// Hides what the specification calls `airbyte_secret`.
    pub fn new(config: &Config, specification: &Json) -> Redactor {
        let redactor = Redactor::default();
        redactor.hide_secrets(specification, &Json::Object(config.0.clone()));
        redactor
    }

    pub fn hide(&self, secret: &str) {
        if secret.len() < SHORTEST_SECRET {
            return;
        }
        if let Ok(mut secrets) = self.0.write() {
            for form in forms(secret) {
                if !secrets.contains(&form) {
                    secrets.push(form);
                }
            }
            // A secret may hold another one.
            secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// `text` with stars for secrets.
    pub fn clean(&self, text: &str) -> String {
        let Ok(secrets) = self.0.read() else {
            return "****".to_owned();
        };
        secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "****"))
    }

    fn hide_secrets(&self, schema: &Json, value: &Json) {
        if schema["airbyte_secret"] == Json::Bool(true) {
            self.hide_all(value);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.hide_secrets(field, value);
            }
        }
        for choice in ["oneOf", "anyOf", "allOf"] {
            for schema in schema[choice].as_array().into_iter().flatten() {
                self.hide_secrets(schema, value);
            }
        }
        for item in value.as_array().into_iter().flatten() {
            self.hide_secrets(&schema["items"], item);
        }
    }

    /// A secret that is a JSON document holds others; an address in it is none.
    fn hide_document(&self, text: &str) {
        let Ok(document @ (Json::Object(_) | Json::Array(_))) = serde_json::from_str(text) else {
            return;
        };
        for value in leaves(&document) {
            if !value.as_str().is_some_and(is_address) {
                self.hide_all(value);
            }
        }
    }

    fn hide_all(&self, value: &Json) {
        match value {
            Json::String(text) => {
                self.hide(text);
                self.hide_document(text);
            }
            Json::Number(number) => self.hide(&number.to_string()),
            Json::Array(values) => values.iter().for_each(|value| self.hide_all(value)),
            Json::Object(fields) => fields.values().for_each(|value| self.hide_all(value)),
            Json::Null | Json::Bool(_) => {}
        }
    }
}

/// A secret as it is, in a query or a form, in a path and in JSON.
fn forms(secret: &str) -> [String; 4] {
    let query = super::template::quote_plus(secret);
    let path = query.replace('+', "%20");
    let json = Json::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    [secret.to_owned(), query, path, json]
}

/// The values of a document that hold no others.
fn leaves(value: &Json) -> Vec<&Json> {
    match value {
        Json::Array(values) => values.iter().flat_map(leaves).collect(),
        Json::Object(fields) => fields.values().flat_map(leaves).collect(),
        value => vec![value],
    }
}

/// Whether a text is an address that carries no credentials.
fn is_address(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    let has_credentials =
        !url.username().is_empty() || url.password().is_some() || url.query().is_some();
    url.has_host() && !has_credentials
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_of_the_specification_are_hidden_wherever_they_are() {
        let specification = json!({"properties": {"credentials": {"oneOf": [
            {"properties": {"kind": {"const": "key"}, "key": {"airbyte_secret": true}}},
            {"properties": {"pass word": {"airbyte_secret": true}}},
        ]}}});
        let config = json!({"credentials": {"kind": "key", "key": "s3cr3t", "pass word": "a b&c"}});
        let redactor = Redactor::new(&Config(config.as_object().unwrap().clone()), &specification);
        assert_eq!(
            redactor.clean("?key=s3cr3t&p=a+b%26c&kind=key"),
            "?key=****&p=****&kind=key"
        );
    }

    #[test]
    fn a_secret_is_hidden_in_each_form_it_is_sent_in() {
        let redactor = Redactor::default();
        redactor.hide("a \"b\"");
        assert_eq!(
            redactor.clean(r#"a+%22b%22 a%20%22b%22 {"k": "a \"b\""}"#),
            r#"**** **** {"k": "****"}"#
        );
    }

    #[test]
    fn a_secret_document_hides_its_secrets_and_shows_its_addresses() {
        let specification = json!({"properties": {"document": {"airbyte_secret": true}}});
        let document = r#"{"CLIENT_SECRET": "s3cr3t", "keys": [{"k": "inner-key"}],
            "TOKEN_URL": "https://a.example/token", "HOOK": "https://a.example/hook?key=1"}"#;
        let config = json!({"document": document});
        let redactor = Redactor::new(&Config(config.as_object().unwrap().clone()), &specification);
        assert_eq!(
            redactor.clean("s3cr3t inner-key https://a.example/token https://a.example/hook?key=1"),
            "**** **** https://a.example/token ****"
        );
        assert_eq!(redactor.clean(document), "****");
    }
}
