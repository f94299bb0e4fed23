//! Resumable uploads: a session, chunks at their offsets, and a finish.
//!
//! What arrived is a file that only grows; its length is the offset to go on from.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::upload::{Target, broken, content_of, finish, sums};
use super::view;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request};
use crate::store::Collection;

/// Chunks but the last come in multiples of this.
const QUANTUM: u64 = 256 * 1024;
const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An upload under way or finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    target: Target,
    started: Timestamp,
    finished: bool,
}

/// One request at a time works on a session.
#[derive(Default)]
pub struct Busy(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Busy {
    fn session(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.entry(id.to_owned()).or_default().clone()
    }

    fn forget(&self, id: &str) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(id);
    }
}

/// Drops sessions nobody may go on with.
pub fn forget_old(sessions: &Collection<Session>) -> io::Result<()> {
    let oldest = Timestamp::now() - LIFE;
    for (id, session) in sessions.list("") {
        if session.started < oldest {
            sessions.remove(&id)?;
        }
    }
    Ok(())
}

pub async fn start(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let sent: Map<String, Value> = request.json().await?;
    let target = Target::of(&cloud, &request, sent, None)?;
    let id = uuid::Uuid::new_v4().simple().to_string();
    File::create(file(&cloud, &id)).await?;
    let location = format!(
        "{}/upload/storage/v1/b/{}/o?uploadType=resumable&upload_id={id}",
        cloud.endpoint, target.bucket
    );
    let session = Session {
        target,
        started: Timestamp::now(),
        finished: false,
    };
    cloud.storage.sessions.put(&id, session)?;
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    for (name, value) in [(header::LOCATION, &location), (UPLOAD_ID, &id)] {
        let value = HeaderValue::from_str(value)
            .map_err(|_| ApiError::invalid("The bucket's name cannot be in a URL."))?;
        headers.insert(name, value);
    }
    Ok(response)
}

const UPLOAD_ID: HeaderName = HeaderName::from_static("x-guploader-uploadid");

/// A chunk, the whole, or a question how far the upload is.
pub async fn put(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let id = id(&request)?;
    let busy = cloud.storage.busy.session(&id);
    let _busy = busy.lock().await;
    let session = session(&cloud, &id)?;
    if session.finished {
        return finished(&cloud, &session);
    }
    let path = file(&cloud, &id);
    let received = tokio::fs::metadata(&path).await?.len();
    let chunk = Chunk::of(request.header("content-range"))?;
    let offset = chunk.offset(received)?;
    let body = std::mem::take(&mut request.body);
    let received = match chunk {
        Chunk::Question(_) => received,
        _ => append(&path, body, received - offset, chunk.length()).await?,
    };
    if chunk.total().is_none_or(|total| total != received) && !chunk.is_whole() {
        return Ok(more(received));
    }
    let content = content_of(tempfile::TempPath::try_from_path(path)?).await?;
    let result = finish(&cloud, content, session.target.clone(), &sums(&request));
    // Bytes refused at the end cannot be sent again in this session.
    match &result {
        Ok(_) => cloud.storage.sessions.put(
            &id,
            Session {
                finished: true,
                ..session
            },
        )?,
        Err(_) => drop(cloud.storage.sessions.remove(&id)?),
    }
    cloud.storage.busy.forget(&id);
    result
}

pub async fn cancel(cloud: Arc<Cloud>, request: Request) -> Reply {
    let id = id(&request)?;
    session(&cloud, &id)?;
    cloud.storage.sessions.remove(&id)?;
    cloud.storage.busy.forget(&id);
    match tokio::fs::remove_file(file(&cloud, &id)).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // Google's answer to a cancelled upload.
    let status = StatusCode::from_u16(499).unwrap_or(StatusCode::NO_CONTENT);
    Ok(status.into_response())
}

fn id(request: &Request) -> Result<String, ApiError> {
    match request.query("upload_id") {
        Some(id) => Ok(id.to_owned()),
        None => Err(ApiError::invalid("Required parameter: upload_id")),
    }
}

fn session(cloud: &Cloud, id: &str) -> Result<Session, ApiError> {
    let session = cloud.storage.sessions.get(id);
    session.ok_or_else(|| ApiError::not_found("No such upload session; start the upload again."))
}

/// Ids are ours: only one that has a session becomes a path.
fn file(cloud: &Cloud, id: &str) -> PathBuf {
    cloud.storage.incoming.join(id)
}

/// The object a finished session made, as long as it is there.
fn finished(cloud: &Cloud, session: &Session) -> Reply {
    let Target { bucket, name, .. } = &session.target;
    match cloud.storage.object(bucket, name) {
        Some(object) => Ok(Json(view::object(cloud, &object)).into_response()),
        None => Err(super::no_object(bucket, name)),
    }
}

/// Writes a body behind what is there, but for the `skip` bytes that are there already.
async fn append(
    path: &std::path::Path,
    body: Body,
    mut skip: u64,
    length: Option<u64>,
) -> Result<u64, ApiError> {
    let mut file = OpenOptions::new().append(true).open(path).await?;
    let mut body = body.into_data_stream();
    let mut seen = 0;
    let mut broke = None;
    while let Some(bytes) = body.next().await {
        let mut bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                broke = Some(broken(error));
                break;
            }
        };
        seen += bytes.len() as u64;
        if length.is_some_and(|length| seen > length) {
            broke = Some(ApiError::invalid(
                "The chunk is longer than its Content-Range.",
            ));
            break;
        }
        let skipped = skip.min(bytes.len() as u64);
        skip -= skipped;
        bytes::Buf::advance(&mut bytes, skipped as usize);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    match broke {
        Some(error) => Err(error),
        None => Ok(file.metadata().await?.len()),
    }
}

/// 308: what arrived, and send the rest.
fn more(received: u64) -> Response {
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    if let Some(last) = received.checked_sub(1)
        && let Ok(value) = HeaderValue::from_str(&format!("bytes=0-{last}"))
    {
        response.headers_mut().insert(header::RANGE, value);
    }
    response
}

/// What a request to a session carries.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Chunk {
    /// All of the object, without a range.
    Whole,
    Part {
        first: u64,
        last: u64,
        total: Option<u64>,
    },
    /// From an offset to an end the sender does not know yet.
    Open {
        first: u64,
    },
    Question(Option<u64>),
}

impl Chunk {
    /// Reads `bytes FIRST-LAST/TOTAL`, `bytes FIRST-LAST/*`, `bytes FIRST-*/*` or `bytes */TOTAL`.
    fn of(content_range: Option<&str>) -> Result<Chunk, ApiError> {
        let Some(text) = content_range else {
            return Ok(Chunk::Whole);
        };
        let wrong = || ApiError::invalid(format!("Invalid Content-Range: '{text}'"));
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let span = text.strip_prefix("bytes").ok_or_else(wrong)?.trim();
        let (span, total) = span.split_once('/').ok_or_else(wrong)?;
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total).ok_or_else(wrong)?),
        };
        if span.trim() == "*" {
            return Ok(Chunk::Question(total));
        }
        let (first, last) = span.split_once('-').ok_or_else(wrong)?;
        let first = number(first).ok_or_else(wrong)?;
        if last.trim() == "*" {
            return Ok(Chunk::Open { first });
        }
        let last = number(last)
            .filter(|last| *last >= first)
            .ok_or_else(wrong)?;
        let length = last - first + 1;
        if total.is_some_and(|total| last >= total) {
            return Err(wrong());
        }
        let is_last = total.is_some_and(|total| last + 1 == total);
        if !is_last && length % QUANTUM != 0 {
            return Err(ApiError::invalid(format!(
                "A chunk that is not the last must have a multiple of {QUANTUM} bytes, not {length}."
            )));
        }
        Ok(Chunk::Part { first, last, total })
    }

    /// Where the chunk begins, at most at what has been received.
    fn offset(self, received: u64) -> Result<u64, ApiError> {
        let first = match self {
            Chunk::Whole => 0,
            Chunk::Question(_) => received,
            Chunk::Part { first, .. } | Chunk::Open { first } => first,
        };
        if first > received {
            return Err(ApiError {
                code: 503,
                ..ApiError::invalid(format!(
                    "The chunk begins at {first}, but only {received} bytes have arrived."
                ))
            });
        }
        Ok(first)
    }

    fn length(self) -> Option<u64> {
        match self {
            Chunk::Part { first, last, .. } => Some(last - first + 1),
            _ => None,
        }
    }

    fn total(self) -> Option<u64> {
        match self {
            Chunk::Part { total, .. } | Chunk::Question(total) => total,
            Chunk::Whole | Chunk::Open { .. } => None,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Chunk::Whole | Chunk::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_chunk_may_be_odd() {
        assert!(Chunk::of(Some("bytes 0-262143/*")).is_ok());
        assert!(Chunk::of(Some("bytes 0-99/*")).is_err());
        assert!(Chunk::of(Some("bytes 0-99/200")).is_err());
        assert!(Chunk::of(Some("bytes 262144-262150/262151")).is_ok());
    }

    #[test]
    fn a_question_names_no_bytes() {
        assert_eq!(Chunk::of(Some("bytes */*")).unwrap(), Chunk::Question(None));
        assert_eq!(
            Chunk::of(Some("bytes */0")).unwrap(),
            Chunk::Question(Some(0))
        );
        assert!(Chunk::of(Some("bytes 5-1/9")).is_err());
        assert!(Chunk::of(Some("0-9/10")).is_err());
    }

    #[test]
    fn a_chunk_may_overlap_but_leave_no_gap() {
        let chunk = Chunk::of(Some("bytes 262144-524287/*")).unwrap();
        assert_eq!(chunk.offset(300_000).unwrap(), 262_144);
        assert!(chunk.offset(0).is_err());
    }
}
