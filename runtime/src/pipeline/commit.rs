//! Commits what is read of a stream: makes the commits, and has the loader end them.

use jiff::Timestamp;

use super::columns::RunSchema;
use super::{Outcome, StreamError, StreamRun, StreamSummary, table_name};
use crate::bundle::Mode;
use crate::commit;
use crate::fetch::{FetchError, put_part};
use crate::load::Loader;
use crate::parts;
use crate::schema::TableSchema;
use crate::state::{Checkpoint, Pending, Plan, SliceManifest, Stored};
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
        let has_cursor = self.info.cursor_field.is_some();
        let planned = plan.slices.len();
        let slices = commit::committable(&manifests, planned, plan.mode, has_cursor);
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
            let new = match plan.mode {
                Mode::Append => commit::one_load(left, MOST_FILES),
                Mode::Overwrite => left,
            };
            let is_complete = is_complete && new.len() == count;
            let pending = self
                .pending(plan, schema, slices, &new, is_complete, stored)
                .await?;
            let is_ours = self.loader().begin(&pending).await?;
            // Where another task was faster, its commit comes first.
            self.finish_begun().await?;
            if is_ours {
                summary.count(&new);
            }
        }
        self.keep_view(plan, schema).await?;
        Ok(Outcome::Loaded)
    }

    /// What is to be committed, all of it decided.
    async fn pending(
        &self,
        plan: &Plan,
        schema: &RunSchema<'_>,
        finished: &[SliceManifest],
        new: &[&SliceManifest],
        complete: bool,
        stored: Option<&Stored<Checkpoint>>,
    ) -> Result<Pending, StreamError> {
        let Loader { bucket, run, .. } = self.loader();
        let before = stored.map(|stored| &stored.value);
        let same_run = before.filter(|checkpoint| checkpoint.run == *run);
        let columns = schema.of_run().await?;
        let files = new.iter().flat_map(|manifest| &manifest.parts);
        let mut uris: Vec<String> = files.map(|part| bucket.uri(&part.name)).collect();
        if uris.is_empty()
            && plan.mode == Mode::Overwrite
            && let Some(columns) = &columns
        {
            uris.push(self.empty_part(columns).await?);
        }
        if uris.len() > MOST_FILES {
            return Err(StreamError::TooManyFiles { files: uris.len() });
        }
        let bundle = &self.pipeline.bundle;
        let mut named = uris.clone();
        named.extend(
            new.iter()
                .map(|manifest| format!("slice {}", manifest.slice)),
        );
        let commit = commit::commit_id(&bundle.client, &bundle.pipeline, self.name(), run, &named);
        let mut slices = same_run
            .map(|checkpoint| checkpoint.slices.clone())
            .unwrap_or_default();
        slices.extend(new.iter().map(|manifest| manifest.slice));
        // From where the plan began, with all of it that is done: a state does not say
        // of each slice whether it is.
        let done = commit::done(finished, &slices);
        let stream = &self.pipeline.source.streams()[self.index];
        Ok(Pending {
            version: 1,
            commit: commit.clone(),
            mode: plan.mode,
            table: table_name(self.name()),
            rows: new.iter().map(|manifest| manifest.rows).sum(),
            uris,
            replaces: stored.map_or(0, |stored| stored.generation),
            loaded_before: before.and_then(|checkpoint| checkpoint.schema.clone()),
            next: Checkpoint {
                version: 1,
                stream: self.name().to_owned(),
                run: run.clone(),
                commit,
                slices,
                complete,
                state: match plan.range {
                    Some(_) => plan.state.clone(),
                    None => stream.state_after(&plan.state, &done),
                },
                schema: columns,
                extracted_at: extracted_at(plan),
            },
        })
    }

    async fn empty_part(&self, columns: &TableSchema) -> Result<String, StreamError> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let part = parts::empty(columns).map_err(FetchError::from)?;
        let name = layout.empty_part(self.name(), run);
        let part = put_part(bucket, name, part)
            .await
            .map_err(FetchError::from)?;
        Ok(bucket.uri(&part.name))
    }

    async fn keep_view(&self, plan: &Plan, schema: &RunSchema<'_>) -> Result<(), StreamError> {
        let Some(columns) = schema.of_run().await?.filter(|_| plan.mode == Mode::Append) else {
            return Ok(());
        };
        let table = table_name(self.name());
        let dataset = &self.loader().dataset;
        let full = format!("{}.{}.{table}", dataset.project, dataset.dataset);
        let cursor = self.info.cursor_field.as_deref();
        if let Some(query) = view::latest(&full, &columns, &self.info.primary_key, cursor) {
            self.loader()
                .keep_view(&format!("{table}_latest"), &query)
                .await?;
        }
        Ok(())
    }
}

fn extracted_at(plan: &Plan) -> String {
    Timestamp::from_microsecond(plan.extracted_at)
        .unwrap_or_default()
        .to_string()
}
