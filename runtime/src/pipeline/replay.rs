//! The plan of a replay: slices whose pages are kept, instead of what the source has new.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::{StreamError, StreamRun};
use crate::load::Loader;
use crate::range::Range;
use crate::raw::choice::{self, Kept};
use crate::state::{self, Checkpoint, Plan, StoreError, Stored};

/// Runs whose documents are read at once.
const AT_ONCE: usize = 4;

impl StreamRun<'_> {
    pub(super) async fn replay_plan(
        &self,
        range: &Range,
        checkpoint: Option<&Stored<Checkpoint>>,
    ) -> Result<Plan, StreamError> {
        let kept = self.kept().await?;
        let before = checkpoint.map(|stored| &stored.value);
        let loaded = before.and_then(|checkpoint| checkpoint.extracted_at.parse().ok());
        let mode = self.options.mode;
        let chosen = choice::chosen(kept, range, mode, loaded)?;
        let runs: BTreeSet<_> = chosen.iter().map(|(origin, _)| &origin.run).collect();
        tracing::info!(
            stream = self.name(),
            runs = runs.len(),
            slices = chosen.len(),
            "replaying kept pages"
        );
        let (replay, slices) = chosen.into_iter().unzip();
        Ok(Plan {
            run: self.loader().run.clone(),
            mode,
            extracted_at: Timestamp::now().as_microsecond(),
            state: before.map_or_else(Default::default, |it| it.state.clone()),
            replaces: checkpoint.map_or(0, |stored| stored.generation),
            refresh: false,
            range: None,
            replay,
            slices,
        })
    }

    /// The runs of which pages are there.
    async fn kept(&self) -> Result<Vec<Kept>, StoreError> {
        let Loader { bucket, layout, .. } = self.loader();
        let prefix = layout.raw_runs(self.name());
        let listed = bucket.list(&prefix).await?;
        let run = |name: &str| {
            let (run, _) = name.strip_prefix(&prefix)?.split_once('/')?;
            Some(run.to_owned())
        };
        let runs: BTreeSet<String> = listed
            .iter()
            .filter_map(|object| run(&object.name))
            .collect();
        let read = futures::stream::iter(runs)
            .map(|run| self.kept_of(run))
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(read.into_iter().flatten().collect())
    }

    async fn kept_of(&self, run: String) -> Result<Option<Kept>, StoreError> {
        let Loader { bucket, layout, .. } = self.loader();
        let plan = state::read::<Plan>(bucket, &layout.plan(self.name(), &run)).await?;
        let Some(plan) = plan else {
            tracing::warn!(
                stream = self.name(),
                run,
                "the plan of this run is gone, so its kept pages are left out"
            );
            return Ok(None);
        };
        Ok(Some(Kept {
            plan: plan.value,
            finished: self.manifests_of(&run).await?,
        }))
    }
}
