//! Commits what is read of a stream: makes the commits, and has the loader end them.

use super::columns::RunSchema;
use super::pending::Next;
use super::{Outcome, StreamError, StreamRun, StreamSummary, table_name};
use crate::commit;
use crate::options::{Mode, Settled};
use crate::state::Plan;
use crate::view;

/// BigQuery takes no more files in one load.
pub(super) const MOST_FILES: usize = 10_000;

impl StreamRun<'_> {
    /// Ends a commit that an earlier attempt or run began.
    pub(super) async fn finish_begun(&self) -> Result<(), StreamError> {
        if let Some(pending) = self.loader().pending(self.name()).await? {
            self.loader().finish(&pending).await?;
        }
        Ok(())
    }

    /// Commits the stream if all its slices are in; if this task could not finish
    /// (`partial`), what can be committed without the rest.
    pub(super) async fn commit(
        &self,
        plan: &Plan,
        schema: &RunSchema<'_>,
        partial: bool,
        summary: &mut StreamSummary,
    ) -> Result<Outcome, StreamError> {
        let manifests = self.manifests().await?;
        let adds = plan.mode != Mode::Overwrite && !plan.refresh;
        let planned = plan.slices.len();
        let stream = &self.pipeline.source.streams()[self.index];
        let is_gradual = adds && self.info.cursor_field.is_some() && !stream.is_whole();
        let slices = commit::committable(&manifests, planned, is_gradual);
        let is_complete = slices.len() == planned;
        if !is_complete && !partial {
            return Ok(Outcome::Shared);
        }
        loop {
            let checkpoint = self.loader().checkpoint(self.name()).await?;
            let stored = checkpoint.as_ref();
            if let Some(stored) = stored {
                summary.state = stored.value.state.clone();
                if self.pipeline.is_done(&stored.value) {
                    break;
                }
            }
            if commit::is_overtaken(plan, stored) {
                let by = stored
                    .map(|stored| stored.value.run.clone())
                    .unwrap_or_default();
                return Err(StreamError::Overtaken { by });
            }
            let left = commit::uncommitted(slices, &plan.run, stored.map(|stored| &stored.value));
            if left.is_empty() && !is_complete {
                return Ok(Outcome::Shared);
            }
            let count = left.len();
            let new = match adds {
                true => commit::one_load(left, MOST_FILES),
                false => left,
            };
            let is_complete = is_complete && new.len() == count;
            let next = Next {
                plan,
                finished: slices,
                new: &new,
                complete: is_complete,
                stored,
                columns: schema.of_run().await?,
            };
            let pending = Box::pin(self.pending(next)).await?;
            let is_ours = self.loader().begin(&pending).await?;
            // Where another task was faster, its commit comes first.
            Box::pin(self.finish_begun()).await?;
            if is_ours {
                summary.count(&new);
            }
        }
        self.keep_view(schema).await?;
        Ok(Outcome::Loaded)
    }

    async fn keep_view(&self, schema: &RunSchema<'_>) -> Result<(), StreamError> {
        if self.options.mode != Mode::Append {
            return Ok(());
        }
        let Some(columns) = schema.of_run().await? else {
            return Ok(());
        };
        let table = table_name(self.name());
        let full = self.loader().full_name(&table);
        let Settled { key, cursor, .. } = &self.options;
        if let Some(query) = view::latest(&full, &columns, key, cursor.as_deref()) {
            self.loader()
                .keep_view(&format!("{table}_latest"), &query)
                .await?;
        }
        Ok(())
    }
}
