//! Executions of a job and what their runs say of themselves, as values.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One execution of a pipeline's job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Execution {
    /// Its short name, which is also the run's id.
    pub name: String,
    pub state: ExecutionState,
    /// RFC 3339, as all times here.
    pub created: Option<String>,
    pub started: Option<String>,
    pub completed: Option<String>,
    pub tasks: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    /// Why it failed, in Cloud Run's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionState {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl ExecutionState {
    pub fn is_over(self) -> bool {
        !matches!(self, ExecutionState::Pending | ExecutionState::Running)
    }

    pub fn word(self) -> &'static str {
        match self {
            ExecutionState::Pending => "pending",
            ExecutionState::Running => "running",
            ExecutionState::Succeeded => "succeeded",
            ExecutionState::Failed => "failed",
            ExecutionState::Cancelled => "cancelled",
        }
    }
}

/// An execution of a pipeline, and what its run wrote where it was seen to its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Started {
    pub pipeline: String,
    pub execution: Execution,
    pub summary: Option<RunSummary>,
}

/// A job's newest execution, as the list of jobs tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatestRun {
    pub name: String,
    pub state: ExecutionState,
    /// RFC 3339, as all times here.
    pub created: Option<String>,
    pub completed: Option<String>,
}

/// What a run wrote to `<pipeline>/runs/<run>.json` when it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub run: String,
    /// `done`, `failed`, `parked` or `skipped`.
    pub outcome: String,
    pub started_at: String,
    pub finished_at: String,
    pub rows: u64,
    pub bytes: u64,
    #[serde(default)]
    pub requests: u64,
    #[serde(default)]
    pub retries: u64,
    #[serde(default)]
    pub seconds: f64,
    pub streams: Vec<StreamSummary>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelSummary>,
}

/// How the runtime begins to say that the source did not let it in.
pub const REFUSED_CREDENTIALS: &str = "the source refused the credentials";

impl RunSummary {
    /// What all streams failed of, where it is the same.
    pub fn shared_error(&self) -> Option<&str> {
        let first = self.streams.first()?.error.as_deref()?;
        let same = |stream: &StreamSummary| stream.error.as_deref() == Some(first);
        self.streams.iter().all(same).then_some(first)
    }
}

/// What a run made of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    pub model: String,
    /// `view` or `table`.
    pub kind: String,
    /// `built`, `waiting` or `failed`.
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A stream's part in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamSummary {
    pub stream: String,
    pub outcome: String,
    #[serde(default)]
    pub mode: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    #[serde(default)]
    pub pages: u64,
    #[serde(default)]
    pub slices: u64,
    /// Asked of the source for its pages, and the bytes of the replies.
    #[serde(default)]
    pub requests: u64,
    #[serde(default)]
    pub received: u64,
    #[serde(default)]
    pub retries: u64,
    #[serde(default)]
    pub waited_seconds: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schema_changes: Vec<String>,
    pub seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The stream's state before the run, and after it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub state_before: Value,
    #[serde(default)]
    pub state: Value,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogLine {
    pub time: String,
    pub severity: String,
    pub message: String,
    /// What else the entry says.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// Tells entries apart that are otherwise the same.
    pub id: String,
}

/// Which entries of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub job: String,
    /// Of this execution only.
    pub execution: Option<String>,
    /// Not before this time.
    pub since: Option<String>,
}

impl LogQuery {
    /// The query in Cloud Logging's language.
    pub fn filter(&self) -> String {
        let mut filter = format!(
            "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"{}\"",
            self.job
        );
        if let Some(execution) = &self.execution {
            filter.push_str(&format!(
                " AND labels.\"run.googleapis.com/execution_name\"=\"{execution}\""
            ));
        }
        if let Some(since) = &self.since {
            filter.push_str(&format!(" AND timestamp>=\"{since}\""));
        }
        filter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn streams_that_failed_of_the_same_share_it() {
        let summary = |errors: &[Option<&str>]| -> RunSummary {
            let streams = errors.iter().map(|error| {
                json!({"stream": "s", "outcome": "failed", "rows": 0, "bytes": 0, "seconds": 0.1, "error": error})
            });
            let streams: Vec<_> = streams.collect();
            let summary = json!({
                "run": "r", "outcome": "failed", "started_at": "", "finished_at": "", "rows": 0,
                "bytes": 0, "streams": streams,
            });
            serde_json::from_value(summary).unwrap()
        };
        let shared = |errors: &[Option<&str>]| summary(errors).shared_error().map(str::to_owned);
        assert_eq!(shared(&[Some("no key"), Some("no key")]).unwrap(), "no key");
        assert_eq!(shared(&[Some("no key"), Some("no disk")]), None);
        assert_eq!(shared(&[Some("no key"), None]), None);
        assert_eq!(shared(&[]), None);
    }

    #[test]
    fn a_log_query_names_job_execution_and_time() {
        let query = LogQuery {
            job: "acme-xero".to_owned(),
            execution: Some("acme-xero-abc".to_owned()),
            since: None,
        };
        assert_eq!(
            query.filter(),
            "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"acme-xero\" AND \
             labels.\"run.googleapis.com/execution_name\"=\"acme-xero-abc\""
        );
    }
}
