//! Steps that a client file gives a stream's records before they are loaded.
//!
//! They come after the source's own transformations and know nothing of it: any
//! source's stream can be reshaped. The stream's state is the source's business.

mod path;
mod plan;
mod step;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use serde_json::Value as Json;

use crate::stream::{
    Gathering, Page, Slice, SliceDone, Source, SourceError, State, Stream, StreamInfo, Usage,
};
use crate::tape::Tape;

pub use plan::{Around, Steps};
pub use step::{Added, CastType, Mask, Step, TypedTemplate, Zone};

/// The source with these streams' records reshaped.
pub fn reshaped<'a>(
    source: Box<dyn Source>,
    steps: impl IntoIterator<Item = (&'a String, &'a [Step])>,
    around: &Around<'_>,
) -> Result<Box<dyn Source>, SourceError> {
    let mut opened = BTreeMap::new();
    for (stream, steps) in steps {
        if !steps.is_empty() {
            opened.insert(stream.clone(), Steps::open(stream, steps, around)?);
        }
    }
    if opened.is_empty() {
        return Ok(source);
    }
    Ok(Box::new(Reshaped::new(source, opened)))
}

struct Reshaped {
    source: Arc<dyn Source>,
    streams: Vec<Box<dyn Stream>>,
}

/// One stream of the source; its steps may be none.
struct ReshapedStream {
    source: Arc<dyn Source>,
    index: usize,
    info: StreamInfo,
    steps: Steps,
}

impl Reshaped {
    fn new(source: Box<dyn Source>, mut steps: BTreeMap<String, Steps>) -> Reshaped {
        let source: Arc<dyn Source> = Arc::from(source);
        let streams = source.streams().iter().enumerate().map(|(index, stream)| {
            let steps = steps.remove(&stream.info().name).unwrap_or_default();
            let reshaped: Box<dyn Stream> = Box::new(ReshapedStream {
                source: source.clone(),
                index,
                info: steps.info(stream.info()),
                steps,
            });
            reshaped
        });
        Reshaped {
            streams: streams.collect(),
            source: source.clone(),
        }
    }
}

impl Source for Reshaped {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn group(&self, stream: &str) -> Option<&str> {
        self.source.group(stream)
    }

    fn usage(&self, stream: &str) -> Usage {
        self.source.usage(stream)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        self.source.check()
    }
}

impl ReshapedStream {
    fn inner(&self) -> &dyn Stream {
        self.source.streams()[self.index].as_ref()
    }

    fn reshaped<'a>(
        &'a self,
        pages: BoxStream<'a, Result<Page, SourceError>>,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        let reshaped = pages.map(|page| {
            let mut page = page?;
            self.steps.apply(page.records.values_mut())?;
            Ok(page)
        });
        reshaped.boxed()
    }
}

impl Stream for ReshapedStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn schema(&self) -> BoxFuture<'_, Result<Json, SourceError>> {
        async move { Ok(self.steps.schema(self.inner().schema().await?)) }.boxed()
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        self.inner().slices(state)
    }

    fn gathers(&self) -> bool {
        self.steps.is_empty() && self.inner().gathers()
    }

    fn gather<'a>(
        &'a self,
        state: &'a State,
        place: &'a Gathering,
    ) -> BoxFuture<'a, Result<Option<Slice>, SourceError>> {
        self.inner().gather(state, place)
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        self.reshaped(self.inner().pages(slice))
    }

    fn pages_on<'a>(
        &'a self,
        slice: &'a Slice,
        tape: &'a Tape,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        self.reshaped(self.inner().pages_on(slice, tape))
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        self.inner().state_after(state, done)
    }

    fn is_whole(&self) -> bool {
        self.inner().is_whole()
    }
}
