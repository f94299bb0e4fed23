//! The metric of Cloud Logging that counts runs: one a project, whichever clients use it.
//!
//! Metrics have no labels, so its description says who made it.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::buckets::text;
use super::super::rest::{Body, Call};
use super::super::{Cloud, CloudError};
use crate::names;
use crate::resource::{Holder, Metric, Owner};

/// What only Logging sets.
const OUTPUT_ONLY: [&str; 4] = ["createTime", "updateTime", "resourceName", "version"];
const OUTPUT_ONLY_OF_DESCRIPTOR: [&str; 3] = ["name", "type", "description"];

impl Cloud {
    /// The metric of xetl's name; no other is looked at.
    pub(super) async fn find_metric(&self) -> Result<Option<Value>, CloudError> {
        let found = self.metric(Method::GET, names::METRIC, Body::None).await;
        match found {
            Ok(metric) => Ok(Some(metric)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Logging makes what it is told to change and does not have.
    pub(in crate::cloud) async fn put_metric(
        &self,
        name: &str,
        metric: &Metric,
    ) -> Result<(), CloudError> {
        let turn = self.turn(&Holder::Project);
        let _turn = turn.lock().await;
        let before = self.find_metric().await?;
        let mut body = settable(before.unwrap_or_default());
        let theirs = body.get("description").is_some_and(|it| is_ours(&text(it)));
        if !theirs {
            body.insert("description".to_owned(), json!(description(&self.client)));
        }
        body.insert("name".to_owned(), json!(name));
        body.insert("filter".to_owned(), json!(metric.filter));
        body.insert("disabled".to_owned(), json!(!metric.enabled));
        let body = Body::Json(Value::Object(body));
        self.metric(Method::PUT, name, body).await.map(drop)
    }

    pub(in crate::cloud) async fn delete_metric(&self, name: &str) -> Result<(), CloudError> {
        let gone = self.metric(Method::DELETE, name, Body::None).await;
        gone.map(drop)
    }

    /// The client's own from now on, whoever made it.
    pub(super) async fn own_metric(&self, metric: &Value) -> Result<(), CloudError> {
        let mut body = settable(metric.clone());
        body.insert("description".to_owned(), json!(description(&self.client)));
        let body = Body::Json(Value::Object(body));
        let name = text(&metric["name"]);
        self.metric(Method::PUT, &name, body).await.map(drop)
    }

    async fn metric(&self, method: Method, name: &str, body: Body) -> Result<Value, CloudError> {
        let what = format!("metric {name}");
        let call = Call {
            what: &what,
            method,
            service: "logging",
            path: format!("/v2/{}/{name}", self.in_project("metrics")),
            body,
            etag: None,
        };
        self.rest().await?.json(&call).await
    }
}

/// A metric without what only Logging sets.
fn settable(metric: Value) -> Map<String, Value> {
    let Value::Object(mut metric) = metric else {
        return Map::new();
    };
    metric.retain(|key, _| !OUTPUT_ONLY.contains(&key.as_str()));
    if let Some(Value::Object(descriptor)) = metric.get_mut("metricDescriptor") {
        descriptor.retain(|key, _| !OUTPUT_ONLY_OF_DESCRIPTOR.contains(&key.as_str()));
    }
    metric
}

fn description(client: &str) -> String {
    let owner = Owner::client(client).description();
    format!("Runs of xetl's pipelines that did not fail: {owner}")
}

fn is_ours(description: &str) -> bool {
    Owner::of_description(description).client.is_some()
}

/// Who made it.
pub(super) fn maker_of(metric: &Value) -> Owner {
    Owner::of_description(&text(&metric["description"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_sent_back_without_what_only_logging_sets() {
        let metric = json!({
            "name": "n",
            "description": description("acme"),
            "createTime": "t",
            "metricDescriptor": {"type": "logging.googleapis.com/user/n", "metricKind": "DELTA"},
        });
        assert_eq!(maker_of(&metric), Owner::client("acme"));
        let sent = Value::Object(settable(metric));
        assert_eq!(sent["metricDescriptor"], json!({"metricKind": "DELTA"}));
        assert!(sent.get("createTime").is_none());
    }
}
