//! One firing of a job: attempts, deadlines, backoff, and what is remembered and logged of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::spec::HttpTarget;
use super::{Job, attempts};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::operations::Status;

/// `google.rpc.Code` numbers.
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const UNAVAILABLE: i32 = 14;

/// Sends the job's request, and again after a failure as its retry settings say.
pub async fn fire(cloud: Arc<Cloud>, job: Job) {
    let began = Instant::now();
    let retry = &job.spec.retry_config;
    let longest = forms::duration(&retry.max_retry_duration).unwrap_or_default();
    for number in 0.. {
        let result = attempt(&cloud, &job).await;
        if let Err(status) = &result {
            tracing::warn!(
                job = job.name,
                code = status.code,
                message = status.message,
                "a scheduled request failed"
            );
        }
        let failed = result.is_err();
        attempts::log(&cloud, &job, result.as_ref().err());
        if let Err(error) = remember(&cloud, &job.name, result) {
            tracing::error!(job = job.name, %error, "an attempt could not be kept");
        }
        let late = longest > Duration::ZERO && began.elapsed() >= longest;
        if !failed || late || !may_retry(retry.retry_count, longest, number) {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(retry.backoff(number)) => {}
            () = cloud.shutdown.cancelled() => return,
        }
    }
}

/// With only a duration set, retries go on until it is over.
fn may_retry(count: u32, longest: Duration, number: u32) -> bool {
    match (count, longest) {
        (0, longest) => longest > Duration::ZERO,
        (count, _) => number < count,
    }
}

fn remember(cloud: &Cloud, name: &str, result: Result<(), Status>) -> Result<(), ApiError> {
    cloud.scheduler.jobs.update(name, |job| {
        if let Some(job) = job {
            job.last_attempt = Some(Timestamp::now());
            job.status = Some(result.err().unwrap_or_default());
        }
        Ok(())
    })
}

async fn attempt(cloud: &Cloud, job: &Job) -> Result<(), Status> {
    let target = job.spec.http_target.as_ref();
    let target = target.ok_or_else(|| failed(UNKNOWN, "the job has no target"))?;
    let deadline = forms::duration(&job.spec.attempt_deadline);
    let request = request(cloud, target)?
        .timeout(deadline.unwrap_or(Duration::from_secs(180)))
        .header("user-agent", "Google-Cloud-Scheduler")
        .header("x-cloudscheduler", "true");
    let response = request
        .send()
        .await
        .map_err(|error| match error.is_timeout() {
            true => failed(DEADLINE_EXCEEDED, "URL_TIMEOUT"),
            false => failed(UNAVAILABLE, format!("URL_UNREACHABLE: {error}")),
        })?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => {
            let text = response.text().await.unwrap_or_default();
            Err(failed(
                code_of(status.as_u16()),
                message_of(status.as_u16(), &text),
            ))
        }
    }
}

fn failed(code: i32, message: impl Into<String>) -> Status {
    Status {
        code,
        message: message.into(),
    }
}

/// Google's error message where there is one.
fn message_of(status: u16, body: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    match json["error"]["message"].as_str() {
        Some(message) => format!("HTTP {status}: {message}"),
        None => format!("HTTP {status}"),
    }
}

/// The `google.rpc.Code` of an HTTP status.
fn code_of(status: u16) -> i32 {
    match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 10,
        429 => 8,
        499 => 1,
        501 => 12,
        503 => UNAVAILABLE,
        504 => DEADLINE_EXCEEDED,
        500..=599 => 13,
        _ => UNKNOWN,
    }
}

fn request(cloud: &Cloud, target: &HttpTarget) -> Result<reqwest::RequestBuilder, Status> {
    let method = target.http_method.parse();
    let method: reqwest::Method = method.map_err(|_| failed(UNKNOWN, "no such method"))?;
    let body = STANDARD.decode(&target.body);
    let body = body.map_err(|_| failed(UNKNOWN, "the body is not base64"))?;
    let mut request = client()?
        .request(method, address(&cloud.endpoint, target)?)
        .headers(headers(target))
        .body(body);
    if let Some(account) = target.account() {
        if !cloud.accounts.exists(account) {
            let message = format!("service account {account} does not exist");
            return Err(failed(7, message));
        }
        if !target.is_google() {
            // Only this cloud's own token exists, and no other host may see it.
            let message = "the local cloud issues no OIDC tokens for other hosts";
            return Err(failed(12, message));
        }
        request = request.bearer_auth(cloud.identity.token(account));
    }
    Ok(request)
}

fn client() -> Result<reqwest::Client, Status> {
    // A redirect is a failed attempt, and a token must not follow it.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    client
        .build()
        .map_err(|error| failed(UNAVAILABLE, error.to_string()))
}

/// Google's APIs are this cloud itself: the path stays, the host is ours.
fn address(endpoint: &str, target: &HttpTarget) -> Result<String, Status> {
    let url = url::Url::parse(&target.uri).map_err(|error| failed(3, error.to_string()))?;
    if !target.is_google() {
        return Ok(url.to_string());
    }
    let query = url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    Ok(format!("{endpoint}{}{query}", url.path()))
}

fn headers(target: &HttpTarget) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !target.body.is_empty() {
        // Cloud Scheduler's own default for a body.
        let binary = HeaderValue::from_static("application/octet-stream");
        headers.insert(reqwest::header::CONTENT_TYPE, binary);
    }
    for (name, value) in &target.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> HttpTarget {
        HttpTarget {
            uri: uri.into(),
            ..HttpTarget::default()
        }
    }

    #[test]
    fn googles_hosts_are_this_cloud() {
        let run = target("https://run.googleapis.com/v2/projects/p/locations/l/jobs/j:run?x=1");
        assert_eq!(
            address("http://127.0.0.1:1", &run).unwrap(),
            "http://127.0.0.1:1/v2/projects/p/locations/l/jobs/j:run?x=1"
        );
        let other = target("https://example.com/hook");
        assert_eq!(
            address("http://127.0.0.1:1", &other).unwrap(),
            "https://example.com/hook"
        );
        assert!(!target("https://googleapis.com.example.com/").is_google());
    }

    #[test]
    fn retries_end_with_their_count_or_their_time() {
        let hour = Duration::from_secs(3600);
        assert!(!may_retry(0, Duration::ZERO, 0));
        assert!(may_retry(0, hour, 9));
        assert!(may_retry(2, hour, 1) && !may_retry(2, hour, 2));
    }

    #[test]
    fn a_refusal_is_permission_denied_in_googles_words() {
        assert_eq!(code_of(403), 7);
        let message = message_of(403, r#"{"error":{"message":"no"}}"#);
        assert_eq!(message, "HTTP 403: no");
    }
}
