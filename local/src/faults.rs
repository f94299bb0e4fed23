//! Faults on request: the next calls of a path are answered with an error, or cut off.
//!
//! `POST /_local/faults` asks for one, `GET` tells which are left, `DELETE`
//! forgets them. They are kept in memory only. How jobs fail after they were
//! taken is `bigquery::faults`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::router::{Reply, Request, Route};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// The beginning of a path.
    path: String,
    /// A part of path and query, such as an object's name.
    #[serde(default)]
    contains: String,
    #[serde(default)]
    at: Moment,
    /// HTTP status; without one the connection is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// `errors[0].reason` of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Seconds for the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
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
        let wanted = self.method.as_deref();
        wanted.is_none_or(|wanted| method.as_str().eq_ignore_ascii_case(wanted))
            && uri.path().starts_with(&self.path)
            && whole.contains(&self.contains)
    }

    pub fn is_after(&self) -> bool {
        self.at == Moment::After
    }

    pub fn response(&self) -> Response {
        let Some(code) = self.status else {
            return cut();
        };
        let (status, usual) = words(code);
        let reason = self.reason.as_deref().unwrap_or(usual);
        let message = format!("Asked for: {code} {reason}");
        let body = json!({"error": {
            "code": code, "status": status, "message": message,
            "errors": [{"message": message, "domain": "global", "reason": reason}],
        }});
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

/// A reply that breaks off.
fn cut() -> Response {
    let broken = Err::<Bytes, _>(std::io::Error::other("cut on request"));
    Response::new(Body::from_stream(futures::stream::iter([broken])))
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

#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault a call meets, counted down by it.
    pub fn meet(&self, method: &Method, uri: &Uri) -> Option<Fault> {
        let mut faults = self.lock();
        let fault = faults.iter_mut().find(|fault| fault.is_met(method, uri))?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times = fault.times.saturating_sub(1);
        let met = fault.clone();
        faults.retain(|fault| fault.times > 0);
        Some(met)
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
        cloud.faults.lock().push(fault);
    }
    list(cloud, request).await
}

async fn list(cloud: Arc<Cloud>, _: Request) -> Reply {
    let faults = json!(*cloud.faults.lock());
    Ok(Json(json!({"faults": faults})).into_response())
}

async fn clear(cloud: Arc<Cloud>, request: Request) -> Reply {
    cloud.faults.lock().clear();
    list(cloud, request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn faults(fault: Value) -> Faults {
        let fault: Fault = serde_json::from_value(fault).unwrap();
        fault.check().unwrap();
        Faults(Mutex::new(vec![fault]))
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
    fn faults_of_the_cloud_itself_are_refused() {
        let fault: Fault = serde_json::from_value(json!({"path": "/_local/faults"})).unwrap();
        assert!(fault.check().is_err());
    }
}
