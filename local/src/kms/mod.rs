//! Cloud KMS v1: key rings, keys and who may use them.
//!
//! Nothing is encrypted here: what a service does with a customer's key is to ask
//! whether its own account may use it, and to refuse where it may not.

mod api;
mod name;

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

pub use api::routes;
pub use name::KeyName;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::store::{Collection, Store};

/// What a service's account needs of a key before it takes it.
pub const USE: &str = "cloudkms.cryptoKeyVersions.useToEncrypt";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    create_time: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Rings (when they were made) and symmetric keys, by their names with the project's id.
pub struct Keys {
    rings: Collection<String>,
    keys: Collection<Key>,
}

impl Keys {
    pub fn open(store: &Store) -> io::Result<Keys> {
        Ok(Keys {
            rings: store.collection("kms-rings")?,
            keys: store.collection("kms-keys")?,
        })
    }
}

/// Whether there is such a key and an account has the permission on it or on its ring.
pub fn permits(cloud: &Cloud, key: &KeyName, permission: &str, account: &str) -> bool {
    let Ok(key) = key.by_id(cloud) else {
        return false;
    };
    let caller = Caller::ServiceAccount(account.to_owned());
    let on = |resource: &str| cloud.policies.permits(resource, permission, &caller);
    cloud.kms.keys.get(&key.to_string()).is_some() && (on(&key.to_string()) || on(&key.ring()))
}

/// Refuses a key that is not in `location`, or that a service's agent in the project may not use.
/// What Google says in these cases of Secret Manager and Artifact Registry is not known to us.
pub fn check(
    cloud: &Cloud,
    key: &str,
    location: &str,
    project: &str,
    service: &str,
) -> Result<(), ApiError> {
    let name = KeyName::of(key);
    let name = name.ok_or_else(|| ApiError::invalid(format!("Invalid Cloud KMS key: {key}")))?;
    if !name.is_in(location) {
        return Err(ApiError::invalid(format!(
            "The Cloud KMS key must be in {location}, not in {}: {key}",
            name.location
        )));
    }
    let number = cloud.projects.number(project)?;
    let agent = format!("service-{number}@gcp-sa-{service}.iam.gserviceaccount.com");
    if permits(cloud, &name, USE, &agent) {
        return Ok(());
    }
    Err(ApiError::permission_denied(format!(
        "Permission '{USE}' denied on resource '{key}' (or it may not exist) for {agent}."
    )))
}
