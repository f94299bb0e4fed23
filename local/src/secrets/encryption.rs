//! Customer-managed keys of a secret: one for each place where its values are.

use serde_json::{Value, json};

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::kms;

/// Each place of a replication with its key, if it has one; where Google chooses, a key is `global`.
fn keys(replication: &Value) -> Vec<(&str, Option<&str>)> {
    let replicas = replication["userManaged"]["replicas"].as_array();
    match replicas {
        None => vec![("global", key_of(&replication["automatic"]))],
        Some(replicas) => replicas
            .iter()
            .map(|it| (it["location"].as_str().unwrap_or_default(), key_of(it)))
            .collect(),
    }
}

fn key_of(place: &Value) -> Option<&str> {
    place["customerManagedEncryption"]["kmsKeyName"].as_str()
}

/// Where a value is kept that is stored now, and by which version of which key.
pub fn status(replication: &Value) -> Value {
    let mut status = replication.clone();
    versioned(&mut status["automatic"]);
    let replicas = status["userManaged"]["replicas"].as_array_mut();
    replicas.into_iter().flatten().for_each(versioned);
    // Looking for a field made it, as null.
    if let Some(fields) = status.as_object_mut() {
        fields.retain(|_, value| !value.is_null() && value.get("replicas") != Some(&Value::Null));
    }
    status
}

fn versioned(place: &mut Value) {
    if let Some(key) = key_of(place) {
        let version = format!("{key}/cryptoKeyVersions/1");
        place["customerManagedEncryption"] = json!({"kmsKeyVersionName": version});
    }
}

/// The places of a replication, which never change.
pub fn places(replication: &Value) -> Vec<&str> {
    keys(replication)
        .into_iter()
        .map(|(place, _)| place)
        .collect()
}

/// # Errors
/// For a key that cannot be used, or for keys of some replicas only.
pub fn check(cloud: &Cloud, project: &str, replication: &Value) -> Result<(), ApiError> {
    let keys = keys(replication);
    let with_key = keys.iter().filter(|(_, key)| key.is_some()).count();
    if with_key != 0 && with_key != keys.len() {
        return Err(ApiError::invalid(
            "Either all replicas have customer-managed encryption, or none.",
        ));
    }
    for (place, key) in keys {
        if let Some(key) = key {
            kms::check(cloud, key, place, project, "secretmanager")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_where_the_value_is() {
        let automatic = json!({"automatic": {"customerManagedEncryption": {"kmsKeyName": "k"}}});
        assert_eq!(keys(&automatic), [("global", Some("k"))]);
        let replicas = json!({"userManaged": {"replicas": [
            {"location": "a", "customerManagedEncryption": {"kmsKeyName": "k"}},
            {"location": "b"},
        ]}});
        assert_eq!(keys(&replicas), [("a", Some("k")), ("b", None)]);
        let version = json!({"kmsKeyVersionName": "k/cryptoKeyVersions/1"});
        assert_eq!(
            status(&automatic),
            json!({"automatic": {"customerManagedEncryption": version}})
        );
        assert_eq!(
            status(&replicas)["userManaged"]["replicas"][0]["customerManagedEncryption"],
            version
        );
        let plain = json!({"automatic": {}});
        assert_eq!(status(&plain), plain);
    }
}
