//! A runtime that dies at any write leaves nothing that the next one does not mend: no row is
//! lost, none is there twice, and the state says what the table has.
//!
//! The real runtime against the local cloud, killed at each write in turn, before it reaches
//! the cloud and after. What comes then is a retry of the same execution, as Cloud Run starts
//! it, or the next execution once the lease of the dead has run out.
// A test may panic, and says aloud what it skips.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod changes;
mod cloud;
mod hardship;
mod provision;
mod proxy;
mod random;
mod source;
#[path = "../world/wire.rs"]
mod wire;

use std::sync::Arc;

use cloud::{Cloud, Ended, Execution, From, Pipeline};
use futures::StreamExt;
use proxy::{Death, Moment};

/// Pipelines that die side by side.
const AT_ONCE: usize = 3;

/// Who goes on after a death.
#[derive(Debug, Clone, Copy)]
enum Successor {
    /// The killed tasks again, in the same execution.
    Retry,
    /// All tasks of another execution.
    Next,
}

/// A death in the first load of a pipeline and one in the second, after the source changed.
#[derive(Debug, Clone, Copy)]
struct Case {
    from: From,
    mode: &'static str,
    tasks: usize,
    deaths: [(Death, Successor); 2],
}

fn all(tasks: usize) -> Vec<usize> {
    (0..tasks).collect()
}

/// Runs an execution that dies, then whoever comes after it; all of them have to end well.
async fn run_and_die(pipeline: &Pipeline, case: &Case, phase: usize) {
    let (death, successor) = case.deaths[phase];
    let (all, first) = (all(case.tasks), format!("first{phase}"));
    let execution = Execution {
        name: &first,
        tasks: &all,
        of: case.tasks,
        death: Some(death),
    };
    let ended = pipeline.run(execution.clone()).await;
    if !ended.is_killed() {
        return assert_ended_well(&ended, case);
    }
    let killed = |task: &usize| ended.codes[*task].is_none();
    let next = format!("next{phase}");
    let again = match successor {
        Successor::Retry => {
            let tasks: Vec<usize> = all.iter().copied().filter(killed).collect();
            pipeline
                .run(Execution {
                    tasks: &tasks,
                    death: None,
                    ..execution
                })
                .await
        }
        Successor::Next => {
            pipeline.let_lease_run_out().await;
            pipeline
                .run(Execution {
                    name: &next,
                    death: None,
                    ..execution
                })
                .await
        }
    };
    assert_ended_well(&again, case);
}

#[track_caller]
fn assert_ended_well(ended: &Ended, case: &Case) {
    assert!(
        ended.is_well(),
        "{case:?}: {:?}\n{}",
        ended.codes,
        ended.logs()
    );
}

/// What must hold after a pipeline has ended well.
struct Truth<'a> {
    tasks: usize,
    case: &'a str,
}

impl Truth<'_> {
    /// What the source has is what the table and the state have.
    async fn is_in(&self, pipeline: &Pipeline) {
        let Truth { tasks, case } = self;
        assert_eq!(pipeline.rows().await, pipeline.truth(), "{case}");
        let state = pipeline.state().await;
        assert_eq!(state["complete"], true, "{case}: {state}");
        if pipeline.from == From::Api {
            for (part, at) in source::cursors(pipeline.phase()) {
                let cursor = cursor_of(&state, &part);
                assert_eq!(cursor, Some(at.as_str()), "{case}: {state}");
            }
        }
        assert_eq!(pipeline.pending().await, None, "{case}");
        let lease = pipeline.lease().await.expect("a lease");
        let ended = lease["ended"].as_array().map(Vec::len);
        assert_eq!(ended, Some(*tasks), "{case}: {lease}");
    }
}

fn cursor_of<'a>(state: &'a serde_json::Value, part: &str) -> Option<&'a str> {
    let parts = state["state"]["states"].as_array()?;
    let part = parts.iter().find(|of| of["partition"]["part"] == part)?;
    part["cursor"]["at"].as_str()
}

async fn survives(cloud: &Arc<Cloud>, case: Case, number: usize) {
    let name = format!("{}-{}-{number}", case.mode, case.tasks);
    let mut pipeline = Pipeline::of(cloud, case.from, case.mode, name).await;
    for phase in 0..case.deaths.len() {
        if phase > 0 {
            // More time than a lease lasts is between two executions.
            pipeline.let_lease_run_out().await;
            pipeline.advance().await;
        }
        run_and_die(&pipeline, &case, phase).await;
        let truth = Truth {
            tasks: case.tasks,
            case: &format!("{case:?}"),
        };
        truth.is_in(&pipeline).await;
    }
}

/// The writes of the two loads of a pipeline that nobody disturbs.
async fn writes(cloud: &Arc<Cloud>, from: From, mode: &'static str, tasks: usize) -> usize {
    let mut pipeline = Pipeline::of(cloud, from, mode, format!("{mode}-{tasks}-whole")).await;
    let mut most = 0;
    for name in ["first0", "first1"] {
        if name == "first1" {
            pipeline.advance().await;
        }
        let tasks_of_it = all(tasks);
        let execution = Execution {
            name,
            tasks: &tasks_of_it,
            of: tasks,
            death: None,
        };
        let ended = pipeline.run(execution).await;
        assert!(ended.is_well(), "{:?}\n{}", ended.codes, ended.logs());
        assert_eq!(pipeline.rows().await, pipeline.truth(), "{}", ended.logs());
        most = most.max(ended.writes);
    }
    most
}

/// Both moments at each write, in either load, with either successor.
fn cases(from: From, mode: &'static str, tasks: usize, writes: usize) -> Vec<Case> {
    use Moment::{After, Before};
    use Successor::{Next, Retry};
    let at = |number| {
        [
            [((number, Before), Next), ((number, After), Next)],
            [((number, After), Retry), ((number, Before), Retry)],
        ]
    };
    let deaths = (0..writes).flat_map(at);
    deaths
        .map(|deaths| Case {
            from,
            mode,
            tasks,
            deaths,
        })
        .collect()
}

fn dies_everywhere(mode: &'static str, tasks: usize) {
    dies_everywhere_from(From::Api, mode, tasks);
}

fn dies_everywhere_from(from: From, mode: &'static str, tasks: usize) {
    block(async {
        let cloud = Cloud::start().await;
        let writes = writes(&cloud, from, mode, tasks).await;
        assert!(
            writes >= 10,
            "only {writes} writes: the proxy does not see them"
        );
        let cases = cases(from, mode, tasks, writes).into_iter().enumerate();
        let survived = cases.map(|(number, case)| survives(&cloud, case, number));
        // Boxed: the steps of a case are large.
        let survived = survived.map(Box::pin);
        futures::stream::iter(survived)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    });
}

fn block(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

#[test]
fn a_replaced_table_outlives_any_death() {
    dies_everywhere("overwrite", 1);
}

#[test]
fn an_added_to_table_outlives_any_death() {
    dies_everywhere("append", 1);
}

#[test]
fn a_merged_table_outlives_any_death() {
    dies_everywhere("merge", 1);
}

#[test]
fn a_replaced_table_of_two_tasks_outlives_any_death() {
    dies_everywhere("overwrite", 2);
}

#[test]
fn an_added_to_table_of_two_tasks_outlives_any_death() {
    dies_everywhere("append", 2);
}

#[test]
fn a_merged_table_of_two_tasks_outlives_any_death() {
    dies_everywhere("merge", 2);
}

#[test]
fn rows_that_bigquery_moves_outlive_any_death() {
    for mode in ["overwrite", "append", "merge"] {
        dies_everywhere_from(From::Gathered, mode, 1);
    }
}

#[test]
fn batches_of_a_table_outlive_any_death() {
    dies_everywhere_from(From::Batches, "merge", 2);
}

#[test]
fn a_table_outlives_any_series_of_deaths() {
    block(async {
        let cloud = Cloud::start().await;
        random::survive(&cloud, random::seeds()).await;
    });
}
