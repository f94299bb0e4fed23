//! Streams that are made from a template: one for each set of values.
//!
//! The values come from a request, from the config or from the manifest.
//! What a mapping does to a template is pure; only `fetched` reads a source.

mod mapping;

use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::{Value as Json, json};

use crate::stream::{SourceError, State};
use crate::value::{Object, Value};

use super::component::Component;
use super::definitions::Definition;
use super::dpath::Step;
use super::manifest::{self, Precedence};
use super::shared::Shared;
use super::template::{Scope, Template, TemplateError, to_template};
use super::{dpath, open_stream};
use mapping::Mapping;

/// One set of values, with the slice they were read in.
struct Values {
    values: Value,
    scope: Scope,
}

/// The streams of all dynamic streams of a manifest, each name once.
pub async fn streams(
    manifest: &Json,
    shared: &Arc<Shared>,
) -> Result<Vec<Definition>, SourceError> {
    let mut found: Vec<Definition> = Vec::new();
    let written = manifest["dynamic_streams"].as_array().into_iter().flatten();
    for (index, json) in written.enumerate() {
        let dynamic = Dynamic::new(json, index);
        for stream in dynamic.streams(shared).await? {
            if found.iter().any(|known| known.name() == stream.name()) {
                return Err(dynamic.duplicate(stream.name()));
            }
            found.push(stream);
        }
    }
    Ok(found)
}

/// The name by which checks know the dynamic stream at `index`.
pub fn name(json: &Json, index: usize) -> String {
    let name = json["name"].as_str().map(str::to_owned);
    name.unwrap_or_else(|| format!("dynamic_stream_{index}"))
}

struct Dynamic<'m> {
    component: Component<'m>,
    name: String,
}

impl<'m> Dynamic<'m> {
    fn new(json: &'m Json, index: usize) -> Dynamic<'m> {
        Dynamic {
            component: Component::new(json, format!("dynamic_streams[{index}]")),
            name: name(json, index),
        }
    }

    fn duplicate(&self, name: &str) -> SourceError {
        let from_config =
            self.component.json()["components_resolver"]["type"] == "ConfigComponentsResolver";
        self.component.error(match from_config {
            true => format!("two dynamic streams are named `{name}`; look at your config"),
            false => format!("two dynamic streams are named `{name}`"),
        })
    }

    async fn streams(&self, shared: &Arc<Shared>) -> Result<Vec<Definition>, SourceError> {
        let resolver = self.component.need("components_resolver")?;
        let template = self.component.need("stream_template")?;
        let mappings = Mapping::all(&resolver)?;
        let mut streams = Vec::new();
        for values in self.values(&resolver, shared).await? {
            let scope = values
                .scope
                .with("components_values", to_template(&values.values))
                .with(
                    "stream_template_config",
                    to_template(&template.json().into()),
                );
            let mut stream = Value::from(template.json());
            for mapping in &mappings {
                mapping
                    .apply(&mut stream, &scope)
                    .map_err(|error| resolver.error(shared.redactor.clean(&error.to_string())))?;
            }
            streams.push(self.definition(&stream)?);
        }
        Ok(streams)
    }

    fn definition(&self, stream: &Value) -> Result<Definition, SourceError> {
        let Json::Object(fields) = stream.to_json() else {
            return Err(self.component.error("`stream_template` is no stream"));
        };
        let precedence = match self.component.json()["use_parent_parameters"] {
            Json::Bool(false) => Precedence::Own,
            _ => Precedence::Parents,
        };
        let mut fields = manifest::complete(fields, precedence);
        fields
            .entry("type")
            .or_insert_with(|| "DeclarativeStream".into());
        if !fields.get("name").is_some_and(Json::is_string) {
            let name = fields.get("name").unwrap_or(&Json::Null);
            return Err(self
                .component
                .error(format!("a stream's name is {name}, which is no text")));
        }
        Ok(Definition {
            fields: Json::Object(fields),
            at: format!("{}.stream_template", self.component.at),
            made_by: Some(self.name.clone()),
        })
    }

    async fn values(
        &self,
        resolver: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Vec<Values>, SourceError> {
        let plain = |values: Vec<Value>| {
            let scope = || shared.scope.clone();
            let values = values.into_iter();
            values
                .map(|values| Values {
                    values,
                    scope: scope(),
                })
                .collect()
        };
        match resolver.kind() {
            "HttpComponentsResolver" => self.fetched(resolver, shared).await,
            "ConfigComponentsResolver" => configured(resolver, shared).map(plain),
            "ParametrizedComponentsResolver" => {
                let parameters = resolver.need("stream_parameters")?;
                let list = parameters.field("list_of_parameters_for_stream");
                let list = list.and_then(Json::as_array).into_iter().flatten();
                Ok(plain(list.map(Value::from).collect()))
            }
            _ => Err(resolver.unknown(
                "HttpComponentsResolver, ConfigComponentsResolver or ParametrizedComponentsResolver",
            )),
        }
    }

    /// The records of the resolver's retriever.
    async fn fetched(
        &self,
        resolver: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Vec<Values>, SourceError> {
        let mut retriever = resolver.need("retriever")?.json().clone();
        if let Some(Json::Object(requester)) = retriever.get_mut("requester") {
            requester.insert("use_cache".to_owned(), true.into());
        }
        let name = match self.component.text("name") {
            None | Some("") => "__http_components_resolver",
            Some(name) => name,
        };
        let json = json!({"type": "DeclarativeStream", "name": name, "retriever": retriever});
        let stream = Component::new(&json, resolver.at.clone());
        let stream = open_stream(&stream, shared)?;
        let state = State::Null;
        let mut found = Vec::new();
        let mut slices = stream.slices(&state);
        while let Some(slice) = slices.try_next().await? {
            let mut pages = stream.pages(&slice);
            while let Some(page) = pages.try_next().await? {
                let scope = || shared.scope.clone().with_slice(&slice);
                let records = page.records.into_iter();
                found.extend(records.map(|values| Values {
                    values,
                    scope: scope(),
                }));
            }
        }
        Ok(found)
    }
}

/// Every combination of what the config lists, one field set each.
fn configured(resolver: &Component<'_>, shared: &Shared) -> Result<Vec<Value>, SourceError> {
    let configs = match resolver.field("stream_config") {
        Some(Json::Array(_)) => resolver.children("stream_config"),
        _ => vec![resolver.need("stream_config")?],
    };
    let config = Value::from(&Json::Object(shared.config.0.clone()));
    let mut combined: Vec<Vec<(usize, Value)>> = vec![Vec::new()];
    for stream_config in configs {
        let listed = listed(&stream_config, &config, &shared.scope)?;
        combined = combined
            .into_iter()
            .flat_map(|chosen| {
                let more = listed.iter().cloned().enumerate();
                more.map(move |choice| [chosen.clone(), vec![choice]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(combined.into_iter().map(merged).collect())
}

fn listed(
    stream_config: &Component<'_>,
    config: &Value,
    scope: &Scope,
) -> Result<Vec<Value>, SourceError> {
    let path = steps(&stream_config.templates("configs_pointer")?, scope)
        .map_err(|error| stream_config.error(error.to_string()))?;
    let found = dpath::take(config.clone(), &path);
    let found = found.map_err(|error| stream_config.error(error.to_string()))?;
    let mut listed = match found {
        None => Vec::new(),
        Some(Value::Array(values)) => values,
        Some(value) => vec![value],
    };
    let defaults = stream_config
        .field("default_values")
        .and_then(Json::as_array);
    listed.extend(defaults.into_iter().flatten().map(Value::from));
    Ok(listed)
}

/// What is no mapping is kept under a name of its own, with its place in the list.
fn merged(combination: Vec<(usize, Value)>) -> Value {
    let mut fields = Object::default();
    for (index, (place, value)) in combination.into_iter().enumerate() {
        match value {
            Value::Object(more) => fields.extend(more),
            value => {
                let pair = Value::Array(vec![Value::Int(place as i64), value]);
                fields
                    .entry(format!("source_config_{index}"))
                    .or_insert(pair);
            }
        }
    }
    Value::Object(fields)
}

/// The path that templates make.
fn steps(templates: &[Template], scope: &Scope) -> Result<Vec<Step>, TemplateError> {
    let steps = templates.iter();
    steps
        .map(|template| Ok(Step::of(&template.value(scope)?)))
        .collect()
}
