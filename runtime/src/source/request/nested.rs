//! A value of the manifest with templates on any depth.

use serde_json::Value as Json;

use crate::source::component::Component;
use crate::source::python;
use crate::source::template::{Accept, Scope, Template, TemplateError};
use crate::stream::SourceError;
use crate::value::{Object, Value};

/// Keys and values of the manifest that are templates, on any depth.
#[derive(Debug, Clone)]
pub enum Nested {
    Text(Template),
    Fields(Vec<(Template, Nested)>),
    Items(Vec<Nested>),
    Other(Value),
}

impl Nested {
    pub fn open(component: &Component<'_>, json: &Json) -> Result<Nested, SourceError> {
        Ok(match json {
            Json::String(text) => Nested::Text(component.compile(text)?),
            Json::Object(fields) => Nested::Fields(
                fields
                    .iter()
                    .map(|(key, value)| {
                        Ok((component.compile(key)?, Nested::open(component, value)?))
                    })
                    .collect::<Result<_, SourceError>>()?,
            ),
            Json::Array(items) => Nested::Items(
                items
                    .iter()
                    .map(|item| Nested::open(component, item))
                    .collect::<Result<_, SourceError>>()?,
            ),
            other => Nested::Other(Value::from(other)),
        })
    }

    pub fn value(&self, scope: &Scope) -> Result<Value, TemplateError> {
        Ok(match self {
            Nested::Text(template) => template.entry(scope, Accept::Any)?,
            Nested::Other(value) => value.clone(),
            Nested::Items(items) => {
                let items = items.iter().map(|item| item.value(scope));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Nested::Fields(fields) => {
                let mut object = Object::default();
                for (key, value) in fields {
                    let key = python::text(&key.entry(scope, Accept::Any)?);
                    match value.value(scope)? {
                        Value::Null => {}
                        value => {
                            object.insert(key, value);
                        }
                    }
                }
                Value::Object(object)
            }
        })
    }
}
