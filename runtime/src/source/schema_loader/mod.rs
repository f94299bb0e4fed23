//! Schema loaders: the JSON Schema of a stream's records, from wherever the manifest says.
//!
//! Most are written in the manifest; a dynamic one is what the source answers, so
//! a stream's schema is asked for when it is first read or discovered, and kept.

mod dynamic;
mod files;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value as Json, json};
use tokio::sync::OnceCell;

use crate::stream::SourceError;

use super::component::Component;
use super::shared::Shared;
use dynamic::Dynamic;
pub use files::{attach_files, place_files};

const TYPES: &str = "InlineSchemaLoader, JsonFileSchemaLoader or DynamicSchemaLoader";

/// A stream's schema, loaded once.
pub struct Schema {
    loader: Loader,
    loaded: OnceCell<Arc<Json>>,
}

enum Loader {
    Known(Arc<Json>),
    Dynamic(Box<Dynamic>),
    /// The properties of all, those of the first where two have one.
    Several(Vec<Loader>),
}

impl Schema {
    pub fn open(stream: &Component<'_>, shared: &Arc<Shared>) -> Result<Schema, SourceError> {
        let loader = match stream.field("schema_loader") {
            Some(Json::Array(_)) => {
                let loaders = stream.children("schema_loader");
                let loaders = loaders.iter().map(|loader| Loader::open(loader, shared));
                Loader::Several(loaders.collect::<Result<_, _>>()?)
            }
            Some(_) => Loader::open(&stream.need("schema_loader")?, shared)?,
            None => Loader::Known(Arc::new(json!({}))),
        };
        Ok(Schema {
            loader,
            loaded: OnceCell::new(),
        })
    }

    /// What is known without asking the source.
    pub fn declared(&self) -> Json {
        match self.loader.known() {
            Some(schema) => (*schema).clone(),
            None => json!({}),
        }
    }

    /// Whether only the source knows it.
    pub fn is_asked_for(&self) -> bool {
        self.loader.known().is_none()
    }

    /// Takes the schema from elsewhere, where none is loaded yet.
    pub fn given(&self, schema: Json) -> Arc<Json> {
        // Another slice may have been faster; its schema is as good.
        let _ = self.loaded.set(Arc::new(schema.clone()));
        self.loaded
            .get()
            .map_or_else(|| Arc::new(schema), Arc::clone)
    }

    pub async fn get(&self) -> Result<Arc<Json>, SourceError> {
        let loaded = self.loaded.get_or_try_init(|| self.loader.load()).await?;
        Ok(loaded.clone())
    }
}

impl Loader {
    fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Loader, SourceError> {
        Ok(match component.kind() {
            "InlineSchemaLoader" => {
                let schema = component.field("schema").cloned();
                Loader::Known(Arc::new(schema.unwrap_or_else(|| json!({}))))
            }
            "JsonFileSchemaLoader" => {
                let file = component.text("file_path").unwrap_or_default();
                tracing::warn!(
                    at = component.at,
                    file,
                    "no schema file was found beside the manifest"
                );
                Loader::Known(Arc::new(json!({})))
            }
            "DynamicSchemaLoader" => Loader::Dynamic(Box::new(Dynamic::open(component, shared)?)),
            _ => return Err(component.unknown(TYPES)),
        })
    }

    fn known(&self) -> Option<Arc<Json>> {
        match self {
            Loader::Known(schema) => Some(schema.clone()),
            Loader::Dynamic(_) => None,
            Loader::Several(loaders) => {
                let known = loaders.iter().map(Loader::known);
                Some(Arc::new(combined(&known.collect::<Option<Vec<_>>>()?)))
            }
        }
    }

    fn load(&self) -> BoxFuture<'_, Result<Arc<Json>, SourceError>> {
        async move {
            match self {
                Loader::Known(schema) => Ok(schema.clone()),
                Loader::Dynamic(dynamic) => Ok(Arc::new(dynamic.load().await?)),
                Loader::Several(loaders) => {
                    let mut schemas = Vec::new();
                    for loader in loaders {
                        schemas.push(loader.load().await?);
                    }
                    Ok(Arc::new(combined(&schemas)))
                }
            }
        }
        .boxed()
    }
}

fn combined(schemas: &[Arc<Json>]) -> Json {
    let mut all = Map::new();
    for schema in schemas {
        let properties = schema.get("properties").and_then(Json::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            all.entry(name.clone()).or_insert_with(|| schema.clone());
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": ["null", "object"],
        "properties": all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_schemas_the_first_has_the_say() {
        let schemas = [
            json!({"properties": {"a": {"type": "string"}}}),
            json!({"properties": {"a": {"type": "integer"}, "b": {}}}),
            json!({}),
        ];
        let schemas = schemas.map(Arc::new);
        assert_eq!(
            combined(&schemas)["properties"],
            json!({"a": {"type": "string"}, "b": {}})
        );
    }
}
