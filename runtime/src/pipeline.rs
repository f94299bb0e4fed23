//! One stream of one run: what was begun is finished, the rest is read and committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::bundle::{Bundle, Mode};
use crate::commit;
use crate::fetch::{FetchError, SchemaOf, SliceReader, put_part};
use crate::google::storage::{Bucket, Precondition};
use crate::load::{CommitError, Loader};
use crate::parts;
use crate::range::Range;
use crate::schema::{TableSchema, declared, inferred};
use crate::state::{self, Checkpoint, Pending, Plan, SliceManifest, StoreError, Stored};
use crate::stream::{Source, SourceError, Stream, StreamInfo};
use crate::turns::Turns;
use crate::value::Value;
use crate::view;

/// Slices of one stream that are read side by side.
const SLICES_AT_ONCE: usize = 4;
/// BigQuery takes no more files in one load.
const MOST_FILES: usize = 10_000;

/// Which of a run's tasks this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    pub index: usize,
    pub count: usize,
}

/// What the streams of a run share.
pub struct Pipeline {
    pub bundle: Bundle,
    pub loader: Loader,
    pub source: Arc<dyn Source>,
    pub task: Task,
    /// The only time to read, where one is asked for.
    pub range: Option<Range>,
    /// Slices read at once over all streams: each holds pages and a part in memory.
    pub readers: Semaphore,
    /// Streams of one group take turns.
    pub turns: Turns,
    pub stop: CancellationToken,
}

/// What a run did with a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamSummary {
    pub stream: String,
    pub outcome: Outcome,
    pub mode: Mode,
    /// Rows that this run brought into the table.
    pub rows: u64,
    /// Their size as Parquet.
    pub bytes: u64,
    pub pages: u64,
    pub slices: usize,
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The stream's state after it.
    pub state: serde_json::Value,
}

/// How a stream's part in a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All of it is in the table.
    Loaded,
    /// This task's slices are done; another task commits the stream.
    Shared,
    /// A limit of the source outlasts the run; what was read to its end is kept.
    Parked,
    /// The run was told to stop; what was read to its end is kept.
    Stopped,
    Failed,
}

/// Why a stream is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "run {by} has loaded this stream since this run planned what to read. \
         Start a new execution; nothing is lost"
    )]
    Overtaken { by: String },
    #[error(
        "a range would replace the table by a part of it, as the stream is loaded with mode \
         `overwrite`; give it `mode: append` in the client file"
    )]
    RangeReplaces,
    #[error("{files} files are too many for one load, which takes {MOST_FILES}")]
    TooManyFiles { files: usize },
}

impl StreamError {
    fn outcome(&self) -> Outcome {
        match self {
            StreamError::Fetch(FetchError::Stopped) => Outcome::Stopped,
            StreamError::Fetch(FetchError::Source(SourceError::Parked { .. })) => Outcome::Parked,
            _ => Outcome::Failed,
        }
    }
}

impl Pipeline {
    /// Loads one stream, whatever happens to the others.
    pub async fn load_stream(&self, index: usize) -> StreamSummary {
        let started = std::time::Instant::now();
        let info = self.source.streams()[index].info();
        let mut summary = StreamSummary {
            stream: info.name.clone(),
            outcome: Outcome::Loaded,
            mode: self.mode(info),
            rows: 0,
            bytes: 0,
            pages: 0,
            slices: 0,
            seconds: 0.0,
            error: None,
            state: serde_json::Value::Null,
        };
        let _turn = self.turns.take(self.source.group(&info.name)).await;
        match self.load(index, &mut summary).await {
            Ok(outcome) => summary.outcome = outcome,
            Err(error) => {
                summary.outcome = error.outcome();
                summary.error = Some(described(&error));
            }
        }
        summary.seconds = started.elapsed().as_secs_f64();
        report(&summary);
        summary
    }

    async fn load(
        &self,
        index: usize,
        summary: &mut StreamSummary,
    ) -> Result<Outcome, StreamError> {
        let stream = StreamRun {
            pipeline: self,
            index,
            info: self.source.streams()[index].info(),
        };
        stream.finish_begun().await?;
        let checkpoint = self.loader.checkpoint(stream.name()).await?;
        if let Some(done) = checkpoint
            .as_ref()
            .filter(|stored| self.is_done(&stored.value))
        {
            summary.state = done.value.state.clone();
            return Ok(Outcome::Loaded);
        }
        let plan = stream.plan(checkpoint.as_ref()).await?;
        summary.slices = plan.slices.len();
        let schema = stream.schema(checkpoint.as_ref());
        let read = stream.read_slices(&plan, &schema).await;
        let outcome = stream
            .commit(&plan, &schema, read.is_err(), summary)
            .await?;
        read?;
        Ok(outcome)
    }

    fn is_done(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.run == self.loader.run && checkpoint.complete
    }

    fn mode(&self, info: &StreamInfo) -> Mode {
        let options = self.bundle.streams.get(&info.name);
        options
            .and_then(|options| options.mode)
            .unwrap_or_else(|| commit::default_mode(info))
    }
}

fn report(summary: &StreamSummary) {
    let StreamSummary {
        stream,
        rows,
        bytes,
        pages,
        seconds,
        ..
    } = summary;
    match &summary.error {
        None => tracing::info!(stream, rows, bytes, pages, seconds, "stream done"),
        Some(error) if summary.outcome == Outcome::Failed => {
            tracing::error!(stream, rows, bytes, pages, seconds, error, "stream failed");
        }
        Some(error) => tracing::warn!(
            stream,
            rows,
            bytes,
            pages,
            seconds,
            error,
            "stream not finished"
        ),
    }
}

/// An error with its causes, in one line.
pub fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

struct StreamRun<'a> {
    pipeline: &'a Pipeline,
    index: usize,
    info: &'a StreamInfo,
}

impl<'a> StreamRun<'a> {
    fn name(&self) -> &'a str {
        &self.info.name
    }

    fn loader(&self) -> &'a Loader {
        &self.pipeline.loader
    }

    /// Ends a commit that an earlier attempt or run began.
    async fn finish_begun(&self) -> Result<(), StreamError> {
        if let Some(pending) = self.loader().pending(self.name()).await? {
            self.loader().finish(&pending).await?;
        }
        Ok(())
    }

    /// The run's plan: made by the first task that comes, kept for the others and for
    /// retries.
    async fn plan(&self, checkpoint: Option<&Stored<Checkpoint>>) -> Result<Plan, StreamError> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let name = layout.plan(self.name(), run);
        if let Some(stored) = state::read(bucket, &name).await? {
            return Ok(stored.value);
        }
        let mode = self.pipeline.mode(self.info);
        let range = self.pipeline.range;
        if range.is_some() && mode == Mode::Overwrite {
            return Err(StreamError::RangeReplaces);
        }
        // What replaces the table must be all there is, not only what is new.
        let state = checkpoint
            .filter(|_| mode == Mode::Append)
            .map(|stored| stored.value.state.clone())
            .unwrap_or_default();
        let stream = &self.pipeline.source.streams()[self.index];
        let slices = stream
            .slices(if range.is_some() {
                &serde_json::Value::Null
            } else {
                &state
            })
            .try_collect()
            .await
            .map_err(FetchError::from)?;
        let plan = Plan {
            run: run.clone(),
            mode,
            extracted_at: Timestamp::now().as_microsecond(),
            state,
            replaces: checkpoint.map_or(0, |stored| stored.generation),
            range,
            slices,
        };
        Ok(state::settle(bucket, &name, plan).await?)
    }

    fn schema(&self, checkpoint: Option<&Stored<Checkpoint>>) -> RunSchema<'_> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        RunSchema {
            stream: self.pipeline.source.streams()[self.index].as_ref(),
            declared: declared::table_schema(&self.info.schema),
            known: checkpoint.and_then(|stored| stored.value.schema.clone()),
            bucket: bucket.clone(),
            name: layout.schema(self.name(), run),
            settled: OnceCell::new(),
        }
    }

    /// Reads this task's slices that are not finished yet. The first failure stops the
    /// others; what is finished by then stays.
    async fn read_slices(&self, plan: &Plan, schema: &RunSchema<'_>) -> Result<(), StreamError> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let finished = self.finished(run).await?;
        let Task { index, count } = self.pipeline.task;
        let mine = (0..plan.slices.len())
            .filter(|slice| slice % count == index && !finished.contains(slice));
        let stop = self.pipeline.stop.child_token();
        let reader = SliceReader {
            source: self.pipeline.source.clone(),
            stream: self.index,
            bucket,
            layout,
            plan,
            schema,
            stop: stop.clone(),
        };
        let mut slices = futures::stream::iter(mine)
            .map(|slice| self.read_slice(&reader, slice))
            .buffer_unordered(SLICES_AT_ONCE);
        let mut first_failure = Ok(());
        while let Some(read) = slices.next().await {
            if let Err(error) = read
                && first_failure.is_ok()
            {
                stop.cancel();
                first_failure = Err(error.into());
            }
        }
        first_failure
    }

    async fn read_slice(&self, reader: &SliceReader<'_>, slice: usize) -> Result<(), FetchError> {
        let _permit = self.pipeline.readers.acquire().await;
        if reader.stop.is_cancelled() {
            return Err(FetchError::Stopped);
        }
        let manifest = reader.read(slice).await?;
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let name = layout.slice(self.name(), run, slice);
        state::write(bucket, &name, &manifest, Precondition::None).await?;
        Ok(())
    }

    async fn finished(&self, run: &str) -> Result<BTreeSet<usize>, StreamError> {
        let prefix = self.loader().layout.slices(self.name(), run);
        let listed = self
            .loader()
            .bucket
            .list(&prefix)
            .await
            .map_err(StoreError::from)?;
        let number = |name: &str| {
            name.strip_prefix(&prefix)?
                .strip_suffix(".json")?
                .parse()
                .ok()
        };
        Ok(listed
            .iter()
            .filter_map(|object| number(&object.name))
            .collect())
    }

    async fn manifests(&self) -> Result<Vec<SliceManifest>, StreamError> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let names = self
            .finished(run)
            .await?
            .into_iter()
            .map(|slice| layout.slice(self.name(), run, slice));
        let read = futures::stream::iter(names)
            .map(|name| async move { state::read::<SliceManifest>(bucket, &name).await })
            .buffered(16)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(read
            .into_iter()
            .flatten()
            .map(|stored| stored.value)
            .collect())
    }

    /// Commits the stream if all its slices are in; if this task could not finish
    /// (`partial`), what can be committed without the rest.
    async fn commit(
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
            bytes: new.iter().map(|manifest| manifest.bytes()).sum(),
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

impl StreamSummary {
    fn count(&mut self, slices: &[&SliceManifest]) {
        for slice in slices {
            self.rows += slice.rows;
            self.pages += slice.pages;
            self.bytes += slice.bytes();
        }
    }
}

fn extracted_at(plan: &Plan) -> String {
    Timestamp::from_microsecond(plan.extracted_at)
        .unwrap_or_default()
        .to_string()
}

/// The table a stream goes to: letters, digits and `_`.
pub fn table_name(stream: &str) -> String {
    stream
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// The columns of this run's rows: declared, or what the source says of them or the first
/// records show when any task sees some.
struct RunSchema<'s> {
    stream: &'s dyn Stream,
    declared: Option<TableSchema>,
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
        let schema = match &self.known {
            Some(known) => known.extended_by(&seen),
            None => seen,
        };
        state::settle(&self.bucket, &self.name, schema).await
    }

    /// The columns if any are known once all slices are read.
    async fn of_run(&self) -> Result<Option<TableSchema>, StoreError> {
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
