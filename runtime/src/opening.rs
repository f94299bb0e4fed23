//! Opens the source a manifest describes: one in the declarative language, or a native one.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::google::Google;
use crate::objects::Anywhere;
use crate::source::{self, Config, Outside, SecretSink, Wanted, Watcher};
use crate::stream::{Source, SourceError};
use crate::tables;
use crate::task::Task;

/// What a source is opened with, besides its manifest and config.
pub struct Around {
    pub secrets: Arc<dyn SecretSink>,
    /// Who we are to Google; found out from the environment where it is not said.
    pub google: Option<Google>,
    /// The project of the pipeline, and the run; neither by hand.
    pub project: Option<String>,
    pub run: Option<String>,
    pub task: Task,
}

impl Around {
    /// A source that is tried by hand.
    pub fn by_hand(secrets: Arc<dyn SecretSink>) -> Around {
        Around {
            secrets,
            google: None,
            project: None,
            run: None,
            task: Task::ALONE,
        }
    }

    fn objects(&self) -> Anywhere {
        self.google
            .clone()
            .map_or_else(Anywhere::default, Anywhere::with)
    }
}

/// Opens what is wanted of a source, telling a watcher of its requests where it can.
pub async fn open(
    manifest: &Json,
    config: Config,
    around: Around,
    wanted: &Wanted,
    watcher: Option<Watcher>,
) -> Result<Box<dyn Source>, SourceError> {
    match native(manifest) {
        None => {
            let outside = Outside {
                objects: Arc::new(around.objects()),
                secrets: around.secrets,
                task: around.task,
            };
            source::open_watched(manifest, config, outside, wanted, watcher).await
        }
        Some(tables::CLASS) => open_tables(&config, around, wanted).await,
        Some(class) => Err(SourceError::Config {
            at: "manifest.class_name".to_owned(),
            problem: format!(
                "there is no native source `{class}`; there is {}",
                tables::CLASS
            ),
        }),
    }
}

/// The class a manifest names instead of describing a source; `None` for one that does.
pub fn native(manifest: &Json) -> Option<&str> {
    (manifest["type"] == "CustomSource").then(|| manifest["class_name"].as_str().unwrap_or(""))
}

async fn open_tables(
    config: &Config,
    around: Around,
    wanted: &Wanted,
) -> Result<Box<dyn Source>, SourceError> {
    let google = match around.google {
        Some(google) => google,
        None => Google::from_environment()
            .map_err(|error| SourceError::Credentials(error.to_string()))?,
    };
    let reading = tables::Reading {
        google,
        project: around.project,
        run: around.run,
    };
    tables::open(&config.0, reading, wanted).await
}
