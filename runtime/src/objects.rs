//! Objects for sources: in Cloud Storage (`gs://bucket/...`) or in a folder of this machine.
//!
//! Google is asked for credentials only once an object of a bucket is wanted.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::google::Google;
use crate::google::storage::Bucket;
use crate::source::{Found, Objects, ObjectsError};

const BUCKET: &str = "gs://";
const FILE: &str = "file://";

/// Buckets as this process may read them, and files.
#[derive(Default)]
pub struct Anywhere {
    /// Who we are to Google; found out from the environment where it is not said.
    google: Option<Google>,
}

impl Anywhere {
    pub fn with(google: Google) -> Anywhere {
        Anywhere {
            google: Some(google),
        }
    }

    /// The bucket and what comes after its name.
    fn bucket<'u>(&self, place: &'u str) -> Result<(Bucket, &'u str), ObjectsError> {
        let (name, object) = place.split_once('/').unwrap_or((place, ""));
        let google = match &self.google {
            Some(google) => google.clone(),
            None => Google::from_environment().map_err(said)?,
        };
        Ok((google.storage().bucket(name), object))
    }

    async fn list_bucket(&self, place: &str) -> Result<Vec<Found>, ObjectsError> {
        let (bucket, prefix) = self.bucket(place)?;
        let listed = bucket.list(prefix).await.map_err(said)?;
        // A name that ends in a slash stands for a folder.
        let files = listed.iter().filter(|object| !object.name.ends_with('/'));
        let found = files.map(|object| Found {
            uri: bucket.uri(&object.name),
            size: u64::try_from(object.size).unwrap_or_default(),
        });
        Ok(found.collect())
    }

    async fn read_bucket(&self, place: &str) -> Result<Bytes, ObjectsError> {
        let (bucket, object) = self.bucket(place)?;
        let found = bucket.get(object).await.map_err(said)?;
        let found = found.ok_or_else(|| ObjectsError(format!("there is no gs://{place}")))?;
        Ok(found.bytes)
    }
}

impl Objects for Anywhere {
    fn list<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Vec<Found>, ObjectsError>> {
        match uri.strip_prefix(BUCKET) {
            Some(place) => self.list_bucket(place).boxed(),
            None => std::future::ready(list_files(&path(uri))).boxed(),
        }
    }

    fn read<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Bytes, ObjectsError>> {
        match uri.strip_prefix(BUCKET) {
            Some(place) => self.read_bucket(place).boxed(),
            None => {
                let read = std::fs::read(path(uri)).map(Bytes::from);
                std::future::ready(read.map_err(|error| unreadable(&path(uri), &error))).boxed()
            }
        }
    }
}

fn said(error: impl std::fmt::Display) -> ObjectsError {
    ObjectsError(error.to_string())
}

fn unreadable(path: &Path, error: &std::io::Error) -> ObjectsError {
    ObjectsError(format!("cannot read `{}`: {error}", path.display()))
}

fn path(uri: &str) -> PathBuf {
    uri.strip_prefix(FILE).unwrap_or(uri).into()
}

/// The file itself, or the files of a folder and of those in it, by name.
fn list_files(path: &Path) -> Result<Vec<Found>, ObjectsError> {
    let about = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !about.is_dir() {
        return Ok(vec![Found {
            uri: path.display().to_string(),
            size: about.len(),
        }]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(path, &error))?;
    paths.sort();
    let mut found = Vec::new();
    for path in &paths {
        found.extend(list_files(path)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_files_of_a_folder_are_listed_by_name_and_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.txt"), "2").unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/z.txt"), "one").unwrap();
        let uri = format!("file://{}", folder.path().display());
        let found = Anywhere::default().list(&uri).await.unwrap();
        let sizes: Vec<u64> = found.iter().map(|found| found.size).collect();
        assert_eq!(sizes, [3, 1]);
        let bytes = Anywhere::default().read(&found[0].uri).await.unwrap();
        assert_eq!(bytes, "one");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_named() {
        let error = Anywhere::default().list("/none/such").await.unwrap_err();
        assert!(error.0.starts_with("cannot read `/none/such`: "), "{error}");
    }
}
