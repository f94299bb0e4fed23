//! Makes tables ready for a commit: made where missing, changed where columns are new.

use std::time::Duration;

use serde_json::Value as Json;

use super::{CommitError, Loader, restless};
use crate::google::bigquery::{JobState, Query, Table};
use crate::layout::TableLayout;
use crate::options::{Mode, Target};
use crate::schema::TableSchema;
use crate::schema::bigquery::still_there;
use crate::schema::evolution::{self, Evolution};
use crate::state::Pending;

/// How long a staging table outlives a crash.
const STAGING_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Others may change a table at the same time; but not for ever.
const MOST_TRIES: usize = 5;

impl Loader {
    /// Makes the table ready and gives the fields to load with.
    pub(super) async fn prepare(&self, pending: &Pending) -> Result<Vec<Json>, CommitError> {
        let ours = ours(pending);
        for _ in 0..MOST_TRIES {
            let Some(table) = self.dataset.table(&pending.table).await? else {
                self.make(pending, &ours).await?;
                return Ok(ours);
            };
            fits(pending, &table)?;
            if pending.mode == Mode::Overwrite {
                return Ok(ours);
            }
            let Evolution { fields, widened } = evolved(pending, &table, &ours)?;
            if widened.is_empty() && is_ready(pending, &table, &fields) {
                return Ok(evolution::loadable(&fields));
            }
            for (column, kind) in &widened {
                let table = self.full_name(&pending.table);
                let statement = evolution::widening(&table, column, kind);
                self.alter(pending, statement).await?;
            }
            if !widened.is_empty() {
                continue;
            }
            match self
                .dataset
                .update_table(&pending.table, &table.etag, &fields, &pending.layout)
                .await
            {
                Err(error) if error.is_lost_race() => continue,
                done => return Ok(done.map(|()| evolution::loadable(&fields))?),
            }
        }
        Err(restless(&pending.table))
    }

    /// The table a merge's rows wait in.
    pub(super) async fn prepare_staging(
        &self,
        table: &str,
        fields: &[Json],
    ) -> Result<(), CommitError> {
        let made = self
            .dataset
            .create_passing_table(table, fields, STAGING_LIFE, &self.labels);
        Ok(made.await?)
    }

    /// Has the external table show the files of the commit, in one step; one that others
    /// changed meanwhile is looked at again.
    pub(super) async fn point(
        &self,
        pending: &Pending,
        table: Option<&Table>,
    ) -> Result<(), CommitError> {
        let ours = ours(pending);
        let name = &pending.table;
        let Some(table) = table else {
            self.may_create(pending)?;
            let made = self
                .dataset
                .create_external(name, &ours, &pending.uris, &self.labels);
            return Ok(made.await?);
        };
        fits(pending, table)?;
        let fields = match pending.mode {
            Mode::Overwrite => ours,
            _ => evolved(pending, table, &ours)?.fields,
        };
        let pointed = self
            .dataset
            .update_external(name, &table.etag, &fields, &pending.uris);
        match pointed.await {
            Err(error) if !error.is_lost_race() => Err(error.into()),
            _ => Ok(()),
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

    /// `project.dataset.table`.
    pub fn full_name(&self, table: &str) -> String {
        format!("{}.{}.{table}", self.dataset.project, self.dataset.dataset)
    }

    async fn make(&self, pending: &Pending, fields: &[Json]) -> Result<(), CommitError> {
        // A load that replaces the table makes it too.
        if pending.mode == Mode::Overwrite || pending.target == Target::External {
            return Ok(());
        }
        self.may_create(pending)?;
        let Pending { table, layout, .. } = pending;
        let made = self
            .dataset
            .create_table(table, fields, layout, &self.labels);
        Ok(made.await?)
    }

    /// A table that was loaded before and is not there has lost its history.
    fn may_create(&self, pending: &Pending) -> Result<(), CommitError> {
        match pending.loaded_before.is_none() || pending.mode == Mode::Overwrite {
            true => Ok(()),
            false => Err(self.gone(&pending.table, &pending.next.stream)),
        }
    }

    fn gone(&self, table: &str, stream: &str) -> CommitError {
        CommitError::TableGone {
            table: table.to_owned(),
            state: self.store.place(stream),
        }
    }

    /// Refuses what no commit could go into, before anything is read: `has_history` if rows of
    /// the stream must be there already.
    pub async fn may_load(
        &self,
        stream: &str,
        table: &str,
        target: Target,
        has_history: bool,
    ) -> Result<(), CommitError> {
        match self.dataset.table(table).await? {
            Some(there) => is_of_kind(table, &there, target),
            None if has_history => Err(self.gone(table, stream)),
            None => Ok(()),
        }
    }

    /// Runs a statement that changes nothing when it is run again.
    async fn alter(&self, pending: &Pending, statement: String) -> Result<(), CommitError> {
        let id = |attempt: usize| format!("{}-alter-{attempt}", pending.commit);
        let mut attempt = 0;
        while let Some(job) = self.dataset.job(&id(attempt)).await?
            && job != JobState::Running
        {
            attempt += 1;
        }
        let query = Query {
            job_id: id(attempt),
            statement,
            labels: self.labels.clone(),
        };
        self.dataset.submit_query(&query).await?;
        loop {
            match self.dataset.job(&query.job_id).await? {
                Some(JobState::Running) | None => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Some(JobState::Failed { reason, message }) => {
                    return Err(CommitError::NotAltered {
                        statement: query.statement,
                        reason,
                        message,
                    });
                }
                Some(_) => return Ok(()),
            }
        }
    }
}

fn ours(pending: &Pending) -> Vec<Json> {
    pending.next.schema.clone().unwrap_or_default().bigquery()
}

/// That the table is of the kind that the commit is for.
fn fits(pending: &Pending, table: &Table) -> Result<(), CommitError> {
    is_of_kind(&pending.table, table, pending.target)?;
    let TableLayout { partition, .. } = &table.layout;
    match &pending.layout.partition {
        Some(wanted) if Some(wanted) != partition.as_ref() => Err(CommitError::OtherPartitions {
            table: pending.table.clone(),
            there: partition
                .as_ref()
                .map_or("nothing".to_owned(), ToString::to_string),
            wanted: wanted.to_string(),
        }),
        _ => Ok(()),
    }
}

fn is_of_kind(name: &str, table: &Table, target: Target) -> Result<(), CommitError> {
    let name = name.to_owned();
    if table.view.is_some() {
        return Err(CommitError::ViewInTheWay { table: name });
    }
    let kind = |is_external| match is_external {
        true => "an external table",
        false => "a table of BigQuery's own",
    };
    let is_external = target == Target::External;
    if table.files.is_some() != is_external {
        return Err(CommitError::OtherTable {
            table: name,
            there: kind(table.files.is_some()),
            wanted: kind(is_external),
        });
    }
    Ok(())
}

fn is_ready(pending: &Pending, table: &Table, fields: &[Json]) -> bool {
    let wanted = &pending.layout.cluster;
    table.fields == fields && (wanted.is_empty() || *wanted == table.layout.cluster)
}

fn evolved(pending: &Pending, table: &Table, ours: &[Json]) -> Result<Evolution, CommitError> {
    let loaded = pending
        .loaded_before
        .as_ref()
        .map(TableSchema::bigquery)
        .unwrap_or_default();
    still_there(&table.fields, &loaded)
        .and_then(|()| evolution::evolved(&table.fields, ours))
        .map_err(|mismatch| CommitError::Mismatch {
            table: pending.table.clone(),
            mismatch,
        })
}
