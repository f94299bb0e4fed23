//! What went over the wire, written down for judges: a line of JSON for each call of an API.
//!
//! `xetl-local serve --record FILE` asks for it. The bytes of objects are left
//! out; all else is in the file, secrets' values too: it is for tests.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Router, Served};
use crate::storage::multipart;

/// An open record.
pub struct Record(Mutex<File>);

impl Record {
    /// Goes on with a record, or begins one.
    pub fn open(path: &Path) -> io::Result<Record> {
        let mut file = File::options().create(true).append(true).open(path)?;
        // A process that was killed may have left half a line.
        file.write_all(b"\n")?;
        Ok(Record(Mutex::new(file)))
    }

    /// Has a request answered, and writes both down.
    pub async fn answer(&self, router: &Router, cloud: Arc<Cloud>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let taken = match is_media(&parts.uri) {
            true => Ok((Value::Null, body)),
            false => taken(&parts, body).await,
        };
        let (sent, body) = match taken {
            Ok(taken) => taken,
            Err(error) => return error.into_response(),
        };
        let asked = asked(&parts);
        let is_media = is_media(&parts.uri);
        let answer = router.answer(cloud, Request::from_parts(parts, body)).await;
        let service = match answer.extensions().get::<Served>() {
            Some(Served::Api(service)) => Some(*service),
            Some(Served::AnyApi | Served::Nobody) => None,
            // A fault, or what is no API of Google's.
            _ => return answer,
        };
        let status = answer.status().as_u16();
        let (given, answer) = match is_media {
            true => (Value::Null, answer),
            false => given(answer).await,
        };
        let mut line = asked;
        line["service"] = json!(service);
        line["request"] = sent;
        line["status"] = status.into();
        line["response"] = given;
        self.write(&line);
        answer
    }

    fn write(&self, line: &Value) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            tracing::error!("the record cannot be written: {error}");
        }
    }
}

fn asked(parts: &Parts) -> Value {
    let agent = parts.headers.get(USER_AGENT);
    json!({
        "agent": agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default(),
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query().unwrap_or_default(),
    })
}

/// Whether an object's bytes come or go with it.
fn is_media(uri: &Uri) -> bool {
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let names = ["alt=media", "uploadType=media"];
    let is_media = |name: &str, value: &str| {
        name == "upload_id" || names.contains(&format!("{name}={value}").as_str())
    };
    query
        .into_iter()
        .any(|(name, value)| is_media(&name, &value))
}

/// The JSON of a request, and its body again. Of an upload in parts it is the first one's.
async fn taken(parts: &Parts, body: Body) -> Result<(Value, Body), ApiError> {
    if !is_json(&parts.headers) && !is_multipart(&parts.headers) {
        return Ok((Value::Null, body));
    }
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(|error| ApiError::invalid(format!("the body broke off: {error}")))?;
    let json = match is_multipart(&parts.headers) {
        true => read(&first_part(&parts.headers, bytes.clone()).await?),
        false => read(&bytes),
    };
    Ok((json, Body::from(bytes)))
}

async fn first_part(headers: &HeaderMap, bytes: Bytes) -> Result<Vec<u8>, ApiError> {
    let mut parts = multipart::Parts::new(content_type(headers), Body::from(bytes))?;
    Ok(parts.head().await?.metadata)
}

/// The JSON of an answer, and the answer again.
async fn given(answer: Response) -> (Value, Response) {
    if !is_json(answer.headers()) {
        return (Value::Null, answer);
    }
    let (parts, body) = answer.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => (read(&bytes), Response::from_parts(parts, Body::from(bytes))),
        Err(error) => {
            let broken = Err::<Bytes, _>(io::Error::other(error));
            let body = Body::from_stream(futures::stream::iter([broken]));
            (Value::Null, Response::from_parts(parts, body))
        }
    }
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE);
    value.and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with("application/json")
}

fn is_multipart(headers: &HeaderMap) -> bool {
    content_type(headers).starts_with("multipart/")
}
