//! What of each kind is managed: a struct a kind, a field a field of Google's.
//!
//! Each is what should be there; whatever others set beside it is in none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Labels, Owner};

/// An account jobs run as, or schedules start them as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceAccount {
    pub owner: Owner,
}

/// A Cloud Storage bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Bucket {
    /// In lower case; never changes.
    pub location: String,
    pub storage_class: String,
    /// Rights are the bucket's alone: no object has its own.
    pub uniform_access: bool,
    pub public_access_prevented: bool,
    /// How long what is deleted can be brought back; 0 is not at all.
    pub soft_delete_seconds: u64,
    /// Rules as the API has them, sorted by their text, as their order has no meaning.
    pub lifecycle: Vec<Value>,
    pub kms_key: Option<String>,
    pub labels: Labels,
    pub owner: Owner,
}

/// A secret's container; its values are no field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Never changes.
    pub replication: Replication,
    /// The customer's key of each of its locations; values stored from then on are encrypted with it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kms_keys: BTreeSet<String>,
    pub labels: Labels,
    pub owner: Owner,
}

/// Where Secret Manager keeps a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Replication {
    #[default]
    Automatic,
    /// In these locations only.
    In(BTreeSet<String>),
}

impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Replication::Automatic => write!(f, "automatic"),
            Replication::In(locations) => {
                let locations: Vec<&str> = locations.iter().map(String::as_str).collect();
                write!(f, "{}", locations.join(", "))
            }
        }
    }
}

impl Serialize for Replication {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An Artifact Registry repository of Docker images.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Repository {
    /// Cleanup policies as the API has them, by their id.
    pub cleanup: BTreeMap<String, Value>,
    /// Whether the policies only say what they would delete.
    pub cleanup_dry_run: bool,
    /// Never changes.
    pub kms_key: Option<String>,
    pub labels: Labels,
    pub owner: Owner,
}

/// A BigQuery dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dataset {
    /// In lower case; never changes.
    pub location: String,
    /// `None`: whatever others wrote there.
    pub description: Option<String>,
    /// How long a table without an expiry of its own lives; `None` is for ever.
    pub table_expiry_ms: Option<i64>,
    /// How long a partition of such a table lives.
    pub partition_expiry_ms: Option<i64>,
    pub kms_key: Option<String>,
    /// Who reads it by the client's file, as members (`group:a@b`); others who may are in no field.
    pub readers: BTreeSet<String>,
    pub labels: Labels,
    pub owner: Owner,
}

/// A Cloud Run job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Job {
    pub image: String,
    pub args: Vec<String>,
    pub account: String,
    pub env: BTreeMap<String, String>,
    /// Secrets by the environment variable that gets their newest version.
    pub secrets: BTreeMap<String, String>,
    pub tasks: u32,
    /// How many of its tasks run at the same time.
    pub parallelism: u32,
    pub cpu: String,
    pub memory: String,
    /// Of one attempt of a task.
    pub timeout_seconds: u64,
    pub retries: u32,
    pub vpc: Option<Vpc>,
    /// Why it does not run although it is there; no job is declared with one.
    pub fault: Option<String>,
    pub labels: Labels,
    pub owner: Owner,
}

/// A job's way into a network of the user's: direct, or by a connector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Vpc {
    pub network: Option<String>,
    pub subnetwork: Option<String>,
    pub tags: Vec<String>,
    pub connector: Option<String>,
    /// `PRIVATE_RANGES_ONLY` or `ALL_TRAFFIC`.
    pub egress: String,
}

impl Vpc {
    /// Cloud Run looks the network of a subnetwork up, and may give full names for short ones.
    pub(super) fn named_as(&mut self, declared: &Vpc) {
        let pairs = [
            (&mut self.network, &declared.network),
            (&mut self.subnetwork, &declared.subnetwork),
        ];
        for (name, declared) in pairs {
            let full = name.as_deref().unwrap_or_default();
            let is_same = match declared {
                None => true,
                Some(declared) => full.ends_with(&format!("/{declared}")),
            };
            if is_same {
                declared.clone_into(name);
            }
        }
    }
}

/// A Cloud Scheduler job that starts a Cloud Run job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Schedule {
    pub cron: String,
    pub time_zone: String,
    pub paused: bool,
    /// Times a start is tried again.
    pub retries: u32,
    pub min_backoff_seconds: u64,
    pub max_backoff_seconds: u64,
    /// Of one try.
    pub deadline_seconds: u64,
    /// What it calls.
    pub uri: String,
    pub account: String,
    pub owner: Owner,
}

/// An email address that alerts tell: one a project, whichever clients use it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Channel {
    pub enabled: bool,
    /// Whether alerts of other clients use it: then it is theirs as well.
    #[serde(skip)]
    pub is_shared: bool,
}

/// A metric of Cloud Logging that counts log entries: one a project, whichever clients use it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// The log entries it counts.
    pub filter: String,
    pub enabled: bool,
    /// Whether alerts of other clients use it: then it is theirs as well.
    #[serde(skip)]
    pub is_shared: bool,
}

/// A Cloud Monitoring alert policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub display_name: String,
    pub enabled: bool,
    #[serde(flatten)]
    pub condition: Condition,
    /// Whom it tells, as far as the channels are xetl's; others are in no field.
    pub emails: BTreeSet<String>,
    pub auto_close_seconds: u64,
    pub owner: Owner,
}

/// What an alert tells of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Condition {
    /// An entry of the log.
    Entry {
        filter: String,
        /// It tells no more often than that.
        tell_every_seconds: u64,
    },
    /// A metric that counts too few in a window, and does so for a while.
    Silence {
        /// The metric and whose count it is.
        filter: String,
        /// Fewer than that are too few.
        fewer_than: u64,
        window_seconds: u64,
        hold_seconds: u64,
        /// What no data at all is: `EVALUATION_MISSING_DATA_ACTIVE` is too few.
        missing_data: String,
    },
    /// Something else, which people made of it.
    Other { condition: String },
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::Other {
            condition: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_google_fills_in_is_no_change() {
        let named = |network: Option<&str>, subnetwork: &str| Vpc {
            network: network.map(str::to_owned),
            subnetwork: Some(subnetwork.to_owned()),
            ..Vpc::default()
        };
        let declared = named(None, "s");
        let mut found = named(Some("n"), "projects/p/regions/r/subnetworks/s");
        found.named_as(&declared);
        assert_eq!(found, declared);
        let mut other = named(None, "t");
        other.named_as(&declared);
        assert_ne!(other, declared);
    }
}
