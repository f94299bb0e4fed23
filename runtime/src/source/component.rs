//! One component of a resolved manifest, read field by field, with errors that say where.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::Value;

use super::template::{Template, to_template};

/// A component and its path in the manifest (`streams[3].retriever.requester`).
#[derive(Debug, Clone)]
pub struct Component<'m> {
    json: &'m Json,
    pub at: String,
}

type Result<T> = std::result::Result<T, SourceError>;

impl<'m> Component<'m> {
    pub fn new(json: &'m Json, at: impl Into<String>) -> Component<'m> {
        Component {
            json,
            at: at.into(),
        }
    }

    pub fn json(&self) -> &'m Json {
        self.json
    }

    /// The component's type; empty where it has none.
    pub fn kind(&self) -> &'m str {
        self.json["type"].as_str().unwrap_or_default()
    }

    pub fn error(&self, problem: impl Into<String>) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: problem.into(),
        }
    }

    /// The error for a type that is not known here.
    pub fn unknown(&self, expected: &str) -> SourceError {
        match (self.kind(), self.json["class_name"].as_str()) {
            ("", None) => self.error(format!("a `type` is missing; expected {expected}")),
            (kind, Some(class)) => self.error(super::native::unknown(kind, class)),
            (kind, None) => self.error(format!("{kind} is not supported; expected {expected}")),
        }
    }

    /// Fails if `field` is set, as the runtime would silently do without it.
    pub fn unsupported(&self, fields: &[&str]) -> Result<()> {
        match fields.iter().find(|field| self.field(field).is_some()) {
            Some(field) => Err(self.error(format!("{}.{field} is not supported", self.kind()))),
            None => Ok(()),
        }
    }

    /// A field that is there and not null.
    pub fn field(&self, name: &str) -> Option<&'m Json> {
        self.json.get(name).filter(|value| !value.is_null())
    }

    pub fn child(&self, name: &str) -> Option<Component<'m>> {
        let json = self.field(name)?;
        Some(Component::new(json, format!("{}.{name}", self.at)))
    }

    pub fn need(&self, name: &str) -> Result<Component<'m>> {
        self.child(name)
            .ok_or_else(|| self.error(format!("{} needs `{name}`", self.kind())))
    }

    /// The elements of a list; none where there is no list.
    pub fn children(&self, name: &str) -> Vec<Component<'m>> {
        let list = self.field(name).and_then(Json::as_array);
        let elements = list.into_iter().flatten().enumerate();
        elements
            .map(|(index, json)| Component::new(json, format!("{}.{name}[{index}]", self.at)))
            .collect()
    }

    /// The elements of a list; anything else in its place is an error.
    pub fn list(&self, name: &str) -> Result<Vec<Component<'m>>> {
        match self.field(name) {
            Some(json) if !json.is_array() => Err(self.error(format!("`{name}` must be a list"))),
            _ => Ok(self.children(name)),
        }
    }

    pub fn text(&self, name: &str) -> Option<&'m str> {
        self.field(name).and_then(Json::as_str)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.field(name).and_then(Json::as_bool).unwrap_or(false)
    }

    /// The template of a string field; numbers and such are read as they are written.
    pub fn template(&self, name: &str) -> Result<Option<Template>> {
        match self.field(name) {
            Some(json) => self.template_of(json).map(Some),
            None => Ok(None),
        }
    }

    pub fn template_or(&self, name: &str, default: &str) -> Result<Template> {
        match self.template(name)? {
            Some(template) => Ok(template),
            None => self.compile(default),
        }
    }

    pub fn need_template(&self, name: &str) -> Result<Template> {
        self.template(name)?
            .ok_or_else(|| self.error(format!("{} needs `{name}`", self.kind())))
    }

    /// The templates of a list of strings.
    pub fn templates(&self, name: &str) -> Result<Vec<Template>> {
        let values = self.list(name)?;
        let values = values.iter().map(Component::json);
        values.map(|json| self.template_of(json)).collect()
    }

    pub fn template_of(&self, json: &Json) -> Result<Template> {
        match json {
            Json::String(text) => self.compile(text),
            other => self.compile(&super::python::repr(&Value::from(other))),
        }
    }

    pub fn compile(&self, source: &str) -> Result<Template> {
        Template::new(source, self.parameters()).map_err(|error| self.error(error.to_string()))
    }

    pub fn parameters(&self) -> minijinja::Value {
        match self.json.get("$parameters") {
            Some(parameters) => to_template(&Value::from(parameters)),
            None => to_template(&Value::Object(Default::default())),
        }
    }
}
