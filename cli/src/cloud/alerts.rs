//! Cloud Monitoring: alert policies, the email channels they tell and the metrics they watch.
//!
//! Names of policies and channels are made by the service, so they are found by their labels.
//! Policies of a project are changed one at a time, as the service asks for. `policy` is what one
//! looks like, `channels` who is told, `metrics` what is counted.

mod channels;
mod metrics;
mod policy;

use std::collections::BTreeMap;

use futures::future::try_join;
use reqwest::Method;
use serde_json::Value;

use super::buckets::text;
use super::rest::{Body, Call};
use super::{Cloud, CloudError, last_part};
use crate::resource::{Address, Alert, Channel, Holder, Kind, Metric, Resources};
use channels::{email_of, is_ours};
use policy::{name_of, owner_of};

/// The alert policies of a project, and what they use.
#[derive(Debug, Clone, Default)]
pub(super) struct Alerts {
    policies: Vec<Value>,
    channels: Vec<Value>,
    metric: Option<Value>,
}

impl Cloud {
    pub(super) async fn list_alerts(&self) -> Result<Alerts, CloudError> {
        let (policies, (channels, metric)) = try_join(
            self.list_monitoring("alertPolicies"),
            try_join(
                self.list_monitoring("notificationChannels"),
                self.find_metric(),
            ),
        )
        .await?;
        Ok(Alerts {
            policies,
            channels,
            metric,
        })
    }

    async fn list_monitoring(&self, kind: &str) -> Result<Vec<Value>, CloudError> {
        let path = format!("/v3/{}/{kind}?pageSize=1000", self.in_project(""));
        let what = format!("alerts of project {}", self.project);
        let pages = self.rest().await?.pages(&what, "monitoring", &path, kind);
        match pages.await {
            Err(error) if error.is_absent() => Ok(Vec::new()),
            found => found,
        }
    }

    pub(super) async fn put_alert(&self, name: &str, alert: &Alert) -> Result<(), CloudError> {
        let turn = self.turn(&Holder::Project);
        let _turn = turn.lock().await;
        let there = self.list_alerts().await?;
        let what = format!("alert {name}");
        let before = there.policies_of(&self.client).remove(name);
        let body = there.policy(before, name, alert);
        self.take_over(&there, before, Some(&body)).await?;
        match before {
            None => {
                self.monitoring(&what, Method::POST, &self.in_project("alertPolicies"), body)
                    .await
            }
            Some(before) => {
                self.monitoring(&what, Method::PATCH, &text(&before["name"]), body)
                    .await
            }
        }
    }

    pub(super) async fn delete_alert(&self, name: &str) -> Result<(), CloudError> {
        let turn = self.turn(&Holder::Project);
        let _turn = turn.lock().await;
        let there = self.list_alerts().await?;
        let Some(policy) = there.policies_of(&self.client).remove(name) else {
            return Ok(());
        };
        self.take_over(&there, Some(policy), None).await?;
        let what = format!("alert {name}");
        self.monitoring(&what, Method::DELETE, &text(&policy["name"]), Value::Null)
            .await
    }

    /// Makes its own what a policy is about to leave, where those who made it use it no more: so
    /// that it is found and taken away although the policy is gone.
    async fn take_over(
        &self,
        there: &Alerts,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Result<(), CloudError> {
        let left = |used: &dyn Fn(&Value) -> bool, maker: Option<String>| {
            let leaves = before.is_some_and(used) && !after.is_some_and(used);
            let maker = maker.filter(|maker| *maker != self.client);
            let is_maker = |policy: &&Value| owner_of(policy).client == maker;
            leaves && maker.is_some() && !there.policies.iter().filter(is_maker).any(used)
        };
        for channel in there.channels.iter().filter(|it| is_ours(it)) {
            let used = |policy: &Value| policy::tells(policy, channel);
            if left(&used, owner_of(channel).client) {
                self.own_channel(channel).await?;
            }
        }
        if let Some(metric) = &there.metric {
            let used = |policy: &Value| policy::watches(policy, &text(&metric["name"]));
            if left(&used, metrics::maker_of(metric).client) {
                self.own_metric(metric).await?;
            }
        }
        Ok(())
    }

    async fn monitoring(
        &self,
        what: &str,
        method: Method,
        name: &str,
        body: Value,
    ) -> Result<(), CloudError> {
        let call = Call {
            what,
            method,
            service: "monitoring",
            path: format!("/v3/{name}"),
            body: match body {
                Value::Null => Body::None,
                body => Body::Json(body),
            },
            etag: None,
        };
        self.rest().await?.send(&call).await.map(drop)
    }
}

impl Alerts {
    /// What of these is a client's, and what it declares whoever made it.
    pub fn of(&self, client: &str, declared: &Resources) -> Resources {
        let policies = self.policies_of(client);
        let mut found = Resources::new();
        for (name, policy) in &policies {
            let alert = self.alert_of(policy);
            found.insert(Address::new(Kind::Alert, name), alert.into());
        }
        let used = |by: &dyn Fn(&Value) -> bool| policies.values().any(|policy| by(policy));
        for channel in self.channels.iter().filter(|it| is_ours(it)) {
            let address = Address::new(Kind::Channel, email_of(channel));
            let tells = |policy: &Value| policy::tells(policy, channel);
            let is_made = owner_of(channel).client.as_deref() == Some(client);
            if is_made || used(&tells) || declared.contains_key(&address) {
                let channel = Channel {
                    enabled: channel["enabled"] != false,
                    is_shared: self.is_used_by_others(client, &tells),
                };
                found.insert(address, channel.into());
            }
        }
        if let Some(metric) = &self.metric {
            let name = text(&metric["name"]);
            let address = Address::new(Kind::Metric, &name);
            let watches = |policy: &Value| policy::watches(policy, &name);
            let maker = metrics::maker_of(metric).client;
            let is_made = maker.as_deref() == Some(client);
            let is_used = maker.is_some() && used(&watches);
            if is_made || is_used || declared.contains_key(&address) {
                let metric = Metric {
                    filter: text(&metric["filter"]),
                    enabled: metric["disabled"] != true,
                    is_shared: self.is_used_by_others(client, &watches),
                };
                found.insert(address, metric.into());
            }
        }
        found
    }

    fn is_used_by_others(&self, client: &str, uses: &dyn Fn(&Value) -> bool) -> bool {
        let others = self.policies.iter();
        others
            .filter(|policy| owner_of(policy).client.as_deref() != Some(client))
            .any(uses)
    }

    /// A client's policies by name; what a lost answer made twice has its id in its name.
    fn policies_of(&self, client: &str) -> BTreeMap<String, &Value> {
        let mut named = BTreeMap::new();
        for policy in &self.policies {
            if owner_of(policy).client.as_deref() != Some(client) {
                continue;
            }
            let name = name_of(policy);
            let name = match named.contains_key(&name) {
                false => name,
                true => format!("{name}#{}", last_part(&text(&policy["name"]))),
            };
            named.insert(name, policy);
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::channels::new_channel;
    use super::*;
    use crate::names::METRIC;
    use crate::resource::{Condition, Owner};
    use serde_json::json;

    fn channel(id: u32, email: &str, client: &str) -> Value {
        let mut json = new_channel(
            client,
            email,
            &Channel {
                enabled: true,
                is_shared: false,
            },
        );
        json["name"] = json!(format!("projects/p/notificationChannels/{id}"));
        json
    }

    fn alert(client: &str, emails: &[&str]) -> Alert {
        Alert {
            display_name: "d".to_owned(),
            enabled: true,
            condition: Condition::Entry {
                filter: "f".to_owned(),
                tell_every_seconds: 3600,
            },
            emails: emails.iter().map(|it| (*it).to_owned()).collect(),
            auto_close_seconds: 86_400,
            owner: Owner::pipeline(client, "xero"),
        }
    }

    fn missed(client: &str) -> Alert {
        Alert {
            condition: Condition::Silence {
                filter: format!("metric.type=\"logging.googleapis.com/user/{METRIC}\""),
                fewer_than: 1,
                window_seconds: 90_000,
                hold_seconds: 3600,
                missing_data: "EVALUATION_MISSING_DATA_ACTIVE".to_owned(),
            },
            ..alert(client, &[])
        }
    }

    fn names(found: &Resources) -> Vec<String> {
        found.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn an_alert_is_read_back_as_it_was_written_and_keeps_the_channels_of_others() {
        let mut alerts = Alerts {
            channels: vec![channel(1, "a@b.c", "acme"), channel(2, "o@b.c", "acme")],
            policies: Vec::new(),
            metric: None,
        };
        let mut before = json!({"notificationChannels": ["projects/p/notificationChannels/9"], "userLabels": {"theirs": "x"}});
        before["name"] = json!("projects/p/alertPolicies/1");
        let wanted = alert("acme", &["a@b.c"]);
        let policy = alerts.policy(Some(&before), "acme-xero-failed", &wanted);
        assert_eq!(
            policy["notificationChannels"][0],
            "projects/p/notificationChannels/9"
        );
        assert_eq!(policy["userLabels"]["theirs"], "x");
        assert_eq!(alerts.alert_of(&policy), wanted);

        alerts.policies = vec![policy.clone(), policy];
        alerts.policies[1]["name"] = json!("projects/p/alertPolicies/7");
        let found = alerts.of("acme", &Resources::new());
        assert_eq!(
            names(&found),
            [
                "channel a@b.c",
                "channel o@b.c",
                "alert acme-xero-failed",
                "alert acme-xero-failed#7"
            ]
        );
        assert_eq!(alerts.of("globex", &Resources::new()), Resources::new());
    }

    #[test]
    fn a_channel_that_others_use_is_shared() {
        let mut alerts = Alerts {
            channels: vec![channel(1, "a@b.c", "acme")],
            policies: Vec::new(),
            metric: None,
        };
        alerts.policies =
            vec![alerts.policy(None, "globex-xero-failed", &alert("globex", &["a@b.c"]))];
        let address = Address::new(Kind::Channel, "a@b.c");
        let shared = |client: &str| match &alerts.of(client, &Resources::new())[&address] {
            crate::resource::Resource::Channel(channel) => channel.is_shared,
            _ => false,
        };
        assert!(shared("acme"));
        assert!(!shared("globex"));
    }

    #[test]
    fn a_metric_is_found_by_who_watches_it_and_shared_with_others_who_do() {
        let mut alerts = Alerts {
            metric: Some(json!({
                "name": METRIC,
                "filter": "f",
                "description": Owner::client("acme").description(),
            })),
            ..Alerts::default()
        };
        alerts.policies = vec![alerts.policy(None, "globex-xero-missed", &missed("globex"))];
        assert_eq!(alerts.alert_of(&alerts.policies[0]), missed("globex"));
        let found = alerts.of("globex", &Resources::new());
        assert_eq!(
            names(&found),
            ["metric xetl-runs", "alert globex-xero-missed"]
        );
        let address = Address::new(Kind::Metric, METRIC);
        let shared = |client: &str| match &alerts.of(client, &Resources::new())[&address] {
            crate::resource::Resource::Metric(metric) => metric.is_shared,
            _ => false,
        };
        assert!(shared("acme") && !shared("globex"));
    }

    #[test]
    fn what_people_made_of_a_condition_shows() {
        let alerts = Alerts::default();
        let mut policy = alerts.policy(None, "acme-xero-missed", &missed("acme"));
        policy["conditions"][0]["conditionThreshold"]["comparison"] = json!("COMPARISON_GT");
        assert_ne!(alerts.alert_of(&policy), missed("acme"));
    }
}
