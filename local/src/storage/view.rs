//! Buckets and objects as the JSON API shows them.

use serde_json::{Value, json};

use super::{Bucket, Object, names};
use crate::cloud::Cloud;
use crate::error::ApiError;

pub fn bucket(cloud: &Cloud, bucket: &Bucket) -> Result<Value, ApiError> {
    let mut view = json!({
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": format!("{}/storage/v1/b/{}", cloud.endpoint, bucket.name),
        "name": bucket.name,
        "projectNumber": cloud.projects.number(&bucket.project)?,
        "generation": bucket.generation.to_string(),
        "metageneration": bucket.metageneration.to_string(),
        "location": bucket.location,
        "locationType": names::location_type(&bucket.location),
        "timeCreated": bucket.time_created,
        "updated": bucket.updated,
        "etag": etag(bucket.generation, bucket.metageneration),
    });
    if names::location_type(&bucket.location) != "region" {
        view["rpo"] = json!("DEFAULT");
    }
    for (field, value) in &bucket.settings {
        view[field] = value.clone();
    }
    Ok(view)
}

pub fn object(cloud: &Cloud, object: &Object) -> Value {
    let name =
        percent_encoding::utf8_percent_encode(&object.name, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("storage/v1/b/{}/o/{name}", object.bucket);
    let endpoint = &cloud.endpoint;
    let mut view = json!({
        "kind": "storage#object",
        "id": format!("{}/{}/{}", object.bucket, object.name, object.generation),
        "selfLink": format!("{endpoint}/{path}"),
        "mediaLink": format!(
            "{endpoint}/download/{path}?generation={}&alt=media", object.generation
        ),
        "name": object.name,
        "bucket": object.bucket,
        "generation": object.generation.to_string(),
        "metageneration": object.metageneration.to_string(),
        "size": object.size.to_string(),
        "crc32c": object.crc32c,
        "etag": etag(object.generation, object.metageneration),
        "timeCreated": object.time_created,
        "updated": object.updated,
        "timeStorageClassUpdated": object.time_created,
        "timeFinalized": object.time_created,
    });
    if let Some(md5) = &object.md5_hash {
        view["md5Hash"] = md5.as_str().into();
    }
    if let Some(deleted) = &object.time_deleted {
        view["timeDeleted"] = deleted.as_str().into();
    }
    if let Some(key) = &object.kms_key_name {
        view["kmsKeyName"] = key.as_str().into();
    }
    if let Some(count) = object.component_count {
        view["componentCount"] = count.into();
    }
    for (field, value) in &object.settings {
        view[field] = value.clone();
    }
    view
}

/// Opaque to callers; changes with each write.
pub fn etag(generation: i64, metageneration: i64) -> String {
    names::base64_text([generation.to_be_bytes(), metageneration.to_be_bytes()].concat())
}
