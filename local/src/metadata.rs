//! The metadata server of a task: who it is and its access token.
//!
//! Each account has a path of its own, `/metadata/ID`, which a task gets as
//! `GCE_METADATA_HOST`. What Cloud Run's server has and no client of ours asks
//! for (zones, attributes, ID tokens) is not served.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::TOKEN_SECONDS;
use crate::router::{Reply, Request, Route};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/metadata/{id}", answer),
        Route::new(Method::GET, "/metadata/{id}/{path=**}", answer),
    ]
}

async fn answer(cloud: Arc<Cloud>, request: Request) -> Reply {
    if request.header("metadata-flavor") != Some("Google") {
        return Ok(flavoured((
            StatusCode::FORBIDDEN,
            "Missing Metadata-Flavor:Google header.\n",
        )));
    }
    let account = cloud
        .identity
        .metadata_account(request.var("id"))
        .ok_or_else(|| ApiError::not_found("No account has this metadata server."))?;
    let recursive = request
        .query("recursive")
        .is_some_and(|value| value != "false");
    let path = request.var("path").trim_matches('/');
    match value(&cloud, &account, path, recursive)? {
        Some(Value::String(text)) => Ok(flavoured(text)),
        Some(value) => Ok(flavoured(axum::Json(value))),
        None => Ok(flavoured((
            StatusCode::NOT_FOUND,
            format!("the local cloud does not serve metadata `{path}`\n"),
        ))),
    }
}

/// A text, or JSON; `None` where nothing is served.
fn value(
    cloud: &Cloud,
    account: &str,
    path: &str,
    recursive: bool,
) -> Result<Option<Value>, ApiError> {
    if matches!(path, "" | "computeMetadata" | "computeMetadata/v1") {
        return Ok(Some("computeMetadata/\n".into()));
    }
    let Some(path) = path.strip_prefix("computeMetadata/v1/") else {
        return Ok(None);
    };
    let project = || cloud.projects.get(&project_of(cloud, account));
    Ok(match path {
        "project/project-id" => Some(project()?.project_id.into()),
        "project/numeric-project-id" => Some(project()?.number.into()),
        "universe/universe-domain" | "universe/universe_domain" => Some("googleapis.com".into()),
        path => {
            let found = path
                .strip_prefix("instance/service-accounts/")
                .map(|path| path.split_once('/').unwrap_or((path, "")))
                .filter(|(name, _)| *name == "default" || *name == account);
            match found {
                Some((_, field)) => of_account(cloud, account, field, recursive)?,
                None => None,
            }
        }
    })
}

fn of_account(
    cloud: &Cloud,
    account: &str,
    field: &str,
    recursive: bool,
) -> Result<Option<Value>, ApiError> {
    Ok(match field {
        "token" => {
            check_alive(cloud, account)?;
            Some(json!({
                "access_token": cloud.identity.token(account),
                "expires_in": TOKEN_SECONDS,
                "token_type": "Bearer",
            }))
        }
        "email" => Some(account.into()),
        "scopes" => Some(format!("{SCOPE}\n").into()),
        "aliases" => Some("default\n".into()),
        "" if recursive => Some(json!({
            "aliases": ["default"],
            "email": account,
            "scopes": [SCOPE],
        })),
        "" => Some("aliases\nemail\nscopes\ntoken\n".into()),
        _ => None,
    })
}

fn check_alive(cloud: &Cloud, account: &str) -> Result<(), ApiError> {
    match cloud.accounts.get(account) {
        Some(found) if !found.disabled => Ok(()),
        Some(_) => Err(ApiError::permission_denied(format!(
            "Service account {account} is disabled."
        ))),
        None => Err(ApiError::not_found(format!(
            "Service account {account} does not exist."
        ))),
    }
}

/// The account's project; of an account that is gone, the one its email names.
fn project_of(cloud: &Cloud, account: &str) -> String {
    if let Some(found) = cloud.accounts.get(account) {
        return found.project_id;
    }
    let host = account.rsplit('@').next().unwrap_or(account);
    host.split('.').next().unwrap_or(host).to_owned()
}

/// Every reply carries the header that tells a metadata server.
fn flavoured(reply: impl IntoResponse) -> Response {
    let mut response = reply.into_response();
    let headers = response.headers_mut();
    headers.insert("metadata-flavor", HeaderValue::from_static("Google"));
    let is_text = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/"));
    if is_text {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/text"),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use crate::identity::Caller;
    use crate::server;

    const ACCOUNTS: &str = "v1/projects/acme-prod/serviceAccounts";

    #[tokio::test]
    async fn a_task_gets_a_token_that_names_its_account() {
        let folder = tempfile::tempdir().unwrap();
        let running = server::start(folder.path(), Some(0)).await.unwrap();
        running
            .cloud
            .services
            .enable("acme-prod", "iam.googleapis.com")
            .unwrap();
        let http = reqwest::Client::new();
        let made = http
            .post(format!("{}/{ACCOUNTS}", running.url))
            .json(&serde_json::json!({"accountId": "runner"}))
            .send()
            .await
            .unwrap();
        assert_eq!(made.status(), 200);
        let email = "runner@acme-prod.iam.gserviceaccount.com";
        let host = running.cloud.identity.metadata_host(email);
        let base = format!("http://{host}/computeMetadata/v1");

        let url = format!("{base}/instance/service-accounts/default/token");
        assert_eq!(http.get(&url).send().await.unwrap().status(), 403);
        let reply = http.get(&url).header("Metadata-Flavor", "Google");
        let token: serde_json::Value = reply.send().await.unwrap().json().await.unwrap();
        let caller = running
            .cloud
            .identity
            .bearer(token["access_token"].as_str().unwrap());
        assert_eq!(caller, Some(Caller::ServiceAccount(email.to_owned())));

        let url = format!("{base}/project/project-id");
        let reply = http.get(&url).header("Metadata-Flavor", "Google");
        assert_eq!(
            reply.send().await.unwrap().text().await.unwrap(),
            "acme-prod"
        );
    }
}
