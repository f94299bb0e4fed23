//! The account Storage itself acts as in a project: its service agent.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::json;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::policy::require;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    const AGENT: &str = "/storage/v1/projects/{project}/serviceAccount";
    vec![Route::new(Method::GET, AGENT, get)]
}

/// The agent's email in a project.
pub fn email(cloud: &Cloud, project: &str) -> Result<String, ApiError> {
    let number = cloud.projects.number(project)?;
    Ok(format!(
        "service-{number}@gs-project-accounts.iam.gserviceaccount.com"
    ))
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.id(request.var("project"))?;
    let resource = format!("projects/{project}");
    let permission = "resourcemanager.projects.get";
    require(&cloud, &request.caller, &resource, permission)?;
    Ok(Json(json!({
        "kind": "storage#serviceAccount",
        "email_address": email(&cloud, &project)?,
    }))
    .into_response())
}
