//! RemoveFields: fields by their path, or values by a condition.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use crate::source::component::Component;
use crate::source::dpath::{self, Step};
use crate::source::python;
use crate::source::record_error::RecordError;
use crate::source::template::{Scope, Template, to_template};

use super::add::condition;

#[derive(Debug, Clone)]
pub struct RemoveFields {
    paths: Vec<Vec<Step>>,
    condition: Option<Template>,
}

impl RemoveFields {
    pub fn open(component: &Component<'_>) -> Result<RemoveFields, SourceError> {
        let pointers = component.list("field_pointers")?;
        let paths = pointers.iter().map(|pointer| {
            let keys = pointer.json().as_array().into_iter().flatten();
            keys.map(step).collect()
        });
        Ok(RemoveFields {
            paths: paths.collect(),
            condition: condition(component)?,
        })
    }

    /// With a condition the reference removes every value it holds for, whatever the paths.
    pub fn apply(&self, record: &mut Object, scope: &Scope) -> Result<(), RecordError> {
        let Some(condition) = &self.condition else {
            for path in &self.paths {
                dpath::delete(record, path);
            }
            return Ok(());
        };
        if self.paths.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        dpath::delete_leaves(record, &mut |value| {
            let scope = scope.clone().with("property", to_template(value));
            condition.condition(&scope).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        });
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn step(key: &Json) -> Step {
    Step::key(&python::text(&Value::from(key)))
}
