//! What a run reads of a stream: decided once, for all its tasks and their retries.

use futures::TryStreamExt;
use jiff::Timestamp;

use super::{StreamError, StreamRun};
use crate::fetch::FetchError;
use crate::load::Loader;
use crate::options::Mode;
use crate::state::{self, Checkpoint, Plan, Stored};

impl StreamRun<'_> {
    /// The run's plan: made by the first task that comes, kept for the others and for
    /// retries.
    pub(super) async fn plan(
        &self,
        checkpoint: Option<&Stored<Checkpoint>>,
    ) -> Result<Plan, StreamError> {
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
        let plan = match &self.pipeline.replay {
            Some(range) => self.replay_plan(range, checkpoint).await?,
            None => self.new_plan(checkpoint).await?,
        };
        Ok(state::settle(bucket, &name, plan).await?)
    }

    /// What the source has new since the checkpoint, or what is asked for.
    async fn new_plan(&self, checkpoint: Option<&Stored<Checkpoint>>) -> Result<Plan, StreamError> {
        let refresh = self.pipeline.refresh;
        let mode = match self.options.mode {
            Mode::Append if refresh => Mode::Overwrite,
            mode => mode,
        };
        let range = self.pipeline.range;
        if range.is_some() && (mode == Mode::Overwrite || refresh) {
            return Err(StreamError::RangeReplaces);
        }
        // What replaces the table must be all there is, not only what is new.
        let state = checkpoint
            .filter(|_| mode != Mode::Overwrite && !refresh)
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
        Ok(Plan {
            run: self.loader().run.clone(),
            mode,
            extracted_at: Timestamp::now().as_microsecond(),
            state,
            replaces: checkpoint.map_or(0, |stored| stored.generation),
            refresh,
            range,
            replay: Vec::new(),
            slices,
        })
    }
}
