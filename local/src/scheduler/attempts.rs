//! What Cloud Scheduler logs of an attempt, as entries of the resource `cloud_scheduler_job`.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Job;
use crate::clock;
use crate::cloud::Cloud;
use crate::operations::Status;

/// Names of `google.rpc.Code`, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Writes down how an attempt ended: an error where it failed.
pub fn log(cloud: &Cloud, job: &Job, failure: Option<&Status>) {
    let Some(entry) = entry(job, failure, &clock::now()) else {
        return;
    };
    let project = job.name.split('/').nth(1).unwrap_or_default();
    if let Err(error) = cloud.logs.write(project, &[entry]) {
        tracing::error!(job = job.name, %error, "an attempt could not be logged");
    }
}

fn entry(job: &Job, failure: Option<&Status>, now: &str) -> Option<Value> {
    let parts: Vec<&str> = job.name.split('/').collect();
    let [_, project, _, location, _, id] = parts[..] else {
        return None;
    };
    let code = failure.map_or(0, |status| status.code);
    let code = usize::try_from(code).ok().and_then(|code| CODES.get(code));
    let mut payload = json!({
        "@type": "type.googleapis.com/google.cloud.scheduler.logging.AttemptFinished",
        "jobName": job.name,
        "targetType": "HTTP",
        "url": job.spec.http_target.as_ref().map(|target| &target.uri),
    });
    if let Some(failure) = failure {
        payload["status"] = json!(code.unwrap_or(&"UNKNOWN"));
        payload["debugInfo"] = json!(failure.message);
    }
    Some(json!({
        "logName": format!("projects/{project}/logs/cloudscheduler.googleapis.com%2Fexecutions"),
        "resource": {"type": "cloud_scheduler_job", "labels": {
            "project_id": project, "location": location, "job_id": id,
        }},
        "severity": match failure { None => "INFO", Some(_) => "ERROR" },
        "timestamp": now,
        "receiveTimestamp": now,
        "insertId": Uuid::new_v4().simple().to_string(),
        "jsonPayload": payload,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::tests::job;

    #[test]
    fn a_refused_start_is_an_error_of_the_schedule() {
        let job = job();
        let refused = Status {
            code: 7,
            message: "HTTP 403: no".to_owned(),
        };
        let entry = entry(&job, Some(&refused), "2026-11-21T00:00:00Z").unwrap();
        assert_eq!(entry["severity"], "ERROR");
        assert_eq!(entry["resource"]["labels"]["job_id"], "j");
        assert_eq!(entry["jsonPayload"]["status"], "PERMISSION_DENIED");
        let well = super::entry(&job, None, "2026-11-21T00:00:00Z").unwrap();
        assert_eq!(well["severity"], "INFO");
    }
}
