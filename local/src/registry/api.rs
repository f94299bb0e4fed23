//! Artifact Registry's API v1: repositories and their IAM policies.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::inventory;
use super::repository::{Repository, Settings, check_id};
use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::kms;
use crate::operations::{any, empty};
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

const KIND: &str = "google.devtools.artifactregistry.v1.Repository";
const METADATA: &str = "google.devtools.artifactregistry.v1.OperationMetadata";

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/projects/{project}/locations/{location}/repositories";
    const ONE: &str = "/v1/projects/{project}/locations/{location}/repositories/{repository}";
    let mut routes = vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}:getIamPolicy",
            get_iam_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}:setIamPolicy",
            set_iam_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}:testIamPermissions",
            test_iam_permissions,
        ),
    ];
    routes.extend(inventory::routes());
    routes
}

fn parent(request: &Request) -> String {
    format!(
        "projects/{}/locations/{}",
        request.var("project"),
        request.var("location")
    )
}

fn name(request: &Request) -> String {
    format!(
        "{}/repositories/{}",
        parent(request),
        request.var("repository")
    )
}

/// The repository a path names, if the caller may do this to it (`repositories.get`).
pub(super) fn named(
    cloud: &Cloud,
    request: &Request,
    permission: &str,
) -> Result<Repository, ApiError> {
    let name = name(request);
    let permission = format!("artifactregistry.{permission}");
    policy::require(cloud, &request.caller, &name, &permission)?;
    cloud.registry.repositories.get(&name)
}

/// The resource, with the size of what it holds.
fn view(cloud: &Cloud, repository: &Repository) -> Value {
    let images = &cloud.registry.images;
    let entries = images.in_repository(repository.project(), repository.id());
    let size = entries
        .iter()
        .map(|(_, entry)| entry.image_size + entry.size);
    repository.view(size.sum())
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let parent = parent(&request);
    policy::require(
        &cloud,
        &request.caller,
        &parent,
        "artifactregistry.repositories.create",
    )?;
    let id = request.query("repositoryId").unwrap_or("").to_owned();
    check_id(&id)?;
    let body: Map<String, Value> = request.json().await?;
    let now = clock::now();
    let repository = Repository {
        name: format!("{parent}/repositories/{id}"),
        create_time: now.clone(),
        update_time: now,
        settings: Settings::parse(body)?.checked()?,
    };
    if !cloud.deletions.shows(&repository.name) {
        return Err(ApiError::already_exists("the repository already exists"));
    }
    let key = &repository.settings.kms_key_name;
    if !key.is_empty() {
        let (location, project) = (repository.location(), repository.project());
        kms::check(&cloud, key, location, project, "artifactregistry")?;
    }
    cloud.registry.repositories.create(repository.clone())?;
    let response = any(KIND, repository.view(0));
    let operation = cloud
        .operations
        .done(&parent, any(METADATA, json!({})), Ok(response))?;
    Ok(Json(operation).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let parent = parent(&request);
    let permission = "artifactregistry.repositories.list";
    policy::require(&cloud, &request.caller, &parent, permission)?;
    if let Some(filter) = request.query("filter").filter(|filter| !filter.is_empty()) {
        return Err(ApiError::unimplemented(format!(
            "the local cloud does not filter repositories: `{filter}`"
        )));
    }
    let all = cloud.registry.repositories.list(&parent).into_iter();
    let all = all.map(|repository| (repository.name.clone(), view(&cloud, &repository)));
    let (page, next) = Paging::of(&request, 1000)?.take(all.collect());
    Ok(Json(forms::list_reply("repositories", &page, next)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let repository = named(&cloud, &request, "repositories.get")?;
    Ok(Json(view(&cloud, &repository)).into_response())
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let repository = named(&cloud, &request, "repositories.update")?;
    let mask = request.query("updateMask").unwrap_or("").to_owned();
    if mask.is_empty() {
        return Err(ApiError::invalid("update_mask is required"));
    }
    let from = Settings::parse(request.json().await?)?;
    let change = |settings: &Settings| settings.masked(&from, &mask)?.checked();
    let repository = cloud
        .registry
        .repositories
        .update(&repository.name, change)?;
    Ok(Json(view(&cloud, &repository)).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let repository = named(&cloud, &request, "repositories.delete")?;
    let (project, id) = (repository.project(), repository.id());
    let registry = &cloud.registry;
    // First the name, so that no image is pulled or pushed while its bytes go.
    registry.repositories.remove(&repository.name)?;
    cloud.deletions.made(&repository.name);
    registry.images.remove_repository(project, id)?;
    registry.blobs.remove_repository(project, id)?;
    cloud.policies.forget(&repository.name)?;
    let metadata = any(METADATA, json!({}));
    let operation = cloud
        .operations
        .done(&parent(&request), metadata, Ok(empty()))?;
    Ok(Json(operation).into_response())
}

async fn get_iam_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "repositories.getIamPolicy")?.name;
    policy::get_iam_policy(&cloud, request, &name).await
}

async fn set_iam_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = named(&cloud, &request, "repositories.setIamPolicy")?.name;
    policy::set_iam_policy(&cloud, request, &name).await
}

async fn test_iam_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = cloud.registry.repositories.get(&name(&request))?.name;
    policy::test_iam_permissions(&cloud, request, &name).await
}
