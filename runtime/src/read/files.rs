//! The files of `read` and `check`: manifest, config, state.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::future::{BoxFuture, FutureExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json, json};

use crate::source::lint::{Finding, Severity, lint};
use crate::source::{self, Config, SecretSink, SinkError};

/// The states of streams by name.
pub type States = std::collections::BTreeMap<String, Json>;

/// A file that cannot be read or does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {}: {problem}", path.display())]
    Read { path: PathBuf, problem: String },
    #[error("{}: {problem}", path.display())]
    Malformed { path: PathBuf, problem: String },
    #[error("cannot write {}: {problem}", path.display())]
    Write { path: PathBuf, problem: String },
}

pub fn read_manifest(path: &Path) -> Result<Json, FileError> {
    let mut manifest = read(path)?;
    if !manifest.is_object() {
        return Err(malformed(path, "a manifest is a mapping"));
    }
    source::attach_files(&mut manifest, path).map_err(|error| FileError::Read {
        path: path.to_owned(),
        problem: format!("the schemas beside it: {error}"),
    })?;
    Ok(manifest)
}

/// More errors than this are a list for another day.
const MOST_PLACES: usize = 5;

/// A line for each error in a manifest's text, with its place.
pub fn places(path: &Path) -> String {
    let Ok(text) = fs::read_to_string(path) else {
        return String::new();
    };
    let findings = lint(&text).into_iter();
    let errors = findings.filter(|finding| finding.severity == Severity::Error);
    let lines = errors.take(MOST_PLACES).map(|finding| {
        let Finding {
            line,
            column,
            message,
            ..
        } = finding;
        format!("\n  line {line}, column {column}: {message}")
    });
    lines.collect()
}

/// YAML holds JSON, so one reader reads both.
fn read(path: &Path) -> Result<Json, FileError> {
    let text = fs::read_to_string(path).map_err(|error| FileError::Read {
        path: path.to_owned(),
        problem: error.to_string(),
    })?;
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return serde_json::from_str(&text).map_err(|error| malformed(path, error));
    }
    source::yaml::read(&text).map_err(|error| malformed(path, error))
}

fn malformed(path: &Path, problem: impl ToString) -> FileError {
    FileError::Malformed {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

/// Replaces a file as a whole; only its owner can read it.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let next = path.with_file_name(name);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The config's file, where rotated secrets are written back.
pub struct ConfigFile {
    path: PathBuf,
    config: Mutex<Map<String, Json>>,
}

impl ConfigFile {
    pub fn open(path: &Path) -> Result<(Config, ConfigFile), FileError> {
        let Json::Object(config) = read(path)? else {
            return Err(malformed(path, "a config is a mapping"));
        };
        let file = ConfigFile {
            path: path.to_owned(),
            config: Mutex::new(config.clone()),
        };
        Ok((Config(config), file))
    }

    fn write(&self, path: &[String], value: &SecretString) -> Result<(), SinkError> {
        let mut config = self
            .config
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        set(&mut config, path, value.expose_secret().into());
        serde_json::to_string_pretty(&*config)
            .map_err(|error| error.to_string())
            .and_then(|text| replace(&self.path, &text).map_err(|error| error.to_string()))
            .map_err(|problem| SinkError(format!("{}: {problem}", self.path.display())))
    }
}

impl SecretSink for ConfigFile {
    fn store<'a>(
        &'a self,
        config_path: &'a [String],
        value: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        async move { self.write(config_path, value) }.boxed()
    }
}

fn set(fields: &mut Map<String, Json>, path: &[String], value: Json) {
    match path {
        [] => {}
        [last] => {
            fields.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let child = fields.entry(first.clone()).or_insert_with(|| json!({}));
            if let Json::Object(child) = child {
                set(child, rest, value);
            }
        }
    }
}

/// The states of a file in Airbyte's form: a list of stream states.
pub fn read_states(path: &Path) -> Result<States, FileError> {
    let list = read(path)?;
    let list = list
        .as_array()
        .ok_or_else(|| malformed(path, "a state is a list of stream states"))?;
    let entries = list.iter().map(entry);
    let entries: Result<_, String> = entries.collect();
    entries.map_err(|problem| malformed(path, problem))
}

fn entry(state: &Json) -> Result<(String, Json), String> {
    let stream = &state["stream"];
    let Some(name) = stream["stream_descriptor"]["name"].as_str() else {
        return Err("a state has no `stream.stream_descriptor.name`".to_owned());
    };
    match &stream["stream_state"] {
        state @ (Json::Object(_) | Json::Null) => Ok((name.to_owned(), state.clone())),
        _ => Err(format!("the `stream_state` of `{name}` is no mapping")),
    }
}

pub fn write_states(path: &Path, states: &States) -> Result<(), FileError> {
    let list: Json = states
        .iter()
        .map(|(name, state)| {
            let stream = json!({"stream_descriptor": {"name": name}, "stream_state": state});
            json!({"type": "STREAM", "stream": stream})
        })
        .collect();
    replace(path, &format!("{list:#}\n")).map_err(|error| FileError::Write {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_rotated_secret_is_written_back_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(
            &path,
            r#"{"credentials": {"refresh_token": "old", "id": 1}}"#,
        )
        .unwrap();
        let (_, file) = ConfigFile::open(&path).unwrap();
        let field = ["credentials".to_owned(), "refresh_token".to_owned()];
        file.write(&field, &SecretString::from("new")).unwrap();
        assert_eq!(
            read(&path).unwrap(),
            json!({"credentials": {"refresh_token": "new", "id": 1}})
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn states_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let states = States::from([("a".to_owned(), json!({"updated": "2024-01-01"}))]);
        write_states(&path, &states).unwrap();
        assert_eq!(read_states(&path).unwrap(), states);
    }

    #[test]
    fn a_malformed_manifest_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.yaml");
        fs::write(&path, "streams:\n  - a: [1, 2\n  b: }\n").unwrap();
        let problem = read_manifest(&path).unwrap_err().to_string();
        assert!(problem.contains("line 3"), "{problem}");
    }
}
