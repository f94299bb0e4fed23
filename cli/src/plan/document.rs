//! A plan as a document: what `--format json` prints, and what a saved plan holds.
//!
//! `docs/plan.md` describes it. A field is never taken away or given another meaning
//! without another `version`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Change, FieldChange, Plan, Step, Summary};
use crate::resource::Kind;

/// The form this program writes and reads.
pub const VERSION: u32 = 1;

/// What has to be done for a client, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanDocument {
    /// The form of this document.
    pub version: u32,
    pub client: String,
    /// Whether there is nothing to do.
    pub empty: bool,
    pub summary: Summary,
    pub steps: Vec<StepDocument>,
    /// Secrets that jobs need and that hold nothing yet.
    pub missing_secrets: Vec<MissingValue>,
    /// Limits of Google's that it would go beyond.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One resource and what happens to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepDocument {
    pub action: Action,
    pub kind: Kind,
    pub name: String,
    /// What an update or a replacement changes; a value that is a secret is in no field of any resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// Why it cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it is done, and what the resource is for.
    pub why: String,
}

/// What happens to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Create,
    Update,
    /// Deleted and made anew, which loses nothing.
    Replace,
    Delete,
    /// It is not declared, but holds data.
    Keep,
    Refuse,
}

/// A secret that a job needs and that holds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingValue {
    pub secret: String,
    /// Dotted path of the config's field.
    pub path: String,
    /// How to set it.
    pub command: String,
}

impl Action {
    pub fn of(change: &Change) -> Action {
        match change {
            Change::Create { .. } => Action::Create,
            Change::Update { .. } => Action::Update,
            Change::Replace { .. } => Action::Replace,
            Change::Delete { .. } => Action::Delete,
            Change::Keep { .. } => Action::Keep,
            Change::Refuse { .. } => Action::Refuse,
        }
    }
}

impl PlanDocument {
    pub fn of(client: &str, plan: &Plan, missing: &[MissingValue]) -> PlanDocument {
        PlanDocument {
            version: VERSION,
            client: client.to_owned(),
            empty: plan.is_empty(),
            summary: plan.summary(),
            steps: plan.steps.iter().map(StepDocument::of).collect(),
            missing_secrets: missing.to_vec(),
            warnings: Vec::new(),
        }
    }
}

impl StepDocument {
    pub fn of(step: &Step) -> StepDocument {
        StepDocument {
            action: Action::of(&step.change),
            kind: step.address.kind,
            name: step.address.name.clone(),
            changes: step.field_changes(),
            reason: match &step.change {
                Change::Refuse { reason } => Some(reason.to_string()),
                _ => None,
            },
            why: step.why(),
        }
    }
}
