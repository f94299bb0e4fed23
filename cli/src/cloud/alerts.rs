//! Cloud Monitoring: alert policies and the email channels they tell.
//!
//! Their names are made by the service, so they are found by their labels. Policies of a project
//! are changed one at a time, as the service asks for.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::buckets::text;
use super::rest::{Body, Call};
use super::{Cloud, CloudError, last_part};
use crate::resource::{Address, Alert, Channel, Holder, Kind, Labels, Owner, Resources};

/// The alert policies and channels of a project.
#[derive(Debug, Clone, Default)]
pub(super) struct Alerts {
    policies: Vec<Value>,
    channels: Vec<Value>,
}

impl Cloud {
    pub(super) async fn list_alerts(&self) -> Result<Alerts, CloudError> {
        Ok(Alerts {
            policies: self.list_monitoring("alertPolicies").await?,
            channels: self.list_monitoring("notificationChannels").await?,
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

    pub(super) async fn put_channel(
        &self,
        email: &str,
        channel: &Channel,
    ) -> Result<(), CloudError> {
        let turn = self.turn(&Holder::Project);
        let _turn = turn.lock().await;
        let there = self.list_alerts().await?;
        let what = format!("channel {email}");
        let body = new_channel(&self.client, email, channel);
        match there.channels_of(email).next() {
            None => {
                self.monitoring(
                    &what,
                    Method::POST,
                    &self.in_project("notificationChannels"),
                    body,
                )
                .await
            }
            Some(name) => {
                let path = format!("{name}?updateMask=enabled");
                let body = json!({"enabled": channel.enabled});
                self.monitoring(&what, Method::PATCH, &path, body).await
            }
        }
    }

    /// One that others began to use meanwhile stays.
    pub(super) async fn delete_channel(&self, email: &str) -> Result<(), CloudError> {
        let there = self.list_alerts().await?;
        for name in there.channels_of(email) {
            let what = format!("channel {email}");
            match self
                .monitoring(&what, Method::DELETE, name, Value::Null)
                .await
            {
                Err(CloudError::Refused { status: 400, .. }) => {}
                Err(error) if error.is_absent() => {}
                result => result?,
            }
        }
        Ok(())
    }

    pub(super) async fn put_alert(&self, name: &str, alert: &Alert) -> Result<(), CloudError> {
        let turn = self.turn(&Holder::Project);
        let _turn = turn.lock().await;
        let there = self.list_alerts().await?;
        let what = format!("alert {name}");
        let before = there.policies_of(&self.client).remove(name);
        let body = there.policy(before, alert);
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
        let what = format!("alert {name}");
        self.monitoring(&what, Method::DELETE, &text(&policy["name"]), Value::Null)
            .await
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
    /// What of these is a client's, and the declared channels whoever made them.
    pub fn of(&self, client: &str, declared: &Resources) -> Resources {
        let policies = self.policies_of(client);
        let mut found = Resources::new();
        for (name, policy) in &policies {
            found.insert(
                Address::new(Kind::Alert, name),
                self.alert_of(policy).into(),
            );
        }
        for channel in self.channels.iter().filter(|it| is_ours(it)) {
            let email = email_of(channel);
            let address = Address::new(Kind::Channel, &email);
            let of_client = owner_of(channel).client.as_deref() == Some(client);
            let used = policies.values().any(|policy| uses(policy, channel));
            if of_client || used || declared.contains_key(&address) {
                let channel = Channel {
                    enabled: channel["enabled"] != false,
                    is_shared: self.is_used_by_others(client, channel),
                };
                found.insert(address, channel.into());
            }
        }
        found
    }

    fn is_used_by_others(&self, client: &str, channel: &Value) -> bool {
        let others = self.policies.iter();
        others
            .filter(|policy| owner_of(policy).client.as_deref() != Some(client))
            .any(|policy| uses(policy, channel))
    }

    /// A client's policies by name; what a lost answer made twice has its id in its name.
    fn policies_of(&self, client: &str) -> BTreeMap<String, &Value> {
        let mut named = BTreeMap::new();
        for policy in &self.policies {
            let owner = owner_of(policy);
            if owner.client.as_deref() != Some(client) {
                continue;
            }
            let pipeline = owner.pipeline.unwrap_or_default();
            let name = format!("{client}-{pipeline}-failed");
            let name = match named.contains_key(&name) {
                false => name,
                true => format!("{name}#{}", last_part(&text(&policy["name"]))),
            };
            named.insert(name, policy);
        }
        named
    }

    /// Names of the channels of xetl's that tell this address.
    fn channels_of<'a>(&'a self, email: &'a str) -> impl Iterator<Item = &'a str> {
        let ours = self.channels.iter().filter(|channel| is_ours(channel));
        ours.filter(move |channel| channel["labels"]["email_address"] == email)
            .filter_map(|channel| channel["name"].as_str())
    }

    fn alert_of(&self, policy: &Value) -> Alert {
        let ours = self.channels.iter().filter(|channel| is_ours(channel));
        let strategy = &policy["alertStrategy"];
        let condition = &policy["conditions"][0];
        Alert {
            display_name: text(&policy["displayName"]),
            enabled: policy["enabled"] != false,
            filter: text(&condition["conditionMatchedLog"]["filter"]),
            emails: ours
                .filter(|channel| uses(policy, channel))
                .map(email_of)
                .collect(),
            tell_every_seconds: seconds(&strategy["notificationRateLimit"]["period"]),
            auto_close_seconds: seconds(&strategy["autoClose"]),
            owner: owner_of(policy),
        }
    }

    /// The policy to send; channels and labels of others stay on it.
    fn policy(&self, before: Option<&Value>, alert: &Alert) -> Value {
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
        json!({
            "displayName": alert.display_name,
            "enabled": alert.enabled,
            "combiner": "OR",
            "conditions": [{
                "displayName": "an error in the log",
                "conditionMatchedLog": {"filter": alert.filter},
            }],
            "alertStrategy": {
                "notificationRateLimit": {"period": format!("{}s", alert.tell_every_seconds)},
                "autoClose": format!("{}s", alert.auto_close_seconds),
            },
            "notificationChannels": channels,
            "userLabels": labels,
        })
    }
}

fn new_channel(client: &str, email: &str, channel: &Channel) -> Value {
    json!({
        "type": "email",
        "displayName": email,
        "labels": {"email_address": email},
        "userLabels": Owner::client(client).labels().collect::<Labels>(),
        "enabled": channel.enabled,
    })
}

fn user_labels(json: &Value) -> Labels {
    let labels = json["userLabels"].as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn owner_of(json: &Value) -> Owner {
    Owner::of_labels(&user_labels(json))
}

fn is_ours(channel: &Value) -> bool {
    channel["type"] == "email" && owner_of(channel).client.is_some()
}

fn email_of(channel: &Value) -> String {
    text(&channel["labels"]["email_address"])
}

fn uses(policy: &Value, channel: &Value) -> bool {
    let channels = policy["notificationChannels"].as_array();
    channels
        .into_iter()
        .flatten()
        .any(|name| *name == channel["name"])
}

/// `300s`, with a fraction where it has one.
fn seconds(duration: &Value) -> u64 {
    let text = duration.as_str().unwrap_or_default().trim_end_matches('s');
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            filter: "f".to_owned(),
            emails: emails.iter().map(|it| (*it).to_owned()).collect(),
            tell_every_seconds: 3600,
            auto_close_seconds: 86_400,
            owner: Owner::pipeline(client, "xero"),
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
        };
        let mut before = json!({"notificationChannels": ["projects/p/notificationChannels/9"], "userLabels": {"theirs": "x"}});
        before["name"] = json!("projects/p/alertPolicies/1");
        let wanted = alert("acme", &["a@b.c"]);
        let policy = alerts.policy(Some(&before), &wanted);
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
        };
        alerts.policies = vec![alerts.policy(None, &alert("globex", &["a@b.c"]))];
        let address = Address::new(Kind::Channel, "a@b.c");
        let shared = |client: &str| match &alerts.of(client, &Resources::new())[&address] {
            crate::resource::Resource::Channel(channel) => channel.is_shared,
            _ => false,
        };
        assert!(shared("acme"));
        assert!(!shared("globex"));
    }
}
