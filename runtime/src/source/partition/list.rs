//! ListPartitionRouter: values that the manifest or the config lists.

use futures::StreamExt;
use futures::stream;
use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SourceError, State};
use crate::value::Value;

use super::super::component::Component;
use super::super::python;
use super::super::request::{Options, RequestOption};
use super::super::template::{Scope, TemplateError};
use super::{Partition, Router, Step, Steps};

/// One value a partition.
pub struct ListRouter {
    field: String,
    values: Vec<Json>,
    option: Option<RequestOption>,
}

impl ListRouter {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<ListRouter, SourceError> {
        let said = |error: TemplateError| component.error(error.to_string());
        let values = match component.field("values") {
            Some(Json::Array(values)) => values.iter().map(as_text).collect(),
            _ => {
                let values = component.need_template("values")?.value(scope);
                elements(values.map_err(said)?).map_err(|other| {
                    component.error(format!("`values` is `{other}`, not a list"))
                })?
            }
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
}

impl Router for ListRouter {
    fn steps<'a>(&'a self, _: &'a State) -> Steps<'a> {
        let partitions = self.values.iter().map(|value| Partition {
            fields: Map::from_iter([(self.field.clone(), value.clone())]),
            ..Partition::default()
        });
        stream::iter(partitions.map(Step::Partition).map(Ok)).boxed()
    }

    fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options::default();
        let value = slice.partition.get(&self.field).map(Value::from);
        if let (Some(option), Some(value)) = (&self.option, value.filter(python::truth)) {
            option.inject(&mut options, value, scope)?;
        }
        Ok(options)
    }

    fn fields(&self) -> Vec<String> {
        vec![self.field.clone()]
    }

    fn has_options(&self) -> bool {
        self.option.is_some()
    }
}

/// A value in the manifest's own list is text, whatever it looks like.
fn as_text(value: &Json) -> Json {
    python::text(&Value::from(value)).into()
}

/// What iterating a value gives in Python.
fn elements(values: Value) -> Result<Vec<Json>, String> {
    match values {
        Value::Array(values) => Ok(values.iter().map(Value::to_json).collect()),
        Value::String(text) => Ok(text.chars().map(|one| one.to_string().into()).collect()),
        Value::Object(fields) => Ok(fields.keys().map(|name| name.as_str().into()).collect()),
        other => Err(python::text(&other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(json: Json) -> Result<Vec<Json>, SourceError> {
        let json = json!({"type": "ListPartitionRouter", "cursor_field": "f", "values": json});
        let scope = Scope::new(minijinja::context! { ids => vec![1, 2], word => "ab" });
        ListRouter::open(&Component::new(&json, "here"), &scope).map(|router| router.values)
    }

    #[test]
    fn written_values_are_text_and_evaluated_ones_are_what_they_are() {
        assert_eq!(values(json!(["a", 1, true])).unwrap(), ["a", "1", "True"]);
        assert_eq!(values(json!("{{ config.ids }}")).unwrap(), [1, 2]);
        assert_eq!(values(json!("['x', 'y']")).unwrap(), ["x", "y"]);
        assert_eq!(values(json!("{{ config.word }}")).unwrap(), ["a", "b"]);
        assert!(values(json!("{{ 5 }}")).is_err());
    }
}
