//! Sources described in Airbyte's declarative language, run natively.
//!
//! A manifest is resolved (`manifest`) and, with a config, makes a `blueprint`;
//! its streams are listed (`definitions`, `dynamic`), and those that are wanted
//! are opened component by component (`component`). What decides is pure:
//! `paginator`, `cursor`, `error_handler`, `retries`, `budget`, `request`;
//! only `requester`, `auth` and `shared` touch the network. Where a loaded
//! record goes is not known here.

mod auth;
mod backoff;
mod blueprint;
mod body;
mod budget;
mod checks;
mod component;
mod config;
mod config_rules;
mod cursor;
mod declarative_stream;
mod decoder;
mod definitions;
mod delegating;
mod dotnet;
mod dpath;
mod dynamic;
mod error_handler;
mod extractor;
mod isoparse;
mod json;
mod json_text;
mod literal;
mod manifest;
mod mapping;
mod migration;
mod moment;
mod native;
mod normalization;
mod paginator;
mod partition;
mod python;
mod record_error;
mod request;
mod requester;
mod response;
mod retries;
mod retriever;
mod schema_loader;
mod selector;
mod shared;
mod slicer;
mod strptime;
mod template;
mod transform;
mod window;
pub mod yaml;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value as Json};

use crate::stream::{Source, SourceError, Stream};

use blueprint::{Blueprint, Opened, open_stream};
pub use config::{Config, Redactor, SecretSink, SinkError};
use definitions::Definition;
pub use schema_loader::attach_files;

/// Which streams of a source to open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Their names; `None` for all there are.
    pub streams: Option<Vec<String>>,
    /// Leaves out streams that cannot run, where it is an error otherwise.
    pub skip_unsupported: bool,
}

impl Wanted {
    /// These streams, or all where none is named.
    pub fn named(names: &[String]) -> Wanted {
        Wanted {
            streams: (!names.is_empty()).then(|| names.to_vec()),
            skip_unsupported: false,
        }
    }

    /// No stream: the source is only checked.
    pub fn nothing() -> Wanted {
        Wanted {
            streams: Some(Vec::new()),
            skip_unsupported: false,
        }
    }
}

/// Opens what is wanted of a manifest with a config; fails if some of it cannot run.
///
/// Requests are sent only where streams are made from what a source answers.
pub async fn open(
    manifest: &Json,
    config: Config,
    secrets: Arc<dyn SecretSink>,
    wanted: &Wanted,
) -> Result<Box<dyn Source>, SourceError> {
    let blueprint = Blueprint::new(manifest, config, secrets)?;
    let known = known(&blueprint, wanted).await?;
    let mut chosen = chosen(&known, wanted)?;
    let opened = blueprint.open(&mut chosen)?;
    if !opened.unfit.is_empty() {
        refuse_or_skip(&opened, known, &blueprint, wanted)?;
    }
    Ok(Box::new(DeclarativeSource {
        groups: blueprint.groups(),
        streams: opened.streams,
        blueprint,
    }))
}

/// The specification of a manifest's config: JSON Schema, with `airbyte_secret` on secrets.
pub fn specification(manifest: &Json) -> Result<Json, SourceError> {
    let manifest = blueprint::resolved(manifest)?;
    Ok(manifest["spec"]["connection_specification"].clone())
}

/// The streams there are; those made from templates only if one of them may be wanted.
async fn known(blueprint: &Blueprint, wanted: &Wanted) -> Result<Vec<Definition>, SourceError> {
    let written = blueprint.written()?;
    let is_written = |name: &String| written.iter().any(|stream| stream.name() == name);
    let names = wanted.streams.as_ref();
    if !blueprint.has_dynamic_streams() || names.is_some_and(|names| names.iter().all(is_written)) {
        return Ok(written);
    }
    blueprint.all().await
}

/// The wanted streams, in the order they are asked for.
fn chosen(known: &[Definition], wanted: &Wanted) -> Result<Vec<Definition>, SourceError> {
    let Some(names) = &wanted.streams else {
        return Ok(known.to_vec());
    };
    let find = |name: &String| {
        let found = known.iter().find(|stream| stream.name() == name);
        found.cloned().ok_or_else(|| SourceError::UnknownStream {
            name: name.clone(),
            known: known
                .iter()
                .map(|stream| stream.name().to_owned())
                .collect(),
        })
    };
    names.iter().map(find).collect()
}

fn refuse_or_skip(
    opened: &Opened,
    mut known: Vec<Definition>,
    blueprint: &Blueprint,
    wanted: &Wanted,
) -> Result<(), SourceError> {
    if wanted.skip_unsupported && !opened.streams.is_empty() {
        for stream in &opened.unfit {
            let (at, problem) = (&stream.at, &stream.problem);
            tracing::warn!(stream = stream.name, at, problem, "skipped: it cannot run");
        }
        return Ok(());
    }
    let fit = blueprint.open(&mut known)?.streams;
    Err(SourceError::CannotRun {
        unfit: opened.unfit.clone(),
        fit: fit
            .iter()
            .map(|stream| stream.info().name.clone())
            .collect(),
    })
}

struct DeclarativeSource {
    streams: Vec<Box<dyn Stream>>,
    groups: Map<String, Json>,
    blueprint: Blueprint,
}

impl Source for DeclarativeSource {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn group(&self, stream: &str) -> Option<&str> {
        self.groups.get(stream).and_then(Json::as_str)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        checks::run(&self.blueprint).boxed()
    }
}
