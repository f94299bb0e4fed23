//! A pipeline's bundle: all its runtime needs to know, secrets apart.
//!
//! `xetl apply` writes it to `gs://<bucket>/<pipeline>/bundle/<hash>.json`, the
//! job's `XETL_BUNDLE` names it. It is what the CLI and the runtime agree on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::lease::Overlap;
pub use crate::options::{Mode, StreamOptions};

/// The secret of a pipeline that holds the key of its hashes, named like a field of the config.
pub const HASH_KEY: &str = "hash_key";

/// The environment variable that names the bundle (`gs://...`, or a file's path by hand).
pub const BUNDLE_ENV: &str = "XETL_BUNDLE";

/// The secret field of a state database's password, beside those of the source's config.
pub const STATE_PASSWORD: &str = "state.password";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Form of this document; 1.
    pub version: u32,
    pub client: String,
    pub pipeline: String,
    /// Google Cloud project of the bucket, the dataset and the secrets.
    pub project: String,
    /// Location of the bucket and the dataset, such as `australia-southeast1`.
    pub location: String,
    pub bucket: String,
    pub dataset: String,
    /// The source's declarative manifest.
    pub manifest: Value,
    /// The source's config without its secret fields.
    pub config: Map<String, Value>,
    /// Secret fields of the config by dotted path (`credentials.client_secret`).
    pub secrets: BTreeMap<String, SecretRef>,
    /// The key of the hashes that `streams` ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<SecretRef>,
    /// What an execution does while another runs.
    #[serde(default, skip_serializing_if = "Overlap::is_default")]
    pub on_overlap: Overlap,
    /// Whether streams that say nothing keep their pages as they come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_raw: bool,
    /// Streams to load, with their options; empty means all, with defaults.
    pub streams: BTreeMap<String, StreamOptions>,
    /// Where checkpoints and the records of runs are kept.
    #[serde(default, skip_serializing_if = "StateStore::is_bucket")]
    pub state: StateStore,
    /// SQL after the load, each after those it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
}

/// SQL over the pipeline's tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Of its view or table.
    pub name: String,
    /// One SELECT, every table in it named with its project and dataset.
    pub sql: String,
    pub kind: ModelKind,
    /// The streams it reads, also through other models.
    pub streams: Vec<String>,
}

/// What a model is in the warehouse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Computed when it is read.
    #[default]
    View,
    /// Computed after each run.
    Table,
}

/// Where the runtime finds a secret field's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Environment variable that Cloud Run fills from the secret when a task starts.
    pub env: String,
    /// `projects/P/secrets/S`, to read the newest version again and to store a rotated one.
    pub secret: String,
}

/// Where a pipeline's checkpoints and the records of its runs are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "backend", rename_all = "lowercase", deny_unknown_fields)]
pub enum StateStore {
    /// In the client's bucket.
    #[default]
    Bucket,
    Sqlite {
        path: String,
    },
    Postgres(Server),
    Mysql(Server),
}

/// A database server: its address without the password, and where the password is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub url: String,
    pub password: SecretRef,
}

impl StateStore {
    pub fn is_bucket(&self) -> bool {
        *self == StateStore::Bucket
    }
}
