//! Uploads in chunks, against a registry that misbehaves at chosen chunks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use backon::ExponentialBuilder;

use super::*;
use crate::image::auth::Login;

/// What happens to a chunk.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// Half of it arrives, and the answer is 503.
    HalfThenBusy,
    /// All of it arrives, and the answer is 502.
    AnswerLost,
    /// The upload is gone.
    Forgotten,
    /// No chunks are taken at all.
    Refused,
    /// All of it arrives, and the answer tells of a byte count that is not so.
    Lie(usize),
}

/// A registry with one upload at a time.
#[derive(Default)]
struct Fake {
    upload: Vec<u8>,
    blob: Option<Vec<u8>>,
    faults: VecDeque<Fault>,
    received: usize,
    uploads: usize,
    /// Whether the upload is gone.
    is_gone: bool,
    /// Whether whatever arrives has another digest in the end.
    spoils: bool,
}

type Shared = Arc<Mutex<Fake>>;

async fn answer(
    State(fake): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let mut fake = fake.lock().unwrap();
    fake.received += body.len();
    match method {
        Method::HEAD => match fake.blob {
            Some(_) => StatusCode::OK.into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        Method::POST => {
            fake.upload.clear();
            fake.uploads += 1;
            fake.is_gone = false;
            fake.progress(StatusCode::ACCEPTED)
        }
        Method::GET if fake.is_gone => StatusCode::NOT_FOUND.into_response(),
        Method::GET => fake.progress(StatusCode::NO_CONTENT),
        Method::PATCH => fake.chunk(&headers, &body),
        _ => {
            fake.upload.extend_from_slice(&body);
            let upload = std::mem::take(&mut fake.upload);
            let digest = uri.query().unwrap().rsplit_once("digest=").unwrap().1;
            let is_right = digest == BlobInfo::of(&upload).digest.replace(':', "%3A");
            if fake.spoils || !is_right {
                let body = r#"{"errors": [{"code": "DIGEST_INVALID"}]}"#;
                return (StatusCode::BAD_REQUEST, body).into_response();
            }
            fake.blob = Some(upload);
            StatusCode::CREATED.into_response()
        }
    }
}

impl Fake {
    fn progress(&self, status: StatusCode) -> Response {
        let range = format!("0-{}", self.upload.len().saturating_sub(1));
        let headers = [
            ("location", "/upload/1?state=s".to_owned()),
            ("range", range),
        ];
        (status, headers).into_response()
    }

    fn chunk(&mut self, headers: &HeaderMap, body: &[u8]) -> Response {
        let fault = self.faults.pop_front().unwrap_or(Fault::None);
        let range = headers["content-range"].to_str().unwrap();
        let start: usize = range.split('-').next().unwrap().parse().unwrap();
        if start != self.upload.len() {
            return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        }
        match fault {
            Fault::None => {
                self.upload.extend_from_slice(body);
                self.progress(StatusCode::ACCEPTED)
            }
            Fault::HalfThenBusy => {
                self.upload.extend_from_slice(&body[..body.len() / 2]);
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            Fault::AnswerLost => {
                self.upload.extend_from_slice(body);
                StatusCode::BAD_GATEWAY.into_response()
            }
            Fault::Forgotten => {
                self.is_gone = true;
                StatusCode::NOT_FOUND.into_response()
            }
            Fault::Lie(count) => {
                self.upload.extend_from_slice(body);
                let range = format!("0-{}", count.saturating_sub(1));
                let headers = [("location", "/upload/1".to_owned()), ("range", range)];
                (StatusCode::ACCEPTED, headers).into_response()
            }
            Fault::Refused => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }
}

/// A hundred bytes sent in chunks of ten; what the registry has then.
async fn uploaded(faults: &[Fault]) -> (Result<u64, RegistryError>, Shared) {
    let fake = Fake {
        faults: faults.iter().copied().collect(),
        ..Fake::default()
    };
    uploaded_to(fake).await
}

async fn uploaded_to(fake: Fake) -> (Result<u64, RegistryError>, Shared) {
    let fake = Arc::new(Mutex::new(fake));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(fake.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut registry = Registry::new(base.parse().unwrap(), "p/r/i", Login::Anonymous);
    registry.chunk = Some(10);
    registry.patience = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(1))
        .with_max_times(2);
    let bytes: Vec<u8> = (0..100).collect();
    let blob = BlobInfo::of(&bytes);
    let source = async || Ok(Source::Bytes(bytes.into()));
    let sent = registry.upload(&blob, source).await;
    server.abort();
    (sent, fake)
}

async fn arrives(faults: &[Fault]) -> Fake {
    let (sent, fake) = uploaded(faults).await;
    assert_eq!(sent.unwrap(), 100);
    let fake = std::mem::take(&mut *fake.lock().unwrap());
    assert_eq!(fake.blob, Some((0..100).collect()));
    fake
}

#[tokio::test]
async fn chunks_follow_each_other_to_the_end() {
    let fake = arrives(&[]).await;
    assert_eq!((fake.received, fake.uploads), (100, 1));
}

#[tokio::test]
async fn after_a_cut_only_what_is_missing_is_sent() {
    let fake = arrives(&[Fault::None, Fault::HalfThenBusy, Fault::AnswerLost]).await;
    assert_eq!((fake.received, fake.uploads), (105, 1));
}

#[tokio::test]
async fn an_upload_that_gets_on_is_never_given_up() {
    let fake = arrives(&[Fault::HalfThenBusy; 12]).await;
    assert_eq!(fake.uploads, 1);
}

#[tokio::test]
async fn a_forgotten_upload_begins_anew() {
    let fake = arrives(&[Fault::None, Fault::None, Fault::Forgotten]).await;
    assert_eq!((fake.received, fake.uploads), (130, 2));
}

#[tokio::test]
async fn a_registry_without_chunks_gets_one_piece() {
    let fake = arrives(&[Fault::Refused]).await;
    assert_eq!((fake.received, fake.uploads), (110, 2));
}

#[tokio::test]
async fn an_upload_that_gets_nowhere_is_given_up() {
    let (sent, _) = uploaded(&[Fault::Forgotten; 9]).await;
    assert_eq!(sent.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn who_lies_about_what_arrived_is_sent_it_once_more_from_zero() {
    // More than was sent, nothing, less than before, and all of it. What it says to lack it may ask for.
    for said in [25, 0, 5, 100] {
        let fake = arrives(&[Fault::None, Fault::Lie(said)]).await;
        assert_eq!(fake.uploads, 2, "{said}");
    }
}

#[tokio::test]
async fn a_registry_that_spoils_what_arrives_is_told_on_after_the_second_time() {
    let fake = Fake {
        spoils: true,
        ..Fake::default()
    };
    let (sent, fake) = uploaded_to(fake).await;
    let error = sent.unwrap_err();
    assert!(matches!(error, RegistryError::Garbled { .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(fake.lock().unwrap().uploads, 2);
}
