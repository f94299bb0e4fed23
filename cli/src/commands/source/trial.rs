//! A source opened by hand: a manifest and a config, without a client or a cloud.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xetl_runtime::opening::{self, Around};
use xetl_runtime::read::ConfigFile;
use xetl_runtime::source::{self, Config, Wanted, Watcher};
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
        self.check_fit(&manifest, &config)?;
        let around = Around::by_hand(Arc::new(file));
        let opened = opening::open(&manifest.0, config, around, wanted, watcher).await;
        opened.map_err(|error| self.failure(&error))
    }

    /// A config that its source cannot mean is told before a request is sent.
    fn check_fit(&self, manifest: &Manifest, config: &Config) -> Result<(), Failure> {
        let misfits = source::misfits(&manifest.0, config).map_err(|error| self.failure(&error))?;
        if misfits.is_empty() {
            return Ok(());
        }
        let sentence = format!(
            "{} does not fit the source:\n  {}",
            self.config.display(),
            misfits.join("\n  ")
        );
        let hint = format!("xetl source show {} lists what it takes", self.source);
        Err(Failure::new(Kind::Usage, sentence).hint(hint))
    }

    /// What may help who wrote the manifest.
    pub fn hint(&self) -> String {
        format!("xetl source lint {} may show where", self.source)
    }

    fn failure(&self, error: &SourceError) -> Failure {
        match error {
            SourceError::Config { .. } | SourceError::CannotRun { .. } => {
                Failure::of(Kind::Usage, error).hint(self.hint())
            }
            SourceError::UnknownStream { .. } => Failure::of(Kind::Usage, error),
            error => trouble(error),
        }
    }
}

/// Schemas that stand in files beside the manifest.
fn attach(manifest: &mut Manifest, text: &SourceText) -> Result<(), Failure> {
    let path = text.path.as_deref().unwrap_or(Path::new(""));
    source::attach_files(Arc::make_mut(&mut manifest.0), path).map_err(|error| {
        let sentence = format!("cannot read the schemas beside {}: {error}", text.label());
        Failure::new(Kind::Usage, sentence)
    })
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
