//! What a user says of a schedule, and the rules Cloud Scheduler has for it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cron::Schedule;
use crate::error::ApiError;
use crate::forms;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobSpec {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    pub schedule: String,
    pub time_zone: String,
    pub attempt_deadline: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_target: Option<HttpTarget>,
    pub retry_config: RetryConfig,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HttpTarget {
    pub uri: String,
    pub http_method: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth_token: Option<OAuthToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_token: Option<OidcToken>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OAuthToken {
    pub service_account_email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OidcToken {
    pub service_account_email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub audience: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryConfig {
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_count: u32,
    pub max_retry_duration: String,
    pub min_backoff_duration: String,
    pub max_backoff_duration: String,
    pub max_doublings: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

const METHODS: &[&str] = &[
    "HTTP_METHOD_UNSPECIFIED",
    "POST",
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
];

const OUTPUT_ONLY: &[&str] = &[
    "name",
    "state",
    "status",
    "scheduleTime",
    "lastAttemptTime",
    "userUpdateTime",
    "satisfiesPzs",
];

impl JobSpec {
    /// Reads a job's body; its name and output-only fields are passed over.
    pub fn parse(mut body: Map<String, Value>) -> Result<JobSpec, ApiError> {
        for key in OUTPUT_ONLY {
            body.remove(*key);
        }
        for target in ["pubsubTarget", "appEngineHttpTarget"] {
            if body.contains_key(target) {
                return Err(ApiError::unimplemented(format!(
                    "the local cloud serves httpTarget, not {target}"
                )));
            }
        }
        if let Some(Value::Object(target)) = body.get_mut("httpTarget") {
            forms::name_enum(target, "httpMethod", METHODS);
        }
        forms::read(body)
    }

    /// Fills defaults and refuses what Cloud Scheduler would.
    pub fn checked(mut self) -> Result<JobSpec, ApiError> {
        fill(&mut self.time_zone, "Etc/UTC");
        fill(&mut self.attempt_deadline, "180s");
        let retry = &mut self.retry_config;
        fill(&mut retry.max_retry_duration, "0s");
        fill(&mut retry.min_backoff_duration, "5s");
        fill(&mut retry.max_backoff_duration, "3600s");
        if retry.max_doublings == 0 {
            retry.max_doublings = 5;
        }
        self.schedule()?;
        if self.description.chars().count() > 500 {
            return Err(ApiError::invalid("description: at most 500 characters"));
        }
        let deadline = read_duration("attempt_deadline", &self.attempt_deadline)?;
        if !(Duration::from_secs(15)..=Duration::from_secs(1800)).contains(&deadline) {
            return Err(ApiError::invalid("attempt_deadline: from 15s to 1800s"));
        }
        self.retry_config.check()?;
        self.http_target
            .as_mut()
            .ok_or_else(|| ApiError::invalid("Job must have a target."))?
            .check()?;
        Ok(self)
    }

    pub fn schedule(&self) -> Result<Schedule, ApiError> {
        Schedule::parse(&self.schedule, &self.time_zone)
    }

    /// This spec with the fields of `mask` taken from `from`; all of them without a mask.
    pub fn masked(&self, from: JobSpec, mask: &str) -> Result<JobSpec, ApiError> {
        let mut spec = self.clone();
        if mask.is_empty() || mask == "*" {
            return Ok(from);
        }
        for field in mask.split(',').map(str::trim) {
            match field {
                "description" => from.description.clone_into(&mut spec.description),
                "schedule" => from.schedule.clone_into(&mut spec.schedule),
                "timeZone" | "time_zone" => from.time_zone.clone_into(&mut spec.time_zone),
                "attemptDeadline" | "attempt_deadline" => {
                    from.attempt_deadline.clone_into(&mut spec.attempt_deadline);
                }
                "httpTarget" | "http_target" => {
                    from.http_target.clone_into(&mut spec.http_target);
                }
                "retryConfig" | "retry_config" => {
                    from.retry_config.clone_into(&mut spec.retry_config);
                }
                _ => {
                    return Err(ApiError::unimplemented(format!(
                        "update_mask: the local cloud takes whole fields of a job, not `{field}`"
                    )));
                }
            }
        }
        Ok(spec)
    }
}

fn fill(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

fn read_duration(field: &str, text: &str) -> Result<Duration, ApiError> {
    forms::duration(text)
        .ok_or_else(|| ApiError::invalid(format!("{field}: `{text}` is no duration")))
}

impl RetryConfig {
    fn check(&self) -> Result<(), ApiError> {
        if self.retry_count > 5 {
            return Err(ApiError::invalid("retry_config.retry_count: from 0 to 5"));
        }
        read_duration("max_retry_duration", &self.max_retry_duration)?;
        read_duration("min_backoff_duration", &self.min_backoff_duration)?;
        read_duration("max_backoff_duration", &self.max_backoff_duration)?;
        Ok(())
    }

    /// How long to wait before retry number `retry` (from 0): it doubles
    /// `maxDoublings` times and then grows by the last step.
    pub fn backoff(&self, retry: u32) -> Duration {
        let least = forms::duration(&self.min_backoff_duration).unwrap_or_default();
        let most = forms::duration(&self.max_backoff_duration).unwrap_or_default();
        let doublings = retry.min(self.max_doublings);
        let step = least.saturating_mul(2_u32.saturating_pow(doublings));
        step.saturating_mul(1 + (retry - doublings)).min(most)
    }
}

impl HttpTarget {
    fn check(&mut self) -> Result<(), ApiError> {
        if self.http_method.is_empty() || self.http_method == METHODS[0] {
            METHODS[1].clone_into(&mut self.http_method);
        }
        if !METHODS.contains(&self.http_method.as_str()) {
            return Err(ApiError::invalid("http_target.http_method is no method"));
        }
        let url = url::Url::parse(&self.uri).ok();
        let good = url.is_some_and(|url| matches!(url.scheme(), "http" | "https"));
        if !good || self.uri.len() > 2083 {
            return Err(ApiError::invalid(format!(
                "http_target.uri `{}` is no http or https URL of at most 2083 characters",
                self.uri
            )));
        }
        if STANDARD.decode(&self.body).is_err() {
            return Err(ApiError::invalid("http_target.body is not base64"));
        }
        if self.oauth_token.is_some() && self.oidc_token.is_some() {
            return Err(ApiError::invalid(
                "http_target has both oauth_token and oidc_token",
            ));
        }
        if self.oauth_token.is_some() && !self.is_google() {
            return Err(ApiError::invalid(
                "http_target.oauth_token goes with *.googleapis.com, oidc_token with other hosts",
            ));
        }
        Ok(())
    }

    pub fn is_google(&self) -> bool {
        let url = url::Url::parse(&self.uri).ok();
        url.as_ref()
            .and_then(url::Url::host_str)
            .is_some_and(|host| host.ends_with(".googleapis.com"))
    }

    /// The account whose token an attempt carries.
    pub fn account(&self) -> Option<&str> {
        let oauth = self
            .oauth_token
            .as_ref()
            .map(|it| &it.service_account_email);
        let oidc = self.oidc_token.as_ref().map(|it| &it.service_account_email);
        oauth.or(oidc).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(body: Value) -> Result<JobSpec, ApiError> {
        let Value::Object(body) = body else { panic!() };
        JobSpec::parse(body)?.checked()
    }

    fn body() -> Value {
        json!({"name": "projects/p/locations/l/jobs/j", "schedule": "0 2 * * *",
               "httpTarget": {"uri": "https://run.googleapis.com/v2/x:run"}})
    }

    #[test]
    fn what_is_left_out_gets_clouds_defaults() {
        let spec = checked(body()).unwrap();
        assert_eq!(spec.time_zone, "Etc/UTC");
        assert_eq!(spec.attempt_deadline, "180s");
        assert_eq!(spec.http_target.unwrap().http_method, "POST");
        assert_eq!(spec.retry_config.max_backoff_duration, "3600s");
    }

    #[test]
    fn what_cloud_scheduler_refuses_is_refused() {
        let change = |pointer: &str, value: Value| {
            let mut body = body();
            match body.pointer_mut(pointer) {
                Some(field) => *field = value,
                None => body[&pointer[1..]] = value,
            }
            checked(body).map_err(|error| error.code)
        };
        assert_eq!(change("/schedule", json!("often")), Err(400));
        assert_eq!(change("/httpTarget/uri", json!("ftp://x")), Err(400));
        assert_eq!(change("/description", json!("x".repeat(501))), Err(400));
        assert_eq!(change("/attemptDeadline", json!("5s")), Err(400));
        assert_eq!(change("/retryConfig", json!({"retryCount": 6})), Err(400));
        assert_eq!(change("/pubsubTarget", json!({})), Err(501));
        assert_eq!(change("/colour", json!("red")), Err(400));
    }

    #[test]
    fn a_mask_changes_only_its_fields() {
        let before = checked(body()).unwrap();
        let from = JobSpec {
            schedule: "0 3 * * *".into(),
            description: "new".into(),
            ..JobSpec::default()
        };
        let after = before.masked(from, "schedule").unwrap();
        assert_eq!(after.schedule, "0 3 * * *");
        assert_eq!(after.description, "");
    }

    #[test]
    fn backoff_doubles_and_then_grows_evenly_to_its_most() {
        let retry = RetryConfig {
            min_backoff_duration: "10s".into(),
            max_backoff_duration: "100s".into(),
            max_doublings: 2,
            ..RetryConfig::default()
        };
        let seconds: Vec<u64> = (0..5)
            .map(|retry_number| retry.backoff(retry_number).as_secs())
            .collect();
        assert_eq!(seconds, [10, 20, 40, 80, 100]);
    }
}
