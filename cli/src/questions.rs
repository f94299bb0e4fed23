//! What has to be asked before a source can be read, and whether an answer will do.
//!
//! The questions come from the manifest's connection specification. Nothing
//! here asks: answers arrive from flags, files, the environment or a terminal,
//! and `open` says what is still to be known. Values of secrets stay apart
//! from the config and are never part of a message.

mod answer;
mod field;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::config::nearest;
pub use field::{Field, Kind, plain};

/// Questions, and the answers so far.
#[derive(Debug)]
pub struct Interview<'a> {
    specification: &'a Value,
    config: Value,
    secrets: BTreeMap<String, SecretString>,
    /// Secrets that are in Secret Manager already.
    stored: BTreeSet<String>,
}

/// An answer that came without being asked for.
#[derive(Debug)]
pub enum Given {
    /// `--config path=text`
    Text(String),
    Secret(SecretString),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("`{path}`: {problem}")]
    Invalid { path: String, problem: String },
    #[error("the source has no setting `{path}`")]
    Unknown {
        path: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("`{path}` is a secret and does not belong into the arguments, where others see it")]
    SecretInArguments { path: String },
    #[error("`{path}` is no secret; give it with `--config {path}=...`")]
    NoSecret { path: String },
}

impl AnswerError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            AnswerError::Unknown { nearest, known, .. } => Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("its settings: {}", known.join(", ")),
            }),
            AnswerError::SecretInArguments { path } => Some(format!(
                "use `--secret-file {path}=FILE` or the environment variable {}",
                crate::names::secret_env(path)
            )),
            _ => None,
        }
    }
}

impl<'a> Interview<'a> {
    /// `config` and `stored` are what is known from an earlier time.
    pub fn new(
        specification: &'a Value,
        config: Map<String, Value>,
        stored: BTreeSet<String>,
    ) -> Interview<'a> {
        Interview {
            specification,
            config: Value::Object(config),
            secrets: BTreeMap::new(),
            stored,
        }
    }

    /// Takes the answers given ahead, in any order: which fields there are depends on them.
    pub fn take(&mut self, given: Vec<(String, Given)>) -> Result<(), AnswerError> {
        let mut waiting = given;
        loop {
            let fields = self.fields();
            let before = waiting.len();
            let mut later = Vec::new();
            for (path, value) in waiting {
                match fields.iter().find(|field| field.path == path) {
                    Some(field) => self.take_one(field, value)?,
                    None => later.push((path, value)),
                }
            }
            waiting = later;
            let moved = waiting.len() < before;
            if !moved && !self.choose_by(&waiting) {
                break;
            }
        }
        match waiting.into_iter().next() {
            Some((path, _)) => Err(self.unknown(path)),
            None => Ok(()),
        }
    }

    fn take_one(&mut self, field: &Field, value: Given) -> Result<(), AnswerError> {
        let path = field.path.clone();
        match (value, field.secret) {
            (Given::Text(text), false) => self.answer(field, &text),
            (Given::Secret(value), true) => self.answer_secret(field, value),
            (Given::Text(_), true) => Err(AnswerError::SecretInArguments { path }),
            (Given::Secret(_), false) => Err(AnswerError::NoSecret { path }),
        }
    }

    /// Chooses the one variant that has all the fields that were given.
    fn choose_by(&mut self, given: &[(String, Given)]) -> bool {
        for field in self.open() {
            let Kind::Variant(variants) = &field.kind else {
                continue;
            };
            let at = field.group();
            let names: Vec<&str> = given
                .iter()
                .filter_map(|(path, _)| path.strip_prefix(at)?.split('.').next())
                .collect();
            let mut fitting = variants
                .iter()
                .filter(|variant| names.iter().all(|name| variant.has(name)));
            if let (false, Some(only), None) = (names.is_empty(), fitting.next(), fitting.next()) {
                let value = only.value.clone();
                self.set(&field.path, value);
                return true;
            }
        }
        false
    }

    fn unknown(&self, path: String) -> AnswerError {
        let known: Vec<String> = self.fields().into_iter().map(|field| field.path).collect();
        AnswerError::Unknown {
            nearest: nearest(&path, known.iter().map(String::as_str)),
            path,
            known,
        }
    }

    /// All fields there are with the answers so far, in the order to ask for them.
    pub fn fields(&self) -> Vec<Field> {
        field::fields(self.specification, &self.config)
    }

    /// The fields that are not answered yet.
    pub fn open(&self) -> Vec<Field> {
        let mut fields = self.fields();
        fields.retain(|field| !self.is_answered(field));
        fields
    }

    /// The next field that must be answered.
    pub fn next(&self) -> Option<Field> {
        self.open().into_iter().find(|field| field.required)
    }

    /// The next field that must be answered and is no secret.
    pub fn next_setting(&self) -> Option<Field> {
        let mut open = self.open().into_iter();
        open.find(|field| field.required && !field.secret)
    }

    /// The answers so far, without secrets.
    pub fn config(&self) -> Map<String, Value> {
        self.config.as_object().cloned().unwrap_or_default()
    }

    fn is_answered(&self, field: &Field) -> bool {
        match field.secret {
            true => self.secrets.contains_key(&field.path) || self.stored.contains(&field.path),
            false => field::at(&self.config, &field.path).is_some(),
        }
    }

    /// Takes the text of an answer, if it will do.
    pub fn answer(&mut self, field: &Field, text: &str) -> Result<(), AnswerError> {
        let value = field.parse(text).map_err(|problem| AnswerError::Invalid {
            path: field.path.clone(),
            problem,
        })?;
        self.set(&field.path, value);
        Ok(())
    }

    pub fn answer_secret(&mut self, field: &Field, value: SecretString) -> Result<(), AnswerError> {
        field
            .check_secret(value.expose_secret())
            .map_err(|problem| AnswerError::Invalid {
                path: field.path.clone(),
                problem,
            })?;
        self.secrets.insert(field.path.clone(), value);
        Ok(())
    }

    /// Answers every required field that has a default with it; gives those that have none.
    pub fn settle_defaults(&mut self) -> Vec<Field> {
        let mut missing = Vec::new();
        loop {
            let settled = self.open().into_iter().find_map(|field| {
                let default = field.default.clone().filter(|_| field.required)?;
                Some((field.path, default))
            });
            match settled {
                Some((path, value)) => self.set(&path, value),
                None => break,
            }
        }
        missing.extend(self.open().into_iter().filter(|field| field.required));
        missing
    }

    fn set(&mut self, path: &str, value: Value) {
        let mut place = &mut self.config;
        for key in path.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[key];
        }
        *place = value;
    }

    /// The config without secrets, and the secrets that are new.
    pub fn finish(mut self) -> (Map<String, Value>, BTreeMap<String, SecretString>) {
        for (path, value) in field::constants(self.specification, &self.config) {
            self.set(&path, value);
        }
        match self.config {
            Value::Object(config) => (config, self.secrets),
            _ => (Map::new(), self.secrets),
        }
    }
}

#[cfg(test)]
mod tests;
