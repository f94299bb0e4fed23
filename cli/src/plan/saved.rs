//! A plan kept in a file: reviewed now, carried out later, and only if it still stands.
//!
//! It holds what was read and what was declared, field by field. When it is applied both are
//! looked up again; a plan that would not come out the same is refused, with what changed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::document::{PlanDocument, VERSION};
use crate::resource::Resources;

/// Resources as a plan shows them: their fields by their address.
pub type Shown = BTreeMap<String, BTreeMap<String, String>>;

pub fn shown(resources: &Resources) -> Shown {
    let each = resources.iter();
    each.map(|(address, resource)| (address.to_string(), resource.fields()))
        .collect()
}

/// A plan and what it stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPlan {
    #[serde(flatten)]
    pub plan: PlanDocument,
    pub declared: Shown,
    pub read: Shown,
}

/// Why a saved plan is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    #[error("it has the form {found}, and this xetl reads {VERSION}")]
    Version { found: u32 },
    #[error("what it read has changed since: {0}")]
    Read(Differences),
    #[error("what is declared has changed since: {0}")]
    Declared(Differences),
}

/// The resources that differ, and in what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences(Vec<String>);

/// More are a matter for a new plan.
const MOST_TOLD: usize = 5;

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &self.0[..self.0.len().min(MOST_TOLD)];
        write!(f, "{}", told.join(", "))?;
        match self.0.len() - told.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl SavedPlan {
    /// Whether it is still the plan that would be made now.
    pub fn check(&self, now: &SavedPlan) -> Result<(), Stale> {
        if self.plan.version != VERSION {
            let found = self.plan.version;
            return Err(Stale::Version { found });
        }
        if let Some(changed) = differences(&self.declared, &now.declared) {
            return Err(Stale::Declared(changed));
        }
        match differences(&self.read, &now.read) {
            Some(changed) => Err(Stale::Read(changed)),
            None => Ok(()),
        }
    }
}

fn differences(then: &Shown, now: &Shown) -> Option<Differences> {
    let gone = then.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| format!("{name} is gone"));
    let others = now
        .iter()
        .filter_map(|(name, fields)| match then.get(name) {
            None => Some(format!("{name} is new")),
            Some(before) if before != fields => {
                Some(format!("{name} ({})", changed(before, fields).join(", ")))
            }
            Some(_) => None,
        });
    let all: Vec<String> = gone.chain(others).collect();
    (!all.is_empty()).then_some(Differences(all))
}

fn changed<'f>(
    before: &'f BTreeMap<String, String>,
    after: &'f BTreeMap<String, String>,
) -> Vec<&'f str> {
    let mut names: Vec<&str> = before
        .keys()
        .chain(after.keys())
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| before.get(*name) != after.get(*name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::resource::{Address, Bucket, Kind, Owner};

    fn resources(buckets: &[(&str, &str)]) -> Resources {
        let bucket = |(name, location): &(&str, &str)| {
            let resource = Bucket {
                location: (*location).to_owned(),
                owner: Owner::client("acme"),
                ..Bucket::default()
            };
            (Address::new(Kind::Bucket, *name), resource.into())
        };
        buckets.iter().map(bucket).collect()
    }

    fn saved(read: &[(&str, &str)], declared: &[(&str, &str)]) -> SavedPlan {
        let (read, declared) = (resources(read), resources(declared));
        SavedPlan {
            plan: PlanDocument::of("acme", &Plan::between(&read, &declared), &[]),
            declared: shown(&declared),
            read: shown(&read),
        }
    }

    #[test]
    fn a_plan_that_is_written_and_read_again_still_stands() {
        let plan = saved(&[("a", "r1")], &[("a", "r1"), ("b", "r1")]);
        let text = serde_json::to_string(&plan).unwrap();
        let again: SavedPlan = serde_json::from_str(&text).unwrap();
        assert_eq!(again, plan);
        assert_eq!(again.check(&plan), Ok(()));
    }

    #[test]
    fn a_plan_is_refused_with_what_changed_since() {
        let plan = saved(&[("a", "r1"), ("c", "r1")], &[("b", "r1")]);
        let said = |now: SavedPlan| plan.check(&now).unwrap_err().to_string();
        insta::assert_snapshot!(
            said(saved(&[("a", "r2"), ("d", "r1")], &[("b", "r1")])),
            @"what it read has changed since: bucket c is gone, bucket a (location), bucket d is new"
        );
        insta::assert_snapshot!(
            said(saved(&[("a", "r1"), ("c", "r1")], &[])),
            @"what is declared has changed since: bucket b is gone"
        );
        let mut other = plan.clone();
        other.plan.version = 2;
        insta::assert_snapshot!(
            other.check(&plan).unwrap_err().to_string(),
            @"it has the form 2, and this xetl reads 1"
        );
    }
}
