//! Customer-managed keys of buckets and objects.
//!
//! Bytes are kept as they came; the key is asked for whenever Google would use it.

use serde_json::{Map, Value};

use super::{Bucket, Object, agent};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::kms::{self, KeyName};
use crate::router::Request;

const DECRYPT: &str = "cloudkms.cryptoKeyVersions.useToDecrypt";

/// The key of new objects that name none.
pub fn default_key(settings: &Map<String, Value>) -> Option<&str> {
    let key = settings.get("encryption")?.get("defaultKmsKeyName")?;
    key.as_str().filter(|key| !key.is_empty())
}

/// Refuses what else `encryption` may hold.
pub fn check_setting(sent: &Value) -> Result<(), ApiError> {
    let fields = sent.as_object().into_iter().flatten();
    let mut on = fields.filter(|(_, value)| !value.is_null());
    match on.find(|(field, _)| *field != "defaultKmsKeyName") {
        None => Ok(()),
        Some((field, _)) => Err(ApiError::unimplemented(format!(
            "the local cloud does not serve `encryption.{field}` of a bucket"
        ))),
    }
}

/// # Errors
/// As Google refuses a key that is elsewhere, or that Storage may not use.
pub fn check_bucket(cloud: &Cloud, bucket: &Bucket) -> Result<(), ApiError> {
    match default_key(&bucket.settings) {
        Some(key) => check(cloud, bucket, key),
        None => Ok(()),
    }
}

fn check(cloud: &Cloud, bucket: &Bucket, key: &str) -> Result<(), ApiError> {
    let name = named(key)?;
    if !name.is_in(&bucket.location) {
        return Err(ApiError::invalid(format!(
            "Cloud KMS region '{}' not available for use with GCS region '{}'.",
            name.location, bucket.location
        )));
    }
    may_use(cloud, bucket, &name, kms::USE)
}

fn named(key: &str) -> Result<KeyName, ApiError> {
    let name = KeyName::of(key);
    name.ok_or_else(|| ApiError::invalid(format!("Malformed Cloud KMS crypto key: {key}")))
}

fn may_use(
    cloud: &Cloud,
    bucket: &Bucket,
    key: &KeyName,
    permission: &str,
) -> Result<(), ApiError> {
    let agent = agent::email(cloud, &bucket.project)?;
    if kms::permits(cloud, key, permission, &agent) {
        return Ok(());
    }
    Err(ApiError::permission_denied(
        "Permission denied on Cloud KMS key. Please ensure that your Cloud Storage service account \
         has been authorized to use this key.",
    ))
}

/// The version of a key that a new object gets: of the one the request names, or the bucket's.
pub fn version(
    cloud: &Cloud,
    bucket: &Bucket,
    request: &Request,
) -> Result<Option<String>, ApiError> {
    let named = ["kmsKeyName", "destinationKmsKeyName"].into_iter();
    let mut named = named.filter_map(|name| request.query(name));
    let key = named.find(|key| !key.is_empty());
    let Some(key) = key.or_else(|| default_key(&bucket.settings)) else {
        return Ok(None);
    };
    check(cloud, bucket, key)?;
    Ok(Some(format!("{key}/cryptoKeyVersions/1")))
}

/// # Errors
/// 403 where Storage may no longer decrypt what it encrypted.
pub fn check_read(cloud: &Cloud, bucket: &Bucket, object: &Object) -> Result<(), ApiError> {
    let key = object.kms_key_name.as_deref().unwrap_or_default();
    let Some((key, _)) = key.split_once("/cryptoKeyVersions/") else {
        return Ok(());
    };
    may_use(cloud, bucket, &named(key)?, DECRYPT)
}
