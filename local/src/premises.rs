//! Which projects exist and which are paid for; all, unless something else is said.
//!
//! Kept until the process ends. Each service has its own words for a project that is not there,
//! and none tells it from one the caller may not see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

/// What was said of projects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Said {
    /// The only ones that exist; every one where nothing is said.
    pub only: Option<BTreeSet<String>>,
    /// Those without a billing account.
    pub unbilled: BTreeSet<String>,
}

/// What holds of projects at the moment.
#[derive(Debug, Default)]
pub struct Premises {
    said: Mutex<Said>,
}

impl Premises {
    pub fn set(&self, said: Said) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    fn said(&self) -> Said {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    pub fn has(&self, project: &str) -> bool {
        self.said().only.is_none_or(|only| only.contains(project))
    }

    pub fn is_billed(&self, project: &str) -> bool {
        !self.said().unbilled.contains(project)
    }
}

pub fn routes() -> Vec<Route> {
    const PATH: &str = "/_local/projects";
    vec![
        Route::new(Method::POST, PATH, say),
        Route::new(Method::GET, PATH, tell),
        Route::new(Method::DELETE, PATH, forget),
    ]
}

async fn say(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    cloud.projects.premises.set(request.json().await?);
    tell(cloud, request).await
}

async fn tell(cloud: Arc<Cloud>, _: Request) -> Reply {
    Ok(Json(cloud.projects.premises.said()).into_response())
}

async fn forget(cloud: Arc<Cloud>, request: Request) -> Reply {
    cloud.projects.premises.set(Said::default());
    tell(cloud, request).await
}

/// What most services answer for a project that is not there, or not the caller's to see.
pub fn missing(project: &str) -> ApiError {
    missing_for("googleapis.com", project)
}

/// The same in a service's own words, as people have reported them. Service Usage's reason and
/// IAM's, Scheduler's and Secret Manager's answers are not confirmed.
pub fn missing_for(service: &str, project: &str) -> ApiError {
    match service {
        "bigquery.googleapis.com" => ApiError::not_found(format!("Not found: Project {project}")),
        "storage.googleapis.com" => ApiError::invalid(format!("Unknown project id: {project}")),
        "cloudresourcemanager.googleapis.com" => with_reason(
            format!(
                "Permission 'resourcemanager.projects.get' denied on resource \
                 '//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist)."
            ),
            "IAM_PERMISSION_DENIED",
            "cloudresourcemanager.googleapis.com",
            json!({
                "permission": "resourcemanager.projects.get",
                "resource": format!("projects/{project}"),
            }),
        ),
        "serviceusage.googleapis.com" => with_reason(
            format!("Project '{project}' not found or permission denied."),
            "RESOURCES_NOT_FOUND",
            "serviceusage.googleapis.com",
            json!({"resource": format!("projects/{project}")}),
        ),
        service => with_reason(
            format!("Permission denied on resource project {project}."),
            "CONSUMER_INVALID",
            "googleapis.com",
            json!({
                "service": service,
                "consumer": format!("projects/{project}"),
                "containerInfo": project,
            }),
        ),
    }
}

fn with_reason(
    message: String,
    reason: &str,
    domain: &str,
    metadata: serde_json::Value,
) -> ApiError {
    let mut error = ApiError::permission_denied(message);
    error.details.push(json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": domain,
        "metadata": metadata,
    }));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_is_there_until_some_are_named() {
        let premises = Premises::default();
        assert!(premises.has("acme-prod") && premises.is_billed("acme-prod"));
        premises.set(serde_json::from_value(json!({"only": ["acme-prod"]})).unwrap());
        assert!(premises.has("acme-prod") && !premises.has("acme-prodd"));
        premises.set(serde_json::from_value(json!({"unbilled": ["acme-prod"]})).unwrap());
        assert!(premises.has("acme-prodd") && !premises.is_billed("acme-prod"));
    }

    #[test]
    fn most_services_call_the_consumer_invalid() {
        let error = missing_for("run.googleapis.com", "p1");
        assert_eq!(error.code, 403);
        assert_eq!(error.details[0]["reason"], "CONSUMER_INVALID");
        assert_eq!(missing_for("bigquery.googleapis.com", "p1").code, 404);
    }
}
