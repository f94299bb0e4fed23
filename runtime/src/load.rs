//! Commits: rows of finished slices into their table, then the checkpoint.
//!
//! Looks at what is there, asks `commit` what to do, does it, and looks again. `tables`
//! makes tables ready for it.

mod error;
mod jobs;
mod tables;

use std::collections::HashMap;
use std::time::Duration;

use crate::commit::{self, Action, Attempts, Facts, Job, job_id};
use crate::google::ApiError;
use crate::google::bigquery::{Dataset, JobState, Load, Query, Table};
use crate::google::storage::{Bucket, Precondition};
use crate::layout::TableLayout;
use crate::lease::{Now, Tenure};
use crate::options::{Mode, Target};
use crate::schema::{EXTRACTED_AT, RESCUED, RUN_ID};
use crate::state::{self, Checkpoint, Layout, Pending, StoreError, Stored};
use crate::store::Store;

pub use error::CommitError;
use jobs::{Jobs, failure, tell_given_up, tell_merged};

/// Others may change an external table at the same time; but not for ever.
const MOST_POINTS: usize = 5;

/// How a commit that had begun has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its rows are in the table and in the checkpoint.
    Recorded,
    /// Nothing of it counts; its slices are to be read again.
    Abandoned,
}

/// Carries commits out for one pipeline.
#[derive(Debug, Clone)]
pub struct Loader {
    pub bucket: Bucket,
    pub dataset: Dataset,
    pub store: Store,
    pub layout: Layout,
    pub labels: HashMap<String, String>,
    pub run: String,
    /// Nothing is begun or submitted once it is over: a successor may be at work.
    pub tenure: Tenure,
}

impl Loader {
    /// The stream's checkpoint, if it has one.
    pub async fn checkpoint(&self, stream: &str) -> Result<Option<Stored<Checkpoint>>, StoreError> {
        self.store.checkpoint(stream).await
    }

    /// A commit somebody began and did not end.
    pub async fn pending(&self, stream: &str) -> Result<Option<Stored<Pending>>, StoreError> {
        state::read(&self.bucket, &self.layout.pending(stream)).await
    }

    /// Notes a commit before anything of it happens; `false` if another is noted.
    pub async fn begin(&self, pending: &Pending) -> Result<bool, CommitError> {
        self.must_hold_lease()?;
        let name = self.layout.pending(&pending.next.stream);
        Ok(
            state::write(&self.bucket, &name, pending, Precondition::Absent)
                .await?
                .is_some(),
        )
    }

    /// Brings a commit to its end, whoever began it.
    pub async fn finish(&self, stored: &Stored<Pending>) -> Result<Settled, CommitError> {
        let pending = &stored.value;
        let mut jobs = Jobs {
            loads: self.attempts(pending, Job::Load).await?,
            merges: self.attempts(pending, Job::Merge).await?,
        };
        let mut delay = Duration::from_millis(20);
        let mut points = 0;
        loop {
            // The checkpoint last: whoever changed the others wrote it before.
            let table = self.external(pending).await?;
            let staged = self.is_staged(pending, &jobs).await?;
            let checkpoint = self.checkpoint(&pending.next.stream).await?;
            let facts = Facts {
                checkpoint: checkpoint.as_ref(),
                loads: &jobs.loads,
                merges: &jobs.merges,
                staged,
                pointed: table.as_ref().and_then(|it| it.files.as_ref()) == Some(&pending.uris),
            };
            match commit::next(pending, facts) {
                Action::Forget => return self.close(stored, Settled::Recorded).await,
                Action::Abandon => return self.close(stored, Settled::Abandoned).await,
                Action::Submit { job, attempt } => {
                    self.must_hold_lease()?;
                    Box::pin(self.submit(pending, job, attempt)).await?;
                    jobs.of(job).jobs.push(JobState::Running);
                    jobs.of(job).tries += 1;
                    delay = Duration::from_millis(20);
                }
                Action::Wait { job, attempt } => {
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(5));
                    self.look_again(pending, &mut jobs, job, attempt).await?;
                }
                Action::Point if points == MOST_POINTS => return Err(restless(&pending.table)),
                Action::Point => {
                    self.must_hold_lease()?;
                    Box::pin(self.point(pending, table.as_ref())).await?;
                    points += 1;
                }
                Action::Record => Box::pin(self.record(pending, &jobs)).await?,
                Action::GiveUp { .. } if pending.next.run != self.run => {
                    tell_given_up(pending, &jobs);
                    return self.close(stored, Settled::Abandoned).await;
                }
                action => return Err(failure(pending, &jobs, action)),
            }
        }
    }

    fn must_hold_lease(&self) -> Result<(), CommitError> {
        match self.tenure.is_over(Now::read()) {
            true => Err(CommitError::LeaseLost),
            false => Ok(()),
        }
    }

    async fn attempts(&self, pending: &Pending, job: Job) -> Result<Attempts, ApiError> {
        let mut jobs = Vec::new();
        let is_possible = job == Job::Load || pending.merge.is_some();
        while is_possible
            && let Some(state) = self
                .dataset
                .job(&job_id(&pending.commit, job, jobs.len()))
                .await?
        {
            jobs.push(state);
        }
        Ok(Attempts { jobs, tries: 0 })
    }

    /// Right after a job is taken in, reading it can still answer "not found".
    async fn look_again(
        &self,
        pending: &Pending,
        jobs: &mut Jobs,
        job: Job,
        attempt: usize,
    ) -> Result<(), ApiError> {
        let id = job_id(&pending.commit, job, attempt);
        let state = self.dataset.job(&id).await?;
        if let (Some(slot), Some(state)) = (jobs.of(job).jobs.get_mut(attempt), state) {
            *slot = state;
        }
        Ok(())
    }

    /// The external table the commit is about, if it is about one.
    async fn external(&self, pending: &Pending) -> Result<Option<Table>, ApiError> {
        match pending.target {
            Target::Table => Ok(None),
            Target::External => self.dataset.table(&pending.table).await,
        }
    }

    /// Whether the rows of a finished load still wait to be merged.
    async fn is_staged(&self, pending: &Pending, jobs: &Jobs) -> Result<bool, ApiError> {
        let is_loaded = matches!(jobs.loads.jobs.last(), Some(JobState::Done { .. }));
        match &pending.merge {
            Some(staged) if is_loaded => Ok(self.dataset.table(&staged.table).await?.is_some()),
            _ => Ok(false),
        }
    }

    async fn submit(&self, pending: &Pending, job: Job, attempt: usize) -> Result<(), CommitError> {
        let job_id = job_id(&pending.commit, job, attempt);
        tracing::info!(
            stream = pending.next.stream,
            job = job_id,
            rows = pending.rows,
            parts = pending.uris.len(),
            "{job} submitted"
        );
        match (job, &pending.merge) {
            (Job::Merge, Some(staged)) => {
                let query = Query {
                    job_id,
                    statement: staged.statement.clone(),
                    labels: self.labels.clone(),
                };
                self.explained(self.dataset.submit_query(&query).await)
                    .await
            }
            _ => self.submit_load(pending, job_id).await,
        }
    }

    /// What was not found where it should be may be elsewhere.
    async fn explained(&self, submitted: Result<(), ApiError>) -> Result<(), CommitError> {
        let Err(error) = submitted else { return Ok(()) };
        if !error.is_not_found() {
            return Err(error.into());
        }
        let Dataset {
            dataset,
            project,
            location,
            ..
        } = &self.dataset;
        match self.dataset.place().await? {
            None => Err(CommitError::NoDataset {
                dataset: dataset.clone(),
                project: project.clone(),
            }),
            Some(there) if !there.eq_ignore_ascii_case(location) => {
                Err(CommitError::DatasetElsewhere {
                    dataset: dataset.clone(),
                    there,
                    wanted: location.clone(),
                })
            }
            Some(_) => Err(error.into()),
        }
    }

    async fn submit_load(&self, pending: &Pending, job_id: String) -> Result<(), CommitError> {
        if let Some(gathered) = &pending.gathered {
            return self.submit_gathered(pending, gathered, job_id).await;
        }
        let fields = self.prepare(pending).await?;
        let table = match &pending.merge {
            Some(staged) => {
                self.prepare_staging(&staged.table, &fields).await?;
                &staged.table
            }
            None => &pending.table,
        };
        let load = Load {
            job_id,
            table: table.clone(),
            uris: pending.uris.clone(),
            fields,
            layout: match pending.mode {
                Mode::Overwrite => pending.layout.clone(),
                _ => TableLayout::default(),
            },
            truncate: pending.mode != Mode::Append,
            labels: self.labels.clone(),
        };
        self.explained(self.dataset.submit(&load).await).await
    }

    /// The same for rows that BigQuery has gathered: added by a statement, as a table may have
    /// columns that they lack; else copied.
    async fn submit_gathered(
        &self,
        pending: &Pending,
        gathered: &str,
        job_id: String,
    ) -> Result<(), CommitError> {
        let fields = self.prepare(pending).await?;
        if pending.mode == Mode::Append {
            let query = Query {
                job_id,
                statement: addition(
                    &self.full_name(&pending.table),
                    &self.full_name(gathered),
                    pending,
                ),
                labels: self.labels.clone(),
            };
            return self
                .explained(self.dataset.submit_query(&query).await)
                .await;
        }
        let to = match &pending.merge {
            Some(staged) => {
                self.prepare_staging(&staged.table, &fields).await?;
                &staged.table
            }
            None => &pending.table,
        };
        let copied = self
            .dataset
            .submit_copy(&job_id, gathered, to, &self.labels);
        self.explained(copied.await).await
    }

    /// Writes the checkpoint; one that was changed meanwhile is looked at again.
    async fn record(&self, pending: &Pending, jobs: &Jobs) -> Result<(), CommitError> {
        if pending.uris.is_empty() && pending.next.schema.is_some() {
            self.prepare(pending).await?;
        }
        if let Some(JobState::Changed(changes)) = jobs.merges.jobs.last() {
            tell_merged(pending, changes);
        }
        self.store.record(pending).await?;
        Ok(())
    }

    async fn close(
        &self,
        stored: &Stored<Pending>,
        settled: Settled,
    ) -> Result<Settled, CommitError> {
        if let Some(staged) = &stored.value.merge
            && let Err(error) = self.dataset.delete_table(&staged.table).await
        {
            tracing::warn!(table = staged.table, %error, "the staging table stays until it runs out");
        }
        if let (Some(gathered), Settled::Recorded) = (&stored.value.gathered, settled)
            && let Err(error) = self.dataset.delete_table(gathered).await
        {
            tracing::warn!(table = gathered, %error, "the gathered rows stay until they run out");
        }
        let name = self.layout.pending(&stored.value.next.stream);
        match self
            .bucket
            .delete(&name, Precondition::Generation(stored.generation))
            .await
        {
            Err(error) if !error.is_lost_race() => Err(error.into()),
            _ => Ok(settled),
        }
    }
}

/// Adds gathered rows to a table, by the names of their columns.
fn addition(table: &str, gathered: &str, pending: &Pending) -> String {
    let schema = pending.next.schema.clone().unwrap_or_default();
    let own = [RUN_ID, EXTRACTED_AT, RESCUED];
    let names = schema.columns.iter().map(|column| column.name.as_str());
    let names: Vec<String> = names.chain(own).map(|name| format!("`{name}`")).collect();
    let names = names.join(", ");
    format!("INSERT INTO `{table}` ({names}) SELECT {names} FROM `{gathered}`")
}

fn restless(table: &str) -> CommitError {
    let call = format!("bigquery tables.patch {table}");
    let problem = "the table is changed by others all the time".to_owned();
    ApiError::Unreachable { call, problem }.into()
}
