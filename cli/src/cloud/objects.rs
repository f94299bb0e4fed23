//! Cloud Storage: the objects xetl writes and reads in a client's bucket.

use bytes::Bytes;
use reqwest::Method;
use serde_json::Value;

use super::buckets::{encode, text};
use super::rest::Body;
use super::{Cloud, CloudError};
use crate::resource::Object;

impl Cloud {
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
    pub(super) async fn all_pages(
        &self,
        what: &str,
        first: &str,
    ) -> Result<Vec<Value>, CloudError> {
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
}
