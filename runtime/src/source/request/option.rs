//! Where a value of a paginator, cursor, partition or authenticator goes in a request.

use crate::source::component::Component;
use crate::source::template::{Scope, Template, TemplateError};
use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::Options;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Parameter,
    Header,
    Data,
    Json,
}

/// Where a value goes in a request.
#[derive(Debug, Clone)]
pub struct RequestOption {
    place: Place,
    path: Vec<Template>,
}

impl RequestOption {
    pub fn open(component: &Component<'_>) -> Result<RequestOption, SourceError> {
        let place = match component.text("inject_into") {
            Some("request_parameter") => Place::Parameter,
            Some("header") => Place::Header,
            Some("body_data") => Place::Data,
            Some("body_json") => Place::Json,
            other => {
                let other = other.unwrap_or_default();
                return Err(component.error(format!("`inject_into: {other}` is not known")));
            }
        };
        let path = component.templates("field_path")?;
        // An empty name is none, as in the reference.
        let name = component.text("field_name") != Some("");
        let name = component.template("field_name")?.filter(|_| name);
        let path = match (name, path.is_empty()) {
            (Some(name), true) => vec![name],
            (None, false) if place == Place::Json => path,
            (None, false) => {
                return Err(
                    component.error("`field_path` is for `body_json` only; use `field_name`")
                );
            }
            _ => return Err(component.error("one of `field_name` and `field_path` is needed")),
        };
        Ok(RequestOption { place, path })
    }

    /// The option for a header of this name.
    pub fn header(name: Template) -> RequestOption {
        RequestOption {
            place: Place::Header,
            path: vec![name],
        }
    }

    /// Whether the value goes in a header.
    pub fn is_header(&self) -> bool {
        self.place == Place::Header
    }

    pub fn inject(
        &self,
        options: &mut Options,
        value: Value,
        scope: &Scope,
    ) -> Result<(), TemplateError> {
        let mut path = Vec::new();
        for segment in &self.path {
            path.push(segment.text(scope)?);
        }
        let target = match self.place {
            Place::Parameter => &mut options.params,
            Place::Header => &mut options.headers,
            Place::Data => &mut options.form,
            Place::Json => &mut options.json,
        };
        insert(target, &path, value);
        Ok(())
    }
}

fn insert(target: &mut Object, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut target = target;
    for parent in parents {
        let next = target
            .entry(parent.clone())
            .or_insert_with(|| Value::Object(Object::default()));
        if !matches!(next, Value::Object(_)) {
            *next = Value::Object(Object::default());
        }
        let Value::Object(fields) = next else { return };
        target = fields;
    }
    target.insert(last.clone(), value);
}
