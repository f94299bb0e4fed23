//! Notification channels: an email address each, one a project, whichever clients use it.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::buckets::text;
use super::super::{Cloud, CloudError};
use super::Alerts;
use super::policy::{owner_of, user_labels};
use crate::resource::{Channel, Holder, Labels, Owner};

impl Cloud {
    pub(in crate::cloud) async fn put_channel(
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
    pub(in crate::cloud) async fn delete_channel(&self, email: &str) -> Result<(), CloudError> {
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

    /// The client's own from now on, whoever made it.
    pub(super) async fn own_channel(&self, channel: &Value) -> Result<(), CloudError> {
        let what = format!("channel {}", email_of(channel));
        let mut labels = user_labels(channel);
        labels.extend(Owner::client(&self.client).labels());
        let path = format!("{}?updateMask=userLabels", text(&channel["name"]));
        let body = json!({"userLabels": labels});
        self.monitoring(&what, Method::PATCH, &path, body).await
    }
}

impl Alerts {
    /// Names of the channels of xetl's that tell this address.
    pub(super) fn channels_of<'a>(&'a self, email: &'a str) -> impl Iterator<Item = &'a str> {
        let ours = self.channels.iter().filter(|channel| is_ours(channel));
        ours.filter(move |channel| channel["labels"]["email_address"] == email)
            .filter_map(|channel| channel["name"].as_str())
    }
}

pub(super) fn new_channel(client: &str, email: &str, channel: &Channel) -> Value {
    json!({
        "type": "email",
        "displayName": email,
        "labels": {"email_address": email},
        "userLabels": Owner::client(client).labels().collect::<Labels>(),
        "enabled": channel.enabled,
    })
}

pub(super) fn is_ours(channel: &Value) -> bool {
    channel["type"] == "email" && owner_of(channel).client.is_some()
}

pub(super) fn email_of(channel: &Value) -> String {
    text(&channel["labels"]["email_address"])
}
