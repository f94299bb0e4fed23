//! StateDelegatingStream: all of it at first, later only what is new, by two streams of one name.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::stream::{Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo, Way};
use crate::value::Value;

use super::blueprint::open_stream;
use super::component::Component;
use super::python;
use super::shared::Shared;

pub struct DelegatingStream {
    info: StreamInfo,
    full: Box<dyn Stream>,
    incremental: Box<dyn Stream>,
}

impl DelegatingStream {
    pub fn open(
        component: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<DelegatingStream, SourceError> {
        component.unsupported(&["api_retention_period"])?;
        let full = component.need("full_refresh_stream")?;
        let incremental = component.need("incremental_stream")?;
        let name = component.text("name");
        if full.text("name") != name || incremental.text("name") != name {
            return Err(component.error(
                "`full_refresh_stream` and `incremental_stream` need the name of their stream",
            ));
        }
        let full = open_stream(&full, shared)?;
        let incremental = open_stream(&incremental, shared)?;
        let mut info = full.info().clone();
        if info.cursor_field.is_none() {
            info.cursor_field = incremental.info().cursor_field.clone();
        }
        Ok(DelegatingStream {
            info,
            full,
            incremental,
        })
    }

    fn way(&self, state: &State) -> Way {
        match python::truth(&Value::from(state)) {
            true => Way::Incremental,
            false => Way::Full,
        }
    }

    fn stream(&self, way: Way) -> &dyn Stream {
        match way {
            Way::Full => self.full.as_ref(),
            Way::Incremental => self.incremental.as_ref(),
        }
    }
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
        let slices = self.stream(way).slices(state);
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
        let way = done.first().and_then(|done| done.slice.way);
        let way = way.unwrap_or_else(|| self.way(state));
        self.stream(way).state_after(state, done)
    }
}
