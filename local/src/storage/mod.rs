//! Cloud Storage, JSON API: buckets and their objects.
//!
//! What is known of an object is a document, its bytes are a file of their own
//! that never changes: a new generation is a new file, put in place only whole.
//! Object versioning, soft delete, holds and retention are not served.

mod buckets;
mod conditions;
mod copy;
mod download;
mod listing;
pub(crate) mod multipart;
mod names;
mod objects;
mod resumable;
mod settings;
mod upload;
mod view;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::Route;
use crate::store::{Collection, Store};
pub use buckets::assets;
use conditions::Conditions;

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

/// An object's present generation.
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
    pub time_created: String,
    pub updated: String,
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

    pub fn object(&self, bucket: &str, name: &str) -> Option<Object> {
        let object = self.objects.get(&key(bucket, name))?;
        Some(self.located(object))
    }

    /// The objects of a bucket whose names start with `prefix`, in order of their names.
    pub fn list(&self, bucket: &str, prefix: &str) -> Vec<Object> {
        let found = self.objects.list(&key(bucket, prefix));
        found
            .into_iter()
            .map(|(_, object)| self.located(object))
            .collect()
    }

    /// How many buckets and objects there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.buckets.count(), self.objects.count())
    }

    fn located(&self, object: Object) -> Object {
        Object {
            path: self.bytes.join(&object.file),
            ..object
        }
    }

    /// Clears what a killed process left: bytes no object has, uploads nobody can go on with.
    fn mend(&self) -> io::Result<()> {
        let objects = self.objects.list("").into_iter();
        let files: HashSet<String> = objects.map(|(_, object)| object.file).collect();
        clear(&self.bytes, |name| files.contains(name))?;
        resumable::forget_old(&self.sessions)?;
        clear(&self.incoming, |name| self.sessions.get(name).is_some())
    }

    /// Makes arrived bytes the present generation of an object.
    fn commit(
        &self,
        content: Content,
        object: Object,
        conditions: &Conditions,
    ) -> Result<Object, ApiError> {
        let mut last = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.buckets.get(&object.bucket).is_none() {
            return Err(no_bucket(&object.bucket));
        }
        let key = key(&object.bucket, &object.name);
        let present = self.objects.get(&key);
        conditions.check_write(present.as_ref())?;
        let generation = next_generation(&mut last, present.as_ref());
        let file = uuid::Uuid::new_v4().to_string();
        content
            .path
            .persist(self.bytes.join(&file))
            .map_err(|error| ApiError::from(error.error))?;
        let now = crate::clock::now();
        let object = Object {
            generation,
            metageneration: 1,
            size: content.size,
            crc32c: names::crc32c_text(content.crc32c),
            md5_hash: content.md5.map(names::base64_text),
            time_created: now.clone(),
            updated: now,
            file,
            ..object
        };
        self.objects.put(&key, object.clone())?;
        if let Some(replaced) = present {
            self.drop_bytes(&replaced)?;
        }
        Ok(self.located(object))
    }

    /// Makes a file of this machine the present generation of an object.
    pub async fn put(
        &self,
        bucket: &str,
        name: &str,
        path: tempfile::TempPath,
    ) -> Result<Object, ApiError> {
        let content = upload::content_of(path).await?;
        let object = Object {
            bucket: bucket.to_owned(),
            name: name.to_owned(),
            ..Object::default()
        };
        self.commit(content, object, &Conditions::default())
    }

    /// Changes what is known of an object, under its conditions.
    fn change(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
        change: impl FnOnce(&mut Object) -> Result<(), ApiError>,
    ) -> Result<Object, ApiError> {
        let changed = self.objects.update(&key(bucket, name), |object| {
            conditions.check_write(object.as_ref())?;
            let object = object.as_mut().ok_or_else(|| no_object(bucket, name))?;
            change(object)?;
            object.metageneration += 1;
            object.updated = crate::clock::now();
            Ok::<_, ApiError>(object.clone())
        })?;
        Ok(self.located(changed))
    }

    fn delete(&self, bucket: &str, name: &str, conditions: &Conditions) -> Result<(), ApiError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let deleted = self.objects.update(&key(bucket, name), |object| {
            conditions.check_write(object.as_ref())?;
            object.take().ok_or_else(|| no_object(bucket, name))
        })?;
        self.drop_bytes(&deleted)?;
        Ok(())
    }

    /// Removes the bytes of a generation that is gone; whoever reads them keeps them open.
    fn drop_bytes(&self, object: &Object) -> io::Result<()> {
        match fs::remove_file(self.bytes.join(&object.file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

pub fn routes() -> Vec<Route> {
    let mut routes = buckets::routes();
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

fn key(bucket: &str, name: &str) -> String {
    format!("{bucket}/{name}")
}

/// Microseconds, as Google's are; always more than any before.
fn next_generation(last: &mut i64, present: Option<&Object>) -> i64 {
    let floor = present.map_or(0, |object| object.generation).max(*last);
    *last = Timestamp::now().as_microsecond().max(floor + 1);
    *last
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
