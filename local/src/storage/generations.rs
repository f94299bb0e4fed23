//! Generations of objects: how one becomes the present one, and what becomes of it then.
//!
//! A bucket with versioning keeps what is replaced or deleted; another drops it.

use std::fs;
use std::io;
use std::sync::PoisonError;

use jiff::Timestamp;

use super::conditions::Conditions;
use super::{Content, Object, Storage, key, names, no_bucket, no_object, upload};
use crate::clock::now;
use crate::error::ApiError;
use crate::store::Collection;

impl Storage {
    /// An object's present generation.
    pub fn object(&self, bucket: &str, name: &str) -> Option<Object> {
        let object = self.objects.get(&key(bucket, name))?;
        Some(self.located(object))
    }

    /// This generation of an object, or its present one.
    pub(super) fn generation(
        &self,
        bucket: &str,
        name: &str,
        wanted: Option<i64>,
    ) -> Option<Object> {
        let (collection, key) = self.place(bucket, name, wanted);
        Some(self.located(collection.get(&key)?))
    }

    /// The objects of a bucket whose names start with `prefix`, in order of their names.
    pub fn list(&self, bucket: &str, prefix: &str) -> Vec<Object> {
        let found = self.objects.list(&key(bucket, prefix));
        found
            .into_iter()
            .map(|(_, object)| self.located(object))
            .collect()
    }

    /// The same with all generations, the oldest of a name first.
    pub(super) fn list_versions(&self, bucket: &str, prefix: &str) -> Vec<Object> {
        let mut objects = self.list(bucket, prefix);
        let old = self.noncurrent.list(&key(bucket, prefix)).into_iter();
        objects.extend(old.map(|(_, object)| self.located(object)));
        objects.sort_by(|a, b| (&a.name, a.generation).cmp(&(&b.name, b.generation)));
        objects
    }

    fn located(&self, object: Object) -> Object {
        Object {
            path: self.bytes.join(&object.file),
            ..object
        }
    }

    /// Where a generation is: with the present ones, or with those before them.
    fn place(
        &self,
        bucket: &str,
        name: &str,
        wanted: Option<i64>,
    ) -> (&Collection<Object>, String) {
        let present = self.objects.get(&key(bucket, name));
        match wanted {
            Some(wanted) if present.is_none_or(|present| present.generation != wanted) => {
                (&self.noncurrent, generation_key(bucket, name, wanted))
            }
            _ => (&self.objects, key(bucket, name)),
        }
    }

    /// Makes arrived bytes the present generation of an object.
    pub(super) fn commit(
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
        let now = now();
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
        let keeps = self.keep(present.as_ref())?;
        self.objects.put(&key, object.clone())?;
        if let Some(replaced) = present.filter(|_| !keeps) {
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
    pub(super) fn change(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
        change: impl FnOnce(&mut Object) -> Result<(), ApiError>,
    ) -> Result<Object, ApiError> {
        let (collection, key) = self.place(bucket, name, conditions.only());
        let changed = collection.update(&key, |object| {
            conditions.check_write(object.as_ref())?;
            let object = object.as_mut().ok_or_else(|| no_object(bucket, name))?;
            change(object)?;
            object.metageneration += 1;
            object.updated = now();
            Ok::<_, ApiError>(object.clone())
        })?;
        Ok(self.located(changed))
    }

    /// Deletes an object; a generation that is named is gone for good.
    pub(super) fn delete(
        &self,
        bucket: &str,
        name: &str,
        conditions: &Conditions,
    ) -> Result<(), ApiError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let (collection, key) = self.place(bucket, name, conditions.only());
        let mut keeps = false;
        let deleted = collection.update(&key, |object| {
            conditions.check_write(object.as_ref())?;
            keeps = conditions.only().is_none() && self.keep(object.as_ref())?;
            object.take().ok_or_else(|| no_object(bucket, name))
        })?;
        if !keeps {
            self.drop_bytes(&deleted)?;
        }
        Ok(())
    }

    /// Keeps a generation that is about to go, if its bucket does; tells whether.
    fn keep(&self, object: Option<&Object>) -> io::Result<bool> {
        let Some(object) = object.filter(|object| self.is_versioned(&object.bucket)) else {
            return Ok(false);
        };
        let gone = Object {
            time_deleted: Some(now()),
            ..object.clone()
        };
        self.noncurrent.put(&old_key(object), gone)?;
        Ok(true)
    }

    fn is_versioned(&self, bucket: &str) -> bool {
        let versioning = |bucket: super::Bucket| {
            let versioning = bucket.settings.get("versioning")?;
            versioning.get("enabled")?.as_bool()
        };
        self.buckets.get(bucket).and_then(versioning) == Some(true)
    }

    /// Whether a bucket has neither objects nor generations of before.
    pub(super) fn is_empty(&self, bucket: &str) -> bool {
        let all = key(bucket, "");
        self.objects.list(&all).is_empty() && self.noncurrent.list(&all).is_empty()
    }

    /// Removes the bytes of a generation that is gone; whoever reads them keeps them open.
    fn drop_bytes(&self, object: &Object) -> io::Result<()> {
        match fs::remove_file(self.bytes.join(&object.file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Where a generation is kept that is not the present one.
pub fn old_key(object: &Object) -> String {
    generation_key(&object.bucket, &object.name, object.generation)
}

fn generation_key(bucket: &str, name: &str, generation: i64) -> String {
    format!("{}\0{generation:020}", key(bucket, name))
}

/// Microseconds, as Google's are; always more than any before.
fn next_generation(last: &mut i64, present: Option<&Object>) -> i64 {
    let floor = present.map_or(0, |object| object.generation).max(*last);
    *last = Timestamp::now().as_microsecond().max(floor + 1);
    *last
}
