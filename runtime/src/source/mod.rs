//! Sources described in Airbyte's declarative language, run natively.
//!
//! A manifest is resolved (`manifest`), opened component by component
//! (`component`) and gives streams (`declarative_stream`). What decides is pure:
//! `paginator`, `cursor`, `error_handler`, `retries`, `budget`, `request`;
//! only `requester`, `auth` and `shared` touch the network. Where a loaded
//! record goes is not known here.

mod auth;
mod backoff;
mod budget;
mod component;
mod config;
mod cursor;
mod declarative_stream;
mod decoder;
mod dotnet;
mod dpath;
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
mod selector;
mod shared;
mod slicer;
mod strptime;
mod template;
mod transform;
mod yaml;

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Value as Json, json};

use crate::stream::{Source, SourceError, State, Stream, StreamInfo};
use crate::value::Value;

use budget::Budget;
use component::Component;
pub use config::{Config, Redactor, SecretSink, SinkError};
use declarative_stream::{DeclarativeStream, Unreadable, primary_key};
use shared::Shared;
use template::{Scope, to_template};

/// Requests at once where the manifest does not say, as the reference's.
const DEFAULT_CONCURRENCY: usize = 2;

/// Opens a manifest with a config. A stream that cannot be read says so when it is read.
pub fn open(
    manifest: &Json,
    config: Config,
    secrets: Arc<dyn SecretSink>,
) -> Result<Box<dyn Source>, SourceError> {
    let manifest = resolve(manifest)?;
    let root = Component::new(&manifest, "manifest");
    if root.kind() != "DeclarativeSource" {
        return Err(root.unknown("DeclarativeSource"));
    }
    let shared = Arc::new(open_shared(&root, config, secrets)?);
    let streams = Component::new(&manifest["streams"], "streams");
    let streams: Vec<Box<dyn Stream>> = elements(&streams)
        .iter()
        .map(|stream| {
            open_stream(stream, &shared)
                .unwrap_or_else(|error| Box::new(unreadable(info(stream), error)))
        })
        .collect();
    if streams.is_empty() {
        return Err(root.error("the manifest has no `streams`"));
    }
    let names = &manifest["check"]["stream_names"];
    let names = names.as_array().into_iter().flatten();
    Ok(Box::new(DeclarativeSource {
        streams,
        check: names.filter_map(Json::as_str).map(str::to_owned).collect(),
    }))
}

/// The specification of a manifest's config: JSON Schema, with `airbyte_secret` on secrets.
pub fn specification(manifest: &Json) -> Result<Json, SourceError> {
    let manifest = resolve(manifest)?;
    Ok(manifest["spec"]["connection_specification"].clone())
}

fn resolve(manifest: &Json) -> Result<Json, SourceError> {
    manifest::resolve(manifest).map_err(|problem| SourceError::Config {
        at: "manifest".to_owned(),
        problem,
    })
}

fn elements<'m>(list: &Component<'m>) -> Vec<Component<'m>> {
    let values = list.json().as_array().into_iter().flatten().enumerate();
    values
        .map(|(index, json)| Component::new(json, format!("{}[{index}]", list.at)))
        .collect()
}

fn open_shared(
    root: &Component<'_>,
    config: Config,
    secrets: Arc<dyn SecretSink>,
) -> Result<Shared, SourceError> {
    let specification = &root.json()["spec"]["connection_specification"];
    let redactor = Redactor::new(&config, specification);
    let shown = to_template(&Value::from(&Json::Object(config.0.clone())));
    let scope = Scope::new(shown);
    let budget = match root.child("api_budget") {
        Some(budget) => Budget::open(&Component::new(budget.json(), "api_budget"), &scope)?,
        None => Budget::unlimited(),
    };
    let concurrency = concurrency(root, &scope)?;
    Shared::new(config, scope, secrets, redactor, budget, concurrency)
}

fn concurrency(root: &Component<'_>, scope: &Scope) -> Result<usize, SourceError> {
    let Some(level) = root.child("concurrency_level") else {
        return Ok(DEFAULT_CONCURRENCY);
    };
    let level = Component::new(level.json(), "concurrency_level");
    let text = level
        .template_or("default_concurrency", "2")?
        .text(scope)
        .map_err(|error| level.error(error.to_string()))?;
    let number: usize = text.parse().map_err(|_| {
        level.error(format!(
            "`default_concurrency` is `{text}`, not a whole number"
        ))
    })?;
    let most = level.field("max_concurrency").and_then(Json::as_u64);
    Ok(most.map_or(number, |most| number.min(most as usize)))
}

/// Opens a stream of the manifest, or one that another stream is read by.
fn open_stream(
    component: &Component<'_>,
    shared: &Arc<Shared>,
) -> Result<Box<dyn Stream>, SourceError> {
    match component.kind() {
        "DeclarativeStream" => {
            let stream = DeclarativeStream::open(component, info(component), shared)?;
            Ok(Box::new(stream))
        }
        _ => Err(component.unknown("DeclarativeStream")),
    }
}

fn info(component: &Component<'_>) -> StreamInfo {
    StreamInfo {
        name: component.text("name").unwrap_or_default().to_owned(),
        primary_key: primary_key(component.field("primary_key")),
        cursor_field: None,
        schema: schema(component),
    }
}

fn unreadable(info: StreamInfo, error: SourceError) -> Unreadable {
    let (at, problem) = match error {
        SourceError::Config { at, problem } => (at, problem),
        other => ("streams".to_owned(), other.to_string()),
    };
    let at = format!("stream `{}`, {at}", info.name);
    Unreadable { info, at, problem }
}

/// The schema of an InlineSchemaLoader; others are not declared in the manifest.
fn schema(component: &Component<'_>) -> Json {
    match component.child("schema_loader") {
        Some(loader) if loader.kind() == "InlineSchemaLoader" => {
            loader.field("schema").cloned().unwrap_or_else(|| json!({}))
        }
        _ => json!({}),
    }
}

struct DeclarativeSource {
    streams: Vec<Box<dyn Stream>>,
    check: Vec<String>,
}

impl DeclarativeSource {
    /// Reads the first page of each stream the manifest names for this.
    async fn try_streams(&self) -> Result<(), SourceError> {
        if self.check.is_empty() {
            return Err(SourceError::Config {
                at: "check".to_owned(),
                problem: "`stream_names` is empty; name a stream that shows the config works"
                    .to_owned(),
            });
        }
        for name in &self.check {
            let mut streams = self.streams.iter();
            let stream = streams.find(|stream| stream.info().name == *name);
            let stream = stream.ok_or_else(|| SourceError::Config {
                at: "check".to_owned(),
                problem: format!("there is no stream `{name}`"),
            })?;
            first_page(stream.as_ref()).await?;
        }
        Ok(())
    }
}

async fn first_page(stream: &dyn Stream) -> Result<(), SourceError> {
    let state = State::Null;
    let Some(slice) = stream.slices(&state).next().await.transpose()? else {
        return Ok(());
    };
    let page = stream.pages(&slice).next().await;
    page.transpose().map(|_| ())
}

impl Source for DeclarativeSource {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        self.try_streams().boxed()
    }
}
