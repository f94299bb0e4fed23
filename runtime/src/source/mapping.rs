//! Keys and values of the manifest that are templates, on the first level only.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::python;
use super::template::{Accept, Scope, Template, TemplateError};

/// A mapping whose keys and texts are evaluated; other values are as they are written.
#[derive(Debug, Clone, Default)]
pub struct Mapping(Vec<(Template, Entry)>);

#[derive(Debug, Clone)]
enum Entry {
    Text(Template),
    Other(Value),
}

impl Mapping {
    /// The mapping in the field `name`, empty where there is none.
    pub fn open(component: &Component<'_>, name: &str) -> Result<Mapping, SourceError> {
        match component.field(name) {
            Some(Json::Object(fields)) => Mapping::of(component, fields),
            Some(_) => Err(component.error(format!("`{name}` must be a mapping"))),
            None => Ok(Mapping::default()),
        }
    }

    pub fn of(
        component: &Component<'_>,
        fields: &serde_json::Map<String, Json>,
    ) -> Result<Mapping, SourceError> {
        let entries = fields.iter().map(|(key, value)| {
            let entry = match value {
                Json::String(text) => Entry::Text(component.compile(text)?),
                other => Entry::Other(Value::from(other)),
            };
            Ok((component.compile(key)?, entry))
        });
        entries.collect::<Result<_, SourceError>>().map(Mapping)
    }

    /// The values in `scope`; one that renders to nothing is null.
    pub fn values(&self, scope: &Scope, accept: Accept) -> Result<Object, TemplateError> {
        let mut object = Object::default();
        for (key, entry) in &self.0 {
            let key = key.entry(scope, Accept::Text)?;
            let value = match entry {
                Entry::Text(template) => template.entry(scope, accept)?,
                Entry::Other(value) => value.clone(),
            };
            object.insert(python::text(&key), value);
        }
        Ok(object)
    }

    /// The values in `scope` that are not null.
    pub fn set_values(&self, scope: &Scope, accept: Accept) -> Result<Object, TemplateError> {
        let mut object = self.values(scope, accept)?;
        object.retain(|_, value| *value != Value::Null);
        Ok(object)
    }
}
