//! The columns of a run's rows, the same for all its tasks.

use std::sync::OnceLock;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{StreamRun, table_name};
use crate::fetch::SchemaOf;
use crate::google::bigquery::Table;
use crate::google::storage::Precondition;
use crate::load::Loader;
use crate::options::{Mode, Nested, Settled, Target};
use crate::schema::evolution::{Change, Existing, reconciled};
use crate::schema::{TableSchema, declared, inferred};
use crate::state::{self, Checkpoint, Plan, StoreError, Stored};
use crate::stream::{Records, Stream};

impl StreamRun<'_> {
    pub(super) fn schema(
        &self,
        plan: &Plan,
        checkpoint: Option<&Stored<Checkpoint>>,
    ) -> RunSchema<'_> {
        RunSchema {
            stream: self.pipeline.source.streams()[self.index].as_ref(),
            options: &self.options,
            declared: declared::table_schema(&self.info.schema),
            given: declared::table_schema(&self.info.types).unwrap_or_default(),
            known: checkpoint.and_then(|stored| stored.value.schema.clone()),
            adds: plan.mode != Mode::Overwrite,
            loader: self.loader(),
            name: self.loader().layout.schema(self.name(), &plan.run),
            settled: OnceCell::new(),
            changes: OnceLock::new(),
        }
    }
}

/// The columns of this run's rows: declared, or what the source says of them or the first
/// records show when any task sees some; in the types of the table they are added to.
pub(super) struct RunSchema<'s> {
    stream: &'s dyn Stream,
    options: &'s Settled,
    declared: Option<TableSchema>,
    /// Columns whose types the client file gives.
    given: TableSchema,
    /// What earlier runs loaded with.
    known: Option<TableSchema>,
    /// Whether the rows join those in the table.
    adds: bool,
    loader: &'s Loader,
    name: String,
    settled: OnceCell<TableSchema>,
    /// What this process has settled to change.
    changes: OnceLock<Vec<String>>,
}

impl RunSchema<'_> {
    async fn settle(&self, records: &Records) -> Result<TableSchema, StoreError> {
        let ours = match &self.declared {
            Some(declared) => declared.clone(),
            None => self.infer(records).await,
        };
        let ours = match self.options.nested {
            Nested::Struct => ours,
            Nested::Json => ours.as_text(),
        };
        let table = self.table().await?;
        let fixed = table.as_ref().map(fixed).unwrap_or_default();
        let existing = table.as_ref().map(|table| Existing {
            fields: &table.fields,
            widens: self.options.target == Target::Table,
            fixed: &fixed,
        });
        let (schema, changes) = reconciled(&ours, existing);
        let bucket = &self.loader.bucket;
        match state::write(bucket, &self.name, &schema, Precondition::Absent).await? {
            Some(_) => {
                let changes: Vec<String> = changes.iter().map(Change::to_string).collect();
                tell(&self.stream.info().name, &changes);
                let _ = self.changes.set(changes);
                Ok(schema)
            }
            None => Ok(self.there().await?.unwrap_or(schema)),
        }
    }

    /// What of the table's columns is to change, as far as this process decided it.
    pub(super) fn changes(&self) -> Vec<String> {
        self.changes.get().cloned().unwrap_or_default()
    }

    async fn infer(&self, records: &Records) -> TableSchema {
        // Records are only read once their schema is loaded, so this asks nobody.
        let said = self.stream.schema().await.ok();
        let said = said.and_then(|schema| declared::table_schema(&schema));
        let seen = said.unwrap_or_else(|| inferred::table_schema(records.values().iter()));
        let seen = seen.overridden_by(&self.given);
        match &self.known {
            Some(known) => known.extended_by(&seen),
            None => seen,
        }
    }

    /// The table that the rows are added to, if it is there.
    async fn table(&self) -> Result<Option<Table>, StoreError> {
        if !self.adds {
            return Ok(None);
        }
        let table = table_name(&self.stream.info().name);
        Ok(self.loader.dataset.table(&table).await?)
    }

    /// What another task or attempt has settled.
    async fn there(&self) -> Result<Option<TableSchema>, StoreError> {
        let stored: Option<Stored<TableSchema>> =
            state::read(&self.loader.bucket, &self.name).await?;
        Ok(stored.map(|stored| stored.value))
    }

    /// The columns if any are known once all slices are read.
    pub(super) async fn of_run(&self) -> Result<Option<TableSchema>, StoreError> {
        if let Some(schema) = self.settled.get() {
            return Ok(Some(schema.clone()));
        }
        if self.declared.is_some() {
            return self.schema(&Records::default()).await.map(Some);
        }
        Ok(self.there().await?.or_else(|| self.known.clone()))
    }
}

impl SchemaOf for RunSchema<'_> {
    fn schema<'a>(
        &'a self,
        records: &'a Records,
    ) -> BoxFuture<'a, Result<TableSchema, StoreError>> {
        self.settled
            .get_or_try_init(|| self.settle(records))
            .map(|settled| settled.cloned())
            .boxed()
    }
}

/// The columns the table is kept by.
fn fixed(table: &Table) -> Vec<String> {
    let partition = table.layout.partition.as_ref();
    let partition = partition.and_then(|partition| partition.column.clone());
    let cluster = table.layout.cluster.iter().cloned();
    partition.into_iter().chain(cluster).collect()
}

fn tell(stream: &str, changes: &[String]) {
    if changes.is_empty() {
        return;
    }
    tracing::info!(stream, changes = changes.join("; "), "schema changes");
}
