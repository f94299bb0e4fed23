//! The methods every resource with a policy has, and the check of a permission.

use axum::Json;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Policy;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::{Reply, Request};

/// Refuses a service account without the permission, in Google's words.
pub fn require(
    cloud: &Cloud,
    caller: &Caller,
    resource: &str,
    permission: &str,
) -> Result<(), ApiError> {
    if cloud.policies.permits(resource, permission, caller) {
        return Ok(());
    }
    let mut error = ApiError::permission_denied(format!(
        "Permission '{permission}' denied on resource '{resource}' (or it may not exist) for {}.",
        caller.email()
    ));
    error.details.push(json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "IAM_PERMISSION_DENIED",
        "domain": "iam.googleapis.com",
        "metadata": {"resource": resource, "permission": permission},
    }));
    Err(error)
}

/// `:getIamPolicy` of a resource that exists.
pub async fn get_iam_policy(cloud: &Cloud, mut request: Request, resource: &str) -> Reply {
    let body: Value = request.json().await?;
    let version = request
        .query("options.requestedPolicyVersion")
        .and_then(|version| version.parse().ok())
        .or_else(|| body["options"]["requestedPolicyVersion"].as_u64())
        .unwrap_or(1);
    let version = u8::try_from(version).unwrap_or(3);
    Ok(Json(cloud.policies.get(resource).seen_at(version)).into_response())
}

/// `:setIamPolicy` of a resource that exists.
pub async fn set_iam_policy(cloud: &Cloud, mut request: Request, resource: &str) -> Reply {
    // The mask is not read: its default, bindings and etag, is all there is.
    #[derive(Deserialize)]
    struct Body {
        policy: Policy,
    }
    let body: Body = request.json().await?;
    Ok(Json(cloud.policies.set(resource, body.policy)?).into_response())
}

/// `:testIamPermissions` of a resource that exists.
pub async fn test_iam_permissions(cloud: &Cloud, mut request: Request, resource: &str) -> Reply {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        permissions: Vec<String>,
    }
    let caller = request.caller.clone();
    let body: Body = request.json().await?;
    Ok(Json(tested(cloud, &caller, resource, body.permissions)).into_response())
}

/// Those of `permissions` the caller has, in the shape of the reply.
pub fn tested(
    cloud: &Cloud,
    caller: &Caller,
    resource: &str,
    mut permissions: Vec<String>,
) -> Value {
    permissions.retain(|permission| cloud.policies.would_permit(resource, permission, caller));
    if permissions.is_empty() {
        return json!({});
    }
    json!({ "permissions": permissions })
}
