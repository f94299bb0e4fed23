//! How the pages of one slice are had: the seam between a stream and its requests.
//!
//! A stream (`declarative_stream`) knows slices, cursors and state and nothing of
//! requests; a retriever knows requests and records and nothing of state.

mod asynchronous;
mod counted;
mod lists;
mod page_size;
mod paging;
mod properties;
mod reset;
mod simple;
mod taped;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::tape::Tape;

use super::component::Component;
use super::request::Options;
use super::shared::Shared;
use super::slicer::Test;
use super::template::Scope;
use super::window::Window;

/// The records of one reply, filtered and transformed.
pub use crate::stream::Records;
use asynchronous::AsyncRetriever;
pub use simple::SimpleRetriever;

/// One slice to read, and what its stream has to say about it.
pub struct Part<'s> {
    /// The config and the slice.
    pub scope: Scope,
    /// What cursor and partition add to a request.
    pub options: Options,
    /// The first page, where the parent's record came with it.
    pub first: Option<Bytes>,
    /// What keeps the replies of the pages, or has them.
    pub tape: Option<&'s Tape>,
    /// Whether the cursor keeps a record; `None` keeps all.
    pub keep: Option<Test<'s>>,
    /// Whether a page that ends with this record is the last one.
    pub stop: Option<Test<'s>>,
    /// The schema of the stream's records.
    pub schema: Arc<Json>,
    /// The slice's window, where it has one that may be made smaller.
    pub window: Option<Window<'s>>,
}

impl Part<'_> {
    /// A part of no stream: what a schema or a record's own list is read from.
    pub fn alone(scope: Scope) -> Part<'static> {
        Part {
            scope,
            options: Options::default(),
            first: None,
            tape: None,
            keep: None,
            stop: None,
            schema: Arc::default(),
            window: None,
        }
    }

    /// The tape, where pages are taken from it.
    pub fn played(&self) -> Option<&Tape> {
        self.tape.filter(|tape| tape.is_playing())
    }
}

/// What of its stream a retriever must know when it is opened.
pub struct StreamFacts<'m> {
    pub name: &'m str,
    pub transformations: Vec<Component<'m>>,
    /// The cursor filters here and not at the source.
    pub client_side: bool,
}

pub enum Retriever {
    Simple(Box<SimpleRetriever>),
    Asynchronous(Box<AsyncRetriever>),
}

impl Retriever {
    pub fn open(
        component: &Component<'_>,
        stream: &StreamFacts<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Retriever, SourceError> {
        match component.kind() {
            "SimpleRetriever" => {
                let retriever = SimpleRetriever::open(component, stream, shared)?;
                Ok(Retriever::Simple(Box::new(retriever)))
            }
            "AsyncRetriever" => {
                let retriever = AsyncRetriever::open(component, stream, shared)?;
                Ok(Retriever::Asynchronous(Box::new(retriever)))
            }
            _ => Err(component.unknown("SimpleRetriever or AsyncRetriever")),
        }
    }

    /// Whether the stream's cursor drops records that are old.
    pub fn is_filtered(&self) -> bool {
        matches!(self, Retriever::Simple(_))
    }

    /// The pages of one slice, each requested when the one before was taken.
    pub fn pages<'a>(&'a self, part: Part<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        match self {
            Retriever::Simple(retriever) => retriever.pages(part),
            Retriever::Asynchronous(retriever) => retriever.pages(part),
        }
    }
}
