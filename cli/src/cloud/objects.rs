//! Cloud Storage: the objects xetl writes and reads in a client's bucket.

use bytes::Bytes;
use reqwest::Method;

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
        Ok(self.list(bucket, prefix, "").await?.0)
    }

    /// The folders directly under the bucket, without their `/`.
    pub(super) async fn list_folders(&self, bucket: &str) -> Result<Vec<String>, CloudError> {
        let (_, folders) = self.list(bucket, "", "/").await?;
        let names = folders
            .iter()
            .map(|folder| folder.trim_end_matches('/').to_owned());
        Ok(names.collect())
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
    ) -> Result<(Vec<String>, Vec<String>), CloudError> {
        let (mut names, mut folders, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let mut path = format!("/storage/v1/b/{bucket}/o?prefix={}", encode(prefix));
            if !delimiter.is_empty() {
                path.push_str(&format!("&delimiter={}", encode(delimiter)));
            }
            if !token.is_empty() {
                path.push_str(&format!("&pageToken={}", encode(&token)));
            }
            let what = format!("objects of bucket {bucket}");
            let page = match self.storage(&what, Method::GET, path, Body::None).await {
                Err(error) if error.is_absent() => return Ok((names, folders)),
                page => page?,
            };
            let items = page["items"].as_array().into_iter().flatten();
            names.extend(items.map(|item| text(&item["name"])));
            let prefixes = page["prefixes"].as_array().into_iter().flatten();
            folders.extend(prefixes.map(text));
            token = text(&page["nextPageToken"]);
            if token.is_empty() {
                return Ok((names, folders));
            }
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
