//! Partitions of a stream that the manifest or the config lists.

use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SourceError};
use crate::value::Value;

use super::component::Component;
use super::python;
use super::request::{Options, RequestOption};
use super::template::{Scope, TemplateError};

/// One value a partition.
pub struct ListRouter {
    field: String,
    values: Vec<Json>,
    option: Option<RequestOption>,
}

impl ListRouter {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<ListRouter, SourceError> {
        if component.kind() != "ListPartitionRouter" {
            return Err(component.unknown("ListPartitionRouter"));
        }
        let said = |error: TemplateError| component.error(error.to_string());
        let values = match component.field("values") {
            Some(Json::Array(values)) => values.clone(),
            _ => match component
                .need_template("values")?
                .value(scope)
                .map_err(said)?
            {
                Value::Array(values) => values.iter().map(Value::to_json).collect(),
                other => {
                    let text = python::text(&other);
                    return Err(component.error(format!("`values` is `{text}`, not a list")));
                }
            },
        };
        let option = component.child("request_option");
        Ok(ListRouter {
            field: component
                .need_template("cursor_field")?
                .text(scope)
                .map_err(said)?,
            values,
            option: option
                .map(|option| RequestOption::open(&option))
                .transpose()?,
        })
    }

    pub fn slices(&self) -> Vec<Slice> {
        let values = self.values.iter();
        values
            .map(|value| Slice {
                partition: Map::from_iter([(self.field.clone(), value.clone())]),
                ..Slice::default()
            })
            .collect()
    }

    /// What a partition adds to its requests.
    pub fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options::default();
        let value = slice.partition.get(&self.field).map(Value::from);
        if let (Some(option), Some(value)) = (&self.option, value.filter(python::truth)) {
            option.inject(&mut options, value, scope)?;
        }
        Ok(options)
    }
}
