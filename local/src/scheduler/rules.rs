//! What a scheduler job may be, and when it is due. Pure.

use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Job, text};
use crate::error::ApiError;
use crate::forms;

const METHODS: [&str; 8] = [
    "HTTP_METHOD_UNSPECIFIED",
    "POST",
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
];

/// Checks a job and fills in Cloud Scheduler's defaults.
///
/// # Errors
/// The first rule it breaks.
pub fn complete(mut job: Job) -> Result<Job, ApiError> {
    let schedule = text(&job, "schedule");
    Cron::from_str(schedule).map_err(|error| {
        ApiError::invalid(format!(
            "Schedule `{schedule}` is no cron expression: {error}"
        ))
    })?;
    if text(&job, "timeZone").is_empty() {
        job.insert("timeZone".to_owned(), json!("Etc/UTC"));
    }
    zone(text(&job, "timeZone"))?;
    if text(&job, "description").chars().count() > 500 {
        return Err(ApiError::invalid(
            "description is longer than 500 characters",
        ));
    }
    complete_target(&mut job)?;
    job.entry("attemptDeadline").or_insert(json!("180s"));
    within("attempt_deadline", text(&job, "attemptDeadline"), 15, 1800)?;
    complete_retry(&mut job)?;
    Ok(job)
}

fn complete_target(job: &mut Job) -> Result<(), ApiError> {
    let Some(Value::Object(target)) = job.get_mut("httpTarget") else {
        return Err(ApiError::unimplemented(
            "the local cloud fires HTTP targets only: give `httpTarget`",
        ));
    };
    forms::name_enum(target, "httpMethod", &METHODS);
    target.entry("httpMethod").or_insert(json!("POST"));
    let uri = text(target, "uri");
    let is_http = uri.starts_with("https://") || uri.starts_with("http://");
    if !is_http || uri.len() > 2083 || url::Url::parse(uri).is_err() {
        return Err(ApiError::invalid(format!(
            "HttpTarget.uri `{uri}` is no HTTP URL"
        )));
    }
    if target.contains_key("oauthToken") && !is_google(uri) {
        return Err(ApiError::invalid(
            "OAuth tokens go to *.googleapis.com only; use oidcToken for other hosts",
        ));
    }
    Ok(())
}

fn complete_retry(job: &mut Job) -> Result<(), ApiError> {
    let retry = job.entry("retryConfig").or_insert_with(|| json!({}));
    let Some(retry) = retry.as_object_mut() else {
        return Err(ApiError::invalid("retry_config must be an object"));
    };
    if retry.get("retryCount").and_then(Value::as_u64).unwrap_or(0) > 5 {
        return Err(ApiError::invalid(
            "retry_config.retry_count must be from 0 to 5",
        ));
    }
    let defaults = [
        ("maxRetryDuration", "0s"),
        ("minBackoffDuration", "5s"),
        ("maxBackoffDuration", "3600s"),
    ];
    for (field, default) in defaults {
        retry.entry(field).or_insert(json!(default));
        if forms::duration(text(retry, field)).is_none() {
            return Err(ApiError::invalid(format!(
                "retry_config.{field} is no duration"
            )));
        }
    }
    retry.entry("maxDoublings").or_insert(json!(5));
    Ok(())
}

fn within(field: &str, value: &str, least: u64, most: u64) -> Result<(), ApiError> {
    let good = forms::duration(value).is_some_and(|time| (least..=most).contains(&time.as_secs()));
    good.then_some(()).ok_or_else(|| {
        ApiError::invalid(format!(
            "{field} `{value}` must be from {least}s to {most}s"
        ))
    })
}

fn zone(name: &str) -> Result<TimeZone, ApiError> {
    TimeZone::get(name)
        .map_err(|_| ApiError::invalid(format!("time_zone `{name}` is no zone of the tz database")))
}

/// Whether a URL leads to a Google API, which here is this cloud itself.
pub fn is_google(uri: &str) -> bool {
    let host = url::Url::parse(uri)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host == "googleapis.com" || host.ends_with(".googleapis.com"))
}

/// When a job fires next after `now`; `None` for one that never does again.
pub fn next(job: &Job, now: Timestamp) -> Option<Timestamp> {
    let cron = Cron::from_str(text(job, "schedule")).ok()?;
    let zone = zone(text(job, "timeZone")).ok()?;
    let next = cron.find_next_occurrence(&now.to_zoned(zone), false).ok()?;
    Some(next.timestamp())
}

/// The wait before retry number `retry` (from 0): doubled `maxDoublings` times, then growing evenly.
pub fn backoff(job: &Job, retry: u32) -> Duration {
    let config = job.get("retryConfig").and_then(Value::as_object);
    let duration = |field: &str, default: u64| {
        let text = config.map_or("", |config| text(config, field));
        forms::duration(text).unwrap_or(Duration::from_secs(default))
    };
    let doublings = config
        .and_then(|config| config.get("maxDoublings")?.as_u64())
        .unwrap_or(5);
    let doublings = u32::try_from(doublings).unwrap_or(5).min(16);
    let doubled = duration("minBackoffDuration", 5) * 2_u32.pow(retry.min(doublings));
    let grown = doubled * (1 + retry.saturating_sub(doublings));
    grown.min(duration("maxBackoffDuration", 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(schedule: &str, zone: &str) -> Job {
        let job = json!({"schedule": schedule, "timeZone": zone, "httpTarget": {
            "uri": "https://run.googleapis.com/v2/projects/p/locations/l/jobs/j:run"}});
        job.as_object().unwrap().clone()
    }

    fn next_of(schedule: &str, zone: &str, now: &str) -> String {
        next(&job(schedule, zone), now.parse().unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_job_is_due_by_its_own_clock() {
        assert_eq!(
            next_of("0 2 * * *", "Etc/UTC", "2026-01-01T02:00:00Z"),
            "2026-01-02T02:00:00Z"
        );
        assert_eq!(
            next_of("0 2 * * *", "Pacific/Auckland", "2026-01-01T00:00:00Z"),
            "2026-01-01T13:00:00Z"
        );
    }

    #[test]
    fn a_time_the_clock_change_skips_is_not_run() {
        // In London 01:30 on 29 March 2026 does not exist.
        let next = next_of("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z");
        assert!(
            next.starts_with("2026-03-29") || next.starts_with("2026-03-30"),
            "{next}"
        );
    }

    #[test]
    fn broken_rules_are_named() {
        let error = |job: Job| complete(job).unwrap_err().message;
        assert!(error(job("every day", "Etc/UTC")).contains("no cron expression"));
        assert!(error(job("0 2 * * *", "Mars/Base")).contains("no zone"));
        let mut deadline = job("0 2 * * *", "");
        deadline.insert("attemptDeadline".into(), json!("5s"));
        assert!(error(deadline).contains("from 15s to 1800s"));
        let mut foreign = job("0 2 * * *", "");
        foreign["httpTarget"] = json!({"uri": "https://example.com/", "oauthToken": {}});
        assert!(error(foreign).contains("oidcToken"));
    }

    #[test]
    fn retries_wait_longer_each_time_up_to_the_most() {
        let mut job = complete(job("0 2 * * *", "")).unwrap();
        job["retryConfig"] =
            json!({"minBackoffDuration": "10s", "maxBackoffDuration": "60s", "maxDoublings": 2});
        let waits: Vec<u64> = (0..5).map(|retry| backoff(&job, retry).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 60, 60]);
    }
}
