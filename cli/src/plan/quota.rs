//! Google's limits, met before Google says so. Pure: counts and plans in, sentences out.
//!
//! They are what a new project has, and can be raised; so a plan beyond them is told, not refused.

use super::{Change, Plan};
use crate::resource::Kind;

/// How much there is of what is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Cloud Run jobs in the region, whoever's they are.
    pub jobs: usize,
    /// Cloud Scheduler jobs in the region.
    pub schedules: usize,
    /// Service accounts in the project; `None` where they were not counted.
    pub accounts: Option<usize>,
}

/// Where the counts are from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub project: &'a str,
    pub region: &'a str,
}

/// Jobs of Cloud Run a project and region (cloud.google.com/run/quotas).
pub const JOBS: usize = 1000;
/// Jobs of Cloud Scheduler a region (cloud.google.com/scheduler/quotas).
const SCHEDULES: usize = 1000;
/// Service accounts a project (cloud.google.com/iam/quotas).
pub const ACCOUNTS: usize = 100;

/// A sentence for each limit that the plans together would go beyond.
pub fn warnings<'a>(
    usage: &Usage,
    place: &Place<'_>,
    plans: impl Iterator<Item = &'a Plan> + Clone,
) -> Vec<String> {
    let Place { project, region } = place;
    let in_region = format!("in {region} of project {project}");
    let counts = [
        (Kind::Job, Some(usage.jobs), JOBS, "jobs", in_region.clone()),
        (
            Kind::Schedule,
            Some(usage.schedules),
            SCHEDULES,
            "schedules",
            in_region,
        ),
        (
            Kind::ServiceAccount,
            usage.accounts,
            ACCOUNTS,
            "service accounts",
            format!("in project {project}"),
        ),
    ];
    let beyond = counts.into_iter().filter_map(|(kind, there, limit, what, place)| {
        let (there, more) = (there?, growth(kind, plans.clone()));
        (more > 0 && there.saturating_add_signed(more) > limit).then(|| {
            format!(
                "there are {there} {what} {place}, and {more} more are planned: Google allows {limit} \
                 unless the quota was raised (console: IAM & Admin, Quotas)"
            )
        })
    });
    beyond.collect()
}

/// How many more there would be.
fn growth<'a>(kind: Kind, plans: impl Iterator<Item = &'a Plan>) -> isize {
    let steps = plans.flat_map(|plan| &plan.steps);
    let of_kind = steps.filter(|step| step.address.kind == kind);
    of_kind
        .map(|step| match step.change {
            Change::Create { .. } => 1,
            Change::Delete { .. } => -1,
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::resource::{Address, Resource};

    const PLACE: Place<'_> = Place {
        project: "p",
        region: "r",
    };

    fn step(kind: Kind, creates: bool) -> Step {
        let change = match creates {
            true => Change::Create {
                after: Resource::Api,
            },
            false => Change::Delete {
                before: Resource::Api,
            },
        };
        Step {
            address: Address::new(kind, "a"),
            change,
        }
    }

    fn told(usage: Usage, steps: Vec<Step>) -> Vec<String> {
        let plan = Plan {
            steps,
            unchanged: 0,
        };
        warnings(&usage, &PLACE, std::iter::once(&plan))
    }

    #[test]
    fn the_thousand_and_first_job_is_told_and_the_thousandth_is_not() {
        let jobs = |there, steps| {
            let usage = Usage {
                jobs: there,
                ..Usage::default()
            };
            told(usage, steps)
        };
        assert!(jobs(999, vec![step(Kind::Job, true)]).is_empty());
        insta::assert_snapshot!(jobs(1000, vec![step(Kind::Job, true)]).join("\n"), @"there are 1000 jobs in r of project p, and 1 more are planned: Google allows 1000 unless the quota was raised (console: IAM & Admin, Quotas)");
        let swapped = vec![step(Kind::Job, true), step(Kind::Job, false)];
        assert!(jobs(1000, swapped).is_empty());
        assert!(jobs(1200, vec![step(Kind::Job, false)]).is_empty());
    }

    #[test]
    fn what_was_not_counted_is_not_told() {
        let accounts = |there| {
            let usage = Usage {
                accounts: there,
                ..Usage::default()
            };
            told(usage, vec![step(Kind::ServiceAccount, true)]).len()
        };
        assert_eq!(
            (accounts(None), accounts(Some(99)), accounts(Some(100))),
            (0, 0, 1)
        );
    }
}
