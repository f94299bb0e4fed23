//! A transformation that stands in no manifest.

use std::slice;

use serde_json::{Map, Value as Json};

use crate::source::component::Component;
use crate::source::template::{Scope, to_template};
use crate::stream::SourceError;
use crate::value::Value;

use super::{Steps, Transformation};

/// One transformation and what its templates see.
#[derive(Debug, Clone)]
pub struct Alone {
    at: String,
    transformation: Transformation,
    scope: Scope,
}

impl Alone {
    /// Opens a component; `at` says in errors where it was written.
    pub fn open(
        component: &Map<String, Json>,
        at: &str,
        config: &Map<String, Json>,
    ) -> Result<Alone, SourceError> {
        let json = Json::Object(component.clone());
        let component = Component::new(&json, at);
        let scope = Scope::new(to_template(&Value::from(&Json::Object(config.clone()))));
        Ok(Alone {
            at: at.to_owned(),
            transformation: Transformation::open(&component, &scope)?,
            scope,
        })
    }

    /// Changes the records of one page.
    pub fn apply(&self, records: &mut [Value]) -> Result<(), SourceError> {
        let steps = Steps::new(slice::from_ref(&self.transformation), self.scope.clone());
        for record in records {
            if let Value::Object(fields) = record {
                steps.apply(fields).map_err(|error| SourceError::Config {
                    at: self.at.clone(),
                    problem: error.to_string(),
                })?;
            }
        }
        Ok(())
    }
}
