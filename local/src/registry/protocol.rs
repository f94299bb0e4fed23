//! The registry protocol (OCI distribution spec) over blobs and manifests.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::auth;
use super::call::{Call, Name, Reference};
use super::digest::Digest;
use super::error::RegistryError;
use super::images::Entry;
use super::manifest::{MAX_BYTES, Manifest, OCI_INDEX};
use super::repository::Repository;
use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::{Reply, Request, Route};

const DIGEST_HEADER: &str = "docker-content-digest";

type Answer = Result<Response, RegistryError>;

/// All paths under `/v2/` that no API before took.
pub fn protocol_routes() -> Vec<Route> {
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let rest = methods.map(|method| Route::new(method, "/v2/{rest=**}", answer));
    let mut routes = vec![Route::new(Method::GET, "/v2", answer)];
    routes.extend(rest);
    routes
}

async fn answer(cloud: Arc<Cloud>, request: Request) -> Reply {
    let path = request.var("rest").to_owned();
    if path.starts_with("projects/") {
        // `projects` is no project's id: these are other APIs of version 2.
        return Err(ApiError::unserved(format!(
            "the local cloud does not serve {} /v2/{path}",
            request.method
        )));
    }
    let answered = match path.as_str() {
        "token" => auth::token(&cloud, &request),
        _ => serve(&cloud, request, &path).await,
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    let version = header::HeaderValue::from_static("registry/2.0");
    let headers = response.headers_mut();
    headers.insert("docker-distribution-api-version", version);
    Ok(response)
}

async fn serve(cloud: &Cloud, request: Request, path: &str) -> Answer {
    let call = Call::parse(&request.method, path)?;
    let caller = match auth::caller(cloud, &request.headers, &call) {
        Ok(caller) => caller,
        Err(challenge) => return Ok(*challenge),
    };
    let Some(name) = call.name() else {
        return Ok(Json(json!({})).into_response());
    };
    let repository = cloud
        .registry
        .repositories
        .find(&name.project, &name.repository)
        .ok_or_else(|| RegistryError::name_unknown(&name.to_string()))?;
    permit(cloud, &caller, &repository, call.permission())?;
    carry_out(cloud, request, &repository, call).await
}

fn permit(
    cloud: &Cloud,
    caller: &Caller,
    repository: &Repository,
    permission: &str,
) -> Result<(), RegistryError> {
    if cloud.policies.permits(&repository.name, permission, caller) {
        return Ok(());
    }
    Err(RegistryError::denied(format!(
        "Permission \"{permission}\" denied on resource \"{}\" (or it may not exist)",
        repository.name
    )))
}

async fn carry_out(cloud: &Cloud, request: Request, repository: &Repository, call: Call) -> Answer {
    let registry = &cloud.registry;
    match call {
        Call::Ping => Ok(Json(json!({})).into_response()),
        Call::ReadBlob(name, digest) => {
            let head = request.method == Method::HEAD;
            let range = request.header("range").map(str::to_owned);
            drop(request); // A body is not `Sync`, so it cannot be lent across the reading.
            read_blob(cloud, &name, &digest, head, range).await
        }
        Call::StartUpload(name) => start_upload(cloud, request, &name).await,
        Call::UploadStatus(name, id) => {
            let size = registry.blobs.upload_size(&id)?;
            Ok(progress(StatusCode::NO_CONTENT, &name, &id, size))
        }
        Call::AppendUpload(name, id) => {
            let size = append(cloud, request, &id).await?;
            Ok(progress(StatusCode::ACCEPTED, &name, &id, size))
        }
        Call::FinishUpload(name, id) => {
            let digest = digest_parameter(&request)?;
            append(cloud, request, &id).await?;
            registry.blobs.finish(&id, &name, &digest).await?;
            Ok(created(format!("/v2/{name}/blobs/{digest}"), &digest))
        }
        Call::CancelUpload(_, id) => {
            registry.blobs.cancel_upload(&id)?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Call::ReadManifest(name, reference) => read_manifest(cloud, &request, &name, &reference),
        Call::WriteManifest(name, reference) => {
            write_manifest(cloud, request, repository, &name, &reference).await
        }
        Call::DeleteManifest(name, reference) => delete_manifest(cloud, &name, &reference),
        Call::Tags(name) => Ok(tags(cloud, &request, &name)),
        Call::Referrers(name, digest) => Ok(referrers(cloud, &request, &name, &digest)),
    }
}

async fn read_blob(
    cloud: &Cloud,
    name: &Name,
    digest: &Digest,
    head: bool,
    range: Option<String>,
) -> Answer {
    let path = cloud
        .registry
        .blobs
        .find(name, digest)
        .ok_or_else(|| RegistryError::blob_unknown(&digest.to_string()))?;
    let mut file = tokio::fs::File::open(path).await?;
    let size = file.metadata().await?.len();
    let range = range.map(|range| parse_range(&range, size));
    let (status, start, end) = match range {
        Some(Some((start, end))) => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(None) => return Err(RegistryError::range_invalid("the blob is shorter")),
        None => (StatusCode::OK, 0, size),
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, end - start)
        .header(DIGEST_HEADER, digest.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {start}-{}/{size}", end - 1);
        response = response.header(header::CONTENT_RANGE, range);
    }
    let body = if head {
        Body::empty()
    } else {
        file.seek(std::io::SeekFrom::Start(start)).await?;
        Body::from_stream(ReaderStream::new(file.take(end - start)))
    };
    Ok(response.body(body).map_err(std::io::Error::other)?)
}

/// `bytes=A-B`, `bytes=A-` or `bytes=-N` as start and end (exclusive) of what exists.
fn parse_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => {
            let last: u64 = last.parse().ok()?;
            (first.parse().ok()?, last.saturating_add(1).min(size))
        }
    };
    (start < end).then_some((start, end))
}

async fn start_upload(cloud: &Cloud, request: Request, name: &Name) -> Answer {
    let blobs = &cloud.registry.blobs;
    if let (Some(digest), Some(from)) = (request.query("mount"), request.query("from")) {
        let digest = parse_digest(digest)?;
        let mounted = match Name::parse(from) {
            Some(from) => blobs.mount(&from, name, &digest)?,
            None => false,
        };
        if mounted {
            return Ok(created(format!("/v2/{name}/blobs/{digest}"), &digest));
        }
    } else if request.query("digest").is_some() {
        let digest = digest_parameter(&request)?;
        let id = blobs.start_upload()?;
        append(cloud, request, &id).await?;
        blobs.finish(&id, name, &digest).await?;
        return Ok(created(format!("/v2/{name}/blobs/{digest}"), &digest));
    }
    let id = blobs.start_upload()?;
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

/// Adds the request's body to the upload, if it is what comes next.
async fn append(cloud: &Cloud, request: Request, id: &str) -> Result<u64, RegistryError> {
    let blobs = &cloud.registry.blobs;
    let size = blobs.upload_size(id)?;
    if let Some(range) = request.header("content-range") {
        let start = range.trim_start_matches("bytes ").split('-').next();
        let start: Option<u64> = start.and_then(|start| start.trim().parse().ok());
        if start != Some(size) {
            return Err(RegistryError::range_invalid(format!(
                "the upload has {size} bytes, and the chunk is `{range}`"
            )));
        }
    }
    blobs.append(id, request.body.into_data_stream()).await
}

fn digest_parameter(request: &Request) -> Result<Digest, RegistryError> {
    let digest = request.query("digest");
    parse_digest(digest.ok_or_else(|| RegistryError::digest_invalid("`digest` is missing"))?)
}

fn parse_digest(text: &str) -> Result<Digest, RegistryError> {
    text.parse()
        .map_err(|error: super::digest::NoDigest| RegistryError::digest_invalid(error.to_string()))
}

fn progress(status: StatusCode, name: &Name, id: &str, size: u64) -> Response {
    let headers = [
        ("location", format!("/v2/{name}/blobs/uploads/{id}")),
        ("range", format!("0-{}", size.saturating_sub(1))),
        ("docker-upload-uuid", id.to_owned()),
    ];
    (status, headers).into_response()
}

fn created(location: String, digest: &Digest) -> Response {
    let headers = [("location", location), (DIGEST_HEADER, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

fn read_manifest(cloud: &Cloud, request: &Request, name: &Name, reference: &Reference) -> Answer {
    let entry = find(cloud, name, reference)?;
    let headers = [
        ("content-type", entry.media_type),
        ("content-length", entry.size.to_string()),
        (DIGEST_HEADER, entry.digest.to_string()),
    ];
    if request.method == Method::HEAD {
        return Ok((headers, Body::empty()).into_response());
    }
    let bytes = cloud.registry.blobs.read(name, &entry.digest)?;
    Ok((headers, bytes).into_response())
}

fn find(cloud: &Cloud, name: &Name, reference: &Reference) -> Result<Entry, RegistryError> {
    let found = cloud.registry.images.find(name, reference);
    found.ok_or_else(|| RegistryError::manifest_unknown(&reference.to_string()))
}

async fn write_manifest(
    cloud: &Cloud,
    request: Request,
    repository: &Repository,
    name: &Name,
    reference: &Reference,
) -> Answer {
    let content_type = request.header("content-type").unwrap_or("").to_owned();
    let bytes = axum::body::to_bytes(request.body, MAX_BYTES)
        .await
        .map_err(|_| RegistryError::too_large())?;
    let manifest = Manifest::parse(&bytes, &content_type)?;
    let digest = Digest::of(&bytes);
    check_reference(cloud, repository, name, reference, &digest)?;
    check_contents(cloud, name, &manifest)?;
    let registry = &cloud.registry;
    registry.blobs.write(name, &digest, &bytes)?;
    registry
        .images
        .put(name, entry(&manifest, &digest, bytes.len()))?;
    if let Reference::Tag(tag) = reference {
        registry.images.put_tag(name, tag, &digest)?;
    }
    let mut response = created(format!("/v2/{name}/manifests/{digest}"), &digest);
    if let Some(subject) = &manifest.subject
        && let Ok(value) = header::HeaderValue::from_str(&subject.digest.to_string())
    {
        response.headers_mut().insert("oci-subject", value);
    }
    Ok(response)
}

fn entry(manifest: &Manifest, digest: &Digest, size: usize) -> Entry {
    Entry {
        media_type: manifest.media_type.clone(),
        digest: digest.clone(),
        size: size as u64,
        image_size: manifest.blobs().map(|blob| blob.size).sum(),
        uploaded: clock::now(),
        artifact_type: manifest.artifact_type().map(str::to_owned),
        subject: manifest.subject.as_ref().map(|it| it.digest.clone()),
        annotations: manifest.annotations.clone(),
    }
}

fn check_reference(
    cloud: &Cloud,
    repository: &Repository,
    name: &Name,
    reference: &Reference,
    digest: &Digest,
) -> Result<(), RegistryError> {
    match reference {
        Reference::Digest(named) if named != digest => Err(RegistryError::digest_invalid(format!(
            "the manifest is {digest}, not {named}"
        ))),
        Reference::Tag(tag) if repository.immutable_tags() => {
            match cloud.registry.images.tag(name, tag) {
                Some(present) if present.digest != *digest => Err(RegistryError::denied(format!(
                    "tag {tag} is {}, and the repository's tags are immutable",
                    present.digest
                ))),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn check_contents(cloud: &Cloud, name: &Name, manifest: &Manifest) -> Result<(), RegistryError> {
    let registry = &cloud.registry;
    let missing_blob = manifest
        .blobs()
        .find(|blob| registry.blobs.find(name, &blob.digest).is_none());
    let missing_child = manifest.children().iter().find(|child| {
        let reference = Reference::Digest(child.digest.clone());
        registry.images.find(name, &reference).is_none()
    });
    match missing_blob.or(missing_child) {
        Some(missing) => Err(RegistryError::manifest_blob_unknown(
            &missing.digest.to_string(),
        )),
        None => Ok(()),
    }
}

fn delete_manifest(cloud: &Cloud, name: &Name, reference: &Reference) -> Answer {
    let images = &cloud.registry.images;
    let known = match reference {
        Reference::Tag(tag) => images.remove_tag(name, tag)?,
        Reference::Digest(digest) => {
            if !images.tags_of(name, digest).is_empty() {
                return Err(RegistryError::dangling_tag(&digest.to_string()));
            }
            images.remove(name, digest)?
        }
    };
    if !known {
        return Err(RegistryError::manifest_unknown(&reference.to_string()));
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// `n` and `last` page through the tags as the spec has it.
fn tags(cloud: &Cloud, request: &Request, name: &Name) -> Response {
    let last = request.query("last").unwrap_or("");
    let size: usize = request
        .query("n")
        .and_then(|n| n.parse().ok())
        .unwrap_or(usize::MAX);
    let all = cloud.registry.images.tags(name).into_iter();
    let mut rest = all.map(|(tag, _)| tag).filter(|tag| tag.as_str() > last);
    let page: Vec<String> = rest.by_ref().take(size).collect();
    let mut response = Json(json!({"name": name.to_string(), "tags": page})).into_response();
    if let (Some(_), Some(last)) = (rest.next(), page.last())
        && let Ok(link) = header::HeaderValue::from_str(&format!(
            "</v2/{name}/tags/list?n={size}&last={last}>; rel=\"next\""
        ))
    {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn referrers(cloud: &Cloud, request: &Request, name: &Name, digest: &Digest) -> Response {
    let wanted = request.query("artifactType");
    let entries = cloud.registry.images.entries(name).into_iter();
    let manifests: Vec<_> = entries
        .filter(|entry| entry.subject.as_ref() == Some(digest))
        .filter(|entry| wanted.is_none() || entry.artifact_type.as_deref() == wanted)
        .map(|entry| {
            json!({"mediaType": entry.media_type, "digest": entry.digest, "size": entry.size,
                   "artifactType": entry.artifact_type, "annotations": entry.annotations})
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let mut response = ([("content-type", OCI_INDEX)], index.to_string()).into_response();
    if wanted.is_some() {
        let value = header::HeaderValue::from_static("artifactType");
        response.headers_mut().insert("oci-filters-applied", value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_the_blob_does() {
        assert_eq!(parse_range("bytes=0-3", 10), Some((0, 4)));
        assert_eq!(parse_range("bytes=4-", 10), Some((4, 10)));
        assert_eq!(parse_range("bytes=-3", 10), Some((7, 10)));
        assert_eq!(parse_range("bytes=8-99", 10), Some((8, 10)));
        assert_eq!(parse_range("bytes=10-", 10), None);
        assert_eq!(parse_range("lines=1-2", 10), None);
    }
}
