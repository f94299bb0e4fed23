//! What a repository holds, as Artifact Registry's API v1 lists it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::api::named;
use super::call::{Name, Reference};
use super::digest::Digest;
use super::images::Entry;
use super::repository::Repository;
use crate::assets::Asset;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::paging::Paging;
use crate::router::{Reply, Request, Route};

const TAGS: &str =
    "/v1/projects/{project}/locations/{location}/repositories/{repository}/packages/{package}/tags";
const TAG: &str = "/v1/projects/{project}/locations/{location}/repositories/{repository}/packages/{package}/tags/{tag}";

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
        Route::new(Method::GET, TAGS, tags),
        Route::new(Method::GET, TAG, get_tag),
        Route::new(Method::POST, TAGS, create_tag),
        Route::new(Method::PATCH, TAG, move_tag),
        Route::new(Method::DELETE, TAG, delete_tag),
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
    let tags = tags.map(|(tag, document)| tag_view(&path, &tag, &document.digest));
    reply(&request, "tags", tags.collect())
}

fn tag_view(package: &str, tag: &str, digest: &Digest) -> Value {
    json!({"name": format!("{package}/tags/{tag}"),
           "version": format!("{package}/versions/{digest}")})
}

async fn get_tag(cloud: Arc<Cloud>, request: Request) -> Reply {
    let (_, name, path) = package(&cloud, &request, "tags.get")?;
    let tag = request.var("tag");
    let found = cloud.registry.images.tag(&name, tag);
    let found = found.ok_or_else(|| no_tag(&path, tag))?;
    Ok(Json(tag_view(&path, tag, &found.digest)).into_response())
}

fn no_tag(package: &str, tag: &str) -> ApiError {
    ApiError::not_found(format!("Tag {package}/tags/{tag} not found."))
}

async fn create_tag(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let (_, name, path) = package(&cloud, &request, "tags.create")?;
    let tag = request.query("tagId").unwrap_or_default().to_owned();
    if !matches!(Reference::parse(&tag), Ok(Reference::Tag(_))) {
        return Err(ApiError::invalid(format!("`{tag}` is no tag")));
    }
    if cloud.registry.images.tag(&name, &tag).is_some() {
        let message = format!("Tag {path}/tags/{tag} already exists.");
        return Err(ApiError::already_exists(message));
    }
    point(&cloud, &mut request, &name, &path, &tag).await
}

async fn move_tag(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let (_, name, path) = package(&cloud, &request, "tags.update")?;
    let tag = request.var("tag").to_owned();
    if cloud.registry.images.tag(&name, &tag).is_none() {
        return Err(no_tag(&path, &tag));
    }
    point(&cloud, &mut request, &name, &path, &tag).await
}

/// Has a tag point at the version the body names.
async fn point(cloud: &Cloud, request: &mut Request, name: &Name, path: &str, tag: &str) -> Reply {
    let body: Value = request.json().await?;
    let version = body["version"].as_str().unwrap_or_default();
    let digest = version.rsplit('/').next().unwrap_or_default();
    let found = digest.parse::<Digest>().ok().filter(|digest| {
        let reference = Reference::Digest(digest.clone());
        cloud.registry.images.find(name, &reference).is_some()
    });
    let digest =
        found.ok_or_else(|| ApiError::not_found(format!("Version {version} not found.")))?;
    cloud.registry.images.put_tag(name, tag, &digest)?;
    Ok(Json(tag_view(path, tag, &digest)).into_response())
}

async fn delete_tag(cloud: Arc<Cloud>, request: Request) -> Reply {
    let (_, name, path) = package(&cloud, &request, "tags.delete")?;
    let tag = request.var("tag");
    match cloud.registry.images.remove_tag(&name, tag)? {
        true => Ok(Json(json!({})).into_response()),
        false => Err(no_tag(&path, tag)),
    }
}
