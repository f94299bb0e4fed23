//! A resolved manifest with its config: what streams are opened from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::bundle::Mode;
use crate::stream::{SourceError, Stream, StreamInfo, UnfitStream, Usage};
use crate::value::Value;

use super::budget::Budget;
use super::component::Component;
use super::config::{Config, Redactor};
use super::declarative_stream::{DeclarativeStream, primary_key};
use super::definitions::{self, Definition};
use super::delegating::DelegatingStream;
use super::outside::Outside;
use super::shared::Shared;
use super::template::{Scope, to_template};
use super::watch::Watcher;
use super::{config_rules, dynamic, manifest, schema_loader};

/// Requests at once where the manifest does not say, as the reference's.
const DEFAULT_CONCURRENCY: i64 = 2;
/// A reply is held in memory for each request, whatever a manifest asks for.
const MOST_CONCURRENCY: i64 = 64;

pub struct Blueprint {
    /// Without its written streams.
    manifest: Json,
    written: Vec<Definition>,
    shared: Arc<Shared>,
    outside: Outside,
}

/// Streams that could be opened, and why the others could not.
#[derive(Default)]
pub struct Opened {
    pub streams: Vec<Box<dyn Stream>>,
    pub unfit: Vec<UnfitStream>,
}

impl Blueprint {
    pub fn new(
        manifest: &Json,
        config: Config,
        outside: Outside,
        watcher: Option<Watcher>,
        offline: bool,
    ) -> Result<Blueprint, SourceError> {
        let mut manifest = resolved(manifest)?;
        let root = Component::new(&manifest, "manifest");
        if root.kind() != "DeclarativeSource" {
            return Err(root.unknown("DeclarativeSource"));
        }
        let config = config_rules::applied(&manifest["spec"], config)?;
        let shared = open_shared(&root, config, outside.clone())?;
        let shared = Arc::new(shared.watched_by(watcher).offline(offline));
        schema_loader::place_files(&mut manifest, &shared.scope);
        let mut written = definitions::written(&mut manifest, &shared.scope)?;
        definitions::remember_parents(&mut written);
        Ok(Blueprint {
            manifest,
            written: last_of_name(written),
            shared,
            outside,
        })
    }

    /// This manifest with other values in the config, for a check.
    ///
    /// Streams that depend on a condition are those of the config as it is.
    pub fn overlaid(&self, overrides: &Map<String, Json>) -> Result<Blueprint, SourceError> {
        let mut config = self.shared.config.clone();
        config.0.extend(overrides.clone());
        let root = Component::new(&self.manifest, "manifest");
        let shared = Arc::new(open_shared(&root, config, self.outside.clone())?);
        Ok(Blueprint {
            manifest: self.manifest.clone(),
            written: self.written.clone(),
            shared,
            outside: self.outside.clone(),
        })
    }

    pub fn manifest(&self) -> &Json {
        &self.manifest
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The streams that are written down; nothing is requested.
    pub fn written(&self) -> &[Definition] {
        &self.written
    }

    /// The streams that are written down, then those that are made from templates.
    pub async fn all(&self) -> Result<Cow<'_, [Definition]>, SourceError> {
        if !self.has_dynamic_streams() {
            return Ok(Cow::Borrowed(&self.written));
        }
        let mut found = self.written.clone();
        found.extend(dynamic::streams(&self.manifest, &self.shared).await?);
        definitions::remember_parents(&mut found);
        Ok(Cow::Owned(last_of_name(found)))
    }

    pub fn has_dynamic_streams(&self) -> bool {
        let streams = self.manifest["dynamic_streams"].as_array();
        streams.is_some_and(|streams| !streams.is_empty())
    }

    pub fn open<'d>(&self, chosen: impl IntoIterator<Item = &'d Definition>) -> Opened {
        let groups = self.groups();
        let mut opened = Opened::default();
        for definition in chosen {
            let checked = definitions::check_group(definition, &groups);
            match checked.and_then(|()| open_stream(&definition.component(), &self.shared)) {
                Ok(stream) => opened.streams.push(stream),
                Err(error) => opened.unfit.push(unfit(definition, error)),
            }
        }
        opened
    }

    pub fn usage(&self, stream: &str) -> Usage {
        self.shared.usages.of(stream)
    }

    pub fn groups(&self) -> Map<String, Json> {
        definitions::groups(&self.manifest)
    }
}

/// Each name once: of two streams with one name the reference reads the last.
fn last_of_name(streams: Vec<Definition>) -> Vec<Definition> {
    let places: HashMap<String, usize> = streams
        .iter()
        .enumerate()
        .map(|(place, stream)| (stream.name().to_owned(), place))
        .collect();
    let streams = streams.into_iter().enumerate();
    streams
        .filter(|(place, stream)| places.get(stream.name()) == Some(place))
        .map(|(_, stream)| stream)
        .collect()
}

pub fn resolved(manifest: &Json) -> Result<Json, SourceError> {
    manifest::resolve(manifest).map_err(|problem| SourceError::Config {
        at: "manifest".to_owned(),
        problem,
    })
}

fn unfit(definition: &Definition, error: SourceError) -> UnfitStream {
    let (at, problem) = match error {
        SourceError::Config { at, problem } => (at, problem),
        other => (definition.at.clone(), other.to_string()),
    };
    UnfitStream {
        name: definition.name().to_owned(),
        at,
        problem,
    }
}

/// Opens a stream of the manifest, or one that another stream is read by.
pub fn open_stream(
    component: &Component<'_>,
    shared: &Arc<Shared>,
) -> Result<Box<dyn Stream>, SourceError> {
    match component.kind() {
        "DeclarativeStream" => Ok(Box::new(open_declarative(component, shared)?)),
        "StateDelegatingStream" => {
            let stream = DelegatingStream::open(component, shared)?;
            Ok(Box::new(stream))
        }
        _ => Err(component.unknown("DeclarativeStream or StateDelegatingStream")),
    }
}

/// Opens a stream that is no other streams' front.
pub fn open_declarative(
    component: &Component<'_>,
    shared: &Arc<Shared>,
) -> Result<DeclarativeStream, SourceError> {
    if component.kind() != "DeclarativeStream" {
        return Err(component.unknown("DeclarativeStream"));
    }
    DeclarativeStream::open(component, info(component)?, shared)
}

fn info(component: &Component<'_>) -> Result<StreamInfo, SourceError> {
    Ok(StreamInfo {
        name: component.text("name").unwrap_or_default().to_owned(),
        primary_key: primary_key(component.field("primary_key")),
        cursor_field: None,
        schema: json!({}),
        types: json!({}),
        mode: mode(component)?,
    })
}

fn mode(component: &Component<'_>) -> Result<Option<Mode>, SourceError> {
    let Some(json) = component.field("xetl_mode") else {
        return Ok(None);
    };
    let mode = serde_json::from_value(json.clone());
    mode.map(Some)
        .map_err(|_| component.error("`xetl_mode` is `append` or `overwrite`"))
}

fn open_shared(
    root: &Component<'_>,
    config: Config,
    outside: Outside,
) -> Result<Shared, SourceError> {
    let specification = &root.json()["spec"]["connection_specification"];
    let redactor = Redactor::new(&config, specification);
    let shown = to_template(&Value::from(&Json::Object(config.0.clone())));
    let scope = Scope::new(shown);
    let task = outside.task;
    let budget = match root.child("api_budget") {
        Some(budget) => Budget::open(&Component::new(budget.json(), "api_budget"), &scope, task)?,
        None => Budget::unlimited(),
    };
    let concurrency = task.part_of(concurrency(root, &scope)?);
    let jobs = task.part_of(jobs(root, &scope));
    let shared = Shared::new(config, scope, outside, redactor, budget, concurrency)?;
    Ok(shared.with_jobs(jobs))
}

/// How many jobs may be under way; what is no number is one, as for the reference.
fn jobs(root: &Component<'_>, scope: &Scope) -> usize {
    let written = root
        .template("max_concurrent_async_job_count")
        .ok()
        .flatten();
    let text = written.and_then(|written| written.text(scope).ok());
    let number = text.and_then(|text| text.parse::<i64>().ok()).unwrap_or(1);
    number.clamp(1, MOST_CONCURRENCY) as usize
}

/// How many requests may be under way: the level itself, or a template's whole number.
fn concurrency(root: &Component<'_>, scope: &Scope) -> Result<usize, SourceError> {
    let bounded = |level: i64| level.clamp(1, MOST_CONCURRENCY) as usize;
    let Some(level) = root.child("concurrency_level") else {
        return Ok(bounded(DEFAULT_CONCURRENCY));
    };
    let level = Component::new(level.json(), "concurrency_level");
    let most = level.field("max_concurrency").and_then(Json::as_i64);
    let most = most.filter(|most| *most != 0);
    let written = match level.need("default_concurrency")?.json() {
        Json::String(text) => text,
        number => {
            let number = number.as_i64();
            return number
                .map(bounded)
                .ok_or_else(|| level.error("`default_concurrency` is no whole number"));
        }
    };
    if written.contains("config") && most.is_none() {
        return Err(level.error("a `default_concurrency` from the config needs `max_concurrency`"));
    }
    let value = level
        .compile(written)?
        .value(scope)
        .map_err(|error| level.error(error.to_string()))?;
    match value {
        Value::Int(number) => Ok(bounded(most.map_or(number, |most| number.min(most)))),
        other => Err(level.error(format!(
            "`default_concurrency` is `{}`, not a whole number",
            super::python::text(&other)
        ))),
    }
}
