//! What a task prints, as log entries of the resource `cloud_run_job`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::execution::{Execution, Task};
use super::process::{End, Output};
use crate::clock;
use crate::cloud::Cloud;
use crate::logging;

/// The log of one attempt.
pub struct Lines {
    cloud: Arc<Cloud>,
    project: String,
    resource: Value,
    labels: Map<String, Value>,
    attempt: String,
    count: AtomicU64,
}

impl Lines {
    pub fn new(cloud: &Arc<Cloud>, execution: &Execution, task: &Task) -> Lines {
        Lines {
            cloud: cloud.clone(),
            project: execution.project().to_owned(),
            resource: json!({"type": "cloud_run_job", "labels": {
                "project_id": execution.project(),
                "location": execution.location(),
                "job_name": execution.job_id(),
            }}),
            labels: Map::from_iter([
                (
                    "run.googleapis.com/execution_name".to_owned(),
                    json!(execution.id()),
                ),
                (
                    "run.googleapis.com/task_index".to_owned(),
                    json!(task.index.to_string()),
                ),
                (
                    "run.googleapis.com/task_attempt".to_owned(),
                    json!(task.retried.to_string()),
                ),
            ]),
            attempt: Uuid::new_v4().simple().to_string(),
            count: AtomicU64::new(0),
        }
    }

    pub fn write(&self, output: Output, line: &str) {
        let log = match output {
            Output::Stdout => "run.googleapis.com%2Fstdout",
            Output::Stderr => "run.googleapis.com%2Fstderr",
        };
        self.keep(log, logging::payload(line));
    }

    /// Says how the attempt ended, unless it ended well.
    pub fn end(&self, end: End) {
        let text = match end {
            End::Exit(0) => return,
            End::Exit(code) => format!("Container called exit({code})."),
            End::Signal(signal) => format!("Container terminated on signal {signal}."),
            End::TimedOut => "Terminating task because it has reached the maximum timeout.".into(),
            End::Cancelled => "Terminating task because the execution was cancelled.".into(),
        };
        let payload = [("severity", json!("ERROR")), ("textPayload", json!(text))];
        let payload = payload.map(|(key, value)| (key.to_owned(), value));
        self.keep(
            "run.googleapis.com%2Fvarlog%2Fsystem",
            Map::from_iter(payload),
        );
    }

    fn keep(&self, log: &str, payload: Map<String, Value>) {
        let entry = self.entry(log, payload);
        if let Err(error) = self.cloud.logs.write(&self.project, &[entry]) {
            tracing::error!(%error, "a log entry could not be kept");
        }
    }

    fn entry(&self, log: &str, mut entry: Map<String, Value>) -> Value {
        let now = clock::now();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        entry.entry("timestamp").or_insert(json!(now));
        // Ids that grow keep lines of one moment in the order they were printed.
        entry
            .entry("insertId")
            .or_insert(json!(format!("{}-{number:012}", self.attempt)));
        let labels = entry.entry("labels").or_insert(json!({}));
        if let Value::Object(labels) = labels {
            labels.extend(self.labels.clone());
        }
        entry.insert("resource".to_owned(), self.resource.clone());
        entry.insert(
            "logName".to_owned(),
            json!(format!("projects/{}/logs/{log}", self.project)),
        );
        entry.insert("receiveTimestamp".to_owned(), json!(now));
        Value::Object(entry)
    }
}
