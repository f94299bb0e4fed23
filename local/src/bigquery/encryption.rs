//! The customer-managed key of a dataset: new tables would be encrypted with it.

use serde_json::json;

use super::datasets::Dataset;
use super::resource::Object;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::kms::{self, KeyName};

/// The key in a dataset's settings.
pub fn key(dataset: &Dataset) -> Option<&str> {
    let setting = dataset.settings.get("defaultEncryptionConfiguration")?;
    let key = setting.get("kmsKeyName")?.as_str();
    key.filter(|key| !key.is_empty())
}

/// Gives a new table its dataset's key, unless it has one; views and external tables hold nothing.
pub fn inherit(settings: &mut Object, dataset: &Dataset) {
    let holds_nothing = ["view", "externalDataConfiguration"]
        .iter()
        .any(|kind| settings.contains_key(*kind));
    if let (Some(key), false) = (key(dataset), holds_nothing) {
        let entry = settings.entry("encryptionConfiguration");
        entry.or_insert_with(|| json!({"kmsKeyName": key}));
    }
}

/// # Errors
/// As Google refuses a key that is elsewhere, or that BigQuery may not use.
pub fn check(cloud: &Cloud, dataset: &Dataset) -> Result<(), ApiError> {
    let Some(key) = key(dataset) else {
        return Ok(());
    };
    let name = KeyName::of(key);
    let name = name.ok_or_else(|| ApiError::invalid(format!("Invalid KMS key name: {key}")))?;
    if !name.is_in(&dataset.location) {
        return Err(ApiError::invalid(format!(
            "The KMS key is in {}, but the dataset is in {}: {key}",
            name.location, dataset.location
        )));
    }
    let number = cloud.projects.number(&dataset.reference.project)?;
    let account = format!("bq-{number}@bigquery-encryption.iam.gserviceaccount.com");
    if kms::permits(cloud, &name, kms::USE, &account) {
        return Ok(());
    }
    Err(ApiError::permission_denied(format!(
        "Access Denied: BigQuery BigQuery: Cloud KMS Error: Permission '{}' denied on resource \
         '{key}' (or it may not exist). Please grant Cloud KMS CryptoKey Encrypter/Decrypter role \
         to BigQuery service account: {account}",
        kms::USE
    ))
    .reason("accessDenied"))
}
