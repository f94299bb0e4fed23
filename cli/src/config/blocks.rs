//! The blocks of the files that say how resources are made: the same in xetl.yaml's `defaults`,
//! in a client's file and, of some, in a pipeline. Key by key, the nearer one wins.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The client's bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BucketFile {
    /// Where it is: a region, or `US`, `EU` or `ASIA`; by default the client's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// `STANDARD` by default; `NEARLINE`, `COLDLINE` and `ARCHIVE` cost less to keep and more to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// How long deleted objects can be brought back: `7d` by default, `0d` or `7d` to `90d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_delete: Option<String>,
    /// What is done with objects as they get older; nothing by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Vec<LifecycleFile>>,
    /// Key of Cloud KMS that encrypts it: `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// What is done with some of the bucket's objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LifecycleFile {
    /// Beginnings of the objects' names, such as `xero/invoices/run=`.
    pub prefixes: Vec<String>,
    /// Age after which they are deleted, in days: `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<String>,
    /// Age after which they go to `storage_class`, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_after: Option<String>,
    /// Where they go: `NEARLINE`, `COLDLINE` or `ARCHIVE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

/// The client's secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretManagerFile {
    /// The only regions where values are kept; by default Google chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locations: Option<Vec<String>>,
    /// Versions of a secret that stay when a new value is stored; 5 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
    /// Key of Cloud KMS that encrypts them: in `global`, or in the location of `locations`; of
    /// several locations, `{location}` in the key's name stands for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// The client's image repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RepositoryFile {
    /// Newest images that always stay; older ones go after 30 days. All stay by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_images: Option<u32>,
    /// Key of Cloud KMS in the client's region that encrypts it; never changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// Datasets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WarehouseFile {
    /// Where it is: a region, `US` or `EU`; by default the client's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What people read of it in BigQuery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long new tables live, such as `90d`; for ever by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_expiry: Option<String>,
    /// How long partitions of new tables live; for ever by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_expiry: Option<String>,
    /// Who may read it: `user:`, `group:`, `serviceAccount:` or `domain:` and the address; at most 9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readers: Option<Vec<String>>,
    /// Key of Cloud KMS that encrypts its tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// A job's way into a network: direct (`network`, `subnetwork`) or by a `connector`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VpcFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnetwork: Option<String>,
    /// Network tags, for firewall rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// A Serverless VPC Access connector: `projects/P/locations/R/connectors/C`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// What goes through it: `private` addresses by default, or `all` traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EgressFile {
    Private,
    All,
}

/// Who is told when a run fails, or never begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsFile {
    /// Email addresses; nobody by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Vec<String>>,
    /// How long a scheduled pipeline may go without a run, up to `48h`; by default as long as its
    /// schedule and `timeout` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_after: Option<String>,
}

/// All blocks of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourcesFile {
    pub labels: BTreeMap<String, String>,
    pub bucket: BucketFile,
    pub secret_manager: SecretManagerFile,
    pub repository: RepositoryFile,
    pub alerts: AlertsFile,
}

pub(super) fn is_default<T: Default + PartialEq>(block: &T) -> bool {
    *block == T::default()
}

impl BucketFile {
    pub(super) fn or(&self, other: &BucketFile) -> BucketFile {
        BucketFile {
            location: nearer(&self.location, &other.location),
            storage_class: nearer(&self.storage_class, &other.storage_class),
            soft_delete: nearer(&self.soft_delete, &other.soft_delete),
            lifecycle: nearer(&self.lifecycle, &other.lifecycle),
            kms_key: nearer(&self.kms_key, &other.kms_key),
        }
    }
}

impl WarehouseFile {
    pub(super) fn or(&self, other: &WarehouseFile) -> WarehouseFile {
        WarehouseFile {
            location: nearer(&self.location, &other.location),
            description: nearer(&self.description, &other.description),
            table_expiry: nearer(&self.table_expiry, &other.table_expiry),
            partition_expiry: nearer(&self.partition_expiry, &other.partition_expiry),
            readers: nearer(&self.readers, &other.readers),
            kms_key: nearer(&self.kms_key, &other.kms_key),
        }
    }
}

pub(super) fn nearer<T: Clone>(near: &Option<T>, far: &Option<T>) -> Option<T> {
    near.clone().or_else(|| far.clone())
}

/// Labels of both; the nearer one's where both have one.
pub(super) fn all_labels(
    near: &BTreeMap<String, String>,
    far: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut labels = far.clone();
    labels.extend(near.clone());
    labels
}
