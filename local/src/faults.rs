//! Faults on request: calls that are answered with an error, late or in drops, that are cut off,
//! or at which the whole process dies.
//!
//! `POST /_local/faults` asks for one, `GET` tells which are left, `DELETE`
//! forgets them. They are kept in memory only. How jobs fail after they were
//! taken is `bigquery::faults`, what shows only after a while is `lag`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

/// A body that dribbles comes in so many pieces at most.
const PIECES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// Nothing is done.
    #[default]
    Before,
    /// It is done, and the reply is lost.
    After,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// `POST`, or some: `POST|PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// The beginning of a path.
    path: String,
    /// A part of path and query, such as an object's name.
    #[serde(default)]
    contains: String,
    #[serde(default)]
    at: Moment,
    /// HTTP status; without one, and where nothing below asks for less, the connection is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// `errors[0].reason` of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Seconds for the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// The answer is as late as that, and good where there is no `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    /// The answer is good, and its body comes in pieces with this wait before each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dribble_ms: Option<u64>,
    /// The process dies, as by SIGKILL: before the call is served, or after.
    #[serde(default)]
    kill: bool,
    /// `skip` and `times` count the calls of each method and path by themselves.
    #[serde(default)]
    each: bool,
    /// How many calls pass before the first that fails.
    #[serde(default)]
    skip: u32,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

impl Fault {
    fn check(&self) -> Result<(), ApiError> {
        let known = |status: u16| (400..600).contains(&status);
        if !self.path.starts_with('/') || self.path.starts_with("/_local") {
            return Err(ApiError::invalid(
                "`path` must begin with the `/` of an API",
            ));
        }
        if self.status.is_some_and(|status| !known(status)) {
            return Err(ApiError::invalid("`status` must be from 400 to 599"));
        }
        Ok(())
    }

    fn is_met(&self, method: &Method, uri: &Uri) -> bool {
        let whole = uri
            .path_and_query()
            .map_or(uri.path(), |whole| whole.as_str());
        let is_one = |wanted: &str| method.as_str().eq_ignore_ascii_case(wanted);
        let wanted = self.method.as_deref();
        wanted.is_none_or(|wanted| wanted.split('|').any(is_one))
            && uri.path().starts_with(&self.path)
            && whole.contains(&self.contains)
    }

    /// Whether the call is served, whatever becomes of its answer.
    pub fn serves(&self) -> bool {
        self.is_good() || self.at == Moment::After
    }

    fn is_good(&self) -> bool {
        self.status.is_none() && self.delay_ms.or(self.dribble_ms).is_some()
    }

    pub async fn delay(&self) {
        if let Some(delay) = self.delay_ms {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }

    /// What the caller gets in place of the answer, if there is one.
    pub async fn answer(&self, served: Option<Response>) -> Response {
        if self.kill {
            std::process::abort();
        }
        match served {
            Some(served) if self.is_good() => self.dribbled(served).await,
            _ => self.response(),
        }
    }

    async fn dribbled(&self, served: Response) -> Response {
        let Some(wait) = self.dribble_ms.map(Duration::from_millis) else {
            return served;
        };
        let (parts, body) = served.into_parts();
        let Ok(whole) = axum::body::to_bytes(body, usize::MAX).await else {
            cut()
        };
        let size = whole.len().div_ceil(PIECES).max(1);
        let pieces: Vec<Bytes> = whole.chunks(size).map(Bytes::copy_from_slice).collect();
        let pieces = futures::stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(wait).await;
            Ok::<_, std::io::Error>(piece)
        });
        Response::from_parts(parts, Body::from_stream(pieces))
    }

    fn response(&self) -> Response {
        let Some(code) = self.status else { cut() };
        let (status, usual) = words(code);
        let reason = self.reason.as_deref().unwrap_or(usual);
        let message = match &self.message {
            Some(message) => message.clone(),
            None => format!("Asked for: {code} {reason}"),
        };
        // `errors` at the top is the form of the registry's protocol.
        let body = json!({
            "error": {
                "code": code, "status": status, "message": message,
                "errors": [{"message": message, "domain": "global", "reason": reason}],
            },
            "errors": [{"code": status, "message": message}],
        });
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = (code, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Ends the task of the connection, so that the caller gets no byte of an answer: a reply whose
/// body breaks off may have told its status by then, which is all there is of an answer to HEAD.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new("cut on request"))
}

/// Google's status and reason for a code.
fn words(code: u16) -> (&'static str, &'static str) {
    match code {
        401 => ("UNAUTHENTICATED", "authError"),
        403 => ("PERMISSION_DENIED", "forbidden"),
        404 => ("NOT_FOUND", "notFound"),
        409 => ("ALREADY_EXISTS", "conflict"),
        412 => ("FAILED_PRECONDITION", "conditionNotMet"),
        429 => ("RESOURCE_EXHAUSTED", "rateLimitExceeded"),
        500 => ("INTERNAL", "internalError"),
        502 | 503 => ("UNAVAILABLE", "backendError"),
        504 => ("DEADLINE_EXCEEDED", "backendError"),
        _ => ("INVALID_ARGUMENT", "invalid"),
    }
}

/// A fault and the calls that may still meet it.
#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// `skip` and `times` that are left; by method and path, where each counts by itself.
    left: HashMap<String, (u32, u32)>,
}

impl Armed {
    fn new(fault: Fault) -> Armed {
        Armed {
            fault,
            left: HashMap::new(),
        }
    }

    /// Whether a call meets it; counted down by it.
    fn meets(&mut self, method: &Method, uri: &Uri) -> bool {
        let Fault { skip, times, .. } = self.fault;
        let left = self.left.entry(self.call(method, uri));
        let (skip, times) = left.or_insert((skip, times));
        if *skip > 0 {
            *skip -= 1;
            return false;
        }
        let is_met = *times > 0;
        *times = times.saturating_sub(1);
        is_met
    }

    fn call(&self, method: &Method, uri: &Uri) -> String {
        match self.fault.each {
            true => format!("{method} {}", without_ids(uri.path())),
            false => String::new(),
        }
    }

    /// Whether no call meets it any more.
    fn is_spent(&self) -> bool {
        !self.fault.each && self.left.get("").is_some_and(|(_, times)| *times == 0)
    }

    fn view(&self) -> Value {
        let mut view = json!(self.fault);
        if let Some((skip, times)) = self.left.get("") {
            view["skip"] = (*skip).into();
            view["times"] = (*times).into();
        }
        view
    }
}

/// A path without the ids made up for one call, such as an upload's: sent anew it has another.
fn without_ids(path: &str) -> String {
    let parts = path.split('/').map(|part| match Uuid::try_parse(part) {
        Ok(_) => "*",
        Err(_) => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault a call meets, counted down by it.
    pub fn meet(&self, method: &Method, uri: &Uri) -> Option<Fault> {
        if uri.path().starts_with("/_local") {
            return None;
        }
        let mut faults = self.lock();
        let armed = faults.iter_mut().find(|it| it.fault.is_met(method, uri))?;
        let met = armed.meets(method, uri).then(|| armed.fault.clone());
        faults.retain(|armed| !armed.is_spent());
        met
    }
}

pub fn routes() -> Vec<Route> {
    const PATH: &str = "/_local/faults";
    vec![
        Route::new(Method::POST, PATH, add),
        Route::new(Method::GET, PATH, list),
        Route::new(Method::DELETE, PATH, clear),
    ]
}

async fn add(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let fault: Fault = request.json().await?;
    fault.check()?;
    if fault.times > 0 {
        cloud.faults.lock().push(Armed::new(fault));
    }
    list(cloud, request).await
}

async fn list(cloud: Arc<Cloud>, _: Request) -> Reply {
    let faults: Vec<Value> = cloud.faults.lock().iter().map(Armed::view).collect();
    Ok(Json(json!({"faults": faults})).into_response())
}

async fn clear(cloud: Arc<Cloud>, request: Request) -> Reply {
    cloud.faults.lock().clear();
    list(cloud, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(fault: Value) -> Faults {
        let fault: Fault = serde_json::from_value(fault).unwrap();
        fault.check().unwrap();
        Faults(Mutex::new(vec![Armed::new(fault)]))
    }

    fn status(faults: &Faults, method: Method, uri: &str) -> Option<u16> {
        let met = faults.meet(&method, &uri.parse().unwrap())?;
        Some(met.response().status().as_u16())
    }

    #[test]
    fn a_fault_lets_some_calls_pass_and_ends_after_its_times() {
        let faults = faults(json!({"path": "/storage/", "status": 503, "skip": 1, "times": 2}));
        let call = || status(&faults, Method::GET, "/storage/v1/b/x");
        assert_eq!(
            [call(), call(), call(), call()],
            [None, Some(503), Some(503), None]
        );
    }

    #[test]
    fn a_fault_is_met_by_method_path_and_what_the_address_contains() {
        let faults = faults(
            json!({"method": "POST", "path": "/upload/", "contains": "name=a%2Fb", "status": 429}),
        );
        assert_eq!(status(&faults, Method::GET, "/upload/x?name=a%2Fb"), None);
        assert_eq!(status(&faults, Method::POST, "/upload/x?name=c"), None);
        assert_eq!(
            status(&faults, Method::POST, "/upload/x?name=a%2Fb"),
            Some(429)
        );
    }

    #[test]
    fn each_call_may_count_by_itself() {
        let faults = faults(json!({"path": "/", "status": 503, "each": true}));
        let call = |path: &str| status(&faults, Method::GET, path);
        assert_eq!(
            [
                call("/a"),
                call("/a"),
                call("/b"),
                call("/a"),
                call("/_local/status")
            ],
            [Some(503), None, Some(503), None, None]
        );
    }

    #[test]
    fn an_upload_begun_anew_is_the_same_call() {
        let faults = faults(json!({"path": "/", "status": 503, "each": true}));
        let upload = |id: &str| {
            let path = format!("/v2/p/r/i/blobs/uploads/{id}");
            status(&faults, Method::PUT, &path)
        };
        assert_eq!(
            [
                upload("0b1f4f6e-7f0c-4f8e-9d6f-5d0f3a1c2b4d"),
                upload("6f9619ff-8b86-d011-b42d-00c04fc964ff")
            ],
            [Some(503), None]
        );
    }

    #[tokio::test]
    async fn a_slow_answer_is_whole() {
        for fault in [
            json!({"path": "/", "dribble_ms": 1}),
            json!({"path": "/", "delay_ms": 1}),
        ] {
            let fault: Fault = serde_json::from_value(fault).unwrap();
            assert!(fault.serves());
            fault.delay().await;
            let served = (StatusCode::OK, "a whole answer").into_response();
            let answer = fault.answer(Some(served)).await;
            let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
            assert_eq!(body, "a whole answer");
        }
    }

    #[test]
    fn faults_of_the_cloud_itself_are_refused() {
        let fault: Fault = serde_json::from_value(json!({"path": "/_local/faults"})).unwrap();
        assert!(fault.check().is_err());
    }
}
