//! What a workspace declares: `xetl.yaml`, `clients/*.yaml` and `sources/*.yaml`.
//!
//! Reads and checks the files, and knows nothing of Google's resources.

use std::path::{Path, PathBuf};

mod blocks;
mod clash;
mod client;
mod error;
mod file;
mod keys;
mod missed;
mod models;
mod pipeline;
mod regions;
mod settings;
mod source;
mod source_text;
mod state;
mod value;
mod workspace;
mod write;

#[cfg(test)]
mod tests;

pub use blocks::{
    AlertsFile, BucketFile, EgressFile, LifecycleFile, RepositoryFile, SecretManagerFile, VpcFile,
    WarehouseFile,
};
pub use clash::shared_datasets;
pub use client::{Client, check_client};
pub use error::ConfigError;
pub(crate) use error::{nearest, shown};
pub use file::{
    ClientFile, Defaults, KeptModel, ModelFile, PipelineFile, ScheduleFile, StateBackend,
    StateFile, TargetKind, WorkspaceFile,
};
pub use missed::{LONGEST_WATCHED, usually as usually_missed_after};
pub use pipeline::{Pipeline, Schedule, check_pipeline};
pub use regions::unknown_places;
pub use settings::{BucketSettings, ClientSettings, Lifecycle, VpcSettings, WarehouseSettings};
pub use source::{Manifest, SecretField, built_in_sources};
pub use source_text::SourceText;
pub use state::State;
pub use workspace::Workspace;
pub use write::{with_image, with_pipeline};

/// Reads a YAML file into `T`; an error names file, line, column and the nearest known key.
pub(crate) fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse_yaml(path, &text)
}

/// Reads YAML text; `path` is for the error.
pub(crate) fn parse_yaml<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| ConfigError::yaml(path, &error))
}

/// `<folder>/<name>.yaml`
pub(crate) fn yaml_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.yaml"))
}
