//! The columns of a run's rows, the same for all its tasks.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::StreamRun;
use crate::fetch::SchemaOf;
use crate::google::storage::Bucket;
use crate::load::Loader;
use crate::schema::{TableSchema, declared, inferred};
use crate::state::{self, Checkpoint, StoreError, Stored};
use crate::stream::Stream;
use crate::value::Value;

impl StreamRun<'_> {
    pub(super) fn schema(&self, checkpoint: Option<&Stored<Checkpoint>>) -> RunSchema<'_> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        RunSchema {
            stream: self.pipeline.source.streams()[self.index].as_ref(),
            declared: declared::table_schema(&self.info.schema),
            given: declared::table_schema(&self.info.types).unwrap_or_default(),
            known: checkpoint.and_then(|stored| stored.value.schema.clone()),
            bucket: bucket.clone(),
            name: layout.schema(self.name(), run),
            settled: OnceCell::new(),
        }
    }
}

/// The columns of this run's rows: declared, or what the source says of them or the first
/// records show when any task sees some.
pub(super) struct RunSchema<'s> {
    stream: &'s dyn Stream,
    declared: Option<TableSchema>,
    /// Columns whose types the client file gives.
    given: TableSchema,
    /// What earlier runs loaded with.
    known: Option<TableSchema>,
    bucket: Bucket,
    name: String,
    settled: OnceCell<TableSchema>,
}

impl RunSchema<'_> {
    async fn infer(&self, records: &[Value]) -> Result<TableSchema, StoreError> {
        // Records are only read once their schema is loaded, so this asks nobody.
        let said = self.stream.schema().await.ok();
        let said = said.and_then(|schema| declared::table_schema(&schema));
        let seen = said.unwrap_or_else(|| inferred::table_schema(records));
        let seen = seen.overridden_by(&self.given);
        let schema = match &self.known {
            Some(known) => known.extended_by(&seen),
            None => seen,
        };
        state::settle(&self.bucket, &self.name, schema).await
    }

    /// The columns if any are known once all slices are read.
    pub(super) async fn of_run(&self) -> Result<Option<TableSchema>, StoreError> {
        if let Some(schema) = self.declared.as_ref().or(self.settled.get()) {
            return Ok(Some(schema.clone()));
        }
        let settled: Option<Stored<TableSchema>> = state::read(&self.bucket, &self.name).await?;
        Ok(settled
            .map(|stored| stored.value)
            .or_else(|| self.known.clone()))
    }
}

impl SchemaOf for RunSchema<'_> {
    fn schema<'a>(
        &'a self,
        records: &'a [Value],
    ) -> BoxFuture<'a, Result<TableSchema, StoreError>> {
        async move {
            if let Some(declared) = &self.declared {
                return Ok(declared.clone());
            }
            self.settled
                .get_or_try_init(|| self.infer(records))
                .await
                .cloned()
        }
        .boxed()
    }
}
