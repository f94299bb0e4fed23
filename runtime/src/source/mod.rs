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
mod fold;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod isoparse;
pub(crate) mod json;
mod json_text;
pub mod lint;
mod literal;
mod manifest;
mod mapping;
mod migration;
mod moment;
mod native;
mod normalization;
mod outside;
mod paginator;
mod partition;
mod python;
mod ranged;
mod ratelimit;
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
mod usage;
mod watch;
mod window;
pub mod yaml;

use std::borrow::Cow;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value as Json};

use crate::range::Range;
use crate::stream::{Source, SourceError, Stream, Usage};

use blueprint::{Blueprint, Opened, open_stream};
pub use config::{Config, Redactor, SecretSink, SinkError};
use definitions::Definition;
pub use outside::{Found, Objects, ObjectsError, Outside};
pub use schema_loader::attach_files;
pub use transform::Alone;
pub use watch::{Exchange, Seen, Watcher};

/// Which streams of a source to open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Their names; `None` for all there are.
    pub streams: Option<Vec<String>>,
    /// Leaves out streams that cannot run, where it is an error otherwise.
    pub skip_unsupported: bool,
    /// The only time to read, where one is asked for.
    pub range: Option<Range>,
    /// Whether pages come from where they were kept, and the source is asked for nothing.
    pub offline: bool,
}

impl Wanted {
    /// These streams, or all where none is named.
    pub fn named(names: &[String]) -> Wanted {
        Wanted {
            streams: (!names.is_empty()).then(|| names.to_vec()),
            ..Wanted::default()
        }
    }

    /// No stream: the source is only checked.
    pub fn nothing() -> Wanted {
        Wanted {
            streams: Some(Vec::new()),
            ..Wanted::default()
        }
    }
}

/// Opens what is wanted of a manifest with a config; fails if some of it cannot run.
///
/// Requests are sent only where streams are made from what a source answers.
pub async fn open(
    manifest: &Json,
    config: Config,
    outside: impl Into<Outside>,
    wanted: &Wanted,
) -> Result<Box<dyn Source>, SourceError> {
    open_watched(manifest, config, outside, wanted, None).await
}

/// As `open`, telling a watcher of each request and its reply.
pub async fn open_watched(
    manifest: &Json,
    config: Config,
    outside: impl Into<Outside>,
    wanted: &Wanted,
    watcher: Option<Watcher>,
) -> Result<Box<dyn Source>, SourceError> {
    let blueprint = Blueprint::new(manifest, config, outside.into(), watcher, wanted.offline)?;
    let streams = {
        let known = known(&blueprint, wanted).await?;
        let chosen = chosen(&known, wanted)?;
        let opened = match &wanted.range {
            None => blueprint.open(chosen),
            Some(range) => {
                let limited = chosen.iter().map(|stream| ranged::limited(stream, range));
                blueprint.open(&limited.collect::<Result<Vec<_>, _>>()?)
            }
        };
        if !opened.unfit.is_empty() {
            refuse_or_skip(&opened, &known, &blueprint, wanted)?;
        }
        opened.streams
    };
    Ok(Box::new(DeclarativeSource {
        groups: blueprint.groups(),
        streams,
        blueprint,
    }))
}

/// Where a config does not fit what its manifest says of it; no values, as they may be secret.
pub fn misfits(manifest: &Json, config: &Config) -> Result<Vec<String>, SourceError> {
    let manifest = blueprint::resolved(manifest)?;
    let spec = &manifest["spec"];
    let config = config_rules::applied(spec, config.clone())?;
    let specification = &spec["connection_specification"];
    Ok(config_rules::misfits(specification, &config))
}

/// What a manifest says before it has a config.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Of its config: JSON Schema, with `airbyte_secret` on secrets.
    pub specification: Json,
    /// The streams that are written down, those under a condition too.
    pub streams: Vec<String>,
    /// Whether more streams are made from templates.
    pub makes_streams: bool,
}

pub fn outline(manifest: &Json) -> Result<Outline, SourceError> {
    let mut manifest = blueprint::resolved(manifest)?;
    let made = manifest["dynamic_streams"].as_array();
    Ok(Outline {
        makes_streams: made.is_some_and(|made| !made.is_empty()),
        streams: stream_names(&manifest["streams"]),
        specification: manifest["spec"]["connection_specification"].take(),
    })
}

fn stream_names(streams: &Json) -> Vec<String> {
    let streams = streams.as_array().into_iter().flatten();
    streams
        .flat_map(|stream| match stream["type"].as_str() {
            Some("ConditionalStreams") => stream_names(&stream["streams"]),
            _ => stream["name"]
                .as_str()
                .map(str::to_owned)
                .into_iter()
                .collect(),
        })
        .collect()
}

/// Whether a range of time can be read of a stream; `None` where the manifest does not write it down.
pub fn reads_by_time(manifest: &Json, stream: &str) -> Result<Option<bool>, SourceError> {
    let manifest = blueprint::resolved(manifest)?;
    let streams = manifest["streams"].as_array().into_iter().flatten();
    let found = streams.into_iter().find(|found| found["name"] == stream);
    Ok(found.map(ranged::has_time))
}

/// The key a manifest declares for a stream; `None` where that shows only while it runs.
pub fn declared_key(manifest: &Json, stream: &str) -> Result<Option<Vec<String>>, SourceError> {
    let manifest = blueprint::resolved(manifest)?;
    let streams = manifest["streams"].as_array().into_iter().flatten();
    let found = streams
        .filter(|found| found["name"] == stream)
        .find(|found| found["type"] == "DeclarativeStream");
    Ok(found.map(|found| declarative_stream::primary_key(found.get("primary_key"))))
}

/// The streams there are; those made from templates only if one of them may be wanted.
async fn known<'b>(
    blueprint: &'b Blueprint,
    wanted: &Wanted,
) -> Result<Cow<'b, [Definition]>, SourceError> {
    let written = blueprint.written();
    let is_written = |name: &String| written.iter().any(|stream| stream.name() == name);
    match &wanted.streams {
        Some(names) if names.iter().all(is_written) => Ok(Cow::Borrowed(written)),
        _ => blueprint.all().await,
    }
}

/// The wanted streams, in the order they are asked for.
fn chosen<'d>(
    known: &'d [Definition],
    wanted: &Wanted,
) -> Result<Vec<&'d Definition>, SourceError> {
    let Some(names) = &wanted.streams else {
        return Ok(known.iter().collect());
    };
    let names = names.iter();
    names
        .map(|name| {
            let found = known.iter().find(|stream| stream.name() == name);
            found.ok_or_else(|| SourceError::UnknownStream {
                name: name.clone(),
                known: known
                    .iter()
                    .map(|stream| stream.name().to_owned())
                    .collect(),
            })
        })
        .collect()
}

fn refuse_or_skip(
    opened: &Opened,
    known: &[Definition],
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
    let fit = blueprint.open(known).streams;
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

    fn usage(&self, stream: &str) -> Usage {
        self.blueprint.usage(stream)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        checks::run(&self.blueprint).boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_outline_is_read_through_references_and_parameters() {
        let manifest = json!({
            "definitions": {"spec": {"type": "object"}, "a": {"$parameters": {"name": "a"}}},
            "spec": {"type": "Spec", "connection_specification": "#/definitions/spec"},
            "streams": [
                "#/definitions/a",
                {"type": "ConditionalStreams", "condition": "x", "streams": [{"name": "b"}]},
            ],
            "dynamic_streams": [{}],
        });
        let outline = outline(&manifest).unwrap();
        assert_eq!(outline.streams, ["a", "b"]);
        assert_eq!(outline.specification, json!({"type": "object"}));
        assert!(outline.makes_streams);
    }
}
