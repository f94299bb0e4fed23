//! A job as it is kept: what its user said and what became of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::spec::JobSpec;
use crate::clock;
use crate::error::ApiError;

pub const KIND: &str = "google.cloud.run.v2.Job";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `projects/P/locations/L/jobs/J`.
    pub name: String,
    pub uid: String,
    pub generation: u64,
    pub create_time: String,
    pub update_time: String,
    pub creator: String,
    pub last_modifier: String,
    pub spec: JobSpec,
    pub ready: Condition,
    #[serde(default)]
    pub execution_count: u32,
    pub latest: Option<LatestExecution>,
    /// Deleted, and not gone yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_time: Option<String>,
}

/// `ExecutionReference` of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestExecution {
    /// The execution's id alone.
    pub name: String,
    pub create_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<String>,
    pub completion_status: String,
}

/// `Condition` of the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub state: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    pub last_transition_time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_reason: Option<String>,
}

impl Condition {
    pub fn new(kind: &str, state: &str) -> Condition {
        Condition {
            kind: kind.to_owned(),
            state: state.to_owned(),
            last_transition_time: clock::now(),
            ..Condition::default()
        }
    }

    pub fn succeeded(kind: &str) -> Condition {
        Condition::new(kind, "CONDITION_SUCCEEDED")
    }

    /// A failure with one of the API's common reasons.
    pub fn failed(kind: &str, reason: Option<&str>, message: impl Into<String>) -> Condition {
        Condition {
            reason: reason.map(str::to_owned),
            message: message.into(),
            ..Condition::new(kind, "CONDITION_FAILED")
        }
    }

    pub fn is_success(&self) -> bool {
        self.state == "CONDITION_SUCCEEDED"
    }
}

impl Job {
    pub fn new(name: String, spec: JobSpec, creator: &str) -> Job {
        let now = clock::now();
        Job {
            name,
            uid: Uuid::new_v4().to_string(),
            generation: 1,
            create_time: now.clone(),
            update_time: now,
            creator: creator.to_owned(),
            last_modifier: creator.to_owned(),
            spec,
            ready: Condition::new("Ready", "CONDITION_RECONCILING"),
            execution_count: 0,
            latest: None,
            delete_time: None,
        }
    }

    /// The job with another spec in place of the whole present one.
    pub fn replaced(&self, spec: JobSpec, modifier: &str) -> Job {
        let changed = spec != self.spec;
        Job {
            generation: self.generation + u64::from(changed),
            update_time: clock::now(),
            last_modifier: modifier.to_owned(),
            spec,
            ..self.clone()
        }
    }

    pub fn project(&self) -> &str {
        part(&self.name, 1)
    }

    pub fn location(&self) -> &str {
        part(&self.name, 3)
    }

    pub fn id(&self) -> &str {
        part(&self.name, 5)
    }

    /// Changes with what users change, not with executions.
    pub fn etag(&self) -> String {
        let text = format!("{}/{}/{}", self.uid, self.generation, self.update_time);
        format!("\"{}\"", &hex::encode(Sha256::digest(text))[..16])
    }

    /// # Errors
    /// `ABORTED` when the job is no longer the one that was read.
    pub fn check_etag(&self, etag: &str) -> Result<(), ApiError> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(ApiError::aborted(format!(
            "Conflict for resource '{}': version '{etag}' was specified but current version is '{}'.",
            self.id(),
            self.etag()
        )))
    }

    /// The resource as the API shows it.
    pub fn view(&self) -> Value {
        let mut view = json!({
            "name": self.name,
            "uid": self.uid,
            "generation": self.generation.to_string(),
            "createTime": self.create_time,
            "updateTime": self.update_time,
            "creator": self.creator,
            "lastModifier": self.last_modifier,
            "observedGeneration": self.generation.to_string(),
            "terminalCondition": self.ready,
            "etag": self.etag(),
        });
        if let (Value::Object(view), Value::Object(spec)) = (&mut view, json!(self.spec)) {
            view.extend(spec);
        }
        if self.ready.is_success() {
            view["conditions"] = json!([Condition {
                last_transition_time: self.ready.last_transition_time.clone(),
                ..Condition::succeeded("ResourcesAvailable")
            }]);
        }
        if self.execution_count > 0 {
            view["executionCount"] = json!(self.execution_count);
        }
        if let Some(time) = &self.delete_time {
            view["deleteTime"] = json!(time);
            view["reconciling"] = json!(true);
        }
        if let Some(latest) = &self.latest {
            view["latestCreatedExecution"] = json!(latest);
        }
        view
    }
}

/// The segment of a resource name at an index.
pub fn part(name: &str, index: usize) -> &str {
    name.split('/').nth(index).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let name = "projects/p/locations/l/jobs/j".to_owned();
        Job::new(name, JobSpec::default(), "a@b")
    }

    #[test]
    fn a_change_makes_a_new_generation_and_etag() {
        let before = job();
        let spec = JobSpec {
            client: "xetl".into(),
            ..JobSpec::default()
        };
        let after = before.replaced(spec, "c@d");
        assert_eq!((after.generation, after.uid == before.uid), (2, true));
        assert!(after.check_etag(&before.etag()).is_err());
        assert_eq!(
            after.check_etag(&before.etag()).unwrap_err().status,
            "ABORTED"
        );
        assert!(after.check_etag(&after.etag()).is_ok());
        assert!(after.check_etag("").is_ok());
    }

    #[test]
    fn executions_leave_the_etag_alone() {
        let before = job();
        let after = Job {
            execution_count: 3,
            ..before.clone()
        };
        assert_eq!(after.etag(), before.etag());
        assert_eq!(after.view()["executionCount"], 3);
    }
}
