//! The lease: one execution of a pipeline at a time.
//!
//! Cloud Run starts executions side by side. All tasks of one hold the lease together;
//! it is renewed while they run and taken over once its deadline has passed. What a run
//! writes is guarded besides: by generations, by the ids of its load jobs, and by a tenure
//! that ends by the clock, also in a process that stood still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::google::storage::{Bucket, Precondition};
use crate::state::{self, StoreError, Stored};

/// How long a lease lasts without being renewed.
const TERM: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(15);
/// How often one who waits looks again, at most.
const LOOK: Duration = Duration::from_secs(5);

/// What an execution does while another of its pipeline runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Nothing: it ends at once, and well.
    #[default]
    Skip,
    /// It waits for the other to end, as long as its task may run.
    Queue,
}

impl Overlap {
    pub fn is_default(&self) -> bool {
        *self == Overlap::default()
    }
}

/// The time by two clocks: one may be set while a run goes on, the other stands still while a
/// machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub wall: Timestamp,
    pub steady: Instant,
}

impl Now {
    pub fn read() -> Now {
        Now {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }

    fn plus(self, time: Duration) -> Now {
        Now {
            wall: self.wall.checked_add(time).unwrap_or(Timestamp::MAX),
            steady: self.steady + time,
        }
    }
}

/// How long this process may still take the lease for its own.
///
/// It must not begin anything that a successor cannot see once that time is over, by either clock.
#[derive(Debug, Clone, Default)]
pub struct Tenure(Arc<Mutex<Option<Now>>>);

impl Tenure {
    pub fn is_over(&self, now: Now) -> bool {
        self.until()
            .is_none_or(|until| until.wall <= now.wall || until.steady <= now.steady)
    }

    fn until(&self) -> MutexGuard<'_, Option<Now>> {
        // A moment is whole, whoever panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lease was asked for at this moment, and was had.
    fn begin(&self, asked: Now) {
        *self.until() = Some(asked.plus(TERM));
    }

    fn end(&self) {
        *self.until() = None;
    }
}

/// Who runs the pipeline, and until when if nobody hears of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    pub run: String,
    pub deadline: Timestamp,
    /// How many tasks the run has.
    #[serde(default = "one")]
    pub tasks: usize,
    /// Those of them that have ended.
    pub ended: Vec<usize>,
}

fn one() -> usize {
    1
}

impl Lease {
    /// Whether somebody may still work under it. A lease is not deleted when all tasks have
    /// ended: a task that died once it had given its share back is retried, and must learn
    /// that the others are gone.
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.deadline > now && self.ended.len() < self.tasks
    }
}

/// Who asks for the lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claimant<'a> {
    pub run: &'a str,
    pub task: usize,
    pub tasks: usize,
}

/// What a look at the lease tells a run.
#[derive(Debug, PartialEq)]
pub enum Claim {
    /// Write this lease in place of the one that was read.
    Take(Lease),
    /// Another run has it.
    Held { by: String, until: Timestamp },
}

/// Decides whether a task may go on.
pub fn claim(held: Option<&Lease>, who: Claimant<'_>, now: Timestamp) -> Claim {
    let ended = match held {
        Some(lease) if lease.run == who.run => {
            // A retried task has not ended, whatever it did before.
            let others = lease.ended.iter().filter(|task| **task != who.task);
            others.copied().collect()
        }
        Some(lease) if lease.is_held(now) => {
            return Claim::Held {
                by: lease.run.clone(),
                until: lease.deadline,
            };
        }
        _ => Vec::new(),
    };
    Claim::Take(Lease {
        run: who.run.to_owned(),
        deadline: deadline(now),
        tasks: who.tasks,
        ended,
    })
}

fn deadline(now: Timestamp) -> Timestamp {
    now.checked_add(TERM).unwrap_or(Timestamp::MAX)
}

/// How long one who waits sleeps: a lease that runs out is taken over right then.
fn next_look(until: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(until.duration_since(now));
    left.unwrap_or_default()
        .clamp(Duration::from_millis(50), LOOK)
}

/// The lease in its bucket, as one run sees it.
#[derive(Debug, Clone)]
pub struct Holder {
    pub bucket: Bucket,
    pub name: String,
    pub run: String,
    pub task: usize,
    pub tasks: usize,
    pub tenure: Tenure,
}

impl Holder {
    /// Takes or renews the lease; says who has it otherwise.
    pub async fn take(&self) -> Result<Claim, StoreError> {
        let asked = Now::read();
        let claim = self.claimed(asked.wall).await?;
        match &claim {
            Claim::Take(_) => self.tenure.begin(asked),
            Claim::Held { .. } => self.tenure.end(),
        }
        Ok(claim)
    }

    /// Takes the lease once it is free; `None` if told to stop before.
    ///
    /// Nothing else ends the wait: the task's timeout does, which is such a stop.
    pub async fn wait(&self, stop: &CancellationToken) -> Result<Option<Claim>, StoreError> {
        let mut told = String::new();
        loop {
            let (by, until) = match self.take().await? {
                Claim::Held { by, until } => (by, until),
                taken => return Ok(Some(taken)),
            };
            if told != by {
                tracing::info!(
                    by,
                    "another execution of this pipeline runs; waiting for it to end"
                );
                told = by;
            }
            tokio::select! {
                () = tokio::time::sleep(next_look(until, Timestamp::now())) => {}
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    fn claimant(&self) -> Claimant<'_> {
        Claimant {
            run: &self.run,
            task: self.task,
            tasks: self.tasks,
        }
    }

    async fn claimed(&self, now: Timestamp) -> Result<Claim, StoreError> {
        loop {
            let stored: Option<Stored<Lease>> = state::read(&self.bucket, &self.name).await?;
            let held = stored.as_ref().map(|stored| &stored.value);
            let claim = claim(held, self.claimant(), now);
            let Claim::Take(lease) = &claim else {
                return Ok(claim);
            };
            let precondition = match &stored {
                Some(stored) => Precondition::Generation(stored.generation),
                None => Precondition::Absent,
            };
            if state::write(&self.bucket, &self.name, lease, precondition)
                .await?
                .is_some()
            {
                return Ok(claim);
            }
        }
    }

    /// Renews it until it is lost, which stops the run. Failing to reach the bucket
    /// is no loss before the deadline has passed.
    pub async fn keep(&self, stop: CancellationToken) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.take().await {
                Ok(Claim::Take(_)) => {}
                Ok(Claim::Held { by, .. }) => {
                    tracing::error!(by, "the pipeline's lease was lost to another run; stopping");
                    return stop.cancel();
                }
                Err(error) if self.tenure.is_over(Now::read()) => {
                    tracing::error!(%error, "the pipeline's lease could not be renewed; stopping");
                    return stop.cancel();
                }
                Err(error) => tracing::warn!(%error, "the pipeline's lease could not be renewed"),
            }
        }
    }

    /// Ends this task's share; once all tasks have, the lease is free.
    pub async fn give_back(&self) -> Result<(), StoreError> {
        loop {
            let stored: Option<Stored<Lease>> = state::read(&self.bucket, &self.name).await?;
            let Some(mut stored) = stored.filter(|stored| stored.value.run == self.run) else {
                return Ok(());
            };
            let lease = &mut stored.value;
            if lease.ended.contains(&self.task) {
                return Ok(());
            }
            lease.ended.push(self.task);
            let precondition = Precondition::Generation(stored.generation);
            if state::write(&self.bucket, &self.name, lease, precondition)
                .await?
                .is_some()
            {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A lease of two tasks.
    fn lease(run: &str, deadline: i64, ended: &[usize]) -> Lease {
        Lease {
            run: run.into(),
            deadline: at(deadline),
            tasks: 2,
            ended: ended.to_vec(),
        }
    }

    fn task(run: &str, task: usize) -> Claimant<'_> {
        let tasks = 2;
        Claimant { run, task, tasks }
    }

    #[test]
    fn a_free_lease_is_taken() {
        let taken = claim(None, task("r1", 0), at(0));
        assert_eq!(taken, Claim::Take(lease("r1", 60, &[])));
    }

    #[test]
    fn another_runs_lease_is_respected_until_its_deadline() {
        let held = lease("r1", 60, &[0]);
        let until = at(60);
        let by = "r1".to_owned();
        let look = |second| claim(Some(&held), task("r2", 0), at(second));
        assert_eq!(look(59), Claim::Held { by, until });
        assert_eq!(look(60), Claim::Take(lease("r2", 120, &[])));
    }

    #[test]
    fn a_lease_is_free_once_all_its_tasks_have_ended() {
        let ended = lease("r1", 60, &[1, 0]);
        let taken = claim(Some(&ended), task("r2", 0), at(30));
        assert_eq!(taken, Claim::Take(lease("r2", 90, &[])));
    }

    #[test]
    fn a_retried_task_holds_the_lease_of_its_run() {
        let taken = claim(Some(&lease("r1", 60, &[1])), task("r1", 0), at(30));
        assert_eq!(taken, Claim::Take(lease("r1", 90, &[1])));
    }

    #[test]
    fn a_task_retried_after_it_had_ended_has_not_ended_and_knows_of_the_others() {
        let taken = claim(Some(&lease("r1", 60, &[0, 1])), task("r1", 0), at(30));
        assert_eq!(taken, Claim::Take(lease("r1", 90, &[1])));
    }

    #[test]
    fn a_lease_without_a_count_of_tasks_is_of_one() {
        let text = r#"{"run": "r1", "deadline": "1970-01-01T00:01:00Z", "ended": []}"#;
        let lease: Lease = serde_json::from_str(text).unwrap();
        assert_eq!(lease.tasks, 1);
        assert!(lease.is_held(at(0)));
    }

    #[test]
    fn one_who_waits_looks_when_the_lease_runs_out_and_often_before() {
        let look = |until| next_look(at(until), at(100));
        assert_eq!(look(160), LOOK);
        assert_eq!(look(102), Duration::from_secs(2));
        assert_eq!(look(90), Duration::from_millis(50));
    }

    #[test]
    fn a_tenure_ends_by_either_clock_and_by_loss() {
        let asked = Now::read();
        let [soon, late] = [1, 60].map(|seconds| asked.plus(Duration::from_secs(seconds)));
        let tenure = Tenure::default();
        assert!(tenure.is_over(asked), "nobody asked for it yet");
        tenure.begin(asked);
        assert!(!tenure.is_over(soon));
        let set_forward = Now {
            wall: late.wall,
            ..soon
        };
        assert!(tenure.is_over(set_forward));
        let set_back = Now {
            wall: at(0),
            ..late
        };
        assert!(tenure.is_over(set_back));
        tenure.end();
        assert!(tenure.is_over(soon));
    }
}
