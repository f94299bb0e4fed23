//! Why a reply has no records.

use super::dpath::{self, Ambiguous, Unwritable};
use super::template::TemplateError;
use crate::value::Value;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The body is not what the decoder expects.
    #[error("{0}")]
    Decode(String),
    #[error("`field_path`: {0}")]
    Ambiguous(#[from] Ambiguous),
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    #[error(
        "a record is {kind}, not an object; an extractor with another `field_path` may find the objects"
    )]
    NoObject { kind: &'static str },
}

impl RecordError {
    pub fn no_object(record: &Value) -> RecordError {
        RecordError::NoObject {
            kind: dpath::kind(record),
        }
    }
}
