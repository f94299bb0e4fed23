//! Cloud Billing v1: whether a project is paid for. Every project is, unless something else was
//! said, as nothing costs here.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::json;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::policy;
use crate::projects::Project;
use crate::router::{Reply, Request, Route};

const ACCOUNT: &str = "billingAccounts/000000-000000-000000";

pub fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::GET,
        "/v1/projects/{project}/billingInfo",
        billing_info,
    )]
}

async fn billing_info(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.get(request.var("project"))?.project_id;
    let resource = format!("projects/{project}");
    let permission = "resourcemanager.projects.get";
    policy::require(&cloud, &request.caller, &resource, permission)?;
    let is_billed = cloud.projects.premises.is_billed(&project);
    Ok(Json(json!({
        "name": format!("{resource}/billingInfo"),
        "projectId": project,
        "billingAccountName": if is_billed { ACCOUNT } else { "" },
        "billingEnabled": is_billed,
    }))
    .into_response())
}

/// APIs that can be on in a project nobody pays for, of those xetl uses.
const FREE: [&str; 4] = [
    "cloudasset.googleapis.com",
    "cloudbilling.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
];

/// # Errors
/// As Service Usage answers where an API that costs is switched on and nobody pays.
pub fn check<'a>(
    cloud: &Cloud,
    project: &Project,
    services: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    let costly: Vec<&str> = services.filter(|it| !FREE.contains(it)).collect();
    if costly.is_empty() || cloud.projects.premises.is_billed(&project.project_id) {
        return Ok(());
    }
    let (number, services) = (&project.number, costly.join(","));
    let mut error = ApiError::failed_precondition(format!(
        "Billing account for project '{number}' is not found. Billing must be enabled for \
         activation of service(s) '{services}' to proceed."
    ));
    error.details.push(json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "UREQ_PROJECT_BILLING_NOT_FOUND",
        "domain": "serviceusage.googleapis.com/billing-enabled",
        "metadata": {"project": number, "services": services},
    }));
    Err(error)
}
