//! Faults on request: the next calls of a path are answered with an error.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A path's beginning, such as `/api.xro/2.0/Invoices` or `/connect/token`.
    pub path: String,
    pub status: u16,
    /// How many calls fail.
    #[serde(default = "once")]
    pub times: u32,
    /// Seconds for the `Retry-After` header, which may be a fraction.
    #[serde(default)]
    pub retry_after: Option<f64>,
    /// Kind of limit a 429 names in `X-Rate-Limit-Problem`.
    #[serde(default)]
    pub problem: Option<String>,
    /// Other headers of the reply.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The reply's body.
    #[serde(default)]
    pub body: Option<String>,
}

impl Fault {
    /// Says what is wrong with it, as whoever asks for it must hear it.
    pub fn check(&self) -> Result<(), String> {
        if self.status < 400 || StatusCode::from_u16(self.status).is_err() {
            return Err("`status` must be from 400 to 999".to_owned());
        }
        let wrong = self.headers.iter().find(|(name, value)| {
            name.parse::<HeaderName>().is_err() || value.parse::<HeaderValue>().is_err()
        });
        wrong.map_or(Ok(()), |(name, _)| {
            Err(format!("`{name}` cannot be a header with this value"))
        })
    }

    pub fn response(&self) -> Response {
        let body = self
            .body
            .clone()
            .unwrap_or_else(|| self.usual_body().to_owned());
        let mut response = Response::builder().status(self.status);
        if let Some(seconds) = self.retry_after {
            response = response.header(header::RETRY_AFTER, seconds.to_string());
        }
        if let Some(problem) = &self.problem {
            response = response.header("x-rate-limit-problem", problem);
        }
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let built = response.body(Body::from(body));
        built.unwrap_or_else(|error| {
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        })
    }

    fn usual_body(&self) -> &'static str {
        match self.status {
            503 => "The service is temporarily unavailable",
            500 => "An error occurred",
            _ => "",
        }
    }
}

fn once() -> u32 {
    1
}

#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The fault a call of `path` meets, counted down by this call.
    pub fn next(&mut self, path: &str) -> Option<Fault> {
        let found = self
            .0
            .iter()
            .position(|fault| fault.times > 0 && path.starts_with(&fault.path))?;
        let fault = &mut self.0[found];
        fault.times -= 1;
        let met = fault.clone();
        self.0.retain(|fault| fault.times > 0);
        Some(met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_ends_after_its_times() {
        let mut faults = Faults::default();
        faults.add(serde_json::from_str(r#"{"path": "/a", "status": 503, "times": 2}"#).unwrap());
        assert!(faults.next("/b").is_none());
        assert_eq!(faults.next("/a/1").map(|fault| fault.status), Some(503));
        assert!(faults.next("/a").is_some());
        assert!(faults.next("/a").is_none());
    }
}
