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

/// The account a request names, if the caller may do this to it; the project may be `-`.
pub(super) fn named(
    cloud: &Cloud,
    request: &Request,
    permission: &str,
) -> Result<Account, ApiError> {
    let (project, account) = (request.var("project"), request.var("account"));
    let mut found = cloud.accounts.get(account);
    if project != "-" {
        let project = cloud.projects.id(project)?;
        found = found.filter(|found| found.project_id == project);
        // One that is not there is told only to those who might see it.
        let resource = format!("projects/{project}/serviceAccounts/{account}");
        policy::require(cloud, &request.caller, &resource, permission)?;
    }
    let found = found.ok_or_else(|| missing(account))?;
    policy::require(cloud, &request.caller, &found.name, permission)?;
    Ok(found)
}

/// The project a request names, if the caller may do this in it.
fn admitted(cloud: &Cloud, request: &Request, permission: &str) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    let resource = format!("projects/{project}");
    policy::require(cloud, &request.caller, &resource, permission)?;
    Ok(project)
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        account_id: String,
        #[serde(default)]
        service_account: Draft,
    }
    let project = admitted(&cloud, &request, "iam.serviceAccounts.create")?;
    let body: Body = request.json().await?;
    let account = cloud
        .accounts
        .create(&project, &body.account_id, body.service_account)?;
    Ok(Json(account).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let project = admitted(&cloud, &request, "iam.serviceAccounts.list")?;
    let (accounts, next) = Paging::of(&request, 100)?.take(cloud.accounts.list(&project));
    let mut reply = json!({ "accounts": accounts });
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request, "iam.serviceAccounts.get")?;
    Ok(Json(account).into_response())
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        service_account: Value,
        update_mask: String,
    }
    let account = named(&cloud, &request, "iam.serviceAccounts.update")?;
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
    let account = named(&cloud, &request, "iam.serviceAccounts.delete")?;
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
    admitted(&cloud, &request, "iam.serviceAccounts.undelete")?;
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
    let account = named(&cloud, &request, "iam.serviceAccounts.enable")?;
    cloud
        .accounts
        .change(&account.email, |account| account.disabled = false)?;
    Ok(Json(json!({})).into_response())
}

async fn disable(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request, "iam.serviceAccounts.disable")?;
    cloud
        .accounts
        .change(&account.email, |account| account.disabled = true)?;
    Ok(Json(json!({})).into_response())
}

async fn get_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request, "iam.serviceAccounts.getIamPolicy")?;
    policy::get_iam_policy(&cloud, request, &account.name).await
}

async fn set_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let account = named(&cloud, &request, "iam.serviceAccounts.setIamPolicy")?;
    policy::set_iam_policy(&cloud, request, &account.name).await
}

async fn test_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let email = request.var("account");
    let account = cloud.accounts.get(email).ok_or_else(|| missing(email))?;
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
