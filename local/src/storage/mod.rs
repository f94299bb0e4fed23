//! Cloud Storage, JSON API: buckets and their objects.
//!
//! What is known of an object is a document, its bytes are a file of their own
//! that never changes: a new generation is a new file, put in place only whole.
//! Soft delete, holds and retention are not served.

mod agent;
mod buckets;
mod conditions;
mod copy;
mod download;
mod encryption;
mod generations;
mod listing;
pub(crate) mod multipart;
mod names;
mod objects;
mod pattern;
mod resumable;
mod settings;
mod upload;
mod view;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::{Request, Route};
use crate::store::{Collection, Store};
pub use buckets::assets;

/// A bucket; its settings are kept as they were sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    pub name: String,
    /// The project's id.
    pub project: String,
    /// Upper case, such as `AUSTRALIA-SOUTHEAST1`.
    pub location: String,
    pub time_created: String,
    pub updated: String,
    pub generation: i64,
    pub metageneration: i64,
    /// Everything a caller may write: labels, lifecycle, iamConfiguration and so on.
    pub settings: Map<String, Value>,
}

/// A generation of an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    pub bucket: String,
    pub name: String,
    pub generation: i64,
    pub metageneration: i64,
    pub size: u64,
    /// Base64 of the big-endian sum, as Google writes it.
    pub crc32c: String,
    /// Base64; composed objects have none.
    pub md5_hash: Option<String>,
    pub component_count: Option<u32>,
    /// The version of the customer's key it is encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_name: Option<String>,
    pub time_created: String,
    pub updated: String,
    /// When it stopped being the present generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_deleted: Option<String>,
    /// What a caller may write: contentType, metadata, cacheControl and so on.
    pub settings: Map<String, Value>,
    /// Where the bytes are.
    #[serde(skip)]
    pub path: PathBuf,
    file: String,
}

/// Bytes that arrived whole, not yet an object.
#[derive(Debug)]
struct Content {
    path: tempfile::TempPath,
    size: u64,
    crc32c: u32,
    md5: Option<[u8; 16]>,
}

pub struct Storage {
    buckets: Collection<Bucket>,
    /// By `bucket/name`; no bucket's name has a slash.
    objects: Collection<Object>,
    /// Generations that were replaced or deleted in a bucket that keeps them.
    noncurrent: Collection<Object>,
    sessions: Collection<resumable::Session>,
    busy: resumable::Busy,
    bytes: PathBuf,
    incoming: PathBuf,
    /// Held while objects or buckets come and go, so that no object is put into
    /// a bucket that is being deleted; holds the last generation given.
    changes: Mutex<i64>,
}

impl Storage {
    pub fn open(store: &Store) -> io::Result<Storage> {
        let storage = Storage {
            buckets: store.collection("buckets")?,
            objects: store.collection("objects")?,
            noncurrent: store.collection("noncurrent-objects")?,
            sessions: store.collection("uploads")?,
            busy: resumable::Busy::default(),
            bytes: store.folder("object-bytes")?,
            incoming: store.folder("object-incoming")?,
            changes: Mutex::new(0),
        };
        storage.mend()?;
        Ok(storage)
    }

    pub fn bucket(&self, name: &str) -> Option<Bucket> {
        self.buckets.get(name)
    }

    /// How many buckets and objects there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.buckets.count(), self.objects.count())
    }

    /// Clears what a killed process left: bytes no object has, uploads nobody can go on with.
    fn mend(&self) -> io::Result<()> {
        let objects = self.objects.list("");
        for (_, object) in &objects {
            // Killed while it was kept before it was replaced.
            self.noncurrent.remove(&generations::old_key(object))?;
        }
        let files = objects.into_iter().chain(self.noncurrent.list(""));
        let files: HashSet<String> = files.map(|(_, object)| object.file).collect();
        clear(&self.bytes, |name| files.contains(name))?;
        resumable::forget_old(&self.sessions)?;
        clear(&self.incoming, |name| self.sessions.get(name).is_some())
    }
}

pub fn routes() -> Vec<Route> {
    let mut routes = agent::routes();
    routes.extend(buckets::routes());
    routes.extend(copy::routes());
    routes.extend(objects::routes());
    routes.extend(upload::routes());
    routes
}

/// The bucket a request names, if the caller may do this in it.
fn admitted(
    cloud: &Cloud,
    caller: &Caller,
    bucket: &str,
    permission: &str,
) -> Result<Bucket, ApiError> {
    let found = cloud
        .storage
        .bucket(bucket)
        .ok_or_else(|| no_bucket(bucket))?;
    admit(cloud, caller, &found, permission)?;
    Ok(found)
}

/// Refuses who may not do this in a bucket; one that is not there refuses nobody.
pub fn require(
    cloud: &Cloud,
    caller: &Caller,
    bucket: &str,
    permission: &str,
) -> Result<(), ApiError> {
    match cloud.storage.bucket(bucket) {
        Some(found) => admit(cloud, caller, &found, permission),
        None => Ok(()),
    }
}

/// Roles count on the bucket and on its project.
fn admit(
    cloud: &Cloud,
    caller: &Caller,
    bucket: &Bucket,
    permission: &str,
) -> Result<(), ApiError> {
    let on_bucket = format!("buckets/{}", bucket.name);
    let on_project = format!("projects/{}", bucket.project);
    let permits = |resource: &str| cloud.policies.permits(resource, permission, caller);
    if permits(&on_bucket) || permits(&on_project) {
        return Ok(());
    }
    Err(ApiError::permission_denied(format!(
        "{} does not have {permission} access to the Google Cloud Storage bucket {}. Permission \
         '{permission}' denied on resource (or it may not exist).",
        caller.email(),
        bucket.name
    )))
}

/// A key that comes with the request would have to come again to read the object.
fn refuse_customer_key(request: &Request) -> Result<(), ApiError> {
    let headers = [
        "x-goog-encryption-algorithm",
        "x-goog-copy-source-encryption-algorithm",
    ];
    if headers.iter().all(|name| request.header(name).is_none()) {
        return Ok(());
    }
    Err(ApiError::unimplemented(
        "the local cloud does not serve keys that callers bring (x-goog-encryption-key)",
    ))
}

fn key(bucket: &str, name: &str) -> String {
    format!("{bucket}/{name}")
}

fn clear(folder: &std::path::Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(&keep) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn no_bucket(_name: &str) -> ApiError {
    ApiError::not_found("The specified bucket does not exist.")
}

fn no_object(bucket: &str, name: &str) -> ApiError {
    ApiError::not_found(format!("No such object: {bucket}/{name}"))
}

/// The text of a map of text, such as an object's own metadata.
fn text_map(value: &Value) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    serde_json::from_value(value.clone())
        .map_err(|_| ApiError::invalid("Metadata and labels map text to text."))
}
