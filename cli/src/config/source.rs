//! Source manifests: the built-in ones, and what a manifest says of its config.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use xetl_runtime::stream::SourceError;
use xetl_runtime::{opening, source, tables};

use super::{ConfigError, SourceText, shown};

/// The manifests compiled in, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("bigquery", include_str!("../../../sources/bigquery.yaml")),
    ("close", include_str!("../../../sources/close.yaml")),
    ("frames", include_str!("../../../sources/frames.yaml")),
    ("isams", include_str!("../../../sources/isams.yaml")),
    ("rest", include_str!("../../../sources/rest.yaml")),
    ("xero", include_str!("../../../sources/xero.yaml")),
];

pub fn built_in_sources() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// The text of a manifest that is compiled in.
pub fn built_in_text(name: &str) -> Option<&'static str> {
    let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(text)
}

/// A source's declarative manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest(pub Arc<Value>);

/// A field of the config that is kept in Secret Manager.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretField {
    /// Dotted path in the config, such as `credentials.client_secret`.
    pub path: String,
    pub required: bool,
}

impl Manifest {
    pub fn read(path: &Path) -> Result<Manifest, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Manifest::parse(path, &text)
    }

    /// The manifest of a text.
    pub fn of(source: &SourceText) -> Result<Manifest, ConfigError> {
        Manifest::parse(Path::new(&source.label()), &source.text)
    }

    /// A manifest that is compiled in, or `None`.
    pub fn built_in(name: &str) -> Option<Result<Manifest, ConfigError>> {
        let text = built_in_text(name)?;
        let path = format!("built-in source {name}");
        Some(Manifest::parse(Path::new(&path), text))
    }

    /// Reads YAML as the runtime does, with its specification's references looked up.
    fn parse(path: &Path, text: &str) -> Result<Manifest, ConfigError> {
        let at = |problem: String| ConfigError::Yaml {
            at: shown(path),
            problem,
        };
        let mut manifest = source::yaml::read(text).map_err(|error| ConfigError::Yaml {
            at: format!("{}:{}:{}", shown(path), error.line, error.column),
            problem: error.problem,
        })?;
        let outline = source::outline(&manifest).map_err(|error| at(error.to_string()))?;
        if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
            let key = "connection_specification".to_owned();
            spec.insert(key, outline.specification);
        }
        Ok(Manifest(Arc::new(manifest)))
    }

    /// The JSON Schema of the config (`spec.connection_specification`).
    pub fn specification(&self) -> &Value {
        &self.0["spec"]["connection_specification"]
    }

    /// The names of its streams; none where some are only known while it runs.
    pub fn stream_names(&self) -> Vec<String> {
        match source::outline(&self.0) {
            Ok(outline) if !outline.makes_streams => outline.streams,
            _ => Vec::new(),
        }
    }

    /// The same where a config names the streams.
    pub fn stream_names_with(
        &self,
        config: &Map<String, Value>,
    ) -> Result<Vec<String>, SourceError> {
        match opening::native(&self.0) {
            Some(tables::CLASS) => {
                let streams = tables::outline(config)?.into_iter();
                Ok(streams.map(|stream| stream.name).collect())
            }
            _ => Ok(self.stream_names()),
        }
    }

    /// Whether a range of time can be read of a stream; `None` where that shows only while it
    /// runs.
    pub fn reads_by_time(
        &self,
        config: &Map<String, Value>,
        stream: &str,
    ) -> Result<Option<bool>, SourceError> {
        match opening::native(&self.0) {
            Some(tables::CLASS) => {
                let streams = tables::outline(config)?;
                let found = streams.iter().find(|known| known.name == stream);
                Ok(found.map(|stream| stream.has_cursor))
            }
            _ => source::reads_by_time(&self.0, stream),
        }
    }

    /// Whether it makes streams from what the source answers.
    pub fn has_dynamic_streams(&self) -> bool {
        let dynamic = self.0["dynamic_streams"].as_array();
        dynamic.is_some_and(|streams| !streams.is_empty())
    }

    /// The secret fields of this config: with a `oneOf`, those of the variant it chose.
    pub fn secret_fields(&self, config: &Map<String, Value>) -> Vec<SecretField> {
        let mut fields = Vec::new();
        let config = Value::Object(config.clone());
        collect(self.specification(), &config, "", true, &mut fields);
        fields.sort();
        fields.dedup_by(|a, b| a.path == b.path);
        fields
    }
}

fn collect(schema: &Value, config: &Value, at: &str, required: bool, found: &mut Vec<SecretField>) {
    if schema["airbyte_secret"] == true {
        found.push(SecretField {
            path: at.to_owned(),
            required,
        });
        return;
    }
    if let Some(variant) = variant(schema, config) {
        collect(variant, config, at, required, found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let needed = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|required| required == name));
        let path = match at {
            "" => name.clone(),
            at => format!("{at}.{name}"),
        };
        // Once a part of a group is given, the rest of it is needed.
        let needed = required && (needed || config[name].is_object());
        collect(property, &config[name], &path, needed, found);
    }
}

/// The variant of a `oneOf` that the config chose by its `const` field; else the only one.
fn variant<'a>(schema: &'a Value, config: &Value) -> Option<&'a Value> {
    let variants = schema["oneOf"].as_array()?;
    let chosen = variants.iter().find(|variant| chooses(variant, config));
    chosen.or(match variants.as_slice() {
        [only] => Some(only),
        _ => None,
    })
}

fn chooses(variant: &Value, config: &Value) -> bool {
    let mut constants = variant["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, property)| Some((name, property.get("const")?)))
        .peekable();
    constants.peek().is_some() && constants.all(|(name, constant)| config[name] == *constant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest() -> Manifest {
        Manifest(Arc::new(json!({"spec": {"connection_specification": {
            "type": "object",
            "required": ["credentials"],
            "properties": {
                "start_date": {"type": "string"},
                "webhook_key": {"type": "string", "airbyte_secret": true},
                "credentials": {"type": "object", "oneOf": [
                    {"required": ["client_secret"], "properties": {
                        "auth_type": {"const": "client_credentials"},
                        "client_secret": {"airbyte_secret": true}}},
                    {"required": ["refresh_token"], "properties": {
                        "auth_type": {"const": "refresh"},
                        "refresh_token": {"airbyte_secret": true}}},
                ]},
            },
        }}})))
    }

    #[test]
    fn the_secret_fields_are_those_of_the_chosen_variant() {
        let config = json!({"credentials": {"auth_type": "refresh"}});
        let fields = manifest().secret_fields(config.as_object().unwrap());
        let paths: Vec<_> = fields.iter().map(|f| (&*f.path, f.required)).collect();
        assert_eq!(
            paths,
            [("credentials.refresh_token", true), ("webhook_key", false)]
        );
    }

    #[test]
    fn a_group_that_may_be_left_out_needs_its_secrets_once_it_is_there() {
        let mut manifest = manifest();
        Arc::make_mut(&mut manifest.0)["spec"]["connection_specification"]["required"] = json!([]);
        let needed = |config: Value| {
            let fields = manifest.secret_fields(config.as_object().unwrap());
            let needed = fields.into_iter().filter(|field| field.required);
            needed.map(|field| field.path).collect::<Vec<_>>()
        };
        assert_eq!(needed(json!({})), Vec::<String>::new());
        let chosen = json!({"credentials": {"auth_type": "refresh"}});
        assert_eq!(needed(chosen), ["credentials.refresh_token"]);
    }

    #[test]
    fn streams_are_named_through_references() {
        let manifest = Manifest(Arc::new(json!({
            "definitions": {"streams": {"a": {"name": "accounts"}}},
            "streams": [{"$ref": "#/definitions/streams/a"}, "#/definitions/streams/a", {"name": "b"}],
        })));
        assert_eq!(manifest.stream_names(), ["accounts", "accounts", "b"]);
    }
}
