//! Bytes on their way in: media and multipart uploads, checked and put in place.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::http::Method;
use axum::response::IntoResponse;
use futures::StreamExt;
use md5::{Digest, Md5};
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::conditions::Conditions;
use super::multipart::Parts;
use super::{Content, Object, Storage, admitted, encryption, names, resumable, settings, view};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    const UPLOAD: &str = "/upload/storage/v1/b/{bucket}/o";
    vec![
        Route::new(Method::POST, UPLOAD, insert),
        Route::new(Method::PUT, UPLOAD, resumable::put),
        Route::new(Method::DELETE, UPLOAD, resumable::cancel),
    ]
}

async fn insert(cloud: Arc<Cloud>, request: Request) -> Reply {
    match request.query("uploadType") {
        _ if request.query("upload_id").is_some() => resumable::put(cloud, request).await,
        Some("media") => media(cloud, request).await,
        Some("multipart") => multipart(cloud, request).await,
        Some("resumable") => resumable::start(cloud, request).await,
        _ => Err(ApiError::invalid(
            "uploadType must be media, multipart or resumable.",
        )),
    }
}

async fn media(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let target = Target::of(&cloud, &request, Map::new(), None)?;
    let mut body = std::mem::take(&mut request.body).into_data_stream();
    let mut sink = Sink::new(&cloud.storage).await?;
    while let Some(bytes) = body.next().await {
        sink.write(&bytes.map_err(broken)?).await?;
    }
    finish(&cloud, sink.close().await?, target, &sums(&request))
}

async fn multipart(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let body = std::mem::take(&mut request.body);
    let mut parts = Parts::new(request.header("content-type").unwrap_or(""), body)?;
    let head = parts.head().await?;
    let metadata: Map<String, Value> = serde_json::from_slice(&head.metadata)
        .map_err(|error| ApiError::invalid(format!("Invalid JSON in the first part: {error}")))?;
    let target = Target::of(&cloud, &request, metadata, head.content_type)?;
    let mut sink = Sink::new(&cloud.storage).await?;
    while let Some(bytes) = parts.media().await? {
        sink.write(&bytes).await?;
    }
    finish(&cloud, sink.close().await?, target, &sums(&request))
}

/// What an upload becomes once its bytes are there.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Target {
    pub bucket: String,
    pub name: String,
    /// The object's metadata as it was sent, checksums included.
    pub sent: Map<String, Value>,
    #[serde(default)]
    pub kms_key_name: Option<String>,
    pub conditions: Conditions,
}

impl Target {
    /// Reads and checks all there is to know before the bytes.
    pub fn of(
        cloud: &Cloud,
        request: &Request,
        mut sent: Map<String, Value>,
        part_type: Option<String>,
    ) -> Result<Target, ApiError> {
        let name = request
            .query("name")
            .or_else(|| sent.get("name")?.as_str())
            .ok_or_else(|| ApiError::invalid("Required parameter: name").reason("required"))?
            .to_owned();
        names::check_object(&name)?;
        super::refuse_customer_key(request)?;
        let bucket = request.var("bucket").to_owned();
        let present = cloud.storage.object(&bucket, &name);
        let found = admitted(cloud, &request.caller, &bucket, "storage.objects.create")?;
        if present.is_some() {
            admitted(cloud, &request.caller, &bucket, "storage.objects.delete")?;
        }
        if !sent.contains_key("contentType") {
            let content_type = part_type
                .or_else(|| request.header("x-upload-content-type").map(str::to_owned))
                .or_else(|| own_type(request));
            if let Some(content_type) = content_type {
                sent.insert("contentType".to_owned(), content_type.into());
            }
        }
        if let Some(encoding) = request.query("contentEncoding") {
            sent.insert("contentEncoding".to_owned(), encoding.into());
        }
        settings::new_object(&sent)?;
        let conditions = Conditions::of(request)?;
        conditions.check_write(present.as_ref())?;
        Ok(Target {
            kms_key_name: encryption::version(cloud, &found, request)?,
            bucket,
            name,
            sent,
            conditions,
        })
    }
}

/// The request's own type is the media's only in a media upload.
fn own_type(request: &Request) -> Option<String> {
    let is_media = request.query("uploadType") == Some("media");
    request
        .header("content-type")
        .filter(|_| is_media)
        .map(str::to_owned)
}

/// Checks the bytes against the sums that came with them and makes them an object.
pub fn finish(cloud: &Cloud, content: Content, target: Target, sums: &Sums) -> Reply {
    sums.check(&content)?;
    Sums::of(&target.sent).check(&content)?;
    let object = Object {
        settings: settings::new_object(&target.sent)?,
        bucket: target.bucket,
        name: target.name,
        kms_key_name: target.kms_key_name,
        ..Object::default()
    };
    let object = cloud.storage.commit(content, object, &target.conditions)?;
    Ok(Json(view::object(cloud, &object)).into_response())
}

/// Checksums a sender states, base64.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    crc32c: Option<String>,
    md5: Option<String>,
}

/// The sums in the `x-goog-hash` headers, which may be one or several.
pub fn sums(request: &Request) -> Sums {
    let mut sums = Sums::default();
    let values = request.headers.get_all("x-goog-hash");
    let values = values.iter().filter_map(|value| value.to_str().ok());
    for (name, sum) in values
        .flat_map(|value| value.split(','))
        .filter_map(|sum| sum.split_once('='))
    {
        match name.trim() {
            "crc32c" => sums.crc32c = Some(sum.trim().to_owned()),
            "md5" => sums.md5 = Some(sum.trim().to_owned()),
            _ => {}
        }
    }
    sums
}

impl Sums {
    /// Sums may also be in the metadata; both must be right.
    fn of(sent: &Map<String, Value>) -> Sums {
        let text = |field: &str| {
            let text = sent.get(field)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        Sums {
            crc32c: text("crc32c"),
            md5: text("md5Hash"),
        }
    }

    fn check(&self, content: &Content) -> Result<(), ApiError> {
        let differs = |sent: &Option<String>, found: &Option<String>| matches!((sent, found), (Some(sent), Some(found)) if sent != found);
        let crc32c = Some(names::crc32c_text(content.crc32c));
        let md5 = content.md5.map(names::base64_text);
        for (name, sent, found) in [("CRC32C", &self.crc32c, &crc32c), ("MD5", &self.md5, &md5)] {
            if differs(sent, found) {
                return Err(ApiError::invalid(format!(
                    "Provided {name} \"{}\" doesn't match calculated {name} \"{}\".",
                    sent.as_deref().unwrap_or(""),
                    found.as_deref().unwrap_or("")
                )));
            }
        }
        Ok(())
    }
}

/// A file bytes are written to and summed up on the way.
pub struct Sink {
    file: File,
    path: tempfile::TempPath,
    summing: Summing,
}

#[derive(Default)]
struct Summing {
    size: u64,
    crc32c: u32,
    md5: Md5,
}

impl Summing {
    fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.md5.update(bytes);
    }

    fn content(self, path: tempfile::TempPath) -> Content {
        Content {
            path,
            size: self.size,
            crc32c: self.crc32c,
            md5: Some(self.md5.finalize().into()),
        }
    }
}

impl Sink {
    pub async fn new(storage: &Storage) -> Result<Sink, ApiError> {
        let (file, path) = tempfile::NamedTempFile::new_in(&storage.incoming)?.into_parts();
        Ok(Sink {
            file: File::from_std(file),
            path,
            summing: Summing::default(),
        })
    }

    pub async fn write(&mut self, bytes: &Bytes) -> Result<(), ApiError> {
        self.summing.add(bytes);
        Ok(self.file.write_all(bytes).await?)
    }

    pub async fn close(mut self) -> Result<Content, ApiError> {
        self.file.flush().await?;
        Ok(self.summing.content(self.path))
    }
}

/// Sums up a file that is already there.
pub async fn content_of(path: tempfile::TempPath) -> Result<Content, ApiError> {
    let mut file = File::open(&path).await?;
    let mut summing = Summing::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok(summing.content(path));
        }
        summing.add(&buffer[..read]);
    }
}

pub fn broken(error: axum::Error) -> ApiError {
    ApiError::invalid(format!("the body broke off: {error}"))
}
