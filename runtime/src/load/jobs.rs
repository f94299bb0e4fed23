//! The jobs of a commit so far, and what is told of them.

use crate::commit::{Action, Attempts, Job, job_id};
use crate::google::bigquery::{Changes, JobState};
use crate::state::Pending;

use super::CommitError;

/// The jobs that are there for a commit.
pub struct Jobs {
    pub loads: Attempts,
    pub merges: Attempts,
}

impl Jobs {
    pub fn of(&mut self, job: Job) -> &mut Attempts {
        match job {
            Job::Load => &mut self.loads,
            Job::Merge => &mut self.merges,
        }
    }

    fn last_id(&self, pending: &Pending, job: Job) -> String {
        let attempts = match job {
            Job::Load => &self.loads,
            Job::Merge => &self.merges,
        };
        job_id(&pending.commit, job, attempts.jobs.len().saturating_sub(1))
    }
}

/// What the rows of a merge did; the others are older than what the table has, or the same
/// record again.
pub fn tell_merged(pending: &Pending, changes: &Changes) {
    let Changes {
        inserted,
        updated,
        deleted,
    } = changes;
    let told = inserted + updated + deleted;
    tracing::info!(
        stream = pending.next.stream,
        staged = pending.rows,
        inserted,
        updated,
        deleted,
        repeated_or_older = pending.rows.saturating_sub(told),
        "merged"
    );
}

pub fn tell_given_up(pending: &Pending, jobs: &Jobs) {
    let failures = [&jobs.merges, &jobs.loads].map(|attempts| attempts.jobs.last());
    let failed = failures.into_iter().flatten().find_map(|job| match job {
        JobState::Failed { reason, message } => Some((reason.as_str(), message.as_str())),
        _ => None,
    });
    let (reason, error) = failed.unwrap_or_default();
    tracing::warn!(
        stream = pending.next.stream,
        commit = pending.commit,
        reason,
        error,
        "the commit of an earlier run failed for good; its slices are read again"
    );
}

/// The error an action that ends a commit badly stands for.
pub fn failure(pending: &Pending, jobs: &Jobs, action: Action) -> CommitError {
    match action {
        Action::GiveUp {
            job,
            reason,
            message,
        } => CommitError::JobFailed {
            job,
            id: jobs.last_id(pending, job),
            reason,
            message,
        },
        Action::Overcounted { changes } => CommitError::Overcounted {
            job: jobs.last_id(pending, Job::Merge),
            changes,
            staged: pending.rows,
        },
        action => CommitError::Miscounted {
            job: jobs.last_id(pending, Job::Load),
            loaded: match action {
                Action::Miscounted { loaded } => loaded,
                _ => 0,
            },
            expected: pending.rows,
        },
    }
}
