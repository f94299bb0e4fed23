//! Repositories as Artifact Registry's API v1 describes them.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::error::ApiError;
use crate::forms;
use crate::store::{Collection, Store};

const FORMATS: &[&str] = &["FORMAT_UNSPECIFIED", "DOCKER"];
const MODES: &[&str] = &["MODE_UNSPECIFIED", "STANDARD_REPOSITORY"];
const ACTIONS: &[&str] = &["ACTION_UNSPECIFIED", "DELETE", "KEEP"];
const TAG_STATES: &[&str] = &["TAG_STATE_UNSPECIFIED", "TAGGED", "UNTAGGED", "ANY"];

/// What a user says about a repository; other fields of the API are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    pub format: String,
    pub mode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Never changes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kms_key_name: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_config: Option<DockerConfig>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub cleanup_policies: Map<String, Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cleanup_policy_dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vulnerability_scanning_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_logs_config: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DockerConfig {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub immutable_tags: bool,
}

/// Fields that only the service writes; clients that send back what they read carry them.
const OUTPUT_ONLY: &[&str] = &[
    "name",
    "createTime",
    "updateTime",
    "sizeBytes",
    "satisfiesPzs",
    "satisfiesPzi",
    "registryUri",
    "disallowUnspecifiedMode",
];

impl Settings {
    pub fn parse(mut body: Map<String, Value>) -> Result<Settings, ApiError> {
        for key in OUTPUT_ONLY {
            body.remove(*key);
        }
        forms::name_enum(&mut body, "format", FORMATS);
        forms::name_enum(&mut body, "mode", MODES);
        if let Some(Value::Object(policies)) = body.get_mut("cleanupPolicies") {
            policies.values_mut().for_each(name_policy);
        }
        forms::read(body)
    }

    /// Fills defaults and refuses what the service, or this local one, cannot keep.
    pub fn checked(mut self) -> Result<Settings, ApiError> {
        if self.mode.is_empty() || self.mode == MODES[0] {
            MODES[1].clone_into(&mut self.mode);
        }
        if self.format.is_empty() || self.format == FORMATS[0] {
            return Err(ApiError::invalid("repository.format is required"));
        }
        if self.format != FORMATS[1] || self.mode != MODES[1] {
            return Err(ApiError::unimplemented(format!(
                "the local cloud keeps DOCKER repositories of mode STANDARD_REPOSITORY, not {} of {}",
                self.format, self.mode
            )));
        }
        for (key, value) in &self.labels {
            let value = value
                .as_str()
                .ok_or_else(|| ApiError::invalid(format!("label `{key}` is no text")))?;
            forms::check_labels([(key, &value.to_owned())])?;
        }
        self.check_policies()?;
        Ok(self)
    }

    fn check_policies(&self) -> Result<(), ApiError> {
        for (id, policy) in &self.cleanup_policies {
            let action = policy.get("action").and_then(Value::as_str);
            if !matches!(action, Some("DELETE" | "KEEP")) {
                return Err(ApiError::invalid(format!(
                    "cleanup policy `{id}`: action is DELETE or KEEP"
                )));
            }
            if action == Some("DELETE") && policy.get("mostRecentVersions").is_some() {
                return Err(ApiError::invalid(format!(
                    "cleanup policy `{id}`: mostRecentVersions goes only with KEEP"
                )));
            }
        }
        Ok(())
    }

    /// These settings with the fields of `mask` taken from `from`.
    pub fn masked(&self, from: &Settings, mask: &str) -> Result<Settings, ApiError> {
        let mut settings = self.clone();
        for field in mask.split(',').map(str::trim) {
            match field {
                "*" => {
                    let kms_key_name = self.kms_key_name.clone();
                    return Ok(Settings {
                        kms_key_name,
                        ..from.clone()
                    });
                }
                "description" => from.description.clone_into(&mut settings.description),
                "labels" => from.labels.clone_into(&mut settings.labels),
                "dockerConfig"
                | "docker_config"
                | "dockerConfig.immutableTags"
                | "docker_config.immutable_tags" => {
                    from.docker_config.clone_into(&mut settings.docker_config);
                }
                "cleanupPolicies" | "cleanup_policies" => {
                    from.cleanup_policies
                        .clone_into(&mut settings.cleanup_policies);
                }
                "cleanupPolicyDryRun" | "cleanup_policy_dry_run" => {
                    settings.cleanup_policy_dry_run = from.cleanup_policy_dry_run;
                }
                "vulnerabilityScanningConfig" | "vulnerability_scanning_config" => {
                    settings.vulnerability_scanning_config =
                        from.vulnerability_scanning_config.clone();
                }
                "platformLogsConfig" | "platform_logs_config" => {
                    settings.platform_logs_config = from.platform_logs_config.clone();
                }
                _ => {
                    return Err(ApiError::invalid(format!(
                        "update_mask: `{field}` cannot be changed"
                    )));
                }
            }
        }
        Ok(settings)
    }
}

fn name_policy(policy: &mut Value) {
    let Value::Object(policy) = policy else {
        return;
    };
    forms::name_enum(policy, "action", ACTIONS);
    if let Some(Value::Object(condition)) = policy.get_mut("condition") {
        forms::name_enum(condition, "tagState", TAG_STATES);
    }
}

/// A repository: `projects/P/locations/L/repositories/R` and its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    pub name: String,
    pub create_time: String,
    pub update_time: String,
    pub settings: Settings,
}

impl Repository {
    fn part(&self, index: usize) -> &str {
        self.name.split('/').nth(index).unwrap_or_default()
    }

    pub fn project(&self) -> &str {
        self.part(1)
    }

    pub fn location(&self) -> &str {
        self.part(3)
    }

    pub fn id(&self) -> &str {
        self.part(5)
    }

    pub fn immutable_tags(&self) -> bool {
        let docker = self.settings.docker_config.as_ref();
        docker.is_some_and(|docker| docker.immutable_tags)
    }

    /// The resource as the API shows it.
    pub fn view(&self, size: u64) -> Value {
        let mut view = json!(self.settings);
        let uri = format!(
            "{}-docker.pkg.dev/{}/{}",
            self.location(),
            self.project().replace(':', "/"),
            self.id()
        );
        view["name"] = json!(self.name);
        view["createTime"] = json!(self.create_time);
        view["updateTime"] = json!(self.update_time);
        view["registryUri"] = json!(uri);
        if size > 0 {
            view["sizeBytes"] = json!(size.to_string());
        }
        view
    }
}

/// Whether Artifact Registry takes the id.
pub fn check_id(id: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if id.starts_with(|c: char| c.is_ascii_lowercase())
        && !id.ends_with('-')
        && id.len() <= 63
        && id.chars().all(good)
    {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "repository_id `{id}` is invalid: at most 63 lower-case letters, digits and `-`, \
         starting with a letter and not ending in `-`"
    )))
}

pub struct Repositories {
    documents: Collection<Repository>,
}

impl Repositories {
    pub fn open(store: &Store) -> io::Result<Repositories> {
        Ok(Repositories {
            documents: store.collection("registry/repositories")?,
        })
    }

    pub fn get(&self, name: &str) -> Result<Repository, ApiError> {
        self.documents
            .get(name)
            .ok_or_else(|| ApiError::not_found(format!("Repository {name} not found.")))
    }

    /// The repository of that id, wherever it is: the registry's paths do not say.
    pub fn find(&self, project: &str, id: &str) -> Option<Repository> {
        let all = self.documents.list(&format!("projects/{project}/"));
        let mut all = all.into_iter().map(|(_, repository)| repository);
        all.find(|repository| repository.id() == id)
    }

    pub fn list(&self, parent: &str) -> Vec<Repository> {
        let all = self.documents.list(&format!("{parent}/repositories/"));
        all.into_iter().map(|(_, repository)| repository).collect()
    }

    pub fn create(&self, repository: Repository) -> Result<(), ApiError> {
        if let Some(other) = self.find(repository.project(), repository.id()) {
            if other.name == repository.name {
                return Err(ApiError::already_exists(
                    "the repository already exists".to_owned(),
                ));
            }
            return Err(ApiError::unimplemented(format!(
                "the local registry has one host for all locations, and {} exists",
                other.name
            )));
        }
        Ok(self.documents.put(&repository.name.clone(), repository)?)
    }

    pub fn update(
        &self,
        name: &str,
        change: impl FnOnce(&Settings) -> Result<Settings, ApiError>,
    ) -> Result<Repository, ApiError> {
        self.documents.update(name, |document| {
            let repository = document
                .as_mut()
                .ok_or_else(|| ApiError::not_found(format!("Repository {name} not found.")))?;
            repository.settings = change(&repository.settings)?;
            repository.update_time = clock::now();
            Ok(repository.clone())
        })
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.documents.remove(name).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(body: Value) -> Result<Settings, ApiError> {
        let Value::Object(body) = body else { panic!() };
        Settings::parse(body)?.checked()
    }

    #[test]
    fn what_was_said_is_kept() {
        let kept = settings(json!({
            "format": "DOCKER", "labels": {"managed-by": "xetl"},
            "cleanupPolicies": {"keep": {"id": "keep", "action": 2, "mostRecentVersions": {"keepCount": 10}}},
        }))
        .unwrap();
        assert_eq!(kept.mode, "STANDARD_REPOSITORY");
        assert_eq!(kept.labels["managed-by"], "xetl");
        assert_eq!(kept.cleanup_policies["keep"]["action"], "KEEP");
    }

    #[test]
    fn a_mask_changes_only_its_fields() {
        let before = settings(json!({"format": "DOCKER", "description": "old"})).unwrap();
        let after =
            settings(json!({"format": "DOCKER", "description": "new", "labels": {"a": "b"}}))
                .unwrap();
        let masked = before.masked(&after, "labels").unwrap();
        assert_eq!(masked.description, "old");
        assert_eq!(masked.labels["a"], "b");
        assert!(before.masked(&after, "format").is_err());
        let keyed = settings(json!({"format": "DOCKER", "kmsKeyName": "k"})).unwrap();
        assert_eq!(keyed.masked(&after, "*").unwrap().kms_key_name, "k");
        assert!(keyed.masked(&after, "kmsKeyName").is_err());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        assert_eq!(settings(json!({})).unwrap_err().code, 400);
        assert_eq!(settings(json!({"format": "MAVEN"})).unwrap_err().code, 501);
        assert_eq!(
            settings(json!({"format": "DOCKER", "colour": 1}))
                .unwrap_err()
                .code,
            400
        );
        let policy = json!({"x": {"action": "DELETE", "mostRecentVersions": {"keepCount": 1}}});
        let refused = settings(json!({"format": "DOCKER", "cleanupPolicies": policy}));
        assert_eq!(refused.unwrap_err().code, 400);
    }

    #[test]
    fn ids_are_lower_case() {
        assert!(check_id("xetl-acme").is_ok());
        for id in ["", "1a", "A", "a_b", "a-"] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
