//! What an alert policy looks like: to the API and back.

use serde_json::{Value, json};

use super::super::buckets::text;
use super::Alerts;
use super::channels::{email_of, is_ours};
use crate::names;
use crate::resource::{Alert, Condition, Labels, Owner};

/// Tells the alerts of a pipeline apart; one that has it not tells of runs that failed.
const WHAT: &str = "xetl-alert";
const FAILED: &str = "failed";

impl Alerts {
    pub(super) fn alert_of(&self, policy: &Value) -> Alert {
        let ours = self.channels.iter().filter(|channel| is_ours(channel));
        Alert {
            display_name: text(&policy["displayName"]),
            enabled: policy["enabled"] != false,
            condition: condition_of(policy),
            emails: ours
                .filter(|channel| tells(policy, channel))
                .map(email_of)
                .collect(),
            auto_close_seconds: seconds(&policy["alertStrategy"]["autoClose"]),
            owner: owner_of(policy),
        }
    }

    /// The policy to send; channels and labels of others stay on it.
    pub(super) fn policy(&self, before: Option<&Value>, name: &str, alert: &Alert) -> Value {
        let none = Value::Null;
        let before = before.unwrap_or(&none);
        let is_known = |name: &&Value| {
            let mut ours = self.channels.iter().filter(|it| is_ours(it));
            ours.any(|channel| channel["name"] == **name)
        };
        let theirs = before["notificationChannels"].as_array();
        let theirs = theirs.into_iter().flatten().filter(|name| !is_known(name));
        let ours = alert
            .emails
            .iter()
            .filter_map(|it| self.channels_of(it).next());
        let channels: Vec<Value> = theirs.cloned().chain(ours.map(Value::from)).collect();
        let mut labels = user_labels(before);
        labels.extend(alert.owner.labels());
        labels.extend(what_of(name, &alert.owner));
        let mut strategy = json!({"autoClose": format!("{}s", alert.auto_close_seconds)});
        if let Condition::Entry {
            tell_every_seconds, ..
        } = alert.condition
        {
            let period = format!("{tell_every_seconds}s");
            strategy["notificationRateLimit"] = json!({"period": period});
        }
        json!({
            "displayName": alert.display_name,
            "enabled": alert.enabled,
            "combiner": "OR",
            "conditions": [condition(&alert.condition)],
            "alertStrategy": strategy,
            "notificationChannels": channels,
            "userLabels": labels,
        })
    }
}

fn condition(condition: &Condition) -> Value {
    match condition {
        Condition::Entry { filter, .. } => json!({
            "displayName": "an error in the log",
            "conditionMatchedLog": {"filter": filter},
        }),
        Condition::Silence {
            filter,
            fewer_than,
            window_seconds,
            hold_seconds,
            missing_data,
        } => json!({
            "displayName": "too few runs",
            "conditionThreshold": {
                "filter": filter,
                "aggregations": [{
                    "alignmentPeriod": format!("{window_seconds}s"),
                    "perSeriesAligner": "ALIGN_SUM",
                }],
                "comparison": "COMPARISON_LT",
                "thresholdValue": fewer_than,
                "duration": format!("{hold_seconds}s"),
                "evaluationMissingData": missing_data,
            },
        }),
        Condition::Other { condition } => serde_json::from_str(condition).unwrap_or_default(),
    }
}

/// As far as it is one of ours; what has another form shows as that.
fn condition_of(policy: &Value) -> Condition {
    let there = &policy["conditions"][0];
    let threshold = &there["conditionThreshold"];
    let window = &threshold["aggregations"][0];
    let is_sum = threshold["comparison"] == "COMPARISON_LT"
        && window["perSeriesAligner"] == "ALIGN_SUM"
        && window["crossSeriesReducer"].is_null();
    let count = threshold["thresholdValue"].as_f64().unwrap_or_default();
    match there["conditionMatchedLog"]["filter"].as_str() {
        Some(filter) => Condition::Entry {
            filter: filter.to_owned(),
            tell_every_seconds: seconds(
                &policy["alertStrategy"]["notificationRateLimit"]["period"],
            ),
        },
        None if is_sum && count >= 0.0 && count.fract() == 0.0 => Condition::Silence {
            filter: text(&threshold["filter"]),
            fewer_than: count as u64,
            window_seconds: seconds(&window["alignmentPeriod"]),
            hold_seconds: seconds(&threshold["duration"]),
            missing_data: text(&threshold["evaluationMissingData"]),
        },
        None => Condition::Other {
            condition: there.to_string(),
        },
    }
}

/// The label of an alert by its name, `CLIENT-PIPELINE-WHAT`.
fn what_of(name: &str, owner: &Owner) -> Option<(String, String)> {
    let (client, pipeline) = (owner.client.as_deref()?, owner.pipeline.as_deref()?);
    let what = name.strip_prefix(&format!("{}-", names::job(client, pipeline)))?;
    let what = what.split('#').next().filter(|what| *what != FAILED)?;
    Some((WHAT.to_owned(), what.to_owned()))
}

/// `CLIENT-PIPELINE-WHAT`
pub(super) fn name_of(policy: &Value) -> String {
    let owner = owner_of(policy);
    let (client, pipeline) = (
        owner.client.unwrap_or_default(),
        owner.pipeline.unwrap_or_default(),
    );
    let what = policy["userLabels"][WHAT].as_str().unwrap_or(FAILED);
    format!("{client}-{pipeline}-{what}")
}

pub(super) fn user_labels(json: &Value) -> Labels {
    let labels = json["userLabels"].as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// Whose a policy or a channel is.
pub(super) fn owner_of(json: &Value) -> Owner {
    Owner::of_labels(&user_labels(json))
}

/// Whether a policy tells this channel.
pub(super) fn tells(policy: &Value, channel: &Value) -> bool {
    let channels = policy["notificationChannels"].as_array();
    channels
        .into_iter()
        .flatten()
        .any(|name| *name == channel["name"])
}

/// Whether a policy watches the metric of that name.
pub(super) fn watches(policy: &Value, metric: &str) -> bool {
    let filter = policy["conditions"][0]["conditionThreshold"]["filter"].as_str();
    let kind = format!("\"logging.googleapis.com/user/{metric}\"");
    filter.is_some_and(|filter| filter.contains(&kind))
}

/// `300s`, with a fraction where it has one.
fn seconds(duration: &Value) -> u64 {
    let text = duration.as_str().unwrap_or_default().trim_end_matches('s');
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or_default()
}
