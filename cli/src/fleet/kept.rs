//! The plans of many clients in one file: each is carried out only if it still stands. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Condition, Outcome, Planned, Selection};
use crate::failure::{Failure, Kind};
use crate::plan::document::VERSION;
use crate::plan::saved::{SavedPlan, Stale};

/// What there is to do for the clients of a workspace, or some of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptPlans {
    pub version: u32,
    /// What the clients were chosen by; nothing where all were.
    #[serde(rename = "where")]
    conditions: Vec<Condition>,
    /// Of those for whom there is something to do.
    pub clients: Vec<SavedPlan>,
}

impl KeptPlans {
    pub fn of(selection: &Selection, outcomes: &[Outcome<Planned>]) -> KeptPlans {
        let proposals = outcomes
            .iter()
            .filter_map(|outcome| Some(&outcome.result.as_ref().ok()?.proposal));
        KeptPlans {
            version: VERSION,
            conditions: match selection {
                Selection::Where(conditions) => conditions.clone(),
                Selection::All | Selection::One(_) => Vec::new(),
            },
            clients: proposals
                .filter(|proposal| !proposal.plan.is_empty())
                .map(|proposal| proposal.saved())
                .collect(),
        }
    }

    pub fn selection(&self) -> Selection {
        match self.conditions.as_slice() {
            [] => Selection::All,
            conditions => Selection::Where(conditions.to_vec()),
        }
    }

    /// # Errors
    /// The file is of another version.
    pub fn check(&self) -> Result<(), Stale> {
        match self.version {
            VERSION => Ok(()),
            found => Err(Stale::Version { found }),
        }
    }

    /// Of what would be done now, what was kept; a failure for each client whose plan would not
    /// come out the same.
    pub fn standing(&self, now: Vec<Outcome<Planned>>) -> Vec<Outcome<Planned>> {
        let mut now: BTreeMap<String, Result<Planned, Failure>> = now
            .into_iter()
            .map(|outcome| (outcome.client, outcome.result))
            .collect();
        let standing = self.clients.iter().map(|saved| {
            let client = saved.plan.client.clone();
            let gone = || {
                Err(stale(
                    "the client is not there any more, or not chosen".into(),
                ))
            };
            let result = now.remove(&client).unwrap_or_else(gone);
            let result = result.and_then(|planned| match saved.check(&planned.proposal.saved()) {
                Ok(()) => Ok(planned),
                Err(error) => Err(stale(error.to_string())),
            });
            Outcome { client, result }
        });
        standing.collect()
    }
}

fn stale(why: String) -> Failure {
    Failure::new(Kind::Failed, format!("its plan cannot be applied: {why}"))
}
