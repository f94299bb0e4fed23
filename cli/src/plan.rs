//! Plans: what a client declares, set against what it has.
//!
//! Nothing here calls Google or prints. `cloud` reads what exists and carries
//! the steps out; it never looks at the declaration again. `document` is a plan as others
//! read it, `saved` one that is kept, `why` what it says of each step.

pub mod document;
pub mod moved;
pub mod quota;
pub mod saved;
mod why;

use std::collections::BTreeSet;
use std::iter::Sum;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{Address, Kind, Resource, Resources};

/// What has to be done, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// How many resources are as they are declared.
    pub unchanged: usize,
}

/// One resource and what happens to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub address: Address,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Create {
        after: Resource,
    },
    Update {
        before: Resource,
        after: Resource,
    },
    /// Deleted and made anew: what differs never changes, and nothing is lost by it.
    Replace {
        before: Resource,
        after: Resource,
    },
    Delete {
        before: Resource,
    },
    /// Would be deleted, but holds what cannot be made again.
    Keep {
        before: Resource,
    },
    /// Cannot be done, for this reason; nothing else of the plan is done either.
    Refuse {
        reason: Refusal,
    },
}

/// Why a step is impossible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "its {field} is {before} and never changes to {after}; made anew, it would lose its data"
    )]
    Fixed {
        field: &'static str,
        before: String,
        after: String,
    },
    #[error("it belongs to client `{client}`")]
    Foreign { client: String },
}

/// A field that an update changes; `None` where it is not set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// How many steps of each sort a plan has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    pub create: usize,
    pub update: usize,
    #[serde(default)]
    pub replace: usize,
    pub delete: usize,
    pub keep: usize,
    pub refuse: usize,
    pub unchanged: usize,
}

impl Sum for Summary {
    fn sum<I: Iterator<Item = Summary>>(summaries: I) -> Summary {
        summaries.fold(Summary::default(), |a, b| Summary {
            create: a.create + b.create,
            update: a.update + b.update,
            replace: a.replace + b.replace,
            delete: a.delete + b.delete,
            keep: a.keep + b.keep,
            refuse: a.refuse + b.refuse,
            unchanged: a.unchanged + b.unchanged,
        })
    }
}

impl Plan {
    /// The steps from what there is to what is declared.
    pub fn between(actual: &Resources, desired: &Resources) -> Plan {
        Plan::knowing(actual, desired, &BTreeSet::new())
    }

    /// The same, where the resources of `empty` hold nothing that would be lost.
    pub fn knowing(actual: &Resources, desired: &Resources, empty: &BTreeSet<Address>) -> Plan {
        let actual = &seen(actual, desired);
        let replaced: BTreeSet<_> = fixed(actual, desired)
            .into_iter()
            .filter(|address| empty.contains(address))
            .collect();
        let actual = &left_beside(actual, &replaced);
        let declared = desired.iter();
        let unchanged = declared
            .filter(|(address, resource)| actual.get(address) == Some(resource))
            .count();
        let addresses: BTreeSet<_> = actual.keys().chain(desired.keys()).collect();
        let (deletes, mut steps): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .filter_map(|address| {
                let (before, after) = (actual.get(address), desired.get(address));
                Step::between(address, before, after, &replaced)
            })
            .filter(|step| !outlives(step, desired))
            .partition(|step| matches!(step.change, Change::Delete { .. }));
        // `Kind` is ordered by creation, so deletions run it backwards.
        steps.extend(deletes.into_iter().rev());
        Plan { steps, unchanged }
    }

    /// The steps to nothing; what `held` names is kept, as it holds data.
    pub fn destroy(actual: &Resources, held: &BTreeSet<Address>) -> Plan {
        Plan::between(actual, &Resources::new()).keeping(held)
    }

    /// The same, where what `held` names stays instead of being deleted, as it holds data.
    pub fn keeping(mut self, held: &BTreeSet<Address>) -> Plan {
        for step in &mut self.steps {
            match &step.change {
                Change::Delete { before } if held.contains(&step.address) => {
                    let before = before.clone();
                    step.change = Change::Keep { before };
                }
                _ => {}
            }
        }
        self
    }

    /// Only what gives the jobs another image, and all else of them as it is.
    pub fn of_image(&self) -> Plan {
        let steps = self.steps.iter().filter_map(|step| {
            let change = match (&step.change, step.address.kind) {
                (change @ Change::Create { .. }, Kind::Repository | Kind::Image) => change.clone(),
                (Change::Update { before, after }, Kind::Job) => {
                    let after = before.with_image_of(after)?;
                    let before = before.clone();
                    Change::Update { before, after }
                }
                _ => return None,
            };
            let address = step.address.clone();
            Some(Step { address, change })
        });
        let mut plan = Plan {
            steps: steps.collect(),
            unchanged: 0,
        };
        // An image is of no use without a job that runs it.
        if plan.steps.iter().all(|step| step.address.kind != Kind::Job) {
            plan.steps.clear();
        }
        plan
    }

    /// The changes the other way round; what was made stays.
    pub fn reversed(&self) -> Plan {
        let steps = self.steps.iter().rev().filter_map(|step| {
            let Change::Update { before, after } = &step.change else {
                return None;
            };
            let (before, after) = (after.clone(), before.clone());
            let address = step.address.clone();
            let change = Change::Update { before, after };
            Some(Step { address, change })
        });
        Plan {
            steps: steps.collect(),
            unchanged: 0,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step.change, Change::Keep { .. }))
    }

    /// The steps that make the plan impossible.
    pub fn refused(&self) -> impl Iterator<Item = (&Address, &Refusal)> {
        self.steps.iter().filter_map(|step| match &step.change {
            Change::Refuse { reason } => Some((&step.address, reason)),
            _ => None,
        })
    }

    pub fn summary(&self) -> Summary {
        let mut summary = Summary {
            unchanged: self.unchanged,
            ..Summary::default()
        };
        for step in &self.steps {
            match step.change {
                Change::Create { .. } => summary.create += 1,
                Change::Update { .. } => summary.update += 1,
                Change::Replace { .. } => summary.replace += 1,
                Change::Delete { .. } => summary.delete += 1,
                Change::Keep { .. } => summary.keep += 1,
                Change::Refuse { .. } => summary.refuse += 1,
            }
        }
        summary
    }

    /// The steps in runs of one kind and direction: those of a run may be done at the same time.
    pub fn stages(&self) -> impl Iterator<Item = &[Step]> {
        self.steps
            .chunk_by(|a, b| a.address.kind == b.address.kind && a.deletes() == b.deletes())
    }
}

impl Step {
    fn between(
        address: &Address,
        before: Option<&Resource>,
        after: Option<&Resource>,
        replaced: &BTreeSet<Address>,
    ) -> Option<Step> {
        let change = match (before.cloned(), after.cloned()) {
            (Some(before), Some(after)) if before == after => return None,
            (Some(before), Some(after)) if replaced.contains(address) => {
                Change::Replace { before, after }
            }
            (Some(before), Some(after)) => match refusal(&before, &after) {
                Some(reason) => Change::Refuse { reason },
                None => Change::Update { before, after },
            },
            (None, Some(after)) => Change::Create { after },
            (Some(before), None) => Change::Delete { before },
            (None, None) => return None,
        };
        Some(Step {
            address: address.clone(),
            change,
        })
    }

    pub fn deletes(&self) -> bool {
        matches!(self.change, Change::Delete { .. } | Change::Keep { .. })
    }

    /// Why it is there, for people.
    pub fn why(&self) -> String {
        why::why(self)
    }

    /// What an update changes, field by field.
    pub fn field_changes(&self) -> Vec<FieldChange> {
        let (Change::Update { before, after } | Change::Replace { before, after }) = &self.change
        else {
            return Vec::new();
        };
        let (mut before, mut after) = (before.fields(), after.fields());
        let fields: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
        fields
            .into_iter()
            .map(|field| FieldChange {
                before: before.remove(&field),
                after: after.remove(&field),
                field,
            })
            .filter(|change| change.before != change.after)
            .collect()
    }
}

/// What stays although it is not declared: others use the APIs, images go with
/// their repository, and a running execution may still read its older bundle.
fn outlives(step: &Step, desired: &Resources) -> bool {
    let Change::Delete { before } = &step.change else {
        return false;
    };
    match (step.address.kind, before) {
        (Kind::Api | Kind::Image, _) => true,
        (_, Resource::Channel(channel)) => channel.is_shared,
        (_, Resource::Metric(metric)) => metric.is_shared,
        (_, Resource::Bundle { object }) => desired.values().any(|other| {
            matches!(other, Resource::Bundle { object: other } if other.pipeline == object.pipeline)
        }),
        _ => false,
    }
}

/// What there is, as far as it is declared: fields the declaration leaves to others are left out.
pub fn seen(actual: &Resources, desired: &Resources) -> Resources {
    let all = actual.iter();
    all.map(|(address, resource)| {
        let seen = match desired.get(address) {
            Some(declared) => resource.beside(declared),
            None => resource.clone(),
        };
        (address.clone(), seen)
    })
    .collect()
}

/// The resources that differ in what never changes: they can only be made anew.
pub fn fixed(actual: &Resources, desired: &Resources) -> Vec<Address> {
    let both = actual
        .iter()
        .filter_map(|(address, before)| Some((address, before, desired.get(address)?)));
    both.filter(|(_, before, after)| matches!(refusal(before, after), Some(Refusal::Fixed { .. })))
        .map(|(address, ..)| address.clone())
        .collect()
}

/// What is not declared any more, and may hold data.
pub fn given_up(actual: &Resources, desired: &Resources) -> Vec<Address> {
    let gone = actual.keys().filter(|it| !desired.contains_key(it));
    gone.filter(|it| it.kind.holds_data()).cloned().collect()
}

/// What is left once these are deleted: the rights on them and the bundles in them go along.
fn left_beside(actual: &Resources, replaced: &BTreeSet<Address>) -> Resources {
    let goes = |resource: &Resource| match resource {
        Resource::Member(member) => member
            .on
            .address()
            .is_some_and(|address| replaced.contains(&address)),
        Resource::Bundle { object } => {
            replaced.contains(&Address::new(Kind::Bucket, &object.bucket))
        }
        _ => false,
    };
    let left = actual.iter().filter(|(_, resource)| !goes(resource));
    left.map(|(address, it)| (address.clone(), it.clone()))
        .collect()
}

fn refusal(before: &Resource, after: &Resource) -> Option<Refusal> {
    let owners = (before.owner()?, after.owner()?);
    if let (Some(theirs), Some(ours)) = (&owners.0.client, &owners.1.client)
        && theirs != ours
    {
        return Some(Refusal::Foreign {
            client: theirs.clone(),
        });
    }
    match (before.fixed(), after.fixed()) {
        (Some((field, before)), Some((_, after))) if before != after => Some(Refusal::Fixed {
            field,
            before,
            after,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
