//! A thin JSON client, for what Google's crates leave out: buckets' control
//! (theirs is gRPC only) and BigQuery's `If-Match`.

use std::time::Duration;

use bytes::Bytes;
use google_cloud_auth::credentials::Credentials;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::IF_MATCH;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::{CloudError, credentials, retry};
use crate::failure::{chain, root};
use crate::patience::{LONGEST_ASKED, LONGEST_SILENCE, retry_after};
use crate::target::Target;

pub(super) struct Rest {
    http: reqwest::Client,
    target: Target,
    credentials: Credentials,
}

/// One request; the same whenever it is sent.
pub(super) struct Call<'a> {
    /// Whom it is about, for errors: `bucket acme`.
    pub what: &'a str,
    pub method: Method,
    /// `storage`, `bigquery`
    pub service: &'a str,
    /// With its query.
    pub path: String,
    pub body: Body,
    pub etag: Option<&'a str>,
}

pub(super) enum Body {
    None,
    Json(Value),
    Bytes(Bytes),
}

impl Rest {
    pub fn new(target: Target, credentials: Credentials) -> Result<Rest, CloudError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("xetl/", env!("CARGO_PKG_VERSION")))
            .read_timeout(LONGEST_SILENCE)
            .build()
            .map_err(|error| CloudError::Unusable {
                what: "HTTP client".to_owned(),
                problem: chain(&error),
            })?;
        Ok(Rest {
            http,
            target,
            credentials,
        })
    }

    /// Sends until it is answered for good; gives the body.
    pub async fn send(&self, call: &Call<'_>) -> Result<Bytes, CloudError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let last = attempt >= retry::attempts();
            let asked = match answer(self.request(call).await?).await {
                Ok(answer) if last || !answer.is_passing() => return answer.body_of(call),
                Ok(answer) => answer.asked,
                Err(error) if last || (is_silence(&error) && attempt > 1) => {
                    return Err(self.unreachable(call, &error));
                }
                Err(_) => None,
            };
            tokio::time::sleep(retry::wait(attempt, asked)).await;
        }
    }

    /// As `send`, with a JSON body in return; an empty one is `null`.
    pub async fn json(&self, call: &Call<'_>) -> Result<Value, CloudError> {
        let bytes = self.send(call).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| CloudError::Unusable {
            what: call.what.to_owned(),
            problem: format!("the reply is no JSON: {error}"),
        })
    }

    /// The items of all pages of a list; `path` has a query, and a page its items under `key`.
    pub async fn pages(
        &self,
        what: &str,
        service: &str,
        path: &str,
        key: &str,
    ) -> Result<Vec<Value>, CloudError> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let next = utf8_percent_encode(&token, NON_ALPHANUMERIC);
            let call = Call {
                what,
                method: Method::GET,
                service,
                path: match token.is_empty() {
                    true => path.to_owned(),
                    false => format!("{path}&pageToken={next}"),
                },
                body: Body::None,
                etag: None,
            };
            let mut page = self.json(&call).await?;
            if let Value::Array(items) = page[key].take() {
                found.extend(items);
            }
            token = page["nextPageToken"].as_str().unwrap_or("").to_owned();
            if token.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn request(&self, call: &Call<'_>) -> Result<RequestBuilder, CloudError> {
        let url = format!("{}{}", self.target.api(call.service), call.path);
        let headers = credentials::headers(&self.credentials).await?;
        let mut request = self.http.request(call.method.clone(), url).headers(headers);
        if let Some(etag) = call.etag {
            request = request.header(IF_MATCH, etag);
        }
        Ok(match &call.body {
            Body::None => request,
            Body::Json(json) => request.json(json),
            Body::Bytes(bytes) => request.body(bytes.clone()),
        })
    }

    fn unreachable(&self, call: &Call<'_>, error: &reqwest::Error) -> CloudError {
        CloudError::Unreachable {
            endpoint: self.target.api(call.service),
            problem: root(error),
        }
    }
}

/// Nobody listens, or nobody answers.
fn is_silence(error: &reqwest::Error) -> bool {
    error.is_connect() || error.is_timeout()
}

/// A whole answer; one whose body breaks off is none.
struct Answer {
    status: StatusCode,
    /// The wait it asks for.
    asked: Option<Duration>,
    body: Bytes,
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let reply = request.send().await?;
    Ok(Answer {
        status: reply.status(),
        asked: retry_after(reply.headers()),
        body: reply.bytes().await?,
    })
}

impl Answer {
    /// Whether asking again may help, and soon.
    fn is_passing(&self) -> bool {
        let soon = self.asked.is_none_or(|wait| wait <= LONGEST_ASKED);
        retry::status_passes(self.status.as_u16()) && soon
    }

    fn body_of(self, call: &Call<'_>) -> Result<Bytes, CloudError> {
        let what = call.what.to_owned();
        match self.status.is_success() {
            true => Ok(self.body),
            false => Err(CloudError::of_response(
                what,
                self.status.as_u16(),
                &self.body,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn call(path: &str) -> Call<'_> {
        Call {
            what: "bucket b",
            method: Method::GET,
            service: "storage",
            path: path.to_owned(),
            body: Body::None,
            etag: Some("e1"),
        }
    }

    async fn rest(server: &MockServer) -> Rest {
        let target = Target::local(&server.uri());
        let credentials = credentials::of(&target).unwrap();
        Rest::new(target, credentials).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_signed_and_sent_again_after_503() {
        let server = MockServer::start().await;
        let busy = Mock::given(path("/b")).respond_with(ResponseTemplate::new(503));
        busy.up_to_n_times(1).expect(1).mount(&server).await;
        let good = Mock::given(method("GET"))
            .and(header("authorization", "Bearer local-user"))
            .and(header("if-match", "e1"))
            .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"name": "b"}"#));
        good.expect(1).mount(&server).await;
        let reply = rest(&server).await.json(&call("/b")).await.unwrap();
        assert_eq!(reply["name"], "b");
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let server = MockServer::start().await;
        let refusal = Mock::given(path("/b")).respond_with(ResponseTemplate::new(404));
        refusal.expect(1).mount(&server).await;
        let error = rest(&server).await.send(&call("/b")).await.unwrap_err();
        assert!(error.is_absent());
    }
}
