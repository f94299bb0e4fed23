//! What a stream is cut into: partitions of a router, windows of a cursor, or both.

use std::sync::Arc;

use async_stream::try_stream;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde_json::json;

use crate::stream::{Closing, Records, Slice, SliceDone, SourceError, State};
use crate::value::Value;

use super::component::Component;
use super::cursor::{CountCursor, DatetimeCursor, PartitionedCursor};
use super::moment::{Moment, Span};
use super::partition::{self, Partition, Router, Step, partition_key};
use super::request::Options;
use super::shared::Shared;
use super::template::{Scope, TemplateError};

/// What the state of a stream without a cursor holds.
pub const NO_CURSOR: &str = "__ab_no_cursor_state_message";

/// A stream's partition router and cursor.
pub struct Slicer {
    at: String,
    router: Option<Box<dyn Router>>,
    cursor: Option<Cursor>,
    shared: Arc<Shared>,
}

enum Cursor {
    Time(DatetimeCursor),
    Partitioned(PartitionedCursor),
    Count(CountCursor),
}

/// A test of records, for cursors that filter here.
pub type Test<'s> = Box<dyn Fn(&Value) -> bool + Send + Sync + 's>;

/// The newest cursor value seen in a slice.
#[derive(Default)]
pub struct Newest {
    moment: Option<Moment>,
    number: Option<Value>,
}

impl Slicer {
    pub fn open(
        stream: &Component<'_>,
        retriever: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Slicer, SourceError> {
        // An empty list of routers is none.
        let router = retriever.child("partition_router");
        let router = router.filter(|router| *router.json() != serde_json::json!([]));
        let router = router
            .map(|router| partition::open(&router, shared))
            .transpose()?;
        let cursor = stream.child("incremental_sync");
        let cursor = cursor
            .map(|cursor| Cursor::open(&cursor, router.as_deref(), &shared.scope))
            .transpose()?;
        Ok(Slicer {
            at: retriever.at.clone(),
            router,
            cursor,
            shared: shared.clone(),
        })
    }

    /// The cursor's field.
    pub fn field(&self) -> Option<&str> {
        Some(match self.cursor.as_ref()? {
            Cursor::Time(cursor) => &cursor.field,
            Cursor::Partitioned(cursor) => &cursor.each.field,
            Cursor::Count(cursor) => &cursor.field,
        })
    }

    fn time(&self) -> Option<&DatetimeCursor> {
        match self.cursor.as_ref()? {
            Cursor::Time(cursor) => Some(cursor),
            Cursor::Partitioned(cursor) => Some(&cursor.each),
            Cursor::Count(_) => None,
        }
    }

    /// Whether the cursor is a number that grows.
    pub fn counts(&self) -> bool {
        matches!(self.cursor, Some(Cursor::Count(_)))
    }

    /// How far a state says the stream is; a state without a cursor says it was read whole.
    pub fn reached(&self, state: &State) -> Option<Moment> {
        match &self.cursor {
            None => (state.get(NO_CURSOR)? == true).then(Moment::now),
            Some(Cursor::Time(cursor)) => cursor.reached(state),
            Some(Cursor::Partitioned(cursor)) => cursor.each.reached(state.get("state")?),
            Some(Cursor::Count(_)) => None,
        }
    }

    /// The source sends newest first; paging ends at the first old record.
    pub fn is_data_feed(&self) -> bool {
        self.time().is_some_and(|cursor| cursor.is_data_feed)
    }

    /// The source cannot filter; old records are dropped here.
    pub fn is_client_side(&self) -> bool {
        self.time().is_some_and(|cursor| cursor.is_client_side)
    }

    fn problem(&self, error: &TemplateError) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&error.to_string()),
        }
    }

    pub fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        match (&self.router, &self.cursor) {
            (Some(router), Some(Cursor::Partitioned(cursor))) => {
                self.partitioned(router.as_ref(), cursor, state)
            }
            (Some(router), _) => partitions(router.as_ref(), state),
            (None, cursor) => match self.whole(cursor.as_ref(), state) {
                Ok(slices) => stream::iter(slices.map(Ok)).boxed(),
                Err(error) => failed(self.problem(&error)),
            },
        }
    }

    fn whole<'a>(
        &'a self,
        cursor: Option<&'a Cursor>,
        state: &State,
    ) -> Result<Box<dyn Iterator<Item = Slice> + Send + 'a>, TemplateError> {
        Ok(match cursor {
            Some(Cursor::Time(cursor)) => {
                Box::new(cursor.slices(&cursor.progress(state)?, &self.shared.scope)?)
            }
            Some(Cursor::Count(cursor)) => Box::new(std::iter::once(cursor.slice(state)?)),
            Some(Cursor::Partitioned(_)) | None => Box::new(std::iter::once(Slice::default())),
        })
    }

    fn partitioned<'a>(
        &'a self,
        router: &'a dyn Router,
        cursor: &'a PartitionedCursor,
        state: &'a State,
    ) -> BoxStream<'a, Result<Slice, SourceError>> {
        let mut planning = Planning::new();
        try_stream! {
            let mut book = cursor.open(state).map_err(|error| self.problem(&error))?;
            let mut steps = router.steps(state);
            while let Some(step) = steps.try_next().await? {
                let Some(partition) = planning.take(step) else {
                    continue;
                };
                let slices = cursor.slices(&mut book, &partition, &self.shared.scope);
                for slice in slices.map_err(|error| self.problem(&error))? {
                    yield planning.count(slice);
                }
            }
            yield planning.closing();
        }
        .boxed()
    }

    /// What cursor and partition add to the requests of a slice; the cursor has the last word.
    pub fn options(&self, slice: &Slice) -> Result<Options, SourceError> {
        let scope = &self.shared.scope;
        let router = self.router.as_ref().map(|it| it.options(slice, scope));
        let cursor = self.cursor.as_ref().map(|it| it.options(slice, scope));
        let mut options = Options::default();
        for more in [router, cursor].into_iter().flatten() {
            options.replace_with(more.map_err(|error| self.problem(&error))?);
        }
        Ok(options)
    }

    /// The slice with what its router looks up; `None` where it is whole as it is.
    pub async fn whole_slice(&self, slice: &Slice) -> Result<Option<Slice>, SourceError> {
        let Some(router) = &self.router else {
            return Ok(None);
        };
        let found = router.look_up(slice).await?;
        if found.is_empty() {
            return Ok(None);
        }
        let mut whole = slice.clone();
        whole.extra_fields.extend(found);
        Ok(Some(whole))
    }

    /// The config and the slice.
    pub fn scope(&self, slice: &Slice) -> Scope {
        self.shared.scope.clone().with_slice(slice)
    }

    /// A slice of which what comes before the newest record is left out.
    pub fn rest(&self, whole: &Slice, newest: &Newest) -> Slice {
        let start = match (self.time(), newest.moment, &newest.number) {
            (Some(cursor), Some(moment), _) => {
                (cursor.start_field.clone(), cursor.written(moment).into())
            }
            (None, _, Some(number)) => ("start".to_owned(), number.to_json()),
            _ => return whole.clone(),
        };
        let mut rest = whole.clone();
        rest.interval.extend([start]);
        rest
    }

    /// A slice in two; `None` where it cannot be cut.
    pub fn halves(&self, slice: &Slice, least: Option<Span>) -> Option<[Slice; 2]> {
        self.time()?.halves(slice, least)
    }

    /// Whether the slices have a window that may be made smaller.
    pub fn has_window(&self) -> bool {
        self.cursor.is_some()
    }

    /// Whether records are new, for cursors that filter here.
    pub fn filter<'s>(&'s self, slice: &'s Slice) -> Result<Option<Test<'s>>, SourceError> {
        let Some(cursor) = self
            .time()
            .filter(|it| it.is_data_feed || it.is_client_side)
        else {
            return Ok(None);
        };
        let filter = cursor.filter(slice, &self.shared.scope);
        let filter = filter.map_err(|error| self.problem(&error))?;
        Ok(Some(Box::new(filter)))
    }

    /// Takes note of the records' cursor values.
    pub fn observe(&self, newest: &mut Newest, records: &Records) -> Result<(), SourceError> {
        let Some(field) = self.field() else {
            return Ok(());
        };
        records.each_with_only(field, |record| self.observe_one(newest, record))
    }

    fn observe_one(&self, newest: &mut Newest, record: &Value) -> Result<(), SourceError> {
        match &self.cursor {
            Some(Cursor::Count(cursor)) => {
                let number = cursor.newest(newest.number.take(), record);
                newest.number = number.map_err(|error| self.problem(&error))?;
            }
            _ => {
                if let Some(cursor) = self.time() {
                    newest.moment = cursor.newest(newest.moment, record);
                }
            }
        }
        Ok(())
    }

    /// Leaves fewer slices that say the same to `state_after`.
    pub fn condense(&self, done: &mut Vec<SliceDone>) {
        match &self.cursor {
            Some(Cursor::Time(cursor)) => *done = cursor.condensed(done),
            None => done.clear(),
            Some(Cursor::Partitioned(_) | Cursor::Count(_)) => {}
        }
    }

    /// The state once these slices are in the warehouse.
    pub fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        match &self.cursor {
            Some(Cursor::Time(cursor)) => cursor.state_after(state, done),
            Some(Cursor::Partitioned(cursor)) => cursor.state_after(state, done),
            Some(Cursor::Count(cursor)) => cursor.state_after(state, done),
            None => json!({NO_CURSOR: true}),
        }
    }
}

impl Cursor {
    fn open(
        component: &Component<'_>,
        router: Option<&dyn Router>,
        scope: &Scope,
    ) -> Result<Cursor, SourceError> {
        match (component.kind(), router) {
            ("IncrementingCountCursor", None) => {
                CountCursor::open(component, scope).map(Cursor::Count)
            }
            ("IncrementingCountCursor", Some(_)) => Err(component.error(
                "an IncrementingCountCursor together with a `partition_router` is not possible",
            )),
            (_, None) => DatetimeCursor::open(component, scope).map(Cursor::Time),
            (_, Some(router)) => Ok(Cursor::Partitioned(PartitionedCursor {
                each: DatetimeCursor::open(component, scope)?,
                is_grouped: router.is_grouping(),
            })),
        }
    }

    fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        match self {
            Cursor::Time(cursor) => cursor.options(slice, scope),
            Cursor::Partitioned(cursor) => cursor.each.options(slice, scope),
            Cursor::Count(cursor) => cursor.options(slice, scope),
        }
    }
}

impl Newest {
    /// In a form that loses nothing.
    pub fn shown(&self) -> Option<String> {
        match &self.number {
            Some(number) => serde_json::to_string(number).ok(),
            None => self.moment.map(super::cursor::exact),
        }
    }
}

/// The plan of a stream with partitions and a cursor, as it is made.
struct Planning {
    began: i64,
    slices: usize,
    known: std::collections::HashSet<String>,
    parents: Option<State>,
    /// The parents' state has changed since the last slice.
    is_new: bool,
}

impl Planning {
    fn new() -> Planning {
        Planning {
            began: Timestamp::now().as_millisecond(),
            slices: 0,
            known: Default::default(),
            parents: None,
            is_new: false,
        }
    }

    /// The partition to read now; one that came before is read only once.
    fn take(&mut self, step: Step) -> Option<Partition> {
        match step {
            Step::Parents(state) => {
                self.is_new |= self.parents.as_ref() != Some(&state);
                self.parents = Some(state);
                None
            }
            Step::Partition(partition) => {
                let is_new = self.known.insert(partition_key(&partition.fields));
                is_new.then_some(partition)
            }
        }
    }

    fn count(&mut self, slice: Slice) -> Slice {
        self.slices += 1;
        let is_new = std::mem::take(&mut self.is_new);
        Slice {
            parent_state: self.parents.clone().filter(|_| is_new),
            ..slice
        }
    }

    fn closing(&mut self) -> Slice {
        Slice {
            parent_state: self.parents.take(),
            closing: Some(Closing {
                slices: self.slices,
                began: self.began,
            }),
            ..Slice::default()
        }
    }
}

/// A slice for each partition.
fn partitions<'a>(
    router: &'a dyn Router,
    state: &'a State,
) -> BoxStream<'a, Result<Slice, SourceError>> {
    router
        .steps(state)
        .try_filter_map(|step| async move {
            Ok(match step {
                Step::Partition(partition) => Some(Slice {
                    partition: partition.fields,
                    extra_fields: partition.extra,
                    size: partition.size,
                    ..Slice::default()
                }),
                Step::Parents(_) => None,
            })
        })
        .boxed()
}

/// One error and nothing else.
pub fn failed<'a, T: Send + 'a>(error: SourceError) -> BoxStream<'a, Result<T, SourceError>> {
    stream::once(async { Err(error) }).boxed()
}
