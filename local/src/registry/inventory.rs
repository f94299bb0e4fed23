//! What a repository holds, as Artifact Registry's API v1 lists it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::api::named;
use super::call::Name;
use super::images::Entry;
use super::repository::Repository;
use crate::assets::Asset;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::paging::Paging;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}/dockerImages",
            docker_images,
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}/dockerImages/{image}",
            docker_image,
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}/packages",
            packages,
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}/packages/{package}/versions",
            versions,
        ),
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/repositories/{repository}/packages/{package}/tags",
            tags,
        ),
    ]
}

/// A project's images, for the inventory of assets.
pub fn assets(cloud: &Cloud, project: &str) -> Vec<Asset> {
    let repositories = cloud
        .registry
        .repositories
        .list(&format!("projects/{project}/"));
    let images = repositories.iter().flat_map(|repository| {
        let entries = entries(cloud, repository).into_iter();
        entries.map(|(name, entry)| docker_image_view(cloud, repository, &name, &entry))
    });
    let assets = images.map(|view| Asset {
        kind: "artifactregistry.googleapis.com/DockerImage",
        name: view["name"].as_str().unwrap_or_default().to_owned(),
        policy: None,
        data: view,
    });
    assets.collect()
}

fn reply(request: &Request, key: &str, mut items: Vec<Value>) -> Reply {
    let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
    items.sort_by_key(name);
    let keyed = items.into_iter().map(|item| (name(&item), item)).collect();
    let (page, next) = Paging::of(request, 1000)?.take(keyed);
    Ok(Json(forms::list_reply(key, &page, next)).into_response())
}

fn entries(cloud: &Cloud, repository: &Repository) -> Vec<(Name, Entry)> {
    let images = &cloud.registry.images;
    images.in_repository(repository.project(), repository.id())
}

/// An image's slashes are escaped in names of packages and images.
fn escaped(image: &str) -> String {
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    utf8_percent_encode(image, SEGMENT).to_string()
}

fn docker_image_view(cloud: &Cloud, repository: &Repository, name: &Name, entry: &Entry) -> Value {
    let mut view = json!({
        "name": format!("{}/dockerImages/{}@{}", repository.name, escaped(&name.image), entry.digest),
        "uri": format!("{}-docker.pkg.dev/{name}@{}", repository.location(), entry.digest),
        "imageSizeBytes": entry.image_size.to_string(),
        "mediaType": entry.media_type,
        "uploadTime": entry.uploaded,
        "updateTime": entry.uploaded,
    });
    // Said of what refers to another image.
    if let (Some(_), Some(kind)) = (&entry.subject, &entry.artifact_type) {
        view["artifactType"] = json!(kind);
    }
    let tags = cloud.registry.images.tags_of(name, &entry.digest);
    if !tags.is_empty() {
        view["tags"] = json!(tags);
    }
    view
}

async fn docker_images(cloud: Arc<Cloud>, request: Request) -> Reply {
    let repository = named(&cloud, &request, "dockerimages.list")?;
    let all = entries(&cloud, &repository).into_iter();
    let all = all.map(|(name, entry)| docker_image_view(&cloud, &repository, &name, &entry));
    reply(&request, "dockerImages", all.collect())
}

async fn docker_image(cloud: Arc<Cloud>, request: Request) -> Reply {
    let repository = named(&cloud, &request, "dockerimages.get")?;
    let wanted = request.var("image");
    let found = entries(&cloud, &repository)
        .into_iter()
        .find(|(name, entry)| format!("{}@{}", name.image, entry.digest) == wanted);
    let (name, entry) =
        found.ok_or_else(|| ApiError::not_found(format!("Image {wanted} not found.")))?;
    Ok(Json(docker_image_view(&cloud, &repository, &name, &entry)).into_response())
}

async fn packages(cloud: Arc<Cloud>, request: Request) -> Reply {
    let repository = named(&cloud, &request, "packages.list")?;
    let images: BTreeSet<String> = entries(&cloud, &repository)
        .into_iter()
        .map(|(name, _)| name.image)
        .collect();
    let packages = images
        .iter()
        .map(|image| json!({"name": format!("{}/packages/{}", repository.name, escaped(image))}));
    reply(&request, "packages", packages.collect())
}

/// The repository and image of a path under a package.
fn package(
    cloud: &Cloud,
    request: &Request,
    permission: &str,
) -> Result<(Repository, Name, String), ApiError> {
    let repository = named(cloud, request, permission)?;
    let image = request.var("package");
    let name = Name {
        project: repository.project().to_owned(),
        repository: repository.id().to_owned(),
        image: image.to_owned(),
    };
    let path = format!("{}/packages/{}", repository.name, escaped(image));
    if cloud.registry.images.entries(&name).is_empty() {
        return Err(ApiError::not_found(format!("Package {path} not found.")));
    }
    Ok((repository, name, path))
}

async fn versions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let (_, name, path) = package(&cloud, &request, "versions.list")?;
    let entries = cloud.registry.images.entries(&name).into_iter();
    let versions = entries.map(|entry| {
        json!({"name": format!("{path}/versions/{}", entry.digest),
               "createTime": entry.uploaded, "updateTime": entry.uploaded})
    });
    reply(&request, "versions", versions.collect())
}

async fn tags(cloud: Arc<Cloud>, request: Request) -> Reply {
    let (_, name, path) = package(&cloud, &request, "tags.list")?;
    let tags = cloud.registry.images.tags(&name).into_iter();
    let tags = tags.map(|(tag, document)| {
        json!({"name": format!("{path}/tags/{tag}"),
               "version": format!("{path}/versions/{}", document.digest)})
    });
    reply(&request, "tags", tags.collect())
}
