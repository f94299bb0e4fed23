//! Series of deaths drawn at random: whoever comes after a death may die as well.

use std::sync::Arc;

use fastrand::Rng;
use futures::StreamExt;

use crate::cloud::{Cloud, Ended, Execution, Pipeline};
use crate::proxy::Moment;
use crate::{AT_ONCE, Successor, Truth, all};

/// Each seed is a pipeline's fate; `XETL_CRASH_SEEDS=1000..1100` tries others.
const SEEDS: std::ops::Range<u64> = 0..18;
const MOST_TASKS: usize = 3;
const MOST_DEATHS: usize = 4;
/// More writes than a task has: some executions end before the death that was meant for them.
const MOST_WRITES: usize = 24;

pub fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("XETL_CRASH_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = text.split_once("..").expect("FROM..TO");
    from.parse().unwrap()..to.parse().unwrap()
}

pub async fn survive(cloud: &Arc<Cloud>, seeds: std::ops::Range<u64>) {
    let series = seeds.map(|seed| Box::pin(survives(cloud, seed)));
    futures::stream::iter(series)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

async fn survives(cloud: &Arc<Cloud>, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mode = ["overwrite", "append", "merge"][rng.usize(..3)];
    let tasks = rng.usize(1..=MOST_TASKS);
    let name = format!("random-{mode}-{tasks}-{seed}");
    let mut pipeline = Pipeline::new(cloud, mode, name.clone()).await;
    for phase in 0..2 {
        if phase > 0 {
            pipeline.let_lease_run_out().await;
            pipeline.advance().await;
        }
        let ended = series(&pipeline, &mut rng, phase, tasks).await;
        assert!(
            ended.is_well(),
            "{name}: {:?}\n{}",
            ended.codes,
            ended.logs()
        );
        let truth = Truth { tasks, case: &name };
        truth.is_in(&pipeline).await;
    }
}

/// Executions until one ends without a death.
async fn series(pipeline: &Pipeline, rng: &mut Rng, phase: usize, tasks: usize) -> Ended {
    let mut deaths = rng.usize(1..=MOST_DEATHS);
    let mut number = 0;
    let mut started = all(tasks);
    loop {
        let moment = [Moment::Before, Moment::After][rng.usize(..2)];
        let death = (deaths > 0).then(|| (rng.usize(..MOST_WRITES), moment));
        deaths = deaths.saturating_sub(1);
        let ended = pipeline
            .run(Execution {
                name: &format!("p{phase}-e{number}"),
                tasks: &started,
                of: tasks,
                death,
            })
            .await;
        if !ended.is_killed() {
            return ended;
        }
        match [Successor::Retry, Successor::Next][rng.usize(..2)] {
            Successor::Retry => {
                let killed = started.iter().zip(&ended.codes);
                let killed = killed.filter(|(_, code)| code.is_none());
                started = killed.map(|(task, _)| *task).collect();
            }
            Successor::Next => {
                pipeline.let_lease_run_out().await;
                number += 1;
                started = all(tasks);
            }
        }
    }
}
