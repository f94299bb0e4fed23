//! Cloud Storage: the client's bucket and the rights on it.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::rest::{Body, Call};
use super::{Cloud, CloudError};
use crate::resource::{Bucket, Labels, Owner, Resource, labels};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Cloud {
    pub(super) async fn find_bucket(&self, name: &str) -> Result<Option<Resource>, CloudError> {
        let (found, owned) = futures::join!(self.get_bucket(name), self.owns_bucket(name));
        let Some(bucket) = found? else {
            return Ok(None);
        };
        match owned? {
            true => Ok(Some(bucket_of(&bucket))),
            false => Err(CloudError::Unusable {
                what: format!("bucket {name}"),
                problem: format!(
                    "is there, but not in project {}: somebody else has the name, and would get the \
                     client's data; give the client another name",
                    self.project
                ),
            }),
        }
    }

    /// Whether it is the project's: anybody may have taken the name, and let us write there.
    /// Who may look at it and not list what the project has is taken at its word.
    async fn owns_bucket(&self, name: &str) -> Result<bool, CloudError> {
        let (project, prefix) = (encode(&self.project), encode(name));
        let path = format!("/storage/v1/b?project={project}&prefix={prefix}");
        let what = format!("bucket {name}");
        match self.all_pages(&what, &path).await {
            Ok(buckets) => Ok(buckets.iter().any(|bucket| bucket["name"] == name)),
            Err(CloudError::Denied { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn get_bucket(&self, name: &str) -> Result<Option<Value>, CloudError> {
        let path = format!("/storage/v1/b/{name}");
        let what = format!("bucket {name}");
        match self.storage(&what, Method::GET, path, Body::None).await {
            Ok(bucket) => Ok(Some(bucket)),
            Err(error) if error.is_absent() => Ok(None),
            Err(CloudError::Denied { what, .. }) => Err(CloudError::Denied {
                what,
                message: format!(
                    "the name is taken, and we may not look at it: storage.buckets.get is missing \
                     on projects/{}, or it is somebody else's bucket",
                    self.project
                ),
            }),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_bucket(
        &self,
        name: &str,
        bucket: &Bucket,
    ) -> Result<(), CloudError> {
        let path = format!("/storage/v1/b?project={}", encode(&self.project));
        let what = format!("bucket {name}");
        let body = Body::Json(new_bucket(name, bucket));
        self.storage(&what, Method::POST, path, body).await?;
        Ok(())
    }

    pub(super) async fn update_bucket(
        &self,
        name: &str,
        bucket: &Bucket,
    ) -> Result<(), CloudError> {
        let Some(before) = self.get_bucket(name).await? else {
            return self.create_bucket(name, bucket).await;
        };
        let path = format!("/storage/v1/b/{name}");
        let what = format!("bucket {name}");
        let body = Body::Json(bucket_patch(&before, bucket));
        self.storage(&what, Method::PATCH, path, body).await?;
        Ok(())
    }

    /// Deletes a bucket and all objects in it.
    pub(super) async fn delete_bucket(&self, name: &str) -> Result<(), CloudError> {
        let objects = self.list_objects(name, "").await?;
        for object in objects {
            match self.delete_object(name, &object).await {
                Err(error) if !error.is_absent() => return Err(error),
                _ => {}
            }
        }
        let path = format!("/storage/v1/b/{name}");
        let what = format!("bucket {name}");
        self.storage(&what, Method::DELETE, path, Body::None)
            .await?;
        Ok(())
    }

    /// All buckets of the project, as Storage describes them.
    pub(super) async fn list_buckets(&self) -> Result<Vec<Value>, CloudError> {
        let path = format!("/storage/v1/b?project={}", encode(&self.project));
        let what = format!("buckets of project {}", self.project);
        self.all_pages(&what, &path).await
    }

    pub(super) async fn bucket_policy(&self, name: &str) -> Result<Value, CloudError> {
        let path = format!("/storage/v1/b/{name}/iam?optionsRequestedPolicyVersion=3");
        let what = format!("policy of bucket {name}");
        self.storage(&what, Method::GET, path, Body::None).await
    }

    pub(super) async fn set_bucket_policy(
        &self,
        name: &str,
        policy: Value,
    ) -> Result<(), CloudError> {
        let path = format!("/storage/v1/b/{name}/iam");
        let what = format!("policy of bucket {name}");
        self.storage(&what, Method::PUT, path, Body::Json(policy))
            .await?;
        Ok(())
    }

    pub(super) async fn storage(
        &self,
        what: &str,
        method: Method,
        path: String,
        body: Body,
    ) -> Result<Value, CloudError> {
        let bytes = self.send_storage(what, method, path, body).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| CloudError::Unusable {
            what: what.to_owned(),
            problem: format!("the reply is no JSON: {error}"),
        })
    }

    pub(super) async fn send_storage(
        &self,
        what: &str,
        method: Method,
        path: String,
        body: Body,
    ) -> Result<Bytes, CloudError> {
        let call = Call {
            what,
            method,
            service: "storage",
            path,
            body,
            etag: None,
        };
        self.rest().await?.send(&call).await
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Labels in a resource's JSON.
pub(super) fn labels_of(json: &Value) -> Labels {
    let labels = json["labels"].as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// An int64, which is text in JSON, and a number with some clients.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// The fields we manage of a bucket that is there.
pub(super) fn bucket_of(json: &Value) -> Resource {
    let iam = &json["iamConfiguration"];
    let retention = integer(&json["softDeletePolicy"]["retentionDurationSeconds"]);
    let all = labels_of(json);
    let bucket = Bucket {
        // Comes back in upper case.
        location: text(&json["location"]).to_lowercase(),
        storage_class: text(&json["storageClass"]),
        uniform_access: iam["uniformBucketLevelAccess"]["enabled"] == true,
        public_access_prevented: iam["publicAccessPrevention"] == "enforced",
        soft_delete_seconds: retention.unwrap_or_default().unsigned_abs(),
        lifecycle: sorted(json["lifecycle"]["rule"].as_array().cloned()),
        kms_key: json["encryption"]["defaultKmsKeyName"]
            .as_str()
            .map(str::to_owned),
        labels: labels::own(&all),
        owner: Owner::of_labels(&all),
    };
    bucket.into()
}

fn sorted(rules: Option<Vec<Value>>) -> Vec<Value> {
    let mut rules = rules.unwrap_or_default();
    rules.sort_by_cached_key(Value::to_string);
    rules
}

fn new_bucket(name: &str, bucket: &Bucket) -> Value {
    let mut json = settings(bucket);
    json.retain(|_, value| !value.is_null());
    json.insert("name".to_owned(), json!(name));
    json.insert("location".to_owned(), json!(bucket.location));
    let labels = labels::written(&bucket.owner, &bucket.labels);
    json.insert("labels".to_owned(), json!(labels));
    Value::Object(json)
}

/// What changes a bucket; fields it does not name stay.
fn bucket_patch(before: &Value, bucket: &Bucket) -> Value {
    let before = labels_of(before);
    let after = labels::rewritten(&before, &bucket.owner, &bucket.labels);
    let mut json = settings(bucket);
    json.insert("labels".to_owned(), json!(labels::patch(&before, &after)));
    Value::Object(json)
}

/// What a bucket is made with and can be changed in; null takes away.
fn settings(bucket: &Bucket) -> Map<String, Value> {
    let lifecycle = match bucket.lifecycle.is_empty() {
        true => Value::Null,
        false => json!({"rule": bucket.lifecycle}),
    };
    let encryption = bucket.kms_key.as_ref();
    let prevention = match bucket.public_access_prevented {
        true => "enforced",
        false => "inherited",
    };
    let seconds = bucket.soft_delete_seconds.to_string();
    Map::from_iter([
        ("storageClass".to_owned(), json!(bucket.storage_class)),
        (
            "iamConfiguration".to_owned(),
            json!({
                "uniformBucketLevelAccess": {"enabled": bucket.uniform_access},
                "publicAccessPrevention": prevention,
            }),
        ),
        (
            "softDeletePolicy".to_owned(),
            json!({"retentionDurationSeconds": seconds}),
        ),
        ("lifecycle".to_owned(), lifecycle),
        (
            "encryption".to_owned(),
            encryption.map_or(Value::Null, |key| json!({"defaultKmsKeyName": key})),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket {
            location: "r1".to_owned(),
            storage_class: "STANDARD".to_owned(),
            uniform_access: true,
            public_access_prevented: true,
            soft_delete_seconds: 604_800,
            lifecycle: vec![json!({"action": {"type": "Delete"}, "condition": {"age": 3}})],
            kms_key: Some("k".to_owned()),
            labels: Labels::from([("team".to_owned(), "data".to_owned())]),
            owner: Owner::client("acme"),
        }
    }

    #[test]
    fn a_bucket_is_read_back_as_it_was_written() {
        let mut json = new_bucket("b", &bucket());
        json["location"] = json!("R1");
        assert_eq!(bucket_of(&json), bucket().into());
    }

    #[test]
    fn a_patch_takes_away_what_is_declared_no_more_and_nothing_of_others() {
        let mut before = new_bucket("b", &bucket());
        before["labels"]["theirs"] = json!("x");
        let after = Bucket {
            lifecycle: Vec::new(),
            kms_key: None,
            labels: Labels::new(),
            ..bucket()
        };
        let patch = bucket_patch(&before, &after);
        assert!(patch["lifecycle"].is_null() && patch["encryption"].is_null());
        assert_eq!(patch["labels"]["theirs"], "x");
        assert!(patch["labels"]["team"].is_null());
    }
}
