//! `xetl_count`: how many records a source says there are, against how many came.
//!
//! Knows no requests; what is done about a difference is the retriever's.

use crate::stream::SourceError;

use super::super::component::Component;
use super::super::python;
use super::super::response::Response;
use super::super::template::{Scope, Template, TemplateError};

/// More records than this are not held back until they are counted.
const MOST_HELD: usize = 50_000;

pub struct Count {
    stream: String,
    total: Template,
    needed: Option<Template>,
}

impl Count {
    pub fn open(component: &Component<'_>, stream: &str) -> Result<Count, SourceError> {
        Ok(Count {
            stream: stream.to_owned(),
            total: component.need_template("total")?,
            needed: component.template("needed")?,
        })
    }

    /// What a reply says of all its pages; `None` where it does not.
    pub fn total(
        &self,
        response: &Response,
        scope: &Scope,
    ) -> Result<Option<usize>, TemplateError> {
        let scope = scope.clone().with("response", response.shown_first());
        let total = self.total.value(&scope)?;
        Ok(python::text(&total).parse().ok())
    }

    pub fn is_too_much_to_hold(&self, records: usize) -> bool {
        records > MOST_HELD
    }

    /// Whether as many came as there are; a difference is told.
    pub fn agrees(&self, came: usize, total: Option<usize>, is_final: bool) -> bool {
        let Some(total) = total.filter(|total| *total != came) else {
            return true;
        };
        let stream = &self.stream;
        match is_final {
            true => tracing::warn!(
                stream,
                came,
                total,
                "the source counts other than what came"
            ),
            false => tracing::warn!(
                stream,
                came,
                total,
                "records moved while they were read; reading them again"
            ),
        }
        false
    }

    /// Why nothing at all must not be taken for the truth.
    pub fn may_be_empty(&self, scope: &Scope) -> Result<(), String> {
        let Some(needed) = &self.needed else {
            return Ok(());
        };
        match needed.condition(scope).map_err(|error| error.to_string())? {
            true => Err(format!(
                "`{}` came empty, which mostly is a missing permission; if it is empty in truth, name it in `allow_empty`",
                self.stream
            )),
            false => Ok(()),
        }
    }
}
