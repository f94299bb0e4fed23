//! Cloud Billing v1: whether a project is paid for. Here every project is, as nothing costs.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::json;

use crate::cloud::Cloud;
use crate::policy;
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
    Ok(Json(json!({
        "name": format!("{resource}/billingInfo"),
        "projectId": project,
        "billingAccountName": ACCOUNT,
        "billingEnabled": true,
    }))
    .into_response())
}
