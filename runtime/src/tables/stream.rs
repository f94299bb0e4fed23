//! One table or query as a stream: a query a run, whose result is read in slices.
//!
//! The result stays as it is, so a slice is a range of its rows: read again, it is the same,
//! by whichever task. The state moves once all of them are in, to the newest cursor value.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::google::bigquery::{Progress, QueryJob, Reader, Rows, passes};
use crate::range::Range;
use crate::stream::{Gathering, Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo};
use crate::value::Value;

use super::cursor::{Bound, Bounds, CursorKind};
use super::fields::{json_schema, record};
use super::known::Known;
use super::settings::{StreamSettings, wrong};
use super::statement::select;
use super::trouble::About;

/// Rows asked for at once; BigQuery ends a page earlier where it gets too long.
const PAGE_ROWS: u64 = 10_000;
/// More slices would make a plan that is itself long.
const MOST_SLICES: u64 = 2_000;
/// Jobs of one query before it is given up.
const MOST_TRIES: usize = 3;

/// What the streams of a source share.
pub struct Shared {
    pub reader: Reader,
    pub who: String,
    pub location: Option<String>,
    pub batch_rows: u64,
    /// Whether who reads may also write where the rows go.
    pub gathers: bool,
    /// What names the queries of this run, so that a retry finds them; `None` by hand.
    pub run: Option<String>,
}

pub struct TableStream {
    pub info: StreamInfo,
    pub settings: StreamSettings,
    pub shared: Arc<Shared>,
    pub range: Option<Range>,
    pub known: OnceCell<Known>,
}

impl TableStream {
    pub async fn known(&self) -> Result<&Known, SourceError> {
        self.known.get_or_try_init(|| self.look()).await
    }

    pub(super) fn about(&self) -> About<'_> {
        About {
            stream: &self.info.name,
            settings: &self.settings,
            who: &self.shared.who,
            project: &self.shared.reader.project,
        }
    }

    pub(super) fn at(&self) -> String {
        format!("config.streams.{}", self.info.name)
    }

    /// Which rows a run reads that starts from this state.
    fn bounds(&self, kind: CursorKind, state: &State) -> Result<Bounds, SourceError> {
        if let Some(range) = &self.range {
            return kind.range(range).ok_or_else(|| {
                let problem = "its cursor is no time, so no range of time can be read";
                wrong(&self.at(), problem)
            });
        }
        let newest = self.cursor_name().and_then(|name| state[name].as_str());
        let from = match (newest, &self.settings.lookback) {
            (Some(newest), Some(lookback)) => kind.before(newest, lookback).map(|it| (it, true)),
            (Some(newest), None) => Some((newest.to_owned(), false)),
            (None, _) => self.settings.start.clone().map(|start| (start, true)),
        };
        let Some((from, inclusive)) = from else {
            return Ok(Bounds::default());
        };
        let literal = kind.literal(&from).ok_or_else(|| {
            let problem = format!("`{from}` is no value of the cursor's column");
            wrong(&self.at(), problem)
        })?;
        Ok(Bounds {
            from: Some(Bound { literal, inclusive }),
            to: None,
        })
    }

    pub(super) fn cursor_name(&self) -> Option<&str> {
        self.info.cursor_field.as_deref()
    }

    async fn plan(&self, state: &State) -> Result<Vec<Slice>, SourceError> {
        let known = self.known().await?;
        let statement = self.select(known, state)?;
        let job = self.run_query(&statement, &statement, &known.location);
        let job = job.await?;
        let rows = self.rows(&job, 0, 0).await?;
        let total = rows.total_rows.and_then(|text| text.parse().ok());
        let total = total.ok_or_else(|| self.unreadable("it does not say how many rows it has"))?;
        tracing::info!(
            stream = self.info.name,
            job = job.id,
            rows = total,
            "source queried"
        );
        Ok(slices(&job, known.cursor, total, self.shared.batch_rows))
    }

    pub(super) fn select(&self, known: &Known, state: &State) -> Result<String, SourceError> {
        let bounds = match known.cursor {
            Some(kind) => self.bounds(kind, state)?,
            None if self.range.is_some() => {
                let problem = "it has no `cursor`, so no range of it can be read";
                return Err(wrong(&self.at(), problem));
            }
            None => Bounds::default(),
        };
        Ok(select(&self.settings.origin, self.cursor_name(), &bounds))
    }

    /// Runs the query to its end; an earlier attempt of the run may have done so.
    pub(super) async fn run_query(
        &self,
        name: &str,
        statement: &str,
        location: &str,
    ) -> Result<QueryJob, SourceError> {
        let mut attempt = 0;
        loop {
            let job = QueryJob {
                project: self.shared.reader.project.clone(),
                id: format!("xetl-read-{}-{attempt}", self.hash(name)),
                location: location.to_owned(),
            };
            match self.finished(&job, statement).await? {
                Progress::Failed { reason, message } => {
                    attempt += 1;
                    if attempt == MOST_TRIES || !passes(&reason) {
                        return Err(self.about().refused(&reason, &message));
                    }
                }
                _ => return Ok(job),
            }
        }
    }

    async fn finished(&self, job: &QueryJob, statement: &str) -> Result<Progress, SourceError> {
        let reader = &self.shared.reader;
        let failed = |error| self.about().error(error);
        reader.start(job, statement).await.map_err(failed)?;
        let mut delay = Duration::from_millis(20);
        loop {
            match reader.progress(job).await.map_err(failed)? {
                None | Some(Progress::Running) => {}
                Some(ended) => return Ok(ended),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(5));
        }
    }

    /// Names something of this stream in this run.
    pub(super) fn hash(&self, what: &str) -> String {
        let run = match &self.shared.run {
            Some(run) => run.clone(),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let named = format!("{run}\n{}\n{what}", self.info.name);
        let mut hash = hex::encode(Sha256::digest(named));
        hash.truncate(32);
        hash
    }

    pub(super) async fn rows(
        &self,
        job: &QueryJob,
        first: u64,
        most: u64,
    ) -> Result<Rows, SourceError> {
        let rows = self.shared.reader.rows(job, first, most).await;
        rows.map_err(|error| match error.is_not_found() {
            true => self.unreadable("it has expired, as it is kept for a day; start a new run"),
            false => self.about().error(error),
        })
    }

    pub(super) fn unreadable(&self, problem: &str) -> SourceError {
        SourceError::Decode {
            url: format!("the result of stream `{}`", self.info.name),
            problem: problem.to_owned(),
        }
    }

    /// The next page of a slice; `None` after its last row.
    async fn page(&self, mut place: Place) -> Result<Option<(Page, Place)>, SourceError> {
        if place.first >= place.end {
            return Ok(None);
        }
        let known = self.known().await?;
        let most = PAGE_ROWS.min(place.end - place.first);
        let rows = self.rows(&place.job, place.first, most).await?.rows;
        if rows.is_empty() {
            let problem = format!("it ends at row {} of {}", place.first, place.end);
            return Err(self.unreadable(&problem));
        }
        place.first += rows.len() as u64;
        let records = rows.into_iter().map(|row| record(&known.fields, row));
        let records: Vec<Value> = records
            .collect::<Result<_, _>>()
            .map_err(|misfit| self.unreadable(&misfit.to_string()))?;
        if let (Some(kind), Some(name)) = (known.cursor, self.cursor_name()) {
            let values = records.iter().filter_map(|record| text(record.get(name)?));
            place.newest = newest(kind, values.chain(place.newest.take()));
        }
        let cursor = place.newest.clone();
        let records = records.into();
        Ok(Some((Page { records, cursor }, place)))
    }
}

/// A place in a query's result.
struct Place {
    job: QueryJob,
    first: u64,
    end: u64,
    /// The newest cursor value so far.
    newest: Option<String>,
}

impl Place {
    fn of(slice: &Slice) -> Option<Place> {
        let text = |key: &str| Some(slice.extra_fields.get(key)?.as_str()?.to_owned());
        let first = slice.partition.get("first_row")?.as_u64()?;
        Some(Place {
            job: QueryJob {
                project: text("project")?,
                id: text("job")?,
                location: text("location")?,
            },
            first,
            end: first + slice.partition.get("rows")?.as_u64()?,
            newest: None,
        })
    }
}

/// Ranges of the result's rows.
fn slices(job: &QueryJob, cursor: Option<CursorKind>, total: u64, batch: u64) -> Vec<Slice> {
    let batch = batch.max(total.div_ceil(MOST_SLICES)).max(1);
    let firsts = (0..total.div_ceil(batch)).map(|number| number * batch);
    let interval = object(json!({ "cursor": cursor }));
    firsts
        .map(|first| Slice {
            interval: interval.clone(),
            partition: object(json!({"first_row": first, "rows": batch.min(total - first)})),
            size: Some(batch.min(total - first)),
            extra_fields: object(
                json!({"project": job.project, "job": job.id, "location": job.location}),
            ),
            ..Slice::default()
        })
        .collect()
}

pub(super) fn object(json: Json) -> serde_json::Map<String, Json> {
    json.as_object().cloned().unwrap_or_default()
}

/// The cursor's type, which a state needs even where the table is gone.
fn cursor_of(slice: &Slice) -> Option<CursorKind> {
    serde_json::from_value(slice.interval.get("cursor")?.clone()).ok()
}

fn newest(kind: CursorKind, values: impl Iterator<Item = String>) -> Option<String> {
    values.max_by(|a, b| kind.order(a, b))
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Number(digits) => Some(digits.to_string()),
        _ => None,
    }
}

impl Stream for TableStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn schema(&self) -> BoxFuture<'_, Result<Json, SourceError>> {
        async move { Ok(json_schema(&self.known().await?.fields)) }.boxed()
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        futures::stream::once(self.plan(state))
            .map_ok(|slices| futures::stream::iter(slices.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    fn gathers(&self) -> bool {
        self.shared.gathers
    }

    fn gather<'a>(
        &'a self,
        state: &'a State,
        place: &'a Gathering,
    ) -> BoxFuture<'a, Result<Option<Slice>, SourceError>> {
        self.gathered(state, place).boxed()
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        match Place::of(slice) {
            Some(place) => futures::stream::try_unfold(place, |place| self.page(place)).boxed(),
            None => {
                let error = self.unreadable("the slice does not name it");
                futures::stream::once(std::future::ready(Err(error))).boxed()
            }
        }
    }

    /// A result has no order, so only all of it says how far it goes.
    fn is_whole(&self) -> bool {
        true
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        let kind = done.iter().find_map(|slice| cursor_of(&slice.slice));
        let (Some(name), Some(kind)) = (self.cursor_name(), kind) else {
            return state.clone();
        };
        let before = state[name].as_str().map(str::to_owned);
        let values = done.iter().filter_map(|slice| slice.cursor.clone());
        match newest(kind, before.into_iter().chain(values)) {
            Some(newest) => json!({ name: newest }),
            None => state.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job() -> QueryJob {
        QueryJob {
            project: "p".into(),
            id: "j".into(),
            location: "EU".into(),
        }
    }

    proptest! {
        #[test]
        fn slices_have_each_row_once(total in 0u64..5_000_000, batch in 1u64..1_000_000) {
            let slices = slices(&job(), None, total, batch);
            prop_assert!(slices.len() as u64 <= MOST_SLICES);
            let mut next = 0;
            for slice in &slices {
                let place = Place::of(slice).unwrap();
                prop_assert_eq!(place.first, next);
                prop_assert!(place.end > place.first);
                next = place.end;
            }
            prop_assert_eq!(next, total);
        }
    }
}
