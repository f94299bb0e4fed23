//! A source opened by hand: a manifest and a config, without a client or a cloud.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xetl_runtime::objects::Anywhere;
use xetl_runtime::read::ConfigFile;
use xetl_runtime::source::{self, Outside, Wanted, Watcher};
use xetl_runtime::stream::{Source, SourceError};

use crate::config::{Manifest, SourceText};
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// What is tried
#[derive(clap::Args, Debug)]
pub struct TrialArgs {
    /// Source by name, or a manifest file
    #[arg(value_name = "SOURCE|FILE")]
    source: String,
    /// Config with its secrets, JSON or YAML; a rotated refresh token is written back to it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl TrialArgs {
    pub async fn open(
        &self,
        context: &Context,
        wanted: &Wanted,
        watcher: Option<Watcher>,
    ) -> Result<Box<dyn Source>, Failure> {
        let text = super::find(context, &self.source)?;
        let mut manifest = Manifest::of(&text)?;
        attach(&mut manifest, &text)?;
        let (config, file) =
            ConfigFile::open(&self.config).map_err(|error| Failure::of(Kind::Usage, &error))?;
        let outside = Outside {
            secrets: Arc::new(file),
            objects: Arc::new(Anywhere::default()),
        };
        let opened = source::open_watched(&manifest.0, config, outside, wanted, watcher).await;
        opened.map_err(|error| failure(&error, &text))
    }
}

/// Schemas that stand in files beside the manifest.
fn attach(manifest: &mut Manifest, text: &SourceText) -> Result<(), Failure> {
    let path = text.path.as_deref().unwrap_or(Path::new(""));
    source::attach_files(&mut manifest.0, path).map_err(|error| {
        let sentence = format!("cannot read the schemas beside {}: {error}", text.label());
        Failure::new(Kind::Usage, sentence)
    })
}

fn failure(error: &SourceError, text: &SourceText) -> Failure {
    let hint = format!("xetl source lint {} may show where", text.name);
    match error {
        SourceError::Config { .. } | SourceError::CannotRun { .. } => {
            Failure::of(Kind::Usage, error).hint(hint)
        }
        SourceError::UnknownStream { .. } => Failure::of(Kind::Usage, error),
        error => trouble(error),
    }
}

/// Why a source that was opened could not be read.
pub fn trouble(error: &SourceError) -> Failure {
    let kind = match error {
        SourceError::Parked { .. } => Kind::Parked,
        SourceError::Unreachable { .. } => Kind::Unreachable,
        _ => Kind::Failed,
    };
    Failure::of(kind, error)
}
