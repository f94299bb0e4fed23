//! What a plan for many clients may take away without being asked twice. Pure.

use crate::names::first_few;
use crate::plan::{Change, Plan};
use crate::resource::Kind;

/// Of every so many clients one may lose its jobs.
const ONE_IN: usize = 10;

/// A plan that would stop too many clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan deletes jobs of {losing} of {all} clients: {}",
    first_few(names)
)]
pub struct TooMuch {
    pub losing: usize,
    pub all: usize,
    pub names: Vec<String>,
}

/// Refuses plans that delete jobs of more than `allowed` clients; by default of a tenth of
/// `all` there are, and of one in any case.
///
/// # Errors
/// `TooMuch` names them.
pub fn check<'a>(
    plans: impl Iterator<Item = (&'a str, &'a Plan)>,
    all: usize,
    allowed: Option<usize>,
) -> Result<(), TooMuch> {
    let losing = plans.filter(|(_, plan)| loses_a_job(plan));
    let names: Vec<String> = losing.map(|(client, _)| client.to_owned()).collect();
    let allowed = allowed.unwrap_or_else(|| (all / ONE_IN).max(1));
    match names.len() > allowed {
        true => Err(TooMuch {
            losing: names.len(),
            all,
            names,
        }),
        false => Ok(()),
    }
}

fn loses_a_job(plan: &Plan) -> bool {
    plan.steps
        .iter()
        .any(|step| step.address.kind == Kind::Job && matches!(step.change, Change::Delete { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::resource::{Address, Resource};

    fn deleting(kind: Kind) -> Plan {
        let step = Step {
            address: Address::new(kind, "a"),
            change: Change::Delete {
                before: Resource::Api,
            },
        };
        Plan {
            steps: vec![step],
            unchanged: 0,
        }
    }

    fn checked(losing: usize, all: usize, allowed: Option<usize>) -> Result<(), TooMuch> {
        let (loses, keeps) = (deleting(Kind::Job), deleting(Kind::Bundle));
        let plans = (0..all).map(|at| ("c", if at < losing { &loses } else { &keeps }));
        check(plans, all, allowed)
    }

    #[test]
    fn a_tenth_may_go_and_one_in_any_case() {
        assert!(checked(1, 1, None).is_ok());
        assert!(checked(2, 3, None).is_err());
        assert!(checked(3, 30, None).is_ok());
        assert!(checked(4, 30, None).is_err());
        assert!(checked(4, 30, Some(4)).is_ok());
        assert!(checked(1, 30, Some(0)).is_err());
    }

    #[test]
    fn the_clients_are_named() {
        let error = checked(7, 7, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "the plan deletes jobs of 7 of 7 clients: c, c, c, c, c and 2 more"
        );
    }
}
