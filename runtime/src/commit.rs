//! Commit decisions: what to do next about a commit that has begun.
//!
//! Values in, an action out; `load` looks and acts. A merge has two jobs, the load of a
//! staging table and the statement that merges it; another commit has the load alone, or,
//! over an external table, none.

mod ids;
mod slices;

pub use ids::{commit_id, job_id, staging_table};
pub use slices::{committable, done, is_overtaken, one_load, uncommitted};

use crate::google::bigquery::{Changes, JobState, passes};
use crate::options::Target;
use crate::state::{Checkpoint, Pending, Stored};

/// Jobs of one kind that one process submits for a commit before it gives up.
const MOST_TRIES: usize = 3;

/// A job of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// Files into the table, or into the staging table of a merge.
    Load,
    /// The staged rows into the table.
    Merge,
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Job::Load => "load",
            Job::Merge => "merge",
        })
    }
}

/// What to do next about a pending commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The checkpoint has it already: delete the pending record.
    Forget,
    /// Submit this attempt of the job.
    Submit { job: Job, attempt: usize },
    /// This attempt of the job runs.
    Wait { job: Job, attempt: usize },
    /// Have the external table show the files.
    Point,
    /// The rows are in the table: write the checkpoint.
    Record,
    /// The load ended well with another number of rows than the parts have.
    Miscounted { loaded: u64 },
    /// The statement changed more rows than there were to merge.
    Overcounted { changes: Changes },
    /// The job failed, and again would not help.
    GiveUp {
        job: Job,
        reason: String,
        message: String,
    },
    /// Nothing of it is loaded and its checkpoint is gone: delete the pending record.
    Abandon,
}

/// The jobs of one kind that are there for a commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempts {
    /// In order of attempt.
    pub jobs: Vec<JobState>,
    /// How many of them this process has submitted.
    pub tries: usize,
}

/// What is there of a commit.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub checkpoint: Option<&'a Stored<Checkpoint>>,
    pub loads: &'a Attempts,
    pub merges: &'a Attempts,
    /// Whether the staging table is there; it runs out by itself.
    pub staged: bool,
    /// Whether the external table shows the files.
    pub pointed: bool,
}

/// Decides from what is there.
///
/// A job is atomic: one that failed has changed nothing, so the next attempt adds each row
/// once. The staging table is replaced by each load into it.
pub fn next(pending: &Pending, facts: Facts<'_>) -> Action {
    let committed = |stored: &Stored<Checkpoint>| stored.value.commit == pending.commit;
    if facts.checkpoint.is_some_and(committed) {
        return Action::Forget;
    }
    for (job, attempts) in [(Job::Load, facts.loads), (Job::Merge, facts.merges)] {
        if attempts.jobs.last() == Some(&JobState::Running) {
            let attempt = attempts.jobs.len() - 1;
            return Action::Wait { job, attempt };
        }
    }
    if facts.checkpoint.map_or(0, |stored| stored.generation) != pending.replaces {
        return Action::Abandon;
    }
    if pending.uris.is_empty() && pending.gathered.is_none() {
        return Action::Record;
    }
    match (pending.target, &pending.merge) {
        (Target::External, _) if facts.pointed => Action::Record,
        (Target::External, _) => Action::Point,
        (Target::Table, None) => after_load(pending, facts.loads).unwrap_or(Action::Record),
        (Target::Table, Some(_)) => next_of_merge(pending, facts),
    }
}

fn next_of_merge(pending: &Pending, facts: Facts<'_>) -> Action {
    if let Some(JobState::Changed(changes)) = facts.merges.jobs.last() {
        return match changes.inserted + changes.updated <= pending.rows {
            true => Action::Record,
            false => Action::Overcounted { changes: *changes },
        };
    }
    if let Some(action) = after_load(pending, facts.loads) {
        return action;
    }
    if !facts.staged {
        // It ran out before it was merged; a load makes it again.
        let attempt = facts.loads.jobs.len();
        return Action::Submit {
            job: Job::Load,
            attempt,
        };
    }
    after_failure(Job::Merge, facts.merges)
}

/// What is to be done before the load has brought its rows; `None` if it has.
fn after_load(pending: &Pending, loads: &Attempts) -> Option<Action> {
    let loaded = match loads.jobs.last() {
        Some(JobState::Done { rows }) => *rows,
        // Gathered rows are added by a statement.
        Some(JobState::Changed(changes)) => changes.inserted,
        _ => return Some(after_failure(Job::Load, loads)),
    };
    (loaded != pending.rows).then_some(Action::Miscounted { loaded })
}

/// Another attempt, if there was none or one more may help.
fn after_failure(job: Job, attempts: &Attempts) -> Action {
    let attempt = attempts.jobs.len();
    match attempts.jobs.last() {
        Some(JobState::Failed { reason, message })
            if attempts.tries > 0 && (attempts.tries >= MOST_TRIES || !passes(reason)) =>
        {
            Action::GiveUp {
                job,
                reason: reason.clone(),
                message: message.clone(),
            }
        }
        _ => Action::Submit { job, attempt },
    }
}

#[cfg(test)]
mod tests;
