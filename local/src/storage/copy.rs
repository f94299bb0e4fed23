//! Objects made of objects: copy, rewrite, move and compose.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::conditions::Conditions;
use super::upload::{Sink, Target};
use super::{Content, Object, admitted, encryption, no_object, settings, view};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

const MOST_SOURCES: usize = 32;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/storage/v1/b/{sourceBucket}/o/{sourceObject}/copyTo/b/{bucket}/o/{object}",
            copy,
        ),
        Route::new(
            Method::POST,
            "/storage/v1/b/{sourceBucket}/o/{sourceObject}/rewriteTo/b/{bucket}/o/{object}",
            rewrite,
        ),
        Route::new(
            Method::POST,
            "/storage/v1/b/{bucket}/o/{sourceObject}/moveTo/o/{object}",
            move_to,
        ),
        Route::new(
            Method::POST,
            "/storage/v1/b/{bucket}/o/{object}/compose",
            compose,
        ),
    ]
}

async fn copy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let source = source(&cloud, &request, request.var("sourceBucket"))?;
    let object = duplicate(&cloud, request, &source).await?;
    Ok(Json(view::object(&cloud, &object)).into_response())
}

/// A rewrite is done at once here, so it never answers a token.
async fn rewrite(cloud: Arc<Cloud>, request: Request) -> Reply {
    let source = source(&cloud, &request, request.var("sourceBucket"))?;
    let object = duplicate(&cloud, request, &source).await?;
    Ok(Json(json!({
        "kind": "storage#rewriteResponse",
        "done": true,
        "objectSize": object.size.to_string(),
        "totalBytesRewritten": object.size.to_string(),
        "resource": view::object(&cloud, &object),
    }))
    .into_response())
}

/// Within a bucket, the name and the generation are new and the rest stays.
async fn move_to(cloud: Arc<Cloud>, request: Request) -> Reply {
    let bucket = request.var("bucket");
    admitted(&cloud, &request.caller, bucket, "storage.objects.delete")?;
    let source = source(&cloud, &request, bucket)?;
    let object = duplicate(&cloud, request, &source).await?;
    if object.name != source.name {
        remove_all(&cloud, &[source])?;
    }
    Ok(Json(view::object(&cloud, &object)).into_response())
}

/// The object a copy reads, if its conditions hold.
fn source(cloud: &Cloud, request: &Request, bucket: &str) -> Result<Object, ApiError> {
    let name = request.var("sourceObject");
    let found = admitted(cloud, &request.caller, bucket, "storage.objects.get")?;
    let conditions = Conditions::of_source(request)?;
    let source = cloud.storage.generation(bucket, name, conditions.only());
    let source = source.ok_or_else(|| no_object(bucket, name))?;
    conditions.check_read(Some(&source))?;
    encryption::check_read(cloud, &found, &source)?;
    Ok(source)
}

async fn duplicate(
    cloud: &Cloud,
    mut request: Request,
    source: &Object,
) -> Result<Object, ApiError> {
    let mut sent: Map<String, Value> = request.json().await?;
    // Metadata that is sent replaces the source's as a whole.
    if sent.is_empty() {
        sent = source.settings.clone();
    }
    let target = target(cloud, &request, sent)?;
    let path = tempfile::NamedTempFile::new_in(&cloud.storage.incoming)?.into_temp_path();
    link_or_copy(&source.path, &path).await?;
    let content = Content {
        path,
        size: source.size,
        crc32c: sum_of(source)?,
        md5: md5_of(source),
    };
    put(cloud, content, target, source.component_count)
}

fn target(
    cloud: &Cloud,
    request: &Request,
    mut sent: Map<String, Value>,
) -> Result<Target, ApiError> {
    sent.insert("name".to_owned(), request.var("object").into());
    Target::of(cloud, request, sent, None)
}

fn put(
    cloud: &Cloud,
    content: Content,
    target: Target,
    component_count: Option<u32>,
) -> Result<Object, ApiError> {
    let object = Object {
        settings: settings::new_object(&target.sent)?,
        bucket: target.bucket,
        name: target.name,
        kms_key_name: target.kms_key_name,
        component_count,
        ..Object::default()
    };
    cloud.storage.commit(content, object, &target.conditions)
}

/// The bytes of a generation never change, so two objects may share them.
async fn link_or_copy(from: &Path, to: &Path) -> Result<(), ApiError> {
    tokio::fs::remove_file(to).await?;
    if tokio::fs::hard_link(from, to).await.is_err() {
        tokio::fs::copy(from, to).await?;
    }
    Ok(())
}

fn sum_of(object: &Object) -> Result<u32, ApiError> {
    decoded(&object.crc32c)
        .map(u32::from_be_bytes)
        .ok_or_else(|| ApiError::internal(format!("the sum of {} is damaged", object.name)))
}

fn md5_of(object: &Object) -> Option<[u8; 16]> {
    decoded(object.md5_hash.as_ref()?)
}

fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    bytes.try_into().ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Composition {
    #[serde(default)]
    destination: Map<String, Value>,
    #[serde(default)]
    source_objects: Vec<Source>,
    #[serde(default)]
    delete_source_objects: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    name: String,
    #[serde(default)]
    generation: Option<Value>,
    #[serde(default)]
    object_preconditions: Preconditions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions {
    #[serde(default)]
    if_generation_match: Option<Value>,
}

async fn compose(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let bucket = request.var("bucket").to_owned();
    let composition: Composition = request.json().await?;
    if !(1..=MOST_SOURCES).contains(&composition.source_objects.len()) {
        return Err(ApiError::invalid(format!(
            "The number of source components provided must be between 1 and {MOST_SOURCES}."
        )));
    }
    let found = admitted(&cloud, &request.caller, &bucket, "storage.objects.get")?;
    if composition.delete_source_objects {
        admitted(&cloud, &request.caller, &bucket, "storage.objects.delete")?;
    }
    let target = target(&cloud, &request, composition.destination)?;
    let mut sink = Sink::new(&cloud.storage).await?;
    let (mut count, mut poured) = (0, Vec::new());
    for source in &composition.source_objects {
        let object = present(&cloud, &bucket, source)?;
        encryption::check_read(&cloud, &found, &object)?;
        count += object.component_count.unwrap_or(1);
        pour(&object, &mut sink).await?;
        poured.push(object);
    }
    // A composed object has no MD5.
    let content = Content {
        md5: None,
        ..sink.close().await?
    };
    let object = put(&cloud, content, target, Some(count))?;
    if composition.delete_source_objects {
        poured.retain(|source| source.name != object.name);
        remove_all(&cloud, &poured)?;
    }
    Ok(Json(view::object(&cloud, &object)).into_response())
}

/// Removes the generations objects were made of, for good; another one stays.
fn remove_all(cloud: &Cloud, sources: &[Object]) -> Result<(), ApiError> {
    for source in sources {
        let as_read = Conditions::generation(None, Some(source.generation));
        match cloud.storage.delete(&source.bucket, &source.name, &as_read) {
            Err(error) if error.code != 404 => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn present(cloud: &Cloud, bucket: &str, source: &Source) -> Result<Object, ApiError> {
    let object = cloud.storage.object(bucket, &source.name);
    let object = object.ok_or_else(|| no_object(bucket, &source.name))?;
    let number = |value: &Option<Value>| {
        let value = value.as_ref()?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    };
    let generation = number(&source.object_preconditions.if_generation_match);
    Conditions::generation(generation, number(&source.generation)).check_write(Some(&object))?;
    Ok(object)
}

async fn pour(object: &Object, sink: &mut Sink) -> Result<(), ApiError> {
    let mut file = File::open(&object.path).await?;
    let mut buffer = bytes::BytesMut::with_capacity(256 * 1024);
    while file.read_buf(&mut buffer).await? > 0 {
        sink.write(&buffer.split().freeze()).await?;
        buffer.reserve(256 * 1024);
    }
    Ok(())
}
