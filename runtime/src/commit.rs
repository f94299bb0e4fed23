//! Commit decisions: what to do next about a commit that has begun.
//!
//! Values in, an action out; `load` looks and acts.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::bundle::Mode;
use crate::google::bigquery::JobState;
use crate::state::{Checkpoint, Pending, Plan, SliceManifest, Stored};
use crate::stream::{SliceDone, StreamInfo};

/// Loads one process submits for a commit before it gives up.
const MOST_TRIES: usize = 3;

/// What to do next about a pending commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The checkpoint has it already: delete the pending record.
    Forget,
    /// Submit the load of this attempt.
    Submit { attempt: usize },
    /// The load of this attempt runs.
    Wait { attempt: usize },
    /// The rows are in the table: write the checkpoint.
    Record,
    /// The load ended well with another number of rows than the parts have.
    Miscounted { loaded: u64 },
    /// The load failed, and again would not help.
    GiveUp { reason: String, message: String },
    /// Nothing of it is loaded and its checkpoint is gone: delete the pending record.
    Abandon,
}

/// Decides from the checkpoint and the load jobs that are there, in order of attempt.
///
/// `tries` counts the loads this process has submitted for it. A load job is atomic:
/// one that failed has added nothing, so the next attempt adds each row once.
pub fn next(
    pending: &Pending,
    checkpoint: Option<&Stored<Checkpoint>>,
    attempts: &[JobState],
    tries: usize,
) -> Action {
    if checkpoint.is_some_and(|stored| stored.value.commit == pending.commit) {
        return Action::Forget;
    }
    let attempt = attempts.len();
    let is_stale = checkpoint.map_or(0, |stored| stored.generation) != pending.replaces;
    match attempts.last() {
        Some(JobState::Running) => Action::Wait {
            attempt: attempt - 1,
        },
        _ if is_stale => Action::Abandon,
        None if pending.uris.is_empty() => Action::Record,
        None => Action::Submit { attempt: 0 },
        Some(JobState::Done { rows }) if *rows == pending.rows => Action::Record,
        Some(JobState::Done { rows }) => Action::Miscounted { loaded: *rows },
        Some(JobState::Failed { reason, message }) => {
            if tries == 0 || (tries < MOST_TRIES && passes(reason)) {
                Action::Submit { attempt }
            } else {
                Action::GiveUp {
                    reason: reason.clone(),
                    message: message.clone(),
                }
            }
        }
    }
}

/// Failures of a load job that say nothing about the load itself (Google's Python
/// client retries the same).
fn passes(reason: &str) -> bool {
    matches!(
        reason,
        "backendError"
            | "internalError"
            | "jobBackendError"
            | "jobInternalError"
            | "jobRateLimitExceeded"
            | "rateLimitExceeded"
            | "tableUnavailable"
    )
}

/// How a stream is loaded if the client does not say.
pub fn default_mode(info: &StreamInfo) -> Mode {
    if let Some(mode) = info.mode {
        mode
    } else if info.cursor_field.is_some() && !info.primary_key.is_empty() {
        Mode::Append
    } else {
        Mode::Overwrite
    }
}

/// The finished slices that may be committed now, of a plan of `planned`.
///
/// All of them if all are in. Before that only where rows can be added and the state
/// can say so, and then without a gap: a state past a slice that is missing would
/// lose it.
pub fn committable(
    finished: &[SliceManifest],
    planned: usize,
    mode: Mode,
    has_cursor: bool,
) -> &[SliceManifest] {
    let gapless = finished
        .iter()
        .enumerate()
        .take_while(|(at, slice)| slice.slice == *at)
        .count();
    if gapless == planned || (mode == Mode::Append && has_cursor) {
        &finished[..gapless]
    } else {
        &[]
    }
}

/// What this commit adds: slices that are not in the checkpoint of the same run.
pub fn uncommitted<'a>(
    slices: &'a [SliceManifest],
    run: &str,
    checkpoint: Option<&Checkpoint>,
) -> Vec<&'a SliceManifest> {
    let committed = checkpoint.filter(|checkpoint| checkpoint.run == run);
    let committed = committed.map(|checkpoint| &checkpoint.slices);
    let committed: HashSet<usize> = committed.into_iter().flatten().copied().collect();
    slices
        .iter()
        .filter(|manifest| !committed.contains(&manifest.slice))
        .collect()
}

/// As many slices as one load takes files, at least one.
pub fn one_load(slices: Vec<&SliceManifest>, most_files: usize) -> Vec<&SliceManifest> {
    let mut files = 0;
    let mut taken = 0;
    for slice in &slices {
        files += slice.parts.len();
        if taken > 0 && files > most_files {
            break;
        }
        taken += 1;
    }
    slices.into_iter().take(taken).collect()
}

/// Whether another run has moved the state since `plan` was made from it: what the plan
/// reads may be in the table already.
pub fn is_overtaken(plan: &Plan, checkpoint: Option<&Stored<Checkpoint>>) -> bool {
    match checkpoint {
        Some(stored) => stored.value.run != plan.run && stored.generation != plan.replaces,
        None => plan.replaces != 0,
    }
}

/// Those of the finished slices that are in the table, in the form the source takes
/// them and in the plan's order.
pub fn done(finished: &[SliceManifest], loaded: &[usize]) -> Vec<SliceDone> {
    let loaded: HashSet<usize> = loaded.iter().copied().collect();
    finished
        .iter()
        .filter(|manifest| loaded.contains(&manifest.slice))
        .map(|manifest| manifest.done.clone())
        .collect()
}

/// Begins the ids of a commit's load jobs: the same for the same run and parts.
pub fn commit_id(client: &str, pipeline: &str, stream: &str, run: &str, uris: &[String]) -> String {
    let mut hash = Sha256::new();
    for text in std::iter::once(run).chain(uris.iter().map(String::as_str)) {
        hash.update(text);
        hash.update([0]);
    }
    let hash = hex::encode(hash.finalize());
    let id = format!("xetl-{client}-{pipeline}-{stream}-{}", &hash[..24]);
    id.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// The id of a commit's load job.
pub fn job_id(commit: &str, attempt: usize) -> String {
    format!("{commit}-{attempt}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PartFile;
    use proptest::prelude::*;

    fn pending() -> Pending {
        Pending {
            version: 1,
            commit: "c2".into(),
            mode: Mode::Append,
            table: "t".into(),
            uris: vec!["gs://b/p".into()],
            rows: 10,
            bytes: 100,
            replaces: 7,
            loaded_before: None,
            next: Checkpoint {
                commit: "c2".into(),
                ..Checkpoint::default()
            },
        }
    }

    fn checkpoint(commit: &str, generation: i64) -> Stored<Checkpoint> {
        Stored {
            value: Checkpoint {
                commit: commit.into(),
                ..Checkpoint::default()
            },
            generation,
        }
    }

    fn failed(reason: &str) -> JobState {
        JobState::Failed {
            reason: reason.into(),
            message: String::new(),
        }
    }

    fn decided(attempts: &[JobState], tries: usize) -> Action {
        next(&pending(), Some(&checkpoint("c1", 7)), attempts, tries)
    }

    #[test]
    fn a_commit_without_a_job_is_submitted() {
        assert_eq!(decided(&[], 0), Action::Submit { attempt: 0 });
    }

    #[test]
    fn a_job_that_is_there_is_waited_for_not_sent_again() {
        assert_eq!(
            decided(&[JobState::Running], 0),
            Action::Wait { attempt: 0 }
        );
        assert_eq!(decided(&[JobState::Done { rows: 10 }], 0), Action::Record);
    }

    #[test]
    fn only_a_failed_job_moves_to_the_next_attempt() {
        assert_eq!(
            decided(&[failed("invalid")], 0),
            Action::Submit { attempt: 1 }
        );
        assert_eq!(
            decided(&[failed("backendError")], 1),
            Action::Submit { attempt: 1 }
        );
    }

    #[test]
    fn a_failure_that_lasts_is_given_up() {
        assert!(matches!(
            decided(&[failed("invalid")], 1),
            Action::GiveUp { .. }
        ));
        assert!(matches!(
            decided(&[failed("backendError")], 3),
            Action::GiveUp { .. }
        ));
    }

    #[test]
    fn a_commit_in_the_checkpoint_is_forgotten() {
        let action = next(
            &pending(),
            Some(&checkpoint("c2", 8)),
            &[JobState::Done { rows: 10 }],
            0,
        );
        assert_eq!(action, Action::Forget);
    }

    #[test]
    fn a_commit_whose_checkpoint_was_taken_away_is_abandoned() {
        assert_eq!(
            next(&pending(), None, &[JobState::Done { rows: 10 }], 0),
            Action::Abandon
        );
    }

    #[test]
    fn a_wrong_count_is_noticed() {
        assert_eq!(
            decided(&[JobState::Done { rows: 9 }], 0),
            Action::Miscounted { loaded: 9 }
        );
    }

    #[test]
    fn slices_with_a_gap_before_them_wait() {
        let finished: Vec<_> = [0, 1, 3].into_iter().map(manifest).collect();
        assert_eq!(committable(&finished, 4, Mode::Append, true).len(), 2);
        assert_eq!(committable(&finished, 4, Mode::Append, false).len(), 0);
        assert_eq!(committable(&finished, 4, Mode::Overwrite, true).len(), 0);
    }

    #[test]
    fn a_load_takes_no_more_files_than_bigquery_does() {
        let part = PartFile {
            name: String::new(),
            rows: 1,
            bytes: 1,
            generation: 1,
        };
        let of_two = |slice| SliceManifest {
            parts: vec![part.clone(); 2],
            ..manifest(slice)
        };
        let slices: Vec<_> = (0..5).map(of_two).collect();
        assert_eq!(one_load(slices.iter().collect(), 5).len(), 2);
        assert_eq!(one_load(slices.iter().collect(), 1).len(), 1);
        assert_eq!(one_load(slices.iter().collect(), 10).len(), 5);
    }

    #[test]
    fn a_plan_is_overtaken_by_another_runs_checkpoint_only() {
        let plan = Plan {
            run: "r1".into(),
            mode: Mode::Append,
            extracted_at: 0,
            state: serde_json::Value::Null,
            replaces: 7,
            range: None,
            slices: Vec::new(),
        };
        let mut stored = checkpoint("c", 7);
        stored.value.run = "r0".into();
        assert!(!is_overtaken(&plan, Some(&stored)));
        stored.generation = 8;
        assert!(is_overtaken(&plan, Some(&stored)));
        stored.value.run = "r1".into();
        assert!(!is_overtaken(&plan, Some(&stored)));
    }

    #[test]
    fn a_load_job_has_the_same_id_for_the_same_parts_only() {
        let id =
            |run: &str, uri: &str| commit_id("acme", "xero", "tax/rates", run, &[uri.to_owned()]);
        insta::assert_snapshot!(job_id(&id("r1", "gs://b/1"), 0), @"xetl-acme-xero-tax_rates-02fcf6ec24efbed00b8fa0bd-0");
        assert_ne!(id("r1", "gs://b/1"), id("r2", "gs://b/1"));
        assert_ne!(id("r1", "gs://b/1"), id("r1", "gs://b/2"));
    }

    fn manifest(slice: usize) -> SliceManifest {
        let done = SliceDone::now(crate::stream::Slice::default(), None);
        SliceManifest {
            slice,
            done,
            rows: 0,
            pages: 0,
            parts: Vec::new(),
        }
    }

    fn any_job() -> impl Strategy<Value = JobState> {
        prop_oneof![
            Just(JobState::Running),
            (9..12u64).prop_map(|rows| JobState::Done { rows }),
            "(invalid|backendError)".prop_map(|reason| failed(&reason)),
        ]
    }

    proptest! {
        /// Twice in the table is only possible by a load beside one that may have
        /// added its rows.
        #[test]
        fn nothing_is_submitted_unless_all_before_it_failed(
            attempts in proptest::collection::vec(any_job(), 0..4),
            tries in 0..5usize,
        ) {
            if let Action::Submit { attempt } = decided(&attempts, tries) {
                prop_assert_eq!(attempt, attempts.len());
                let last_failed = attempts.last().is_none_or(|job| matches!(job, JobState::Failed { .. }));
                prop_assert!(last_failed);
            }
        }

        /// The checkpoint never says more than the table has.
        #[test]
        fn nothing_is_recorded_without_all_its_rows(
            attempts in proptest::collection::vec(any_job(), 0..4),
            tries in 0..5usize,
        ) {
            if decided(&attempts, tries) == Action::Record {
                prop_assert_eq!(attempts.last(), Some(&JobState::Done { rows: 10 }));
            }
        }
    }
}
