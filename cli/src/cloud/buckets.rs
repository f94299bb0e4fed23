//! Cloud Storage: the client's bucket and the objects xetl writes and reads in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::{Value, json};

use super::rest::{Body, Call};
use super::{Cloud, CloudError};
use crate::resource::{Object, Owner, Resource};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Cloud {
    pub(super) async fn find_bucket(&self, name: &str) -> Result<Option<Resource>, CloudError> {
        let path = format!("/storage/v1/b/{name}");
        let what = format!("bucket {name}");
        match self.storage(&what, Method::GET, path, Body::None).await {
            Ok(bucket) => Ok(Some(bucket_of(&bucket))),
            Err(error) if error.is_absent() => Ok(None),
            Err(CloudError::Denied { what, .. }) => Err(CloudError::Unusable {
                what,
                problem: "the name is taken, and we may not look at it: it is somebody else's bucket, or \
                    storage.buckets.get is missing"
                    .to_owned(),
            }),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_bucket(
        &self,
        name: &str,
        location: &str,
        owner: &Owner,
    ) -> Result<(), CloudError> {
        let bucket = json!({
            "name": name,
            "location": location,
            "storageClass": "STANDARD",
            "labels": owner.labels().collect::<BTreeMap<_, _>>(),
            "iamConfiguration": {
                "uniformBucketLevelAccess": {"enabled": true},
                "publicAccessPrevention": "enforced",
            },
        });
        let path = format!("/storage/v1/b?project={}", encode(&self.project));
        let what = format!("bucket {name}");
        self.storage(&what, Method::POST, path, Body::Json(bucket))
            .await?;
        Ok(())
    }

    pub(super) async fn update_bucket(&self, name: &str, owner: &Owner) -> Result<(), CloudError> {
        let change = json!({"labels": owner.labels().collect::<BTreeMap<_, _>>()});
        let path = format!("/storage/v1/b/{name}");
        let what = format!("bucket {name}");
        self.storage(&what, Method::PATCH, path, Body::Json(change))
            .await?;
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

    /// The names of all objects that begin with `prefix`; none where there is no bucket.
    pub async fn list_objects(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<String>, CloudError> {
        self.object_names(bucket, "prefix", prefix).await
    }

    /// The names of all objects that match `glob`; none where there is no bucket.
    pub(super) async fn match_objects(
        &self,
        bucket: &str,
        glob: &str,
    ) -> Result<Vec<String>, CloudError> {
        self.object_names(bucket, "matchGlob", glob).await
    }

    async fn object_names(
        &self,
        bucket: &str,
        key: &str,
        value: &str,
    ) -> Result<Vec<String>, CloudError> {
        let path = format!("/storage/v1/b/{bucket}/o?{key}={}", encode(value));
        let what = format!("objects of bucket {bucket}");
        let items = self.all_pages(&what, &path).await?;
        Ok(items.iter().map(|item| text(&item["name"])).collect())
    }

    /// The items of all pages of a list; none where what it is of is not there.
    async fn all_pages(&self, what: &str, first: &str) -> Result<Vec<Value>, CloudError> {
        match self
            .rest()
            .await?
            .pages(what, "storage", first, "items")
            .await
        {
            Err(error) if error.is_absent() => Ok(Vec::new()),
            items => items,
        }
    }

    /// An object's bytes, or `None` where there is none.
    pub async fn read_object(&self, bucket: &str, name: &str) -> Result<Option<Bytes>, CloudError> {
        let path = format!("/storage/v1/b/{bucket}/o/{}?alt=media", encode(name));
        let what = format!("gs://{bucket}/{name}");
        match self
            .send_storage(&what, Method::GET, path, Body::None)
            .await
        {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object that is named by what it holds: one that is there is the same.
    pub(super) async fn write_object(&self, object: &Object) -> Result<(), CloudError> {
        let (bucket, name) = (&object.bucket, encode(&object.name));
        let path = format!(
            "/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}&ifGenerationMatch=0"
        );
        let what = format!("gs://{bucket}/{}", object.name);
        let body = Body::Bytes(Bytes::from_owner(object.content.0.clone()));
        match self.send_storage(&what, Method::POST, path, body).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn delete_object(&self, bucket: &str, name: &str) -> Result<(), CloudError> {
        let path = format!("/storage/v1/b/{bucket}/o/{}", encode(name));
        let what = format!("gs://{bucket}/{name}");
        self.send_storage(&what, Method::DELETE, path, Body::None)
            .await?;
        Ok(())
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

    async fn storage(
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

    async fn send_storage(
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

/// What we manage of a bucket that is there.
pub(super) fn bucket_of(bucket: &Value) -> Resource {
    Resource::Bucket {
        // Comes back in upper case.
        location: text(&bucket["location"]).to_lowercase(),
        owner: Owner::of_labels(&labels(bucket)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn labels(bucket: &Value) -> BTreeMap<String, String> {
    let labels = bucket["labels"].as_object().into_iter().flatten();
    labels
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}
