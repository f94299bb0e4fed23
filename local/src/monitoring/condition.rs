//! Conditions of alert policies: what they watch, and whether Monitoring would take them.

use std::time::Duration;

use serde_json::Value;

use crate::error::ApiError;
use crate::forms;
use crate::logging::Filter;

const MINUTE: Duration = Duration::from_secs(60);
/// The longest alignment period of an alert (the API's reference).
const LONGEST_WINDOW: Duration = Duration::from_secs(25 * 3600);
/// The longest a violation is held before it tells.
const LONGEST_HOLD: Duration = Duration::from_secs(23 * 3600 + 1800);

/// What a condition watches.
#[derive(Debug)]
pub enum Condition {
    /// Entries of the log.
    Entries(Filter),
    /// A count over a window that stays below a number.
    Silence(Silence),
}

#[derive(Debug)]
pub struct Silence {
    /// Which time series: `metric.type`, `resource.type` and `resource.labels`.
    pub series: Filter,
    pub metric: String,
    pub window: Duration,
    /// How long it has to stay so.
    pub hold: Duration,
    pub below: f64,
    /// Whether no data at all is as good as a count of zero.
    pub missing_counts: bool,
}

impl Condition {
    /// Reads one as the API has it.
    ///
    /// # Errors
    /// It is none that Monitoring takes, or that this cloud can watch.
    pub fn of(json: &Value) -> Result<Condition, ApiError> {
        let log = &json["conditionMatchedLog"]["filter"];
        match (log.as_str(), json.get("conditionThreshold")) {
            (Some(filter), None) => Ok(Condition::Entries(Filter::parse(filter)?)),
            (None, Some(threshold)) => Silence::of(threshold).map(Condition::Silence),
            (Some(_), Some(_)) => Err(ApiError::invalid("A condition is of one type.")),
            (None, None) => Err(ApiError::unimplemented(
                "the local cloud keeps conditions of the types condition_matched_log and condition_threshold",
            )),
        }
    }
}

impl Silence {
    fn of(json: &Value) -> Result<Silence, ApiError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let series = Filter::parse(&text(&json["filter"]))?;
        let metric = series.equal_to(&["metric", "type"]).map(str::to_owned);
        let metric = metric.filter(|_| series.equal_to(&["resource", "type"]).is_some());
        let metric = metric.ok_or_else(|| {
            ApiError::invalid(
                "Field alert_policy.conditions[0].condition_threshold.filter must specify metric.type and resource.type.",
            )
        })?;
        if json["comparison"] != "COMPARISON_LT" {
            return Err(ApiError::unimplemented(
                "the local cloud watches metrics for COMPARISON_LT",
            ));
        }
        let missing_counts = json["evaluationMissingData"] == "EVALUATION_MISSING_DATA_ACTIVE";
        let hold = duration(&json["duration"], LONGEST_HOLD)?;
        if !json["evaluationMissingData"].is_null() && hold < MINUTE {
            return Err(ApiError::invalid(
                "evaluation_missing_data needs a duration of 60 seconds or more.",
            ));
        }
        Ok(Silence {
            series,
            metric,
            window: window(&json["aggregations"])?,
            hold,
            below: json["thresholdValue"].as_f64().unwrap_or_default(),
            missing_counts,
        })
    }
}

fn window(aggregations: &Value) -> Result<Duration, ApiError> {
    let first = &aggregations[0];
    if first["perSeriesAligner"] != "ALIGN_SUM" {
        return Err(ApiError::unimplemented(
            "the local cloud watches sums (ALIGN_SUM) of metrics",
        ));
    }
    let window = duration(&first["alignmentPeriod"], LONGEST_WINDOW)?;
    match window < MINUTE {
        false => Ok(window),
        true => Err(ApiError::invalid(
            "The alignment_period must be at least 60 seconds.",
        )),
    }
}

/// Whole minutes, up to the most.
fn duration(json: &Value, most: Duration) -> Result<Duration, ApiError> {
    let text = json.as_str().unwrap_or_default();
    let found = forms::duration(text).filter(|time| {
        *time <= most && time.subsec_nanos() == 0 && time.as_secs().is_multiple_of(60)
    });
    found.ok_or_else(|| {
        let most = most.as_secs();
        ApiError::invalid(format!(
            "`{text}` must be a multiple of 60 seconds, of {most} seconds at most."
        ))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub fn silence(window: &str, hold: &str) -> Value {
        json!({"conditionThreshold": {
            "filter": "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"j\" AND metric.type=\"logging.googleapis.com/user/m\"",
            "comparison": "COMPARISON_LT",
            "thresholdValue": 1,
            "duration": hold,
            "evaluationMissingData": "EVALUATION_MISSING_DATA_ACTIVE",
            "aggregations": [{"alignmentPeriod": window, "perSeriesAligner": "ALIGN_SUM"}],
        }})
    }

    #[test]
    fn a_window_has_25_hours_at_most_and_a_hold_a_minute_at_least() {
        let taken = |window, hold| Condition::of(&silence(window, hold)).is_ok();
        assert!(taken("90000s", "84600s"));
        assert!(taken("60s", "60s"));
        for (window, hold) in [
            ("90060s", "60s"),
            ("90000s", "84660s"),
            ("90s", "60s"),
            ("60s", "0s"),
            ("0s", "60s"),
        ] {
            assert!(!taken(window, hold), "{window} {hold}");
        }
    }

    #[test]
    fn a_metric_and_a_resource_have_to_be_named() {
        let mut condition = silence("60s", "60s");
        condition["conditionThreshold"]["filter"] = json!("metric.type=\"m\"");
        assert_eq!(Condition::of(&condition).unwrap_err().code, 400);
    }
}
