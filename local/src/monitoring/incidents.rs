//! `GET /_local/incidents`: which alerts would tell now, or at another time (`at`).
//!
//! Nobody is told anything. Conditions are looked at when somebody asks, over the log that is
//! there: so a test can ask about the day after tomorrow.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::IntoResponse;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::condition::{Condition, Silence};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::logging::Filter;
use crate::router::{Reply, Request};

/// As long an incident of the log stays open where the policy does not say.
const USUAL_CLOSE: Duration = Duration::from_secs(7 * 86_400);

pub async fn tell(cloud: Arc<Cloud>, request: Request) -> Reply {
    let at = match request.query("at") {
        None => Timestamp::now(),
        Some(text) => text
            .parse()
            .map_err(|_| ApiError::invalid(format!("`{text}` is no RFC 3339 time")))?,
    };
    let mut incidents = Vec::new();
    for (name, policy) in cloud.monitoring.kept.list("projects/") {
        let project = name.split('/').nth(1).unwrap_or_default();
        if name.contains("/alertPolicies/")
            && let Some(since) = since(&cloud, project, &policy, at)?
        {
            incidents.push(json!({
                "policy": name,
                "displayName": policy["displayName"],
                "since": forms::timestamp(since),
                "tells": addresses(&cloud, &policy),
            }));
        }
    }
    Ok(Json(json!({"at": forms::timestamp(at), "incidents": incidents})).into_response())
}

fn addresses(cloud: &Cloud, policy: &Value) -> Vec<Value> {
    let channels = policy["notificationChannels"].as_array();
    let names = channels.into_iter().flatten().filter_map(Value::as_str);
    let channels = names.filter_map(|name| cloud.monitoring.kept.get(name));
    channels
        .filter(|channel| channel["enabled"] != false)
        .map(|channel| channel["labels"]["email_address"].clone())
        .collect()
}

/// Since when a policy's incident is open; `None` where there is none.
fn since(
    cloud: &Cloud,
    project: &str,
    policy: &Value,
    at: Timestamp,
) -> Result<Option<Timestamp>, ApiError> {
    let condition = Condition::of(&policy["conditions"][0])?;
    let made = time(&policy["creationRecord"]["mutateTime"]).unwrap_or(Timestamp::UNIX_EPOCH);
    if policy["enabled"] == false || at < made {
        return Ok(None);
    }
    Ok(match condition {
        Condition::Entries(filter) => {
            let close = policy["alertStrategy"]["autoClose"].as_str();
            let close = close.and_then(forms::duration).unwrap_or(USUAL_CLOSE);
            let last = last(cloud, project, before(at, close).max(made), at, |entry| {
                filter.matches(entry)
            })?;
            last.filter(|last| *last >= made)
        }
        Condition::Silence(silence) => {
            let counted = counted(cloud, project, &silence, at)?;
            told(&silence, made, &counted, at)
        }
    })
}

/// When the entries that a metric counted were written, as far back as they matter.
fn counted(
    cloud: &Cloud,
    project: &str,
    silence: &Silence,
    at: Timestamp,
) -> Result<Vec<Timestamp>, ApiError> {
    let Some(metric) = cloud.logs.metrics.of_type(project, &silence.metric) else {
        return Ok(Vec::new());
    };
    let filter = Filter::parse(metric["filter"].as_str().unwrap_or_default())?;
    let made = time(&metric["createTime"]).unwrap_or(Timestamp::UNIX_EPOCH);
    let from = before(at, silence.window + silence.hold).max(made);
    let is_counted = |entry: &Value| {
        let series = json!({"resource": entry["resource"], "metric": {"type": silence.metric}});
        metric["disabled"] != true && filter.matches(entry) && silence.series.matches(&series)
    };
    Ok(times(cloud, project, from, at, is_counted)?)
}

/// Since when a silence tells, by what was counted (up to `at`).
fn told(
    silence: &Silence,
    made: Timestamp,
    counted: &[Timestamp],
    at: Timestamp,
) -> Option<Timestamp> {
    // As many as it takes not to be silent: the window that begins with the oldest of them.
    let enough = silence.below.ceil().max(0.0) as usize;
    let oldest = match enough {
        0 => return None,
        enough => counted.iter().rev().nth(enough - 1),
    };
    let quiet = match oldest {
        Some(oldest) => after(*oldest, silence.window).max(made),
        None if silence.missing_counts => made,
        None => return None,
    };
    let tells = after(quiet, silence.hold);
    (tells <= at).then_some(tells)
}

fn last(
    cloud: &Cloud,
    project: &str,
    from: Timestamp,
    to: Timestamp,
    fits: impl Fn(&Value) -> bool,
) -> io::Result<Option<Timestamp>> {
    Ok(times(cloud, project, from, to, fits)?.pop())
}

/// The times of entries that fit, oldest first.
fn times(
    cloud: &Cloud,
    project: &str,
    from: Timestamp,
    to: Timestamp,
    fits: impl Fn(&Value) -> bool,
) -> io::Result<Vec<Timestamp>> {
    let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    let entries = cloud.logs.read(project, &day(from), &day(to))?;
    let fitting = entries.iter().filter(|entry| fits(entry));
    let times = fitting.filter_map(|entry| time(&entry["timestamp"]));
    let mut times: Vec<_> = times.filter(|it| (from..=to).contains(it)).collect();
    times.sort_unstable();
    Ok(times)
}

fn time(json: &Value) -> Option<Timestamp> {
    json.as_str()?.parse().ok()
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    time.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn before(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    time.saturating_sub(span).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::super::condition::tests::silence;
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    #[test]
    fn a_silence_tells_a_window_and_a_hold_after_the_last_run() {
        let Condition::Silence(silence) = Condition::of(&silence("86400s", "7200s")).unwrap()
        else {
            unreachable!()
        };
        let told = |runs: &[i64], hour| {
            let runs: Vec<_> = runs.iter().map(|hour| at(*hour)).collect();
            told(&silence, at(0), &runs, at(hour))
        };
        assert_eq!(told(&[10], 35), None);
        assert_eq!(told(&[10], 36), Some(at(36)));
        assert_eq!(told(&[10, 34], 36), None);
        assert_eq!(told(&[], 1), None);
        assert_eq!(told(&[], 2), Some(at(2)), "there never was a run");
    }
}
