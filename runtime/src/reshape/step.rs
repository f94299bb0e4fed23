//! Steps on records as a client file writes them.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// One step on each record of a stream. Exactly one key is set.
///
/// Fields are named as they are in the record: `email`, `contact.email`, `lines.*.amount`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// New fields: a template each, or a template and a type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<IndexMap<String, Added>>,
    /// Fields to leave out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Vec<String>>,
    /// Fields and their new names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<IndexMap<String, String>>,
    /// Fields and the BigQuery types their values are read as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cast: Option<IndexMap<String, CastType>>,
    /// Fields whose values are replaced by their keyed hash (HMAC-SHA-256, in hex); the key is the
    /// pipeline's secret `hash_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Vec<String>>,
    /// Fields whose values are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// Local times and the zone they are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// A transformation of the declarative language, such as `{type: KeysToSnakeCase}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<Map<String, Json>>,
}

/// A new field's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Added {
    /// The template of a STRING.
    Text(String),
    Typed(TypedTemplate),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedTemplate {
    pub value: String,
    #[serde(rename = "type")]
    pub to: CastType,
}

/// What is hidden, and how much of its end is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    pub fields: Vec<String>,
    /// Characters of the end that stay, of values at least three times as long; 0 by default.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_last: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Where clocks stood that told local times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    pub fields: Vec<String>,
    /// The zone of times that name none, such as `Europe/London`; `UTC` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The zone whose local time is kept, as a DATETIME; a TIMESTAMP where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// A BigQuery type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CastType {
    String,
    Int64,
    Float64,
    Numeric,
    BigNumeric,
    Bool,
    Timestamp,
    Date,
    Datetime,
    Time,
    /// JSON text.
    Json,
}

impl CastType {
    /// Its name in BigQuery.
    pub fn name(self) -> &'static str {
        match self {
            CastType::String => "STRING",
            CastType::Int64 => "INT64",
            CastType::Float64 => "FLOAT64",
            CastType::Numeric => "NUMERIC",
            CastType::BigNumeric => "BIGNUMERIC",
            CastType::Bool => "BOOL",
            CastType::Timestamp => "TIMESTAMP",
            CastType::Date => "DATE",
            CastType::Datetime => "DATETIME",
            CastType::Time => "TIME",
            CastType::Json => "JSON",
        }
    }

    pub fn is_number(self) -> bool {
        use CastType::*;
        matches!(self, Int64 | Float64 | Numeric | BigNumeric)
    }
}
