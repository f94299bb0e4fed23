//! Secret Manager v1: secrets and their versions.
//!
//! A secret and all its versions are one document, so a change is whole or not
//! at all. Names here carry the project's id; on the wire its number, as Google's do.

mod api;
mod draft;
mod encryption;
mod filter;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use api::{assets, routes};

use crate::clock::now;
use crate::error::ApiError;
use crate::projects::Projects;
use crate::store::{Collection, Store};

const MOST_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    create_time: String,
    etag: String,
    replication: Value,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    version_aliases: BTreeMap<String, u64>,
    /// Numbers are never used again, so the last one given outlives its version.
    #[serde(default)]
    last_version: u64,
    #[serde(default)]
    versions: BTreeMap<u64, Version>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    state: State,
    create_time: String,
    #[serde(default)]
    destroy_time: Option<String>,
    etag: String,
    checksum_sent: bool,
    /// Where it was stored, which the secret may have changed since.
    #[serde(default)]
    status: Option<Value>,
    /// Base64; gone once destroyed.
    payload: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Enabled,
    Disabled,
    Destroyed,
}

/// All secrets, by `projects/P/secrets/S`.
pub struct Secrets {
    secrets: Collection<Secret>,
    projects: Arc<Projects>,
}

impl Secrets {
    pub fn open(store: &Store, projects: Arc<Projects>) -> io::Result<Secrets> {
        Ok(Secrets {
            secrets: store.collection("secrets")?,
            projects,
        })
    }

    pub fn count(&self) -> usize {
        self.secrets.count()
    }

    /// Whether there is a secret `projects/P/secrets/S`.
    pub fn exists(&self, secret: &str) -> bool {
        self.projects
            .by_id(secret)
            .is_ok_and(|secret| self.secrets.get(&secret).is_some())
    }

    /// The value of `projects/P/secrets/S/versions/V`; `V` is a number, an alias or `latest`.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `FAILED_PRECONDITION` for a version that is disabled or destroyed.
    pub fn payload(&self, version: &str) -> Result<Vec<u8>, ApiError> {
        let version = self.projects.by_id(version)?;
        let (secret, version) = version.split_once("/versions/").ok_or_else(|| {
            ApiError::invalid(format!("`{version}` is no name of a secret version."))
        })?;
        self.access(secret, version).map(|(_, payload)| payload)
    }

    fn get(&self, name: &str) -> Result<Secret, ApiError> {
        self.secrets.get(name).ok_or_else(|| no_secret(name))
    }

    fn create(&self, name: &str, secret: Secret) -> Result<Secret, ApiError> {
        self.secrets.update(name, |present| {
            if present.is_some() {
                return Err(ApiError::already_exists(format!(
                    "Secret [{name}] already exists."
                )));
            }
            *present = Some(secret.clone());
            Ok(secret)
        })
    }

    fn change<R>(
        &self,
        name: &str,
        change: impl FnOnce(&mut Secret) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        self.secrets.update(name, |secret| {
            change(secret.as_mut().ok_or_else(|| no_secret(name))?)
        })
    }

    fn add(&self, name: &str, payload: &[u8], checksum_sent: bool) -> Result<u64, ApiError> {
        check_payload(payload)?;
        self.change(name, |secret| {
            secret.last_version += 1;
            let status = encryption::status(&secret.replication);
            secret.versions.insert(
                secret.last_version,
                Version {
                    status: Some(status),
                    state: State::Enabled,
                    create_time: now(),
                    destroy_time: None,
                    etag: new_etag(),
                    checksum_sent,
                    payload: Some(STANDARD.encode(payload)),
                },
            );
            Ok(secret.last_version)
        })
    }

    fn access(&self, name: &str, version: &str) -> Result<(u64, Vec<u8>), ApiError> {
        let secret = self.get(name)?;
        let (number, version) = secret.version(name, version)?;
        let payload = match (version.state, &version.payload) {
            (State::Enabled, Some(payload)) => payload,
            (state, _) => {
                return Err(ApiError::failed_precondition(format!(
                    "Secret Version [{name}/versions/{number}] is in {} state.",
                    state.name()
                )));
            }
        };
        let payload = STANDARD
            .decode(payload)
            .map_err(|_| ApiError::internal(format!("the stored payload of {name} is damaged")))?;
        Ok((number, payload))
    }

    /// Moves a version to another state; destroyed is final.
    fn transition(
        &self,
        name: &str,
        version: &str,
        state: State,
        etag: &str,
    ) -> Result<u64, ApiError> {
        self.change(name, |secret| {
            let (number, _) = secret.version(name, version)?;
            let version = secret
                .versions
                .get_mut(&number)
                .ok_or_else(|| no_version(name, &number.to_string()))?;
            check_etag(etag, &version.etag)?;
            version.enter(state, &format!("{name}/versions/{number}"))?;
            Ok(number)
        })
    }
}

impl Secret {
    /// A version by number, alias or `latest`, the highest number whatever its state.
    fn version(&self, name: &str, version: &str) -> Result<(u64, &Version), ApiError> {
        let number = match version {
            "latest" => self.versions.keys().next_back().copied(),
            text => text
                .parse()
                .ok()
                .or_else(|| self.version_aliases.get(text).copied()),
        };
        number
            .and_then(|number| Some((number, self.versions.get(&number)?)))
            .ok_or_else(|| no_version(name, version))
    }
}

impl Version {
    fn enter(&mut self, state: State, name: &str) -> Result<(), ApiError> {
        if self.state == State::Destroyed {
            return Err(ApiError::failed_precondition(format!(
                "Secret Version [{name}] is in DESTROYED state."
            )));
        }
        // The etag is new even where the state stays.
        self.state = state;
        self.etag = new_etag();
        if state == State::Destroyed {
            self.payload = None;
            self.destroy_time = Some(now());
        }
        Ok(())
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Enabled => "ENABLED",
            State::Disabled => "DISABLED",
            State::Destroyed => "DESTROYED",
        }
    }
}

fn check_payload(payload: &[u8]) -> Result<(), ApiError> {
    if payload.is_empty() {
        return Err(ApiError::invalid("Secret Payload cannot be empty."));
    }
    if payload.len() > MOST_BYTES {
        return Err(ApiError::invalid(format!(
            "Secret Payload has {} bytes, more than the {MOST_BYTES} allowed.",
            payload.len()
        )));
    }
    Ok(())
}

fn check_etag(sent: &str, present: &str) -> Result<(), ApiError> {
    if sent.is_empty() || sent == present {
        return Ok(());
    }
    // Secret Manager answers 400 here, where other APIs answer 409 (its guide on ETags).
    Err(ApiError::failed_precondition(
        "The etag provided does not match the current etag of the resource; read it again.",
    ))
}

fn no_secret(name: &str) -> ApiError {
    ApiError::not_found(format!("Secret [{name}] not found."))
}

fn no_version(name: &str, version: &str) -> ApiError {
    ApiError::not_found(format!(
        "Secret [{name}] not found or has no version [{version}]."
    ))
}

fn new_etag() -> String {
    format!("\"{:014x}\"", rand::random::<u64>() >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAME: &str = "projects/acme-prod/secrets/token";

    fn secrets(folder: &tempfile::TempDir) -> Secrets {
        let store = Store::open(folder.path()).unwrap();
        let projects = Arc::new(Projects::open(&store).unwrap());
        let secrets = Secrets::open(&store, projects).unwrap();
        let secret = draft::create(&json!({"replication": {"automatic": {}}})).unwrap();
        secrets.create(NAME, secret).unwrap();
        secrets
    }

    #[test]
    fn latest_is_the_highest_number_even_when_disabled() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = secrets(&folder);
        secrets.add(NAME, b"one", false).unwrap();
        secrets.add(NAME, b"two", false).unwrap();
        let latest = format!("{NAME}/versions/latest");
        assert_eq!(secrets.payload(&latest).unwrap(), b"two");
        secrets.transition(NAME, "2", State::Disabled, "").unwrap();
        let error = secrets.payload(&latest).unwrap_err();
        assert_eq!(error.status, "FAILED_PRECONDITION");
        assert_eq!(
            secrets.payload(&format!("{NAME}/versions/1")).unwrap(),
            b"one"
        );
    }

    #[test]
    fn destroyed_is_final_and_its_number_stays_taken() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = secrets(&folder);
        secrets.add(NAME, b"one", false).unwrap();
        secrets
            .transition(NAME, "latest", State::Destroyed, "")
            .unwrap();
        assert!(secrets.transition(NAME, "1", State::Enabled, "").is_err());
        assert_eq!(secrets.add(NAME, b"two", false).unwrap(), 2);
    }

    #[test]
    fn a_destroyed_payload_is_off_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = secrets(&folder);
        secrets.add(NAME, b"one", false).unwrap();
        secrets.transition(NAME, "1", State::Destroyed, "").unwrap();
        let file = std::fs::read_dir(folder.path().join("secrets")).unwrap();
        let texts: String = file
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!texts.contains(&STANDARD.encode("one")), "{texts}");
    }

    #[test]
    fn a_payload_has_1_to_65536_bytes() {
        assert!(check_payload(&[]).is_err());
        assert!(check_payload(&vec![0; MOST_BYTES]).is_ok());
        assert!(check_payload(&vec![0; MOST_BYTES + 1]).is_err());
    }

    #[test]
    fn a_secret_is_found_by_project_number_too() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = secrets(&folder);
        let by_number = secrets.projects.by_number(NAME).unwrap();
        assert!(secrets.exists(&by_number));
        assert!(!secrets.exists("projects/acme-prod/secrets/other"));
    }
}
