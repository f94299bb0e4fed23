//! Reads the slices of this task, and the manifests of all that are read.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};

use super::columns::RunSchema;
use super::{StreamError, StreamRun};
use crate::fetch::{FetchError, SliceReader};
use crate::google::storage::Precondition;
use crate::load::Loader;
use crate::state::{self, Plan, SliceManifest, StoreError};
use crate::stream::SliceDone;

/// Slices of one stream that are read side by side.
const SLICES_AT_ONCE: usize = 4;

impl StreamRun<'_> {
    /// Reads this task's slices that are not finished yet. The first failure stops the
    /// others; what is finished by then stays.
    pub(super) async fn read_slices(
        &self,
        plan: &Plan,
        schema: &RunSchema<'_>,
    ) -> Result<(), StreamError> {
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let finished = self.finished(run).await?;
        let sizes: Vec<_> = plan.slices.iter().map(|slice| slice.size).collect();
        let mine = self.pipeline.task.slices(&sizes).into_iter();
        let mine: Vec<_> = mine.filter(|slice| !finished.contains(slice)).collect();
        self.meter.begin(mine.len());
        let stop = self.pipeline.stop.child_token();
        let reader = SliceReader {
            source: self.pipeline.source.clone(),
            stream: self.index,
            bucket,
            layout,
            plan,
            schema,
            options: &self.options,
            meter: self.meter,
            keeps_raw: self.keeps_raw(),
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
        let manifest = match gathered(reader.plan, slice) {
            Some(manifest) => manifest,
            None => reader.read(slice).await?,
        };
        let Loader {
            bucket,
            layout,
            run,
            ..
        } = self.loader();
        let name = layout.slice(self.name(), run, slice);
        state::write(bucket, &name, &manifest, Precondition::None).await?;
        self.meter.slice_done();
        Ok(())
    }

    async fn finished(&self, run: &str) -> Result<BTreeSet<usize>, StoreError> {
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

    pub(super) async fn manifests(&self) -> Result<Vec<SliceManifest>, StoreError> {
        self.manifests_of(&self.loader().run).await
    }

    /// The manifests of all finished slices of a run, in the plan's order.
    pub(super) async fn manifests_of(&self, run: &str) -> Result<Vec<SliceManifest>, StoreError> {
        let Loader { bucket, layout, .. } = self.loader();
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
}

/// A slice whose rows BigQuery has gathered is read already.
fn gathered(plan: &Plan, number: usize) -> Option<SliceManifest> {
    let slice = plan.slices.get(number)?;
    let gathered = slice.gathered.as_ref()?;
    Some(SliceManifest {
        slice: number,
        rows: gathered.rows,
        pages: 0,
        parts: Vec::new(),
        touched: None,
        raw: None,
        done: SliceDone::now(slice.clone(), gathered.newest.clone()),
    })
}
