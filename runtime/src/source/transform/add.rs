//! AddFields: fields with a template's value.

use std::cell::OnceCell;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use crate::source::component::Component;
use crate::source::dpath;
use crate::source::python;
use crate::source::record_error::RecordError;
use crate::source::template::{Accept, Scope, Template, to_template};

use super::lent::lend;

#[derive(Debug, Clone)]
pub struct AddFields {
    fields: Vec<Added>,
    condition: Option<Template>,
}

#[derive(Debug, Clone)]
struct Added {
    path: Vec<String>,
    value: Template,
    accept: Accept,
}

/// The values that are the same for all records of a page, kept once they are known.
#[derive(Default)]
pub struct Once(Vec<OnceCell<Value>>);

impl AddFields {
    pub fn open(component: &Component<'_>) -> Result<AddFields, SourceError> {
        let fields = component.list("fields")?;
        Ok(AddFields {
            fields: fields.iter().map(Added::open).collect::<Result<_, _>>()?,
            condition: condition(component)?,
        })
    }

    pub fn once(&self) -> Once {
        Once(vec![OnceCell::new(); self.fields.len()])
    }

    pub fn apply(
        &self,
        record: &mut Object,
        scope: &Scope,
        once: &Once,
    ) -> Result<(), RecordError> {
        for (field, once) in self.fields.iter().zip(&once.0) {
            let value = field.value(record, scope, once)?;
            if self.applies(field, &value, record, scope)? {
                dpath::set(record, &field.path, value)?;
            }
        }
        Ok(())
    }

    fn applies(
        &self,
        field: &Added,
        value: &Value,
        record: &mut Object,
        scope: &Scope,
    ) -> Result<bool, RecordError> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let path = field.path.iter().map(minijinja::Value::from);
        let scope = scope
            .clone()
            .with("value", to_template(value))
            .with("path", minijinja::Value::from_iter(path));
        let holds = lend(record, |shown| {
            condition.condition(&scope.with("record", shown))
        });
        Ok(holds?)
    }
}

impl Added {
    fn open(component: &Component<'_>) -> Result<Added, SourceError> {
        let path = component.list("path")?;
        let path: Vec<String> = path
            .iter()
            .map(|key| python::text(&Value::from(key.json())))
            .collect();
        if path.is_empty() {
            return Err(component.error("AddFields needs a `path`"));
        }
        Ok(Added {
            path,
            value: component.need_template("value")?,
            accept: match component.text("value_type") {
                None => Accept::Any,
                Some("string") => Accept::Text,
                Some("number") => Accept::Float,
                Some("integer") => Accept::Integer,
                Some("boolean") => Accept::Bool,
                Some(other) => {
                    let problem = format!("`value_type: {other}` is not supported");
                    return Err(component.error(problem));
                }
            },
        })
    }

    fn value(
        &self,
        record: &mut Object,
        scope: &Scope,
        once: &OnceCell<Value>,
    ) -> Result<Value, RecordError> {
        if self.value.reads("record") {
            let value = lend(record, |shown| {
                let scope = scope.clone().with("record", shown);
                self.value.value_as(&scope, self.accept)
            });
            return Ok(value?);
        }
        if let Some(value) = once.get() {
            return Ok(value.clone());
        }
        let value = self.value.value_as(scope, self.accept)?;
        Ok(once.get_or_init(|| value).clone())
    }
}

/// A transformation's condition; an empty one is none.
pub fn condition(component: &Component<'_>) -> Result<Option<Template>, SourceError> {
    match component.text("condition").filter(|text| !text.is_empty()) {
        Some(text) => component.compile(text).map(Some),
        None => Ok(None),
    }
}
