//! Makes a commit: all of it decided before anything of it happens.

use jiff::Timestamp;

use super::commit::MOST_FILES;
use super::{StreamError, StreamRun, table_name};
use crate::commit;
use crate::fetch::{FetchError, put_part};
use crate::layout::touched::Touched;
use crate::layout::{self, TableLayout};
use crate::load::Loader;
use crate::merge::Merge;
use crate::options::{Mode, Target};
use crate::parts;
use crate::schema::TableSchema;
use crate::state::{Checkpoint, Pending, Plan, SliceManifest, Staged, Stored};

/// What a commit is made of.
pub(super) struct Next<'a> {
    pub plan: &'a Plan,
    /// The slices that may be committed, and those of them that this commit takes.
    pub finished: &'a [SliceManifest],
    pub new: &'a [&'a SliceManifest],
    /// Whether nothing is left of the plan after it.
    pub complete: bool,
    pub stored: Option<&'a Stored<Checkpoint>>,
    pub columns: Option<TableSchema>,
}

impl Next<'_> {
    /// Whether what the commit brings stands for all there is.
    fn replaces(&self) -> bool {
        self.plan.mode == Mode::Overwrite || self.plan.refresh
    }

    /// The table the rows were gathered in, if they were.
    fn gathered(&self) -> Option<&str> {
        let mut slices = self.new.iter().map(|manifest| &manifest.done.slice);
        let gathered = slices.find_map(|slice| slice.gathered.as_ref())?;
        Some(&gathered.table)
    }

    /// The partitions of all its rows, if they are known of each slice that has any.
    fn touched(&self) -> Option<Touched> {
        let mut all = Touched::default();
        for slice in self.new.iter().filter(|slice| slice.rows > 0) {
            all.join(slice.touched.as_ref()?);
        }
        Some(all)
    }
}

impl StreamRun<'_> {
    pub(super) async fn pending(&self, next: Next<'_>) -> Result<Pending, StreamError> {
        if self.options.target == Target::External {
            self.verify(next.new).await?;
        }
        let files = self.files(&next).await?;
        let commit = self.commit_id(&next, &files);
        let gathered = next.gathered().map(str::to_owned);
        let layout = match &next.columns {
            Some(columns) => layout::layout(&self.options, columns)?,
            None => TableLayout::default(),
        };
        let merge = match (next.plan.mode, &next.columns) {
            (Mode::Merge, Some(columns)) => Some(self.staged(&next, &commit, columns, &layout)?),
            _ => None,
        };
        let before = next.stored.map(|stored| &stored.value);
        Ok(Pending {
            version: 1,
            commit: commit.clone(),
            mode: next.plan.mode,
            target: self.options.target,
            table: table_name(self.name()),
            layout,
            merge,
            gathered,
            uris: self.shown(&next, files).await?,
            rows: next.new.iter().map(|manifest| manifest.rows).sum(),
            bytes: next.new.iter().map(|manifest| manifest.bytes()).sum(),
            replaces: next.stored.map_or(0, |stored| stored.generation),
            loaded_before: before
                .filter(|_| !next.replaces())
                .and_then(|checkpoint| checkpoint.schema.clone()),
            next: self.checkpoint_after(next, commit),
        })
    }

    /// The files of the commit; where they replace what is there, at least an empty one.
    async fn files(&self, next: &Next<'_>) -> Result<Vec<String>, StreamError> {
        let bucket = &self.loader().bucket;
        let parts = next.new.iter().flat_map(|manifest| &manifest.parts);
        let mut files: Vec<String> = parts.map(|part| bucket.uri(&part.name)).collect();
        if files.is_empty()
            && next.gathered().is_none()
            && next.replaces()
            && let Some(columns) = &next.columns
        {
            files.push(self.empty_part(columns).await?);
        }
        match files.len() {
            0..=MOST_FILES => Ok(files),
            files => Err(StreamError::TooManyFiles { files }),
        }
    }

    fn commit_id(&self, next: &Next<'_>, files: &[String]) -> String {
        let slices = next.new.iter();
        let slices = slices.map(|manifest| format!("slice {}", manifest.slice));
        let named: Vec<String> = files.iter().cloned().chain(slices).collect();
        let bundle = &self.pipeline.bundle;
        let run = &self.loader().run;
        commit::commit_id(&bundle.client, &bundle.pipeline, self.name(), run, &named)
    }

    /// Where the rows of a merge wait, and the statement that takes them from there.
    fn staged(
        &self,
        next: &Next<'_>,
        commit: &str,
        columns: &TableSchema,
        layout: &TableLayout,
    ) -> Result<Staged, StreamError> {
        let table = commit::staging_table(commit);
        let loader = self.loader();
        let touched = next.touched();
        let merge = Merge {
            target: &loader.full_name(&table_name(self.name())),
            staging: &loader.full_name(&table),
            schema: columns,
            options: &self.options,
            layout,
            touched: touched.as_ref(),
            replaces: next.replaces(),
        };
        let statement = merge.statement()?;
        Ok(Staged { table, statement })
    }

    /// What the table is to be loaded with, or, if it is an external one, to show: where
    /// rows are added, what it shows already comes first.
    async fn shown(&self, next: &Next<'_>, files: Vec<String>) -> Result<Vec<String>, StreamError> {
        let is_added_to = self.options.target == Target::External && !next.replaces();
        if !is_added_to || files.is_empty() {
            return Ok(files);
        }
        let table = self.loader().dataset.table(&table_name(self.name())).await;
        let table = table.map_err(FetchError::from)?;
        let mut shown = table.and_then(|table| table.files).unwrap_or_default();
        let new = files.into_iter().filter(|file| !shown.contains(file));
        let new: Vec<String> = new.collect();
        shown.extend(new);
        match shown.len() {
            0..=MOST_FILES => Ok(shown),
            files => Err(StreamError::TooManyShown { files }),
        }
    }

    fn checkpoint_after(&self, next: Next<'_>, commit: String) -> Checkpoint {
        let Next {
            plan,
            finished,
            new,
            complete,
            stored,
            columns,
        } = next;
        let before = stored.map(|stored| &stored.value);
        let same_run = before.filter(|checkpoint| checkpoint.run == plan.run);
        let mut slices = same_run
            .map(|checkpoint| checkpoint.slices.clone())
            .unwrap_or_default();
        slices.extend(new.iter().map(|manifest| manifest.slice));
        // From where the plan began, with all of it that is done: a state does not say
        // of each slice whether it is.
        let done = commit::done(finished, &slices);
        let stream = &self.pipeline.source.streams()[self.index];
        Checkpoint {
            version: 1,
            stream: self.name().to_owned(),
            run: plan.run.clone(),
            commit,
            slices,
            complete,
            state: match plan.keeps_state() {
                true => plan.state.clone(),
                false => stream.state_after(&plan.state, &done),
            },
            schema: columns,
            // Kept pages are no newer for being loaded again.
            extracted_at: match before.filter(|_| !plan.replay.is_empty()) {
                Some(checkpoint) => checkpoint.extracted_at.clone(),
                None => extracted_at(plan),
            },
        }
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
}

fn extracted_at(plan: &Plan) -> String {
    Timestamp::from_microsecond(plan.extracted_at)
        .unwrap_or_default()
        .to_string()
}
