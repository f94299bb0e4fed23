use super::*;
use crate::options::Mode;
use crate::state::Staged;
use proptest::prelude::*;

fn pending() -> Pending {
    Pending {
        version: 1,
        commit: "c2".into(),
        mode: Mode::Append,
        target: Target::Table,
        table: "t".into(),
        layout: Default::default(),
        merge: None,
        gathered: None,
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

fn merging() -> Pending {
    Pending {
        mode: Mode::Merge,
        merge: Some(Staged {
            table: "s".into(),
            statement: "MERGE".into(),
        }),
        ..pending()
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

const LOADED: JobState = JobState::Done { rows: 10 };

fn merged(inserted: u64, updated: u64) -> JobState {
    JobState::Changed(Changes {
        inserted,
        updated,
        deleted: 0,
    })
}

fn attempts(jobs: &[JobState], tries: usize) -> Attempts {
    Attempts {
        jobs: jobs.to_vec(),
        tries,
    }
}

fn decided(pending: &Pending, loads: &Attempts, merges: &Attempts, staged: bool) -> Action {
    let facts = Facts {
        checkpoint: Some(&checkpoint("c1", 7)),
        loads,
        merges,
        staged,
        pointed: false,
    };
    next(pending, facts)
}

fn after_loads(jobs: &[JobState], tries: usize) -> Action {
    decided(
        &pending(),
        &attempts(jobs, tries),
        &Attempts::default(),
        false,
    )
}

fn after_merges(jobs: &[JobState], tries: usize) -> Action {
    let loads = attempts(&[LOADED], 1);
    decided(&merging(), &loads, &attempts(jobs, tries), true)
}

fn submit(job: Job, attempt: usize) -> Action {
    Action::Submit { job, attempt }
}

#[test]
fn a_commit_without_a_job_is_submitted() {
    assert_eq!(after_loads(&[], 0), submit(Job::Load, 0));
}

#[test]
fn a_job_that_is_there_is_waited_for_not_sent_again() {
    let wait = |job| Action::Wait { job, attempt: 0 };
    assert_eq!(after_loads(&[JobState::Running], 0), wait(Job::Load));
    assert_eq!(after_loads(&[LOADED], 0), Action::Record);
    assert_eq!(after_merges(&[JobState::Running], 0), wait(Job::Merge));
    assert_eq!(after_merges(&[merged(4, 5)], 0), Action::Record);
}

#[test]
fn only_a_failed_job_moves_to_the_next_attempt() {
    assert_eq!(after_loads(&[failed("invalid")], 0), submit(Job::Load, 1));
    assert_eq!(
        after_loads(&[failed("backendError")], 1),
        submit(Job::Load, 1)
    );
    assert_eq!(after_merges(&[failed("invalid")], 0), submit(Job::Merge, 1));
}

#[test]
fn a_failure_that_lasts_is_given_up() {
    let is_given_up = |action| matches!(action, Action::GiveUp { .. });
    assert!(is_given_up(after_loads(&[failed("invalid")], 1)));
    assert!(is_given_up(after_loads(&[failed("backendError")], 3)));
    assert!(is_given_up(after_merges(&[failed("invalidQuery")], 1)));
}

#[test]
fn rows_are_staged_then_merged_then_recorded() {
    let none = Attempts::default();
    let loads = attempts(&[LOADED], 1);
    assert_eq!(
        decided(&merging(), &none, &none, false),
        submit(Job::Load, 0)
    );
    assert_eq!(
        decided(&merging(), &loads, &none, true),
        submit(Job::Merge, 0)
    );
    assert_eq!(
        decided(&merging(), &loads, &attempts(&[merged(10, 0)], 1), true),
        Action::Record
    );
}

#[test]
fn a_staging_table_that_ran_out_is_loaded_again() {
    let loads = attempts(&[LOADED], 0);
    let merges = attempts(&[failed("notFound")], 0);
    let none = Attempts::default();
    assert_eq!(
        decided(&merging(), &loads, &none, false),
        submit(Job::Load, 1)
    );
    assert_eq!(
        decided(&merging(), &loads, &merges, false),
        submit(Job::Load, 1)
    );
    // What is merged needs it no more.
    let merges = attempts(&[merged(1, 1)], 0);
    assert_eq!(decided(&merging(), &loads, &merges, false), Action::Record);
}

#[test]
fn an_external_table_is_pointed_at_its_files() {
    let external = Pending {
        target: Target::External,
        ..pending()
    };
    let none = Attempts::default();
    let external = |checkpoint, pointed| {
        let facts = Facts {
            checkpoint,
            loads: &none,
            merges: &none,
            staged: false,
            pointed,
        };
        next(&external, facts)
    };
    let before = checkpoint("c1", 7);
    assert_eq!(external(Some(&before), false), Action::Point);
    assert_eq!(external(Some(&before), true), Action::Record);
    assert_eq!(external(None, false), Action::Abandon);
}

#[test]
fn a_commit_in_the_checkpoint_is_forgotten() {
    let loads = attempts(&[LOADED], 0);
    let facts = |checkpoint| Facts {
        checkpoint,
        loads: &loads,
        merges: &loads,
        staged: false,
        pointed: false,
    };
    let recorded = checkpoint("c2", 8);
    assert_eq!(next(&pending(), facts(Some(&recorded))), Action::Forget);
    assert_eq!(next(&pending(), facts(None)), Action::Abandon);
}

#[test]
fn a_wrong_count_is_noticed() {
    let done = JobState::Done { rows: 9 };
    assert_eq!(after_loads(&[done], 0), Action::Miscounted { loaded: 9 });
    assert!(matches!(
        after_merges(&[merged(9, 2)], 0),
        Action::Overcounted { .. }
    ));
}

fn any_load() -> impl Strategy<Value = JobState> {
    prop_oneof![
        Just(JobState::Running),
        (9..12u64).prop_map(|rows| JobState::Done { rows }),
        "(invalid|backendError)".prop_map(|reason| failed(&reason)),
    ]
}

fn any_merge() -> impl Strategy<Value = JobState> {
    prop_oneof![
        Just(JobState::Running),
        (4..7u64).prop_map(|rows| merged(rows, 5)),
        "(invalid|backendError)".prop_map(|reason| failed(&reason)),
    ]
}

fn any(job: impl Strategy<Value = JobState>) -> impl Strategy<Value = Attempts> {
    let jobs = proptest::collection::vec(job, 0..4);
    (jobs, 0..5usize).prop_map(|(jobs, tries)| Attempts { jobs, tries })
}

proptest! {
    /// Twice in the table is only possible by a load beside one that may have
    /// added its rows.
    #[test]
    fn nothing_is_submitted_unless_all_before_it_failed(loads in any(any_load())) {
        if let Action::Submit { attempt, .. } = decided(&pending(), &loads, &Attempts::default(), false) {
            prop_assert_eq!(attempt, loads.jobs.len());
            let is_over = |job: &JobState| matches!(job, JobState::Failed { .. });
            prop_assert!(loads.jobs.last().is_none_or(is_over));
        }
    }

    /// The checkpoint never says more than the table has.
    #[test]
    fn nothing_is_recorded_without_all_its_rows(loads in any(any_load())) {
        if decided(&pending(), &loads, &Attempts::default(), false) == Action::Record {
            prop_assert_eq!(loads.jobs.last(), Some(&LOADED));
        }
    }

    /// A statement sees all the rows, and no load replaces them under it.
    #[test]
    fn nothing_is_merged_before_all_is_staged(
        loads in any(any_load()),
        merges in any(any_merge()),
        staged in proptest::bool::ANY,
    ) {
        match decided(&merging(), &loads, &merges, staged) {
            Action::Submit { job: Job::Merge, attempt } => {
                prop_assert_eq!(loads.jobs.last(), Some(&LOADED));
                prop_assert!(staged);
                prop_assert_eq!(attempt, merges.jobs.len());
            }
            Action::Submit { job: Job::Load, .. } => {
                let is_over = |job: &JobState| matches!(job, JobState::Failed { .. });
                prop_assert!(merges.jobs.last().is_none_or(is_over));
            }
            Action::Record => {
                prop_assert!(matches!(merges.jobs.last(), Some(JobState::Changed(_))));
            }
            _ => {}
        }
    }
}

#[test]
fn gathered_rows_are_loaded_without_files_and_counted() {
    let gathered = Pending {
        gathered: Some("g".into()),
        uris: Vec::new(),
        ..pending()
    };
    let after = |jobs: &[JobState]| {
        let loads = attempts(jobs, jobs.len());
        decided(&gathered, &loads, &Attempts::default(), false)
    };
    assert_eq!(after(&[]), submit(Job::Load, 0));
    assert_eq!(after(&[LOADED]), Action::Record);
    assert_eq!(after(&[merged(10, 0)]), Action::Record);
    assert_eq!(after(&[merged(9, 0)]), Action::Miscounted { loaded: 9 });
}
