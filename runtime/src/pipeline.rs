//! One stream of one run: what was begun is finished, the rest is read and committed.
//!
//! `plan` says what to read, `slices` reads it, `pending` makes a commit of it and `commit`
//! brings that into the table;
//! `columns` are those of the run's rows, `outcome` is what is said of it all.

mod columns;
mod commit;
mod outcome;
mod pending;
mod plan;
mod replay;
mod slices;
mod verify;
mod watch;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use outcome::{Outcome, StreamError, StreamSummary, described};

use crate::bundle::Bundle;
use crate::load::Loader;
use crate::options::{self, Mode, Settled, StreamOptions};
use crate::range::Range;
use crate::state::{Checkpoint, Stored};
use crate::stream::{Source, StreamInfo};
use crate::task::Task;
use crate::turns::Turns;
pub use watch::Meter;

/// What the streams of a run share.
pub struct Pipeline {
    pub bundle: Bundle,
    pub loader: Loader,
    pub source: Arc<dyn Source>,
    pub task: Task,
    /// The only time to read, where one is asked for.
    pub range: Option<Range>,
    /// When the pages were read that are loaded again, where that is asked for.
    pub replay: Option<Range>,
    /// Whether all is read anew and replaces what is in the tables.
    pub refresh: bool,
    /// Slices read at once over all streams: each holds pages and a part in memory.
    pub readers: Semaphore,
    /// Streams of one group take turns.
    pub turns: Turns,
    pub stop: CancellationToken,
    /// Whether a person looks at how far the run is.
    pub watched: bool,
}

impl Pipeline {
    /// Loads one stream, whatever happens to the others.
    pub async fn load_stream(&self, index: usize) -> StreamSummary {
        let started = std::time::Instant::now();
        let info = self.source.streams()[index].info();
        let mut summary = StreamSummary {
            stream: info.name.clone(),
            outcome: Outcome::Loaded,
            mode: options::mode(info, &self.options(info)),
            rows: 0,
            bytes: 0,
            pages: 0,
            slices: 0,
            requests: 0,
            received: 0,
            retries: 0,
            waited_seconds: 0.0,
            schema_changes: Vec::new(),
            seconds: 0.0,
            error: None,
            state_before: serde_json::Value::Null,
            state: serde_json::Value::Null,
        };
        let _turn = self.turns.take(self.source.group(&info.name)).await;
        // Boxed, here and below: the steps of a load are too large for a thread's stack.
        let meter = Meter::default();
        let before = self.source.usage(&info.name);
        let loaded = tokio::select! {
            biased;
            loaded = Box::pin(self.load(index, &meter, &mut summary)) => loaded,
            never = self.tell(&info.name, &meter) => match never {},
        };
        match loaded {
            Ok(outcome) => summary.outcome = outcome,
            Err(error) => {
                summary.outcome = error.outcome();
                summary.error = Some(described(&error));
            }
        }
        summary.cost(&before, &self.source.usage(&info.name));
        summary.seconds = started.elapsed().as_secs_f64();
        outcome::report(&summary, self.task.index);
        summary
    }

    async fn load(
        &self,
        index: usize,
        meter: &Meter,
        summary: &mut StreamSummary,
    ) -> Result<Outcome, StreamError> {
        let info = self.source.streams()[index].info();
        let stream = StreamRun {
            pipeline: self,
            index,
            info,
            options: Settled::of(info, &self.options(info))?,
            meter,
        };
        Box::pin(stream.finish_begun()).await?;
        let checkpoint = self.loader.checkpoint(stream.name()).await?;
        if let Some(done) = checkpoint
            .as_ref()
            .filter(|stored| self.is_done(&stored.value))
        {
            summary.state = done.value.state.clone();
            return Ok(Outcome::Loaded);
        }
        if let Some(stored) = &checkpoint {
            summary.state_before = stored.value.state.clone();
        }
        stream.look(checkpoint.as_ref()).await?;
        let plan = stream.plan(checkpoint.as_ref()).await?;
        summary.slices = plan.slices.len();
        let schema = stream.schema(&plan, checkpoint.as_ref());
        let read = Box::pin(stream.read_slices(&plan, &schema)).await;
        summary.schema_changes = schema.changes();
        let outcome = Box::pin(stream.commit(&plan, &schema, read.is_err(), summary)).await?;
        read?;
        Ok(outcome)
    }

    pub fn is_done(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.run == self.loader.run && checkpoint.complete
    }

    fn options(&self, info: &StreamInfo) -> StreamOptions {
        let options = self.bundle.streams.get(&info.name);
        options.cloned().unwrap_or_default()
    }
}

struct StreamRun<'a> {
    pipeline: &'a Pipeline,
    index: usize,
    info: &'a StreamInfo,
    options: Settled,
    meter: &'a Meter,
}

impl<'a> StreamRun<'a> {
    /// Looks at the table before anything is planned or read: the rows may not fit what is there.
    async fn look(&self, checkpoint: Option<&Stored<Checkpoint>>) -> Result<(), StreamError> {
        let adds = self.options.mode != Mode::Overwrite && !self.pipeline.refresh;
        let loaded = checkpoint.and_then(|stored| stored.value.schema.as_ref());
        let (name, table) = (self.name(), table_name(self.name()));
        let has_history = adds && loaded.is_some();
        let looked = self
            .loader()
            .may_load(name, &table, self.options.target, has_history);
        Ok(looked.await?)
    }

    fn name(&self) -> &'a str {
        &self.info.name
    }

    /// Whether pages are kept as they come.
    fn keeps_raw(&self) -> bool {
        let bundle = &self.pipeline.bundle;
        let options = bundle.streams.get(self.name());
        let own = options.and_then(|options| options.keep_raw);
        own.unwrap_or(bundle.keep_raw)
    }

    fn loader(&self) -> &'a Loader {
        &self.pipeline.loader
    }
}

/// The table a stream goes to: letters, digits and `_`.
pub fn table_name(stream: &str) -> String {
    stream
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
