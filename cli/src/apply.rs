//! Carrying a plan out: kind by kind, the steps of one kind at the same time.
//!
//! Reads only the plan. What happens is told to an observer; the first kind
//! that fails ends it, and the same plan made again goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::lock::Mutex;
use secrecy::SecretString;

use crate::cloud::{Cloud, CloudError, Lag};
use crate::interrupt;
use crate::plan::{Change, Plan, Refusal, Step};
use crate::resource::{Address, Kind, Resource};

/// Values for secrets, by the secret's name.
pub type SecretValues = BTreeMap<String, SecretString>;

/// Hears what an apply does.
pub trait Observer: Send {
    /// `steps` steps are to be done.
    fn started(&mut self, _steps: usize) {}
    fn step_started(&mut self, _step: &Step) {}
    fn step_waits(&mut self, _step: &Step, _why: &str) {}
    fn step_finished(&mut self, _step: &Step) {}
    fn step_failed(&mut self, _step: &Step, _error: &ApplyError) {}
    /// Interrupted: what is under way goes on to its end, and nothing else is begun.
    fn stopping(&mut self) {}
    fn finished(&mut self) {}
}

/// Puts our image into the client's repository.
pub trait PushImage: Sync {
    /// Pushes the image of this full name; one that is there already is no work.
    fn push(&self, image: &str) -> impl Future<Output = Result<(), String>> + Send;
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error("image {image}: {problem}")]
    Image { image: String, problem: String },
    #[error("{error} (waited {}s, as {why})", waited.as_secs())]
    Waited {
        error: CloudError,
        waited: Duration,
        why: &'static str,
    },
    #[error("{address}: {reason}")]
    Refused { address: Address, reason: Refusal },
    #[error("secret {} has no value", names.join(", secret "))]
    MissingValues { names: Vec<String> },
    #[error("interrupted")]
    Interrupted { done: usize, left: usize },
    #[error("{}", failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Steps {
        failed: Vec<ApplyError>,
        done: usize,
        left: usize,
    },
}

/// What an apply needs besides the plan.
pub struct Apply<'a, P> {
    pub cloud: &'a Cloud,
    pub images: &'a P,
    /// Stored once their secrets are there, and before jobs need them.
    pub values: &'a SecretValues,
    /// Secrets that the plan's jobs read and that hold nothing yet.
    pub missing: Vec<String>,
    /// Kinds that are deleted with the data they hold; others were empty, and have to be still.
    pub lose: &'a BTreeSet<Kind>,
}

impl<P: PushImage> Apply<'_, P> {
    /// Carries the plan out; gives how many steps were done.
    pub async fn run(&self, plan: &Plan, observer: &mut dyn Observer) -> Result<usize, ApplyError> {
        if let Some((address, reason)) = plan.refused().next() {
            let (address, reason) = (address.clone(), reason.clone());
            return Err(ApplyError::Refused { address, reason });
        }
        let total = plan.steps.iter().filter(|step| acts(step)).count();
        observer.started(total);
        let observer = Mutex::new(observer);
        let result = self.stages(plan, total, &observer).await;
        observer.into_inner().finished();
        result.map(|()| total)
    }

    async fn stages(
        &self,
        plan: &Plan,
        total: usize,
        observer: &Mutex<&mut dyn Observer>,
    ) -> Result<(), ApplyError> {
        let (mut done, mut stored) = (0, false);
        let mut interruption = interrupt::watched();
        for stage in plan.stages() {
            if *interruption.borrow() {
                let left = total - done;
                return Err(ApplyError::Interrupted { done, left });
            }
            if !stored && !stage[0].deletes() && stage[0].address.kind > Kind::Secret {
                self.store_values(plan).await?;
                stored = true;
            }
            self.check_values(stage)?;
            let mut under_way = pin!(self.stage(stage, observer));
            let (made, failed) = tokio::select! {
                ended = &mut under_way => ended,
                Ok(_) = interruption.wait_for(|came| *came) => {
                    observer.lock().await.stopping();
                    under_way.await
                }
            };
            done += made;
            if !failed.is_empty() {
                let left = total - done;
                return Err(ApplyError::Steps { failed, done, left });
            }
        }
        if !stored {
            self.store_values(plan).await?;
        }
        Ok(())
    }

    /// Does the steps of one kind; gives how many are done, and the errors of those that failed.
    async fn stage(
        &self,
        stage: &[Step],
        observer: &Mutex<&mut dyn Observer>,
    ) -> (usize, Vec<ApplyError>) {
        if let Some(apis) = apis(stage) {
            return match self.enable(stage, &apis, observer).await {
                Ok(()) => (stage.iter().filter(|step| acts(step)).count(), Vec::new()),
                Err(error) => (0, vec![error]),
            };
        }
        let steps = stage.iter().filter(|step| acts(step));
        let results = join_all(steps.map(|step| self.step(step, observer))).await;
        let done = results.iter().filter(|result| result.is_ok()).count();
        (done, results.into_iter().filter_map(Result::err).collect())
    }

    async fn step(
        &self,
        step: &Step,
        observer: &Mutex<&mut dyn Observer>,
    ) -> Result<(), ApplyError> {
        observer.lock().await.step_started(step);
        let result = match (&step.change, step.address.kind) {
            (Change::Create { .. }, Kind::Image) => self.push(&step.address.name).await,
            _ => self.patiently(step, observer).await,
        };
        match &result {
            Ok(()) => observer.lock().await.step_finished(step),
            Err(error) => observer.lock().await.step_failed(step, error),
        }
        result
    }

    async fn push(&self, image: &str) -> Result<(), ApplyError> {
        self.images.push(image).await.map_err(|problem| {
            let image = image.to_owned();
            ApplyError::Image { image, problem }
        })
    }

    async fn patiently(
        &self,
        step: &Step,
        observer: &Mutex<&mut dyn Observer>,
    ) -> Result<(), ApplyError> {
        let carry_out = || self.cloud.carry_out(step, self.lose);
        patiently(carry_out, async |why| {
            observer.lock().await.step_waits(step, why)
        })
        .await
    }

    /// All APIs in one call, as Service Usage likes it.
    async fn enable(
        &self,
        stage: &[Step],
        apis: &[String],
        observer: &Mutex<&mut dyn Observer>,
    ) -> Result<(), ApplyError> {
        for step in stage {
            observer.lock().await.step_started(step);
        }
        let enable = || self.cloud.enable_apis(apis);
        let result = patiently(enable, async |why| {
            for step in stage {
                observer.lock().await.step_waits(step, why);
            }
        })
        .await;
        for step in stage {
            match &result {
                Ok(()) => observer.lock().await.step_finished(step),
                Err(error) => observer.lock().await.step_failed(step, error),
            }
        }
        result
    }

    async fn store_values(&self, plan: &Plan) -> Result<(), ApplyError> {
        for (name, value) in self.values {
            let address = Address::new(Kind::Secret, name);
            let secret = plan.steps.iter().find_map(|step| match &step.change {
                Change::Create {
                    after: Resource::Secret(secret),
                }
                | Change::Replace {
                    after: Resource::Secret(secret),
                    ..
                } if step.address == address => Some(secret.clone()),
                _ => None,
            });
            let secret = secret.unwrap_or_default();
            let store = async || {
                let stored = self.cloud.store_secret(name, &secret, value).await;
                stored.map(drop)
            };
            patiently(store, async |_| ()).await?;
        }
        Ok(())
    }

    /// Jobs are not even accepted before all their secrets hold a value.
    fn check_values(&self, stage: &[Step]) -> Result<(), ApplyError> {
        let needs = |step: &Step| match &step.change {
            Change::Create {
                after: Resource::Job(job),
            }
            | Change::Update {
                after: Resource::Job(job),
                ..
            } => job.secrets.values().cloned().collect(),
            _ => Vec::new(),
        };
        let needed: Vec<String> = stage.iter().flat_map(needs).collect();
        let lacks = |name: &&String| needed.contains(name) && !self.values.contains_key(*name);
        let names: Vec<_> = self.missing.iter().filter(lacks).cloned().collect();
        match names.is_empty() {
            true => Ok(()),
            false => Err(ApplyError::MissingValues { names }),
        }
    }
}

/// Does it again while what refuses it is only slow to learn of an earlier step.
async fn patiently(
    action: impl AsyncFn() -> Result<(), CloudError>,
    mut waits: impl AsyncFnMut(&'static str),
) -> Result<(), ApplyError> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let error = match action().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let waited = began.elapsed();
        match error.lag() {
            None => return Err(error.into()),
            Some(Lag { why, longest }) if waited >= longest => {
                return Err(ApplyError::Waited { error, waited, why });
            }
            Some(lag) => waits(lag.why).await,
        }
        // Steps that wait for the same thing do not ask for it at the same time.
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

fn acts(step: &Step) -> bool {
    !matches!(step.change, Change::Keep { .. } | Change::Refuse { .. })
}

fn apis(stage: &[Step]) -> Option<Vec<String>> {
    let all = stage
        .iter()
        .all(|step| step.address.kind == Kind::Api && !step.deletes());
    all.then(|| stage.iter().map(|step| step.address.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn disabled() -> CloudError {
        CloudError::Disabled {
            what: "job a".to_owned(),
            api: "run.googleapis.com".to_owned(),
            message: "off".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_only_lags_is_waited_for() {
        let tries = AtomicUsize::new(0);
        let action = async || match tries.fetch_add(1, Relaxed) {
            0 | 1 => Err(disabled()),
            _ => Ok(()),
        };
        let mut waits = 0;
        patiently(action, async |_| waits += 1).await.unwrap();
        assert_eq!(waits, 2);
    }

    #[tokio::test]
    async fn what_is_refused_is_not_waited_for() {
        let refused = || CloudError::Denied {
            what: "job a".to_owned(),
            message: "no".to_owned(),
        };
        let error = patiently(async || Err(refused()), async |_| panic!("waits"))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "job a: no");
    }
}
