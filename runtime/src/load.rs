//! Commits: rows of finished slices into their table, then the checkpoint.
//!
//! Looks at what is there, asks `commit` what to do, does it, and looks again.

use std::collections::HashMap;
use std::time::Duration;

use crate::bundle::Mode;
use crate::commit::{self, Action, job_id};
use crate::google::ApiError;
use crate::google::bigquery::{Dataset, JobState, Load, Table};
use crate::google::storage::{Bucket, Precondition};
use crate::schema::TableSchema;
use crate::schema::bigquery::{Mismatch, still_there, union};
use crate::state::{self, Checkpoint, Layout, Pending, StoreError, Stored};
use crate::store::Store;

/// Why the rows of a stream are not in its table.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "cannot add to table `{table}`: {mismatch}. Change the column back, or load into another dataset"
    )]
    Mismatch { table: String, mismatch: Mismatch },
    #[error(
        "table `{table}` is gone, but its state {state} is not. To load all of it again, delete that state"
    )]
    TableGone { table: String, state: String },
    #[error("`{table}` is a view where the rows should go. Rename or delete it")]
    ViewInTheWay { table: String },
    #[error(
        "`{view}` is a table where the view of the newest versions should be. Rename or delete it"
    )]
    TableInTheWay { view: String },
    #[error("load job {job} failed ({reason}): {message}")]
    LoadFailed {
        job: String,
        reason: String,
        message: String,
    },
    #[error(
        "load job {job} brought {loaded} rows into the table, but the parts have {expected}; its state was not moved"
    )]
    Miscounted {
        job: String,
        loaded: u64,
        expected: u64,
    },
}

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
    pub async fn begin(&self, pending: &Pending) -> Result<bool, StoreError> {
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
        let mut attempts = self.attempts(&pending.commit).await?;
        let mut tries = 0;
        let mut delay = Duration::from_millis(20);
        loop {
            let checkpoint = self.checkpoint(&pending.next.stream).await?;
            match commit::next(pending, checkpoint.as_ref(), &attempts, tries) {
                Action::Forget => return self.close(stored, Settled::Recorded).await,
                Action::Abandon => return self.close(stored, Settled::Abandoned).await,
                Action::Submit { attempt } => {
                    self.submit(pending, attempt).await?;
                    attempts.push(JobState::Running);
                    tries += 1;
                }
                Action::Wait { attempt } => {
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(5));
                    self.look_again(pending, &mut attempts, attempt).await?;
                }
                Action::Record => self.record(pending).await?,
                Action::Miscounted { loaded } => {
                    let job = job_id(&pending.commit, attempts.len() - 1);
                    return Err(CommitError::Miscounted {
                        job,
                        loaded,
                        expected: pending.rows,
                    });
                }
                Action::GiveUp { reason, message } => {
                    let job = job_id(&pending.commit, attempts.len() - 1);
                    if pending.next.run == self.run {
                        return Err(CommitError::LoadFailed {
                            job,
                            reason,
                            message,
                        });
                    }
                    tracing::warn!(
                        stream = pending.next.stream,
                        job,
                        reason,
                        error = message,
                        "the load of an earlier run failed for good; its slices are read again"
                    );
                    return self.close(stored, Settled::Abandoned).await;
                }
            }
        }
    }

    /// Makes the view `<table>_latest` show the newest versions.
    pub async fn keep_view(&self, view: &str, query: &str) -> Result<(), CommitError> {
        match self.dataset.table(view).await? {
            None => self.dataset.create_view(view, query, &self.labels).await?,
            Some(Table { view: None, .. }) => {
                return Err(CommitError::TableInTheWay {
                    view: view.to_owned(),
                });
            }
            Some(Table {
                view: Some(there), ..
            }) if there == query => {}
            Some(Table { etag, .. }) => self.dataset.update_view(view, &etag, query).await?,
        }
        Ok(())
    }

    async fn attempts(&self, commit: &str) -> Result<Vec<JobState>, ApiError> {
        let mut attempts = Vec::new();
        while let Some(job) = self.dataset.job(&job_id(commit, attempts.len())).await? {
            attempts.push(job);
        }
        Ok(attempts)
    }

    /// Right after a job is taken in, reading it can still answer "not found".
    async fn look_again(
        &self,
        pending: &Pending,
        attempts: &mut [JobState],
        attempt: usize,
    ) -> Result<(), ApiError> {
        let job = self.dataset.job(&job_id(&pending.commit, attempt)).await?;
        if let (Some(slot), Some(job)) = (attempts.get_mut(attempt), job) {
            *slot = job;
        }
        Ok(())
    }

    async fn submit(&self, pending: &Pending, attempt: usize) -> Result<(), CommitError> {
        let load = Load {
            job_id: job_id(&pending.commit, attempt),
            table: pending.table.clone(),
            uris: pending.uris.clone(),
            fields: self.prepare(pending).await?,
            truncate: pending.mode == Mode::Overwrite,
            labels: self.labels.clone(),
        };
        tracing::info!(
            stream = pending.next.stream,
            job = load.job_id,
            rows = pending.rows,
            parts = load.uris.len(),
            "load submitted"
        );
        Ok(self.dataset.submit(&load).await?)
    }

    /// Writes the checkpoint; one that was changed meanwhile is looked at again.
    async fn record(&self, pending: &Pending) -> Result<(), CommitError> {
        if pending.uris.is_empty() && pending.next.schema.is_some() {
            self.prepare(pending).await?;
        }
        self.store.record(pending).await?;
        Ok(())
    }

    async fn close(
        &self,
        stored: &Stored<Pending>,
        settled: Settled,
    ) -> Result<Settled, CommitError> {
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

    /// Makes the table ready and gives the fields to load with.
    async fn prepare(&self, pending: &Pending) -> Result<Vec<serde_json::Value>, CommitError> {
        let ours = pending.next.schema.clone().unwrap_or_default().bigquery();
        if pending.mode == Mode::Overwrite {
            return Ok(ours);
        }
        for _ in 0..5 {
            let Some(table) = self.dataset.table(&pending.table).await? else {
                self.may_create(pending)?;
                self.dataset
                    .create_table(&pending.table, &ours, &self.labels)
                    .await?;
                return Ok(ours);
            };
            let fields = united(pending, &table, &ours)?;
            if fields == table.fields {
                return Ok(fields);
            }
            match self
                .dataset
                .update_schema(&pending.table, &table.etag, &fields)
                .await
            {
                Err(error) if error.is_lost_race() => continue,
                done => return Ok(done.map(|()| fields)?),
            }
        }
        let call = format!("bigquery tables.patch {}", pending.table);
        let problem = "the table is changed by others all the time".to_owned();
        Err(ApiError::Unreachable { call, problem }.into())
    }

    /// A table that was loaded before and is not there has lost its history.
    fn may_create(&self, pending: &Pending) -> Result<(), CommitError> {
        if pending.loaded_before.is_none() {
            return Ok(());
        }
        let state = self.store.place(&pending.next.stream);
        Err(CommitError::TableGone {
            table: pending.table.clone(),
            state,
        })
    }
}

fn united(
    pending: &Pending,
    table: &Table,
    ours: &[serde_json::Value],
) -> Result<Vec<serde_json::Value>, CommitError> {
    let name = pending.table.clone();
    if table.view.is_some() {
        return Err(CommitError::ViewInTheWay { table: name });
    }
    let loaded = pending
        .loaded_before
        .as_ref()
        .map(TableSchema::bigquery)
        .unwrap_or_default();
    still_there(&table.fields, &loaded)
        .and_then(|()| union(&table.fields, ours))
        .map_err(|mismatch| CommitError::Mismatch {
            table: name,
            mismatch,
        })
}
