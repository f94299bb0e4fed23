//! What a run reads of a stream: decided once, for all its tasks and their retries.

use futures::TryStreamExt;
use jiff::Timestamp;

use super::{StreamError, StreamRun};
use crate::fetch::FetchError;
use crate::layout;
use crate::load::Loader;
use crate::options::{Mode, Target};
use crate::schema::{Column, Kind, declared};
use crate::state::{self, Checkpoint, Plan, Stored};
use crate::stream::{Gathered, Gathering, Slice};

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
        let mut plan = Plan {
            run: self.loader().run.clone(),
            mode,
            extracted_at: Timestamp::now().as_microsecond(),
            state,
            replaces: checkpoint.map_or(0, |stored| stored.generation),
            refresh,
            range,
            replay: Vec::new(),
            slices: Vec::new(),
        };
        let from = match range {
            Some(_) => serde_json::Value::Null,
            None => plan.state.clone(),
        };
        match self.gather(&plan, checkpoint, &from).await? {
            Some((slice, gathered)) => {
                plan.extracted_at = gathered.extracted_at;
                plan.slices = vec![slice];
            }
            None => {
                let slices = stream.slices(&from).try_collect().await;
                plan.slices = slices.map_err(FetchError::from)?;
            }
        }
        Ok(plan)
    }

    /// Has BigQuery gather the rows, where they go to the table as they are in the source.
    async fn gather(
        &self,
        plan: &Plan,
        checkpoint: Option<&Stored<Checkpoint>>,
        from: &serde_json::Value,
    ) -> Result<Option<(Slice, Gathered)>, StreamError> {
        let stream = &self.pipeline.source.streams()[self.index];
        if !stream.gathers() || self.keeps_raw() {
            return Ok(None);
        }
        let Some(columns) = self.schema(plan, checkpoint).of_run().await? else {
            return Ok(None);
        };
        let declared = declared::table_schema(&self.info.schema);
        let layout = layout::layout(&self.options, &columns)?;
        let by_arrival = layout
            .partition
            .as_ref()
            .is_some_and(|it| it.column.is_none());
        let is_native = self.options.target == Target::Table;
        if declared.as_ref() != Some(&columns)
            || !keeps_names(&columns.columns)
            || by_arrival
            || !is_native
        {
            return Ok(None);
        }
        let dataset = &self.loader().dataset;
        let place = Gathering {
            project: dataset.project.clone(),
            dataset: dataset.dataset.clone(),
            location: dataset.location.clone(),
            layout,
            run: plan.run.clone(),
            extracted_at: plan.extracted_at,
        };
        let slice = stream
            .gather(from, &place)
            .await
            .map_err(FetchError::from)?;
        Ok(slice.and_then(|slice| {
            let gathered = slice.gathered.clone()?;
            Some((slice, gathered))
        }))
    }
}

/// Whether each column has the name its field has.
fn keeps_names(columns: &[Column]) -> bool {
    columns.iter().all(|column| {
        column.name == column.field
            && match &column.kind {
                Kind::Struct(columns) => keeps_names(columns),
                _ => true,
            }
    })
}
