//! What can be wrong with a workspace's files.

use std::io;
use std::path::{Path, PathBuf};

use serde_saphyr::{Error as YamlError, Location};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("no xetl.yaml in `{}` or above it", from.display())]
    NoWorkspace { from: PathBuf },
    #[error("cannot read `{}`", shown(path))]
    Read { path: PathBuf, source: io::Error },
    #[error("{at}: unknown key `{key}`")]
    UnknownKey {
        at: String,
        key: String,
        nearest: Option<String>,
        known: Vec<String>,
    },
    #[error("{at}: {problem}")]
    Yaml { at: String, problem: String },
    #[error("no client named `{name}`")]
    UnknownClient { name: String, known: Vec<String> },
    #[error("client `{client}` has no pipeline `{name}`")]
    UnknownPipeline {
        client: String,
        name: String,
        known: Vec<String>,
    },
    #[error("{at}no source named `{name}`")]
    UnknownSource {
        /// Where it is named, where that is a file.
        at: String,
        name: String,
        known: Vec<String>,
    },
    /// A value that reads but cannot be used.
    #[error("{at}: {problem}")]
    Invalid {
        at: String,
        problem: String,
        hint: Option<String>,
    },
}

impl ConfigError {
    /// The error of a file that does not read, with where it is in the file.
    pub(crate) fn yaml(path: &Path, error: &YamlError) -> ConfigError {
        let error = error.without_snippet();
        let at = place(path, error.location());
        if let YamlError::SerdeUnknownField {
            field, expected, ..
        } = error
        {
            return ConfigError::UnknownKey {
                at,
                key: field.clone(),
                nearest: nearest(field, expected.iter().copied()),
                known: expected.iter().map(|&key| key.to_owned()).collect(),
            };
        }
        ConfigError::Yaml {
            at,
            problem: problem(error),
        }
    }

    pub(crate) fn invalid(at: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid {
            at: at.into(),
            problem: problem.into(),
            hint: None,
        }
    }

    /// The same with the key that names it, where it is a source that is not there.
    pub(crate) fn named_at(self, key: &str) -> ConfigError {
        match self {
            ConfigError::UnknownSource { name, known, .. } => ConfigError::UnknownSource {
                at: format!("{key}: "),
                name,
                known,
            },
            other => other,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::NoWorkspace { .. } => {
                Some("`xetl init` makes one here; `-C DIR` names another folder".to_owned())
            }
            ConfigError::UnknownKey { nearest, known, .. } => Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("known keys: {}", known.join(", ")),
            }),
            ConfigError::UnknownClient { name, known } => Some(known_names("clients", name, known)),
            ConfigError::UnknownPipeline { name, known, .. } => {
                Some(known_names("pipelines", name, known))
            }
            ConfigError::UnknownSource { name, known, .. } => {
                Some(known_names("sources", name, known))
            }
            ConfigError::Invalid { hint, .. } => hint.clone(),
            ConfigError::Read { .. } | ConfigError::Yaml { .. } => None,
        }
    }
}

fn known_names(what: &str, name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        _ if known.is_empty() => format!("there are no {what} yet; `xetl onboard` makes one"),
        Some(nearest) => format!(
            "did you mean `{nearest}`? known {what}: {}",
            known.join(", ")
        ),
        None => format!("known {what}: {}", known.join(", ")),
    }
}

/// The path as a person in the workspace's folder would write it.
pub(crate) fn shown(path: &Path) -> String {
    let cwd = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&cwd)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// `clients/acme.yaml:3:5`
fn place(path: &Path, location: Option<Location>) -> String {
    match location {
        Some(location) if location.line() > 0 => {
            format!("{}:{}:{}", shown(path), location.line(), location.column())
        }
        _ => shown(path),
    }
}

/// What is wrong in a writer's words, without the place, which stands in front of it already.
fn problem(error: &YamlError) -> String {
    match error {
        YamlError::Eof { .. } => "there is nothing here where keys have to follow".to_owned(),
        YamlError::MultipleDocuments { .. } => {
            "a second document begins here (`---`); a file holds one".to_owned()
        }
        YamlError::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` stands there twice")
        }
        YamlError::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        YamlError::SerdeUnknownVariant {
            variant, expected, ..
        } => format!("`{variant}` must be one of {}", expected.join(", ")),
        YamlError::Unexpected { expected, .. } => match *expected {
            "mapping start" => "must be a map, such as `{key: value}`".to_owned(),
            "sequence start" => "must be a list, such as `[a, b]`".to_owned(),
            _ => plain(error),
        },
        YamlError::InvalidScalar { ty, .. } => match *ty {
            "u32" => format!("must be a whole number from 0 to {}", u32::MAX),
            "boolean" => "must be `true` or `false`".to_owned(),
            _ => plain(error),
        },
        YamlError::InvalidBooleanStrict { .. } => "must be `true` or `false`".to_owned(),
        _ => plain(error),
    }
}

fn plain(error: &YamlError) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(cut) => text[..cut].to_owned(),
        None => text,
    }
}

/// The known word a mistyped one most likely means.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_key_it_means_and_a_stranger_none() {
        let known = ["schedule", "source", "dataset"];
        assert_eq!(nearest("shedule", known.into_iter()).unwrap(), "schedule");
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
