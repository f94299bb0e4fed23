//! StateDelegatingStream: all of it at first, later only what is new, by two streams of one name.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;

use crate::stream::{Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo, Way};
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
    /// How long the source knows what is new; what is older is read whole again.
    retention: Option<Span>,
}

/// What a full read starts from.
static NOTHING: State = State::Null;

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
        let full = open_declarative(&full, shared)?;
        let incremental = open_declarative(&incremental, shared)?;
        let retention = retention(component, shared)?;
        if retention.is_some() && (full.slicer().counts() || incremental.slicer().counts()) {
            return Err(
                component.error("`api_retention_period` needs a cursor of times, not of counts")
            );
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
        let has_state = python::truth(&Value::from(state));
        match has_state && !self.is_stale(state) {
            true => Way::Incremental,
            false => Way::Full,
        }
    }

    /// Whether the source may have forgotten what changed since the state.
    fn is_stale(&self, state: &State) -> bool {
        let Some(retention) = self.retention else {
            return false;
        };
        let latest = self.full.slicer().latest(state);
        let latest = latest.or_else(|| self.incremental.slicer().latest(state));
        let ends = latest.and_then(|latest| latest.plus(retention));
        ends.is_none_or(|ends| ends < Moment::now())
    }

    fn stream(&self, way: Way) -> &DeclarativeStream {
        match way {
            Way::Full => &self.full,
            Way::Incremental => &self.incremental,
        }
    }
}

fn retention(component: &Component<'_>, shared: &Shared) -> Result<Option<Span>, SourceError> {
    let Some(written) = component.template("api_retention_period")? else {
        return Ok(None);
    };
    let text = written
        .text(&shared.scope)
        .map_err(|error| component.error(error.to_string()))?;
    if text.is_empty() {
        return Ok(None);
    }
    let span = Span::parse(&text)
        .ok_or_else(|| component.error(format!("`api_retention_period` is `{text}`")))?;
    Ok(Some(span))
}

impl Stream for DelegatingStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        let way = self.way(state);
        let slices = match way {
            Way::Full => self.full.slices(&NOTHING),
            Way::Incremental => self.incremental.slices(state),
        };
        let marked = move |slice| Slice {
            way: Some(way),
            ..slice
        };
        slices.map(move |slice| slice.map(marked)).boxed()
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        self.stream(slice.way.unwrap_or(Way::Full)).pages(slice)
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        let way = done.iter().find_map(|done| done.slice.way);
        match way.unwrap_or_else(|| self.way(state)) {
            Way::Full => self.full.state_after(&NOTHING, done),
            Way::Incremental => self.incremental.state_after(state, done),
        }
    }
}
