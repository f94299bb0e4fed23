//! What callers write of a bucket or an object, kept as it was sent.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::encryption;
use crate::clock::now;
use crate::error::ApiError;

/// Set by the service; what a caller sends of them is ignored.
const BUCKET_OUTPUT: [&str; 19] = [
    "kind",
    "id",
    "selfLink",
    "name",
    "projectNumber",
    "generation",
    "metageneration",
    "etag",
    "timeCreated",
    "updated",
    "location",
    "locationType",
    "owner",
    "acl",
    "defaultObjectAcl",
    "satisfiesPZI",
    "satisfiesPZS",
    "softDeleteTime",
    "hardDeleteTime",
];
const BUCKET_KEPT: [&str; 12] = [
    "labels",
    "iamConfiguration",
    "softDeletePolicy",
    "lifecycle",
    "storageClass",
    "cors",
    "website",
    "logging",
    "billing",
    "rpo",
    "versioning",
    "encryption",
];
/// Would change what happens to objects.
const BUCKET_NOT_SERVED: [&str; 7] = [
    "retentionPolicy",
    "defaultEventBasedHold",
    "autoclass",
    "objectRetention",
    "hierarchicalNamespace",
    "customPlacementConfig",
    "ipFilter",
];
const OBJECT_KEPT: [&str; 8] = [
    "contentType",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "metadata",
    "storageClass",
    "customTime",
];
const OBJECT_NOT_SERVED: [&str; 4] = ["temporaryHold", "eventBasedHold", "retention", "contexts"];

type Settings = Map<String, Value>;

/// The settings of a new bucket, with Google's defaults.
pub fn new_bucket(sent: &Settings) -> Result<Settings, ApiError> {
    let mut settings = Settings::from_iter([
        ("storageClass".to_owned(), json!("STANDARD")),
        (
            "iamConfiguration".to_owned(),
            json!({
                "uniformBucketLevelAccess": {"enabled": false},
                "publicAccessPrevention": "inherited",
            }),
        ),
        (
            "softDeletePolicy".to_owned(),
            json!({"retentionDurationSeconds": "604800"}),
        ),
    ]);
    patch_bucket(&mut settings, sent)?;
    complete(&mut settings);
    Ok(settings)
}

/// Merges what was sent into the settings: null removes, objects merge, lists and the
/// lifecycle are replaced.
pub fn patch_bucket(settings: &mut Settings, sent: &Settings) -> Result<(), ApiError> {
    let before = settings.get("softDeletePolicy").cloned();
    for (field, value) in sent {
        let field = field.as_str();
        if BUCKET_OUTPUT.contains(&field) {
            continue;
        }
        if BUCKET_NOT_SERVED.contains(&field) {
            refuse_active("bucket", field, value)?;
        }
        if field == "encryption" {
            encryption::check_setting(value)?;
        }
        if field == "lifecycle" {
            settings.remove(field);
        }
        if BUCKET_KEPT.contains(&field) || field == "hierarchicalNamespace" {
            merge(settings, field, value);
        } else if !BUCKET_NOT_SERVED.contains(&field) {
            return Err(unknown("bucket", field));
        }
    }
    check_bucket(settings)?;
    as_text(settings, "softDeletePolicy", "retentionDurationSeconds");
    if settings.get("softDeletePolicy") != before.as_ref() {
        stamp(settings, "softDeletePolicy", "effectiveTime");
    }
    complete(settings);
    Ok(())
}

/// Fields that follow from others.
fn complete(settings: &mut Settings) {
    let Some(iam) = settings
        .get_mut("iamConfiguration")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let uniform = iam
        .entry("uniformBucketLevelAccess")
        .or_insert(json!({"enabled": false}));
    if uniform["enabled"] != json!(true) {
        *uniform = json!({"enabled": false});
    } else if uniform["lockedTime"].is_null() {
        // Uniform access can be switched off for 90 days.
        let locked = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(90 * 24);
        uniform["lockedTime"] = json!(format!("{locked:.6}"));
    }
    // The name the setting had before; old clients read it.
    let uniform = uniform.clone();
    iam.insert("bucketPolicyOnly".to_owned(), uniform);
    iam.entry("publicAccessPrevention")
        .or_insert(json!("inherited"));
    if settings
        .get("softDeletePolicy")
        .is_some_and(|policy| policy["effectiveTime"].is_null())
    {
        stamp(settings, "softDeletePolicy", "effectiveTime");
    }
}

/// 64-bit numbers are shown as text, whatever was sent.
fn as_text(settings: &mut Settings, field: &str, number: &str) {
    let found = settings.get_mut(field).and_then(|it| it.get_mut(number));
    if let Some(found) = found.filter(|found| found.is_number()) {
        *found = found.to_string().into();
    }
}

fn stamp(settings: &mut Settings, field: &str, time: &str) {
    if let Some(policy) = settings.get_mut(field).and_then(Value::as_object_mut) {
        policy.insert(time.to_owned(), json!(now()));
    }
}

fn check_bucket(settings: &Settings) -> Result<(), ApiError> {
    check_public_access(settings)?;
    check_soft_delete(settings)?;
    check_labels(settings)
}

fn check_public_access(settings: &Settings) -> Result<(), ApiError> {
    let prevention = settings.get("iamConfiguration");
    let prevention = prevention.and_then(|iam| iam.get("publicAccessPrevention")?.as_str());
    match prevention {
        None | Some("enforced" | "inherited" | "unspecified") => Ok(()),
        Some(other) => Err(ApiError::invalid(format!(
            "Invalid argument: publicAccessPrevention '{other}'."
        ))),
    }
}

fn check_soft_delete(settings: &Settings) -> Result<(), ApiError> {
    let seconds = settings
        .get("softDeletePolicy")
        .map(|policy| &policy["retentionDurationSeconds"])
        .filter(|seconds| !seconds.is_null());
    let Some(seconds) = seconds else {
        return Ok(());
    };
    match seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok()) {
        Some(0 | 604_800..=7_776_000) => Ok(()),
        _ => Err(ApiError::invalid(
            "Soft delete's retentionDurationSeconds must be 0 or between 604800 and 7776000.",
        )),
    }
}

fn check_labels(settings: &Settings) -> Result<(), ApiError> {
    let labels: BTreeMap<String, String> = match settings.get("labels") {
        Some(labels) => serde_json::from_value(labels.clone())
            .map_err(|_| ApiError::invalid("Labels map text to text."))?,
        None => BTreeMap::new(),
    };
    let fits = |text: &str| {
        text.chars().count() <= 63
            && text.chars().all(|letter| {
                matches!(letter, '_' | '-') || letter.is_alphanumeric() && !letter.is_uppercase()
            })
    };
    match labels
        .iter()
        .find(|(key, value)| key.is_empty() || !fits(key) || !fits(value))
    {
        Some((key, value)) => Err(ApiError::invalid(format!(
            "Invalid label `{key}: {value}`."
        ))),
        None => Ok(()),
    }
}

/// The settings of a new object. What is part of its identity is left out.
pub fn new_object(sent: &Settings) -> Result<Settings, ApiError> {
    let mut settings = Settings::new();
    patch_object(&mut settings, sent)?;
    settings.entry("storageClass").or_insert(json!("STANDARD"));
    Ok(settings)
}

pub fn patch_object(settings: &mut Settings, sent: &Settings) -> Result<(), ApiError> {
    for (field, value) in sent {
        if OBJECT_NOT_SERVED.contains(&field.as_str()) {
            refuse_active("object", field, value)?;
        } else if OBJECT_KEPT.contains(&field.as_str()) {
            if field == "metadata" && !value.is_null() {
                super::text_map(value)?;
            }
            merge(settings, field, value);
        }
        // The rest is output, such as `md5Hash`, which the upload checks.
    }
    Ok(())
}

fn merge(settings: &mut Settings, field: &str, value: &Value) {
    match value {
        Value::Null => {
            settings.remove(field);
        }
        Value::Object(fields) => {
            let target = settings.entry(field).or_insert_with(|| json!({}));
            if !target.is_object() {
                *target = json!({});
            }
            if let Some(target) = target.as_object_mut() {
                for (name, value) in fields {
                    merge(target, name, value);
                }
            }
        }
        value => {
            settings.insert(field.to_owned(), value.clone());
        }
    }
}

/// A setting that is off is as good as absent; one that is on is not served.
fn refuse_active(what: &str, field: &str, value: &Value) -> Result<(), ApiError> {
    let off = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(fields) => fields.is_empty() || fields.get("enabled") == Some(&json!(false)),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    if off {
        return Ok(());
    }
    Err(ApiError::unimplemented(format!(
        "the local cloud does not serve `{field}` of a {what}"
    )))
}

fn unknown(what: &str, field: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid JSON payload received. Unknown name \"{field}\" at '{what}': Cannot find field."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_patch_merges_labels_and_replaces_the_lifecycle() {
        let mut settings = new_bucket(&map(json!({
            "labels": {"a": "1", "b": "2"},
            "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 1}}]},
        })))
        .unwrap();
        let sent = map(json!({"labels": {"a": null, "c": "3"}, "lifecycle": {}}));
        patch_bucket(&mut settings, &sent).unwrap();
        assert_eq!(settings["labels"], json!({"b": "2", "c": "3"}));
        assert_eq!(settings["lifecycle"], json!({}));
    }

    #[test]
    fn what_would_change_objects_is_refused_when_on() {
        let on = map(json!({"autoclass": {"enabled": true}}));
        assert_eq!(new_bucket(&on).unwrap_err().code, 501);
        assert!(new_bucket(&map(json!({"autoclass": {"enabled": false}}))).is_ok());
        assert_eq!(
            new_bucket(&map(json!({"lables": {}}))).unwrap_err().code,
            400
        );
    }

    #[test]
    fn soft_delete_is_off_or_at_least_a_week() {
        let with = |seconds: &str| {
            new_bucket(&map(
                json!({"softDeletePolicy": {"retentionDurationSeconds": seconds}}),
            ))
        };
        assert!(with("0").is_ok());
        assert!(with("604800").is_ok());
        assert!(with("3600").is_err());
    }

    #[test]
    fn uniform_access_says_when_it_locks() {
        let sent = json!({"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": true}}});
        let settings = new_bucket(&map(sent)).unwrap();
        let iam = &settings["iamConfiguration"];
        assert!(iam["uniformBucketLevelAccess"]["lockedTime"].is_string());
        assert_eq!(iam["publicAccessPrevention"], "inherited");
    }
}
