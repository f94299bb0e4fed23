//! The files as they are written: every key, and what is left out.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xetl_runtime::bundle::{ModelKind, Overlap};
use xetl_runtime::options::StreamOptions;

use super::blocks::{
    AlertsFile, BucketFile, RepositoryFile, ResourcesFile, SecretManagerFile, VpcFile,
    WarehouseFile, is_default,
};

/// xetl.yaml: what all clients of the workspace share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceFile {
    /// Where resources are made.
    pub target: TargetKind,
    /// Google Cloud project of clients that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Region of clients that name none, such as `australia-southeast1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Image the jobs run, pinned (`...@sha256:...`); by default xetl builds and pushes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where clients that say nothing keep checkpoints and the records of runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateFile>,
    /// What pipelines that say nothing get.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
}

/// Where checkpoints and the records of runs are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateFile {
    pub backend: StateBackend,
    /// Address of a server without the password, which is the secret field `state.password`:
    /// `postgres://USER@HOST/DATABASE` or `mysql://USER@HOST/DATABASE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// File of a SQLite database, from the workspace's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateBackend {
    /// Objects in the client's bucket.
    Bucket,
    /// A file; for `target: local` only.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL or MariaDB server.
    Mysql,
}

/// Where resources are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Google Cloud.
    Gcp,
    /// The local cloud of this workspace.
    Local,
}

/// What pipelines that say nothing get.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Time zone of schedules; UTC by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// CPUs of a task, such as `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Memory of a task, such as `512Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The longest a task may run, such as `1h` or `90m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Times a failed task is tried again, up to 10; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Labels on all that can have labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The network jobs are in; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<VpcFile>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub bucket: BucketFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub secret_manager: SecretManagerFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub repository: RepositoryFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub warehouse: WarehouseFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub alerts: AlertsFile,
}

impl Defaults {
    /// What it says of resources.
    pub fn resources(&self) -> ResourcesFile {
        ResourcesFile {
            labels: self.labels.clone(),
            bucket: self.bucket.clone(),
            secret_manager: self.secret_manager.clone(),
            repository: self.repository.clone(),
            alerts: self.alerts.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Defaults::default()
    }
}

/// clients/<name>.yaml: one client and its pipelines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientFile {
    /// The client's name, as the file's.
    pub client: String,
    /// Google Cloud project; by default the workspace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Region of all its resources; by default the workspace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Image its jobs run: a digest (`sha256:...`) in its own repository, or a full name with one;
    /// by default the workspace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where its checkpoints and the records of its runs are kept; by default the workspace's,
    /// else its bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateFile>,
    /// Labels on all that can have labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The network jobs are in; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<VpcFile>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub bucket: BucketFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub secret_manager: SecretManagerFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub repository: RepositoryFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub warehouse: WarehouseFile,
    #[serde(default, skip_serializing_if = "is_default")]
    pub alerts: AlertsFile,
    /// Its pipelines by name.
    pub pipelines: IndexMap<String, PipelineFile>,
}

impl ClientFile {
    /// What it says of resources.
    pub fn resources(&self) -> ResourcesFile {
        ResourcesFile {
            labels: self.labels.clone(),
            bucket: self.bucket.clone(),
            secret_manager: self.secret_manager.clone(),
            repository: self.repository.clone(),
            alerts: self.alerts.clone(),
        }
    }
}

/// One pipeline: a source, loaded into a dataset on a schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineFile {
    /// A built-in source, or `sources/<name>.yaml` of the workspace.
    pub source: String,
    /// The source's config, without its secret fields.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Optional secret fields of the config that are set, by dotted path; required ones need no mention.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// When it runs; never by itself where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleFile>,
    /// Dataset its tables are in; `<client>_<pipeline>` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What an execution does while another of the pipeline runs: `skip` by default, or `queue`.
    #[serde(default, skip_serializing_if = "Overlap::is_default")]
    pub on_overlap: Overlap,
    /// Whether pages are kept in the bucket as the source gave them, to be loaded again with
    /// `xetl replay`; a stream's own `keep_raw` wins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_raw: bool,
    /// Cloud Run tasks that share the work; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    /// CPUs of a task; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Memory of a task; `512Mi` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The longest a task may run; `1h` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Times a failed task is tried again, up to 10; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Tasks that run at the same time; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// Environment variables of the job, for what is no secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Labels on its job, dataset and secrets, beside the client's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The network its job is in; the client's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<VpcFile>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub warehouse: WarehouseFile,
    /// Streams to load, with their options; all of the source's where left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, StreamOptions>,
    /// SQL in the warehouse after the load: a SELECT each, over the pipeline's tables and other models.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub models: IndexMap<String, ModelFile>,
}

/// A model: its SQL, kept as a view or as a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ModelFile {
    /// The SQL of a view.
    Sql(String),
    Kept(KeptModel),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptModel {
    pub sql: String,
    /// A view is computed when it is read, a table after each run; `view` by default.
    #[serde(default, rename = "as")]
    pub kind: ModelKind,
}

impl ModelFile {
    pub fn sql(&self) -> &str {
        match self {
            ModelFile::Sql(sql) => sql,
            ModelFile::Kept(model) => &model.sql,
        }
    }

    pub fn kind(&self) -> ModelKind {
        match self {
            ModelFile::Sql(_) => ModelKind::View,
            ModelFile::Kept(model) => model.kind,
        }
    }
}

/// When a pipeline runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFile {
    /// Five fields of cron: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// Time zone the cron is read in, such as `Pacific/Auckland`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Kept, but not fired.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Times a start that failed is tried again, up to 5; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The first wait before another try, which then doubles; `5s` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_backoff: Option<String>,
    /// The longest wait; `1h` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_backoff: Option<String>,
    /// The longest one try may take, from `15s` to `30m`; `3m` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}
