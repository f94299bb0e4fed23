//! The lease: one execution of a pipeline at a time.
//!
//! Cloud Run starts executions side by side. All tasks of one hold the lease together;
//! it is renewed while they run and taken over once its deadline has passed. What a run
//! writes is guarded besides: by generations and by the ids of its load jobs.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::google::storage::{Bucket, Precondition};
use crate::state::{self, StoreError, Stored};

/// How long a lease lasts without being renewed.
const TERM: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(15);

/// Who runs the pipeline, and until when if nobody hears of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    pub run: String,
    pub deadline: Timestamp,
    /// Tasks of the run that have ended.
    pub ended: Vec<usize>,
}

/// What a look at the lease tells a run.
#[derive(Debug, PartialEq)]
pub enum Claim {
    /// Write this lease in place of the one that was read.
    Take(Lease),
    /// Another run has it.
    Held { by: String, until: Timestamp },
}

/// Decides whether `run` may go on.
pub fn claim(held: Option<&Lease>, run: &str, now: Timestamp) -> Claim {
    match held {
        Some(lease) if lease.run != run && lease.deadline > now => Claim::Held {
            by: lease.run.clone(),
            until: lease.deadline,
        },
        Some(lease) if lease.run == run => Claim::Take(Lease {
            deadline: deadline(now),
            ..lease.clone()
        }),
        _ => Claim::Take(Lease {
            run: run.to_owned(),
            deadline: deadline(now),
            ended: Vec::new(),
        }),
    }
}

fn deadline(now: Timestamp) -> Timestamp {
    now.checked_add(TERM).unwrap_or(Timestamp::MAX)
}

/// The lease in its bucket, as one run sees it.
#[derive(Debug, Clone)]
pub struct Holder {
    pub bucket: Bucket,
    pub name: String,
    pub run: String,
    pub task: usize,
    pub tasks: usize,
}

impl Holder {
    /// Takes or renews the lease; says who has it otherwise.
    pub async fn take(&self) -> Result<Claim, StoreError> {
        loop {
            let stored: Option<Stored<Lease>> = state::read(&self.bucket, &self.name).await?;
            let claim = claim(
                stored.as_ref().map(|stored| &stored.value),
                &self.run,
                Timestamp::now(),
            );
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
        let mut last = Timestamp::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.take().await {
                Ok(Claim::Take(_)) => last = Timestamp::now(),
                Ok(Claim::Held { by, .. }) => {
                    tracing::error!(by, "the pipeline's lease was lost to another run; stopping");
                    return stop.cancel();
                }
                Err(error) if deadline(last) < Timestamp::now() => {
                    tracing::error!(%error, "the pipeline's lease could not be renewed; stopping");
                    return stop.cancel();
                }
                Err(error) => tracing::warn!(%error, "the pipeline's lease could not be renewed"),
            }
        }
    }

    /// Ends this task's share; the last task to end gives the lease back.
    pub async fn give_back(&self) -> Result<(), StoreError> {
        loop {
            let stored: Option<Stored<Lease>> = state::read(&self.bucket, &self.name).await?;
            let Some(Stored {
                value: mut lease,
                generation,
            }) = stored
            else {
                return Ok(());
            };
            if lease.run != self.run {
                return Ok(());
            }
            if !lease.ended.contains(&self.task) {
                lease.ended.push(self.task);
            }
            let precondition = Precondition::Generation(generation);
            if lease.ended.len() >= self.tasks {
                match self.bucket.delete(&self.name, precondition).await {
                    Err(error) if error.is_lost_race() => continue,
                    done => return Ok(done?),
                }
            }
            if state::write(&self.bucket, &self.name, &lease, precondition)
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

    fn lease(run: &str, deadline: i64) -> Lease {
        Lease {
            run: run.into(),
            deadline: at(deadline),
            ended: Vec::new(),
        }
    }

    #[test]
    fn a_free_lease_is_taken() {
        assert_eq!(claim(None, "r1", at(0)), Claim::Take(lease("r1", 60)));
    }

    #[test]
    fn another_runs_lease_is_respected_until_its_deadline() {
        let held = lease("r1", 60);
        let until = at(60);
        assert_eq!(
            claim(Some(&held), "r2", at(59)),
            Claim::Held {
                by: "r1".into(),
                until
            }
        );
        assert_eq!(
            claim(Some(&held), "r2", at(60)),
            Claim::Take(lease("r2", 120))
        );
    }

    #[test]
    fn a_retried_task_holds_the_lease_of_its_run() {
        assert_eq!(
            claim(Some(&lease("r1", 60)), "r1", at(30)),
            Claim::Take(lease("r1", 90))
        );
    }
}
