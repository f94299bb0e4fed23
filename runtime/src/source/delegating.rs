//! StateDelegatingStream: all of it at first, later only what is new, by two streams of one name.
//!
//! The state tells which; what the source no longer holds is read whole again.

use std::sync::Arc;

use async_stream::try_stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::stream::{Closing, Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo, Way};
use crate::tape::Tape;
use crate::value::Value;

use super::blueprint::open_declarative;
use super::component::Component;
use super::declarative_stream::DeclarativeStream;
use super::moment::{Moment, Span};
use super::python;
use super::shared::Shared;

pub struct DelegatingStream {
    info: StreamInfo,
    full: DeclarativeStream,
    incremental: DeclarativeStream,
    /// How long the source keeps what the incremental stream reads.
    retention: Option<Span>,
}

impl DelegatingStream {
    pub fn open(
        component: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<DelegatingStream, SourceError> {
        let full = component.need("full_refresh_stream")?;
        let incremental = component.need("incremental_stream")?;
        let name = component.text("name");
        if full.text("name") != name || incremental.text("name") != name {
            return Err(component.error(
                "`full_refresh_stream` and `incremental_stream` need the name of their stream",
            ));
        }
        let retention = retention(component, shared)?;
        let full = open_declarative(&full, shared)?;
        let incremental = open_declarative(&incremental, shared)?;
        if retention.is_some() && (full.counts() || incremental.counts()) {
            return Err(component
                .error("`api_retention_period` is not possible with an IncrementingCountCursor"));
        }
        let mut info = full.info().clone();
        if info.cursor_field.is_none() {
            info.cursor_field = incremental.info().cursor_field.clone();
        }
        Ok(DelegatingStream {
            info,
            full,
            incremental,
            retention,
        })
    }

    fn way(&self, state: &State) -> Way {
        match python::truth(&Value::from(state)) && !self.is_too_old(state) {
            true => Way::Incremental,
            false => Way::Full,
        }
    }

    /// Whether the source has lost some of what came after the state.
    fn is_too_old(&self, state: &State) -> bool {
        let Some(retention) = self.retention else {
            return false;
        };
        let reached = self.full.reached(state);
        let reached = reached.or_else(|| self.incremental.reached(state));
        let kept_since = Moment::now().plus(-retention);
        reached.is_none_or(|reached| kept_since.is_some_and(|since| reached < since))
    }

    fn stream(&self, way: Way) -> &DeclarativeStream {
        match way {
            Way::Full => &self.full,
            Way::Incremental => &self.incremental,
        }
    }

    /// Reading whole is done when all is read, and knows nothing of a state; its plan
    /// always has an end.
    fn all_slices<'a>(&'a self) -> BoxStream<'a, Result<Slice, SourceError>> {
        try_stream! {
            let began = Timestamp::now().as_millisecond();
            let mut count = 0;
            let mut slices = self.full.slices(&State::Null);
            while let Some(slice) = slices.try_next().await? {
                let is_end = slice.closing.is_some();
                count += 1;
                yield Slice { way: Some(Way::Full), ..slice };
                if is_end {
                    return;
                }
            }
            yield Slice {
                way: Some(Way::Full),
                closing: Some(Closing { slices: count, began }),
                ..Slice::default()
            };
        }
        .boxed()
    }
}

fn retention(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Option<Span>, SourceError> {
    let Some(template) = component.template("api_retention_period")? else {
        return Ok(None);
    };
    let text = template.text(&shared.scope);
    let text = text.map_err(|error| component.error(error.to_string()))?;
    if text.is_empty() {
        return Ok(None);
    }
    let span = Span::parse(&text).ok_or_else(|| {
        component.error(format!(
            "`api_retention_period: {text}` is no ISO 8601 duration"
        ))
    })?;
    Ok(Some(span))
}

/// Whether a plan that knows its end was read to it.
fn is_whole(done: &[SliceDone]) -> bool {
    let finished = done.iter().filter(|done| done.finished.is_some());
    let finished = finished.filter(|done| done.slice.closing.is_none()).count();
    let mut ends = done.iter().filter_map(|done| done.slice.closing.as_ref());
    ends.any(|end| end.slices == finished)
}

impl Stream for DelegatingStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn schema(&self) -> BoxFuture<'_, Result<serde_json::Value, SourceError>> {
        self.full.schema()
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        let way = self.way(state);
        if way == Way::Full {
            return self.all_slices();
        }
        let marked = move |slice| Slice {
            way: Some(way),
            ..slice
        };
        let slices = self.incremental.slices(state);
        slices.map(move |slice| slice.map(marked)).boxed()
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        self.stream(slice.way.unwrap_or(Way::Full)).pages(slice)
    }

    fn pages_on<'a>(
        &'a self,
        slice: &'a Slice,
        tape: &'a Tape,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        let stream = self.stream(slice.way.unwrap_or(Way::Full));
        stream.pages_on(slice, tape)
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        let way = done.first().and_then(|done| done.slice.way);
        match way.unwrap_or_else(|| self.way(state)) {
            // Only what was read whole may go on with what is new.
            Way::Full if !is_whole(done) => state.clone(),
            Way::Full => self.full.state_after(&State::Null, done),
            Way::Incremental => self.incremental.state_after(state, done),
        }
    }
}
