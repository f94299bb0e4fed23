//! Tokens for service accounts: by impersonation (IAM Credentials v1), and for a key's
//! signed assertion (OAuth 2.0).

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::api::named;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::TOKEN_SECONDS;
use crate::router::{Reply, Request, Route};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// IAM Credentials.
pub fn routes() -> Vec<Route> {
    const TOKEN: &str = "/v1/projects/{project}/serviceAccounts/{account}:generateAccessToken";
    vec![Route::new(Method::POST, TOKEN, generate)]
}

/// What stands at `oauth2.googleapis.com`.
pub fn oauth_routes() -> Vec<Route> {
    vec![Route::new(Method::POST, "/token", exchange)]
}

async fn generate(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    const PERMISSION: &str = "iam.serviceAccounts.getAccessToken";
    let body: Value = request.json().await?;
    if body["scope"].as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::invalid(
            "Request must contain at least one scope.",
        ));
    }
    let account = named(&cloud, &request, PERMISSION)?;
    if account.disabled {
        return Err(ApiError::permission_denied(format!(
            "Permission '{PERMISSION}' denied on resource (or it may not exist)."
        )));
    }
    let expires = Timestamp::now() + SignedDuration::from_secs(TOKEN_SECONDS);
    let reply = json!({
        "accessToken": cloud.identity.token(&account.email),
        // Google's clients read it without a fraction only.
        "expireTime": format!("{expires:.0}"),
    });
    Ok(Json(reply).into_response())
}

async fn exchange(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let body = request.bytes().await?;
    let field = |name: &str| {
        let mut fields = url::form_urlencoded::parse(&body);
        fields
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let assertion = field("assertion").filter(|_| field("grant_type").as_deref() == Some(GRANT));
    let email = assertion.and_then(|assertion| cloud.accounts.signer(&assertion));
    match email {
        Some(email) => {
            let reply = json!({
                "access_token": cloud.identity.token(&email),
                "expires_in": TOKEN_SECONDS,
                "token_type": "Bearer",
            });
            Ok(Json(reply).into_response())
        }
        None => {
            let reply =
                json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
            Ok((axum::http::StatusCode::BAD_REQUEST, Json(reply)).into_response())
        }
    }
}
