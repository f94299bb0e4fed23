//! Authorised requests to Google's JSON APIs that have no client of their own here.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Why a call to Google failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API answered with an error.
    #[error("{call} answered {status}{}: {message}", in_brackets(reason))]
    Answer {
        /// Method and address, or the client's name for the call.
        call: String,
        status: u16,
        /// `notFound`, `rateLimitExceeded`, `PERMISSION_DENIED`...; may be empty.
        reason: String,
        message: String,
    },
    /// No answer came, after the retries.
    #[error("cannot reach {call}: {problem}")]
    Unreachable { call: String, problem: String },
    #[error("cannot get Google credentials: {0}")]
    Credentials(String),
    /// The answer is not what the API documents.
    #[error("{call}: cannot read the answer: {problem}")]
    Decode { call: String, problem: String },
}

fn in_brackets(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" ({reason})")
    }
}

impl ApiError {
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Somebody else changed the object first.
    pub fn is_lost_race(&self) -> bool {
        self.status() == Some(412)
    }

    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Worth trying again: 408, 429, 5xx and no answer at all.
    pub fn is_transient(&self) -> bool {
        match self {
            ApiError::Answer { status, reason, .. } => {
                matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
                    || (*status == 403 && reason == "rateLimitExceeded")
            }
            ApiError::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// Reads Google's error body, of the newer and of the older form.
    pub fn from_answer(call: String, status: u16, body: &[u8]) -> ApiError {
        let json: Json = serde_json::from_slice(body).unwrap_or_default();
        let error = json.get("error").unwrap_or(&Json::Null);
        let text = |value: Option<&Json>| value.and_then(Json::as_str).map(str::to_owned);
        let details = error["details"].as_array().into_iter().flatten();
        let reason = text(error.pointer("/errors/0/reason"))
            .or_else(|| {
                details
                    .filter_map(|detail| text(detail.get("reason")))
                    .next()
            })
            .or_else(|| text(error.get("status")));
        let plain = || String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
        ApiError::Answer {
            call,
            status,
            reason: reason.unwrap_or_default(),
            message: text(error.get("message")).unwrap_or_else(plain),
        }
    }
}

/// One request, sendable again.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    url: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<Bytes>,
    retries: bool,
}

impl Request {
    /// A request that is retried: only for calls that may be sent twice.
    pub fn new(method: Method, url: impl Into<String>) -> Request {
        Request {
            method,
            url: url.into(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            retries: true,
        }
    }

    pub fn query(mut self, name: &'static str, value: impl ToString) -> Request {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a header; a value HTTP cannot carry is left out.
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Request {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub fn json(self, body: &Json) -> Request {
        self.body("application/json", Bytes::from(body.to_string()))
    }

    pub fn body(mut self, content_type: &str, body: Bytes) -> Request {
        self.body = Some(body);
        self.header("content-type", content_type)
    }

    /// Sends it once: a second time would do the thing twice.
    pub fn once(mut self) -> Request {
        self.retries = false;
        self
    }

    fn call(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// Sends requests with a token, again where that helps.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    credentials: Credentials,
}

impl Api {
    pub fn new(credentials: Credentials) -> Api {
        let http = reqwest::Client::builder()
            .user_agent(concat!("xetl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(120))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            // Only a broken TLS set-up of the process gets here.
            .unwrap_or_default();
        Api { http, credentials }
    }

    /// The answer, if it is a success (308 of a resumable upload among them).
    pub async fn send(&self, request: &Request) -> Result<Response, ApiError> {
        let policy = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(if request.retries { 7 } else { 0 })
            .with_jitter();
        (|| self.attempt(request))
            .retry(policy)
            .when(ApiError::is_transient)
            .await
    }

    /// The answer's JSON.
    pub async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ApiError> {
        let bytes = self.bytes(request).await?.1;
        serde_json::from_slice(&bytes).map_err(|error| ApiError::Decode {
            call: request.call(),
            problem: error.to_string(),
        })
    }

    /// The answer's headers and body; a body cut off is asked for again.
    pub async fn bytes(&self, request: &Request) -> Result<(HeaderMap, Bytes), ApiError> {
        let read = || async {
            let response = self.send(request).await?;
            let headers = response.headers().clone();
            let body = response
                .bytes()
                .await
                .map_err(|error| unreachable(request, error))?;
            Ok((headers, body))
        };
        let again = |error: &ApiError| matches!(error, ApiError::Unreachable { .. });
        let times = if request.retries { 2 } else { 0 };
        read.retry(ExponentialBuilder::default().with_max_times(times))
            .when(again)
            .await
    }

    async fn attempt(&self, request: &Request) -> Result<Response, ApiError> {
        let mut builder = self
            .http
            .request(request.method.clone(), &request.url)
            .query(&request.query)
            .headers(self.token().await?)
            .headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let response = builder
            .send()
            .await
            .map_err(|error| unreachable(request, error))?;
        if response.status().is_success() || response.status() == StatusCode::PERMANENT_REDIRECT {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap_or_default();
        Err(ApiError::from_answer(request.call(), status, &body))
    }

    async fn token(&self) -> Result<HeaderMap, ApiError> {
        match self.credentials.headers(Default::default()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
            Err(error) => Err(ApiError::Credentials(error.to_string())),
        }
    }
}

fn unreachable(request: &Request, error: reqwest::Error) -> ApiError {
    let error = error.without_url();
    let mut problem = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        problem = format!("{problem}: {error}");
        cause = error.source();
    }
    ApiError::Unreachable {
        call: request.call(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_googles_errors_are_read() {
        let old = br#"{"error":{"code":403,"message":"slow down","errors":[{"reason":"rateLimitExceeded"}]}}"#;
        let error = ApiError::from_answer("GET x".into(), 403, old);
        assert_eq!(
            error.to_string(),
            "GET x answered 403 (rateLimitExceeded): slow down"
        );
        assert!(error.is_transient());
        let new =
            br#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED","details":[]}}"#;
        let error = ApiError::from_answer("GET x".into(), 403, new);
        assert_eq!(
            error.to_string(),
            "GET x answered 403 (PERMISSION_DENIED): no"
        );
        assert!(!error.is_transient());
    }

    #[test]
    fn a_lost_race_is_never_sent_again() {
        let error = ApiError::from_answer("PUT x".into(), 412, b"not json");
        assert!(error.is_lost_race() && !error.is_transient());
    }
}
