//! Faults on request: the next jobs that were taken end as failed, with nothing
//! of them kept, as Google's sometimes do.
//!
//! `POST /_local/bigquery/faults` asks for one, `GET` tells which are left,
//! `DELETE` forgets them. They are kept in memory only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `LOAD`, `QUERY`, `COPY` or `EXTRACT`; all kinds when left out.
    #[serde(default)]
    kind: Option<String>,
    /// The beginning of a job's id.
    #[serde(default)]
    job: String,
    /// As in `status.errorResult.reason`: `backendError`, `rateLimitExceeded`.
    reason: String,
    #[serde(default)]
    message: Option<String>,
    /// How many jobs meet it.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

/// Reasons that Google gives, and the HTTP code and status that come with each.
const REASONS: &[(&str, u16, &str)] = &[
    ("backendError", 503, "UNAVAILABLE"),
    ("internalError", 500, "INTERNAL"),
    ("badGateway", 502, "UNAVAILABLE"),
    ("jobBackendError", 400, "INVALID_ARGUMENT"),
    ("jobInternalError", 400, "INVALID_ARGUMENT"),
    ("jobRateLimitExceeded", 403, "PERMISSION_DENIED"),
    ("rateLimitExceeded", 403, "PERMISSION_DENIED"),
    ("quotaExceeded", 403, "PERMISSION_DENIED"),
    ("accessDenied", 403, "PERMISSION_DENIED"),
    ("resourcesExceeded", 400, "INVALID_ARGUMENT"),
    ("tableUnavailable", 400, "INVALID_ARGUMENT"),
    ("invalid", 400, "INVALID_ARGUMENT"),
    ("invalidQuery", 400, "INVALID_ARGUMENT"),
    ("notFound", 404, "NOT_FOUND"),
    ("stopped", 400, "INVALID_ARGUMENT"),
    ("timeout", 400, "INVALID_ARGUMENT"),
];

impl Fault {
    fn check(&self) -> Result<(), ApiError> {
        let known = REASONS.iter().any(|(reason, ..)| *reason == self.reason);
        known.then_some(()).ok_or_else(|| {
            let names: Vec<&str> = REASONS.iter().map(|(reason, ..)| *reason).collect();
            ApiError::invalid(format!(
                "no reason `{}`; there are {}",
                self.reason,
                names.join(", ")
            ))
        })
    }

    fn is_met(&self, kind: &str, job: &str) -> bool {
        job.starts_with(&self.job) && self.kind.as_deref().is_none_or(|wanted| wanted == kind)
    }

    fn error(&self) -> ApiError {
        let message = self.message.clone().unwrap_or_else(|| {
            let reason = &self.reason;
            format!("Asked for: {reason}. Retrying the job may solve the problem.")
        });
        error_of(&self.reason, message)
    }
}

/// The error of a request that meets `reason`.
pub fn error_of(reason: &str, message: String) -> ApiError {
    let found = REASONS.iter().find(|(known, ..)| *known == reason);
    let (reason, code, status) = *found.unwrap_or(&("invalid", 400, "INVALID_ARGUMENT"));
    ApiError {
        code,
        status,
        reason,
        ..ApiError::internal(message)
    }
}

#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error a job meets, counted down by meeting it.
    pub fn meet(&self, kind: &str, job: &str) -> Result<(), ApiError> {
        let mut faults = self.lock();
        let found = faults.iter_mut().find(|fault| fault.is_met(kind, job));
        let Some(fault) = found else {
            return Ok(());
        };
        fault.times = fault.times.saturating_sub(1);
        let error = fault.error();
        faults.retain(|fault| fault.times > 0);
        Err(error)
    }
}

pub fn routes() -> Vec<Route> {
    const PATH: &str = "/_local/bigquery/faults";
    vec![
        Route::new(Method::POST, PATH, add),
        Route::new(Method::GET, PATH, list),
        Route::new(Method::DELETE, PATH, clear),
    ]
}

async fn add(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let fault: Fault = request.json().await?;
    fault.check()?;
    if fault.times > 0 {
        cloud.bigquery.faults.lock().push(fault);
    }
    list(cloud, request).await
}

async fn list(cloud: Arc<Cloud>, _: Request) -> Reply {
    let faults: Value = json!(*cloud.bigquery.faults.lock());
    Ok(Json(json!({"faults": faults})).into_response())
}

async fn clear(cloud: Arc<Cloud>, request: Request) -> Reply {
    cloud.bigquery.faults.lock().clear();
    list(cloud, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(fault: Value) -> Faults {
        let fault: Fault = serde_json::from_value(fault).unwrap();
        fault.check().unwrap();
        Faults(Mutex::new(vec![fault]))
    }

    #[test]
    fn a_fault_is_met_by_its_kind_of_job_and_ends_after_its_times() {
        let faults = faults(
            json!({"kind": "LOAD", "job": "xetl-", "reason": "rateLimitExceeded", "times": 2}),
        );
        let meet = |kind, job| faults.meet(kind, job).map_err(|e| e.reason);
        assert_eq!(meet("QUERY", "xetl-1"), Ok(()));
        assert_eq!(meet("LOAD", "other"), Ok(()));
        assert_eq!(meet("LOAD", "xetl-1"), Err("rateLimitExceeded"));
        assert_eq!(meet("LOAD", "xetl-2"), Err("rateLimitExceeded"));
        assert_eq!(meet("LOAD", "xetl-3"), Ok(()));
    }

    #[test]
    fn reasons_google_does_not_give_are_refused() {
        let fault: Fault = serde_json::from_value(json!({"reason": "bad luck"})).unwrap();
        assert!(fault.check().unwrap_err().message.contains("backendError"));
    }
}
