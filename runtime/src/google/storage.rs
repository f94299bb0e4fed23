//! Cloud Storage's JSON API, as far as objects go (Google's crate speaks gRPC).

use base64::Engine as _;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;

use super::api::{Api, ApiError, Request};

/// Larger objects are sent in chunks, so that a broken connection costs only one.
const CHUNK: usize = 8 << 20;

/// Reads and writes objects.
#[derive(Debug, Clone)]
pub struct Storage {
    api: Api,
    base: String,
}

/// What must hold of the object that is there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    None,
    Absent,
    Generation(i64),
}

/// An object's bytes and which version they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub bytes: Bytes,
    pub generation: i64,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Listed {
    pub name: String,
    #[serde(deserialize_with = "number")]
    pub generation: i64,
    #[serde(default, deserialize_with = "number")]
    pub size: i64,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    items: Vec<Listed>,
    #[serde(rename = "nextPageToken")]
    next: Option<String>,
}

/// Google's JSON has 64-bit numbers as strings.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Storage {
    pub fn new(api: Api, base: &str) -> Storage {
        Storage {
            api,
            base: base.to_owned(),
        }
    }

    pub fn bucket(&self, name: &str) -> Bucket {
        Bucket {
            storage: self.clone(),
            name: name.to_owned(),
        }
    }

    /// The authorised requests beneath, for calls this client does not have.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Such as `https://storage.googleapis.com`.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// One bucket's objects.
#[derive(Debug, Clone)]
pub struct Bucket {
    storage: Storage,
    name: String,
}

impl Bucket {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `gs://bucket/object`.
    pub fn uri(&self, object: &str) -> String {
        format!("gs://{}/{object}", self.name)
    }

    /// Writes an object whole and gives its generation.
    ///
    /// A precondition that fails because a retry met our own first try is no failure.
    pub async fn put(
        &self,
        object: &str,
        content_type: &str,
        bytes: Bytes,
        precondition: Precondition,
    ) -> Result<i64, ApiError> {
        let sent = if bytes.len() > CHUNK {
            self.put_in_chunks(object, content_type, &bytes, precondition)
                .await
        } else {
            self.put_at_once(object, content_type, &bytes, precondition)
                .await
        };
        match sent {
            Err(error) if error.is_lost_race() => match self.get(object).await? {
                Some(there) if there.bytes == bytes => Ok(there.generation),
                _ => Err(error),
            },
            sent => sent,
        }
    }

    /// The object, or `None` if there is none.
    pub async fn get(&self, object: &str) -> Result<Option<Object>, ApiError> {
        let request = Request::new(Method::GET, self.object_url(object)).query("alt", "media");
        match self.storage.api.bytes(&request).await {
            Ok((headers, bytes)) => Ok(Some(Object {
                bytes,
                generation: generation(&headers),
            })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last bytes of the object, or all of it where it has fewer; `None` if there is none.
    pub async fn end(&self, object: &str, length: u64) -> Result<Option<Bytes>, ApiError> {
        let request = Request::new(Method::GET, self.object_url(object))
            .query("alt", "media")
            .header("range", format!("bytes=-{length}"));
        match self.storage.api.bytes(&request).await {
            Ok((_, bytes)) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects whose names begin so, by name.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, ApiError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut request = Request::new(Method::GET, format!("{}/o", self.url("storage/v1")))
                .query("prefix", prefix)
                .query("fields", "items(name,generation,size),nextPageToken");
            if let Some(token) = &token {
                request = request.query("pageToken", token);
            }
            let listing: Listing = self.storage.api.json(&request).await?;
            found.extend(listing.items);
            match listing.next {
                Some(next) => token = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// Deletes the object if it is there and still of this generation.
    pub async fn delete(&self, object: &str, precondition: Precondition) -> Result<(), ApiError> {
        let request = Request::new(Method::DELETE, self.object_url(object));
        match self
            .storage
            .api
            .send(&with_precondition(request, precondition))
            .await
        {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn put_at_once(
        &self,
        object: &str,
        content_type: &str,
        bytes: &Bytes,
        precondition: Precondition,
    ) -> Result<i64, ApiError> {
        let request = self
            .upload(object, "media", precondition)
            .header("x-goog-hash", format!("crc32c={}", crc32c(bytes)))
            .body(content_type, bytes.clone());
        let listed: Listed = self.storage.api.json(&request).await?;
        Ok(listed.generation)
    }

    async fn put_in_chunks(
        &self,
        object: &str,
        content_type: &str,
        bytes: &Bytes,
        precondition: Precondition,
    ) -> Result<i64, ApiError> {
        // A session can be lost on the server's side (404, 410): then all is sent again.
        for _ in 0..3 {
            let session = self
                .start_session(object, content_type, bytes, precondition)
                .await?;
            match self.send_chunks(&session, bytes).await {
                Err(error) if matches!(error.status(), Some(404 | 410)) => continue,
                sent => return sent,
            }
        }
        let call = format!("upload of {object}");
        Err(ApiError::Unreachable {
            call,
            problem: "the upload session was lost".to_owned(),
        })
    }

    async fn start_session(
        &self,
        object: &str,
        content_type: &str,
        bytes: &Bytes,
        precondition: Precondition,
    ) -> Result<String, ApiError> {
        let request = self
            .upload(object, "resumable", precondition)
            .header("x-upload-content-type", content_type)
            .header("x-upload-content-length", bytes.len().to_string())
            .json(&json!({"contentType": content_type, "crc32c": crc32c(bytes)}));
        let response = self.storage.api.send(&request).await?;
        let location = response
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok());
        location.map(str::to_owned).ok_or_else(|| ApiError::Decode {
            call: format!("upload of {object}"),
            problem: "no session in the Location header".to_owned(),
        })
    }

    async fn send_chunks(&self, session: &str, bytes: &Bytes) -> Result<i64, ApiError> {
        let total = bytes.len();
        let mut sent = 0;
        let mut failures = 0;
        loop {
            let end = total.min(sent + CHUNK);
            let chunk = Request::new(Method::PUT, session)
                .header("content-range", format!("bytes {sent}-{}/{total}", end - 1))
                .body("application/octet-stream", bytes.slice(sent..end))
                .once();
            let answer = match self.storage.api.send(&chunk).await {
                // What arrived is known only to the server.
                Err(error) if error.is_transient() && failures < 7 => {
                    failures += 1;
                    let ask = Request::new(Method::PUT, session)
                        .header("content-range", format!("bytes */{total}"))
                        .body("application/octet-stream", Bytes::new());
                    self.storage.api.send(&ask).await?
                }
                answer => answer?,
            };
            if answer.status().is_success() {
                let listed: Listed = answer.json().await.map_err(|error| ApiError::Decode {
                    call: "the end of an upload".to_owned(),
                    problem: error.to_string(),
                })?;
                return Ok(listed.generation);
            }
            sent = arrived(answer.headers());
        }
    }

    fn upload(&self, object: &str, kind: &str, precondition: Precondition) -> Request {
        let request = Request::new(Method::POST, format!("{}/o", self.url("upload/storage/v1")))
            .query("uploadType", kind)
            .query("name", object);
        with_precondition(request, precondition)
    }

    fn object_url(&self, object: &str) -> String {
        format!(
            "{}/o/{}",
            self.url("storage/v1"),
            utf8_percent_encode(object, NON_ALPHANUMERIC)
        )
    }

    fn url(&self, api: &str) -> String {
        format!("{}/{api}/b/{}", self.storage.base, self.name)
    }
}

fn with_precondition(request: Request, precondition: Precondition) -> Request {
    match precondition {
        Precondition::None => request,
        Precondition::Absent => request.query("ifGenerationMatch", 0),
        Precondition::Generation(generation) => request.query("ifGenerationMatch", generation),
    }
}

/// Bytes the server has, from `Range: bytes=0-N` (no header: none).
fn arrived(headers: &HeaderMap) -> usize {
    let range = headers.get("range").and_then(|value| value.to_str().ok());
    let last = range.and_then(|range| range.rsplit('-').next()?.parse::<usize>().ok());
    last.map_or(0, |last| last + 1)
}

fn generation(headers: &HeaderMap) -> i64 {
    let header = headers
        .get("x-goog-generation")
        .and_then(|value| value.to_str().ok());
    header.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// CRC32C as Storage writes it: base64 of the big-endian sum.
fn crc32c(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}
