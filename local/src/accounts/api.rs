//! The HTTP methods of service accounts.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Account, Draft, check, missing};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/projects/{project}/serviceAccounts";
    const ONE: &str = "/v1/projects/{project}/serviceAccounts/{account}";
    vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/serviceAccounts/{account}:undelete",
            undelete,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/serviceAccounts/{account}:enable",
            enable,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/serviceAccounts/{account}:disable",
            disable,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/serviceAccounts/{account}:getIamPolicy",
            get_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/serviceAccounts/{account}:setIamPolicy",
            set_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/serviceAccounts/{account}:testIamPermissions",
            test_permissions,
        ),
    ]
}

/// The account a request names; the project may be `-`.
pub(super) fn named(cloud: &Cloud, request: &Request) -> Result<Account, ApiError> {
    let (project, account) = (request.var("project"), request.var("account"));
    let found = cloud
        .accounts
        .get(account)
        .ok_or_else(|| missing(account))?;
    if project == "-" || cloud.projects.id(project)? == found.project_id {
        return Ok(found);
    }
    Err(missing(account))
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        account_id: String,
        #[serde(default)]
        service_account: Draft,
    }
    let project = cloud.projects.id(request.var("project"))?;
    let body: Body = request.json().await?;
    let account = cloud
        .accounts
        .create(&project, &body.account_id, body.service_account)?;
    Ok(Json(account).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = cloud.projects.id(request.var("project"))?;
    let (accounts, next) = Paging::of(&request, 100)?.take(cloud.accounts.list(&project));
    let mut reply = json!({ "accounts": accounts });
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    Ok(Json(named(&cloud, &request)?).into_response())
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        service_account: Value,
        update_mask: String,
    }
    let account = named(&cloud, &request)?;
    let body: Body = request.json().await?;
    let draft = masked(&body.service_account, &body.update_mask)?;
    check(&draft)?;
    let account = cloud.accounts.change(&account.email, |account| {
        account.display_name = draft.display_name.unwrap_or(account.display_name.clone());
        account.description = draft.description.unwrap_or(account.description.clone());
    })?;
    Ok(Json(account).into_response())
}

/// The fields of `sent` the mask names; one it names but `sent` lacks becomes empty.
fn masked(sent: &Value, mask: &str) -> Result<Draft, ApiError> {
    let text = |field: &str| Some(sent[field].as_str().unwrap_or("").to_owned());
    let mut draft = Draft::default();
    for field in mask.split(',').map(str::trim) {
        match field {
            "displayName" | "display_name" => draft.display_name = text("displayName"),
            "description" => draft.description = text("description"),
            other => {
                return Err(ApiError::invalid(format!(
                    "Field `{other}` of a service account cannot be updated."
                )));
            }
        }
    }
    Ok(draft)
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request)?;
    cloud.accounts.delete(&account)?;
    cloud
        .policies
        .rename_member(&member(&account), &deleted_member(&account))?;
    cloud
        .bigquery
        .forget_account(&account.email, &deleted_member(&account))?;
    Ok(Json(json!({})).into_response())
}

async fn undelete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = cloud.accounts.undelete(request.var("account"))?;
    cloud
        .policies
        .rename_member(&deleted_member(&account), &member(&account))?;
    Ok(Json(json!({ "restoredAccount": account })).into_response())
}

fn member(account: &Account) -> String {
    format!("serviceAccount:{}", account.email)
}

fn deleted_member(account: &Account) -> String {
    format!(
        "deleted:serviceAccount:{}?uid={}",
        account.email, account.unique_id
    )
}

async fn enable(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request)?;
    cloud
        .accounts
        .change(&account.email, |account| account.disabled = false)?;
    Ok(Json(json!({})).into_response())
}

async fn disable(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request)?;
    cloud
        .accounts
        .change(&account.email, |account| account.disabled = true)?;
    Ok(Json(json!({})).into_response())
}

async fn get_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request)?;
    policy::get_iam_policy(&cloud, request, &account.name).await
}

async fn set_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request)?;
    policy::set_iam_policy(&cloud, request, &account.name).await
}

async fn test_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request)?;
    policy::test_iam_permissions(&cloud, request, &account.name).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_says_what_a_patch_changes() {
        let draft = masked(
            &json!({"description": "d", "displayName": "n"}),
            "description",
        )
        .unwrap();
        assert_eq!(draft.description.as_deref(), Some("d"));
        assert_eq!(draft.display_name, None);
        assert!(masked(&json!({}), "email").is_err());
    }
}
