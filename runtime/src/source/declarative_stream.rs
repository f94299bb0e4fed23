//! One stream: slices from its state, what is read of each, and the state after them.
//!
//! How a slice is requested is the retriever's.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt};

use crate::stream::{Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo};
use crate::value::Value;

use super::component::Component;
use super::cursor::DatetimeCursor;
use super::moment::Moment;
use super::partition::ListRouter;
use super::python;
use super::request::Options;
use super::retriever::{Part, Records, Retriever, StreamFacts};
use super::schema_loader::Schema;
use super::shared::Shared;
use super::template::TemplateError;

/// A stream of the manifest.
pub struct DeclarativeStream {
    info: StreamInfo,
    schema: Schema,
    at: String,
    retriever: Retriever,
    cursor: Option<DatetimeCursor>,
    router: Option<ListRouter>,
    shared: Arc<Shared>,
}

impl DeclarativeStream {
    pub fn open(
        component: &Component<'_>,
        mut info: StreamInfo,
        shared: &Arc<Shared>,
    ) -> Result<DeclarativeStream, SourceError> {
        component.unsupported(&["file_uploader", "state_migrations"])?;
        let retriever = component.need("retriever")?;
        let scope = &shared.scope;
        let cursor = component.child("incremental_sync");
        let cursor = cursor
            .map(|cursor| DatetimeCursor::open(&cursor, scope))
            .transpose()?;
        let router = retriever.child("partition_router");
        let router = router
            .map(|router| ListRouter::open(&router, scope))
            .transpose()?;
        if cursor.is_some() && router.is_some() {
            return Err(retriever
                .error("`incremental_sync` together with a `partition_router` is not supported"));
        }
        let schema = Schema::open(component, shared)?;
        info.schema = schema.declared();
        info.cursor_field = cursor.as_ref().map(|cursor| cursor.field.clone());
        let facts = StreamFacts {
            name: &info.name,
            transformations: component.children("transformations"),
            client_side: cursor.as_ref().is_some_and(|cursor| cursor.is_client_side),
        };
        let opened = Retriever::open(&retriever, &facts, shared)?;
        Ok(DeclarativeStream {
            at: retriever.at.clone(),
            retriever: opened,
            cursor,
            router,
            shared: shared.clone(),
            info,
            schema,
        })
    }

    fn problem(&self, error: &TemplateError) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&error.to_string()),
        }
    }

    /// What cursor and partition add to the requests of a slice.
    fn options(&self, slice: &Slice) -> Result<Options, SourceError> {
        let scope = &self.shared.scope;
        let mut options = Vec::new();
        if let Some(cursor) = &self.cursor {
            options.push(cursor.options(slice, scope));
        }
        if let Some(router) = &self.router {
            options.push(router.options(slice, scope));
        }
        let options: Result<Vec<_>, _> = options.into_iter().collect();
        let options = options.map_err(|error| self.problem(&error))?;
        Options::combine(options).map_err(|problem| SourceError::Config {
            at: self.at.clone(),
            problem,
        })
    }

    fn part<'a>(&'a self, slice: &'a Slice, end: Moment) -> Result<Part<'a>, SourceError> {
        let mut part = Part {
            scope: self.shared.scope.clone().with_slice(slice),
            options: self.options(slice)?,
            keep: None,
            stop: None,
            schema: Arc::default(),
        };
        if let Some(cursor) = &self.cursor {
            // A data feed is filtered after paging has seen its records.
            if cursor.is_data_feed {
                part.stop = Some(Box::new(move |record| !cursor.is_new(record, slice, end)));
            } else if cursor.is_client_side {
                part.keep = Some(Box::new(move |record| cursor.is_new(record, slice, end)));
            }
        }
        Ok(part)
    }

    /// Where the slice's time ends, for cursors that filter here.
    fn end(&self) -> Result<Moment, SourceError> {
        let end = self.cursor.as_ref();
        let end = end.map(|cursor| cursor.filter_end(&self.shared.scope));
        let end = end.transpose().map_err(|error| self.problem(&error))?;
        Ok(end.unwrap_or_else(Moment::now))
    }

    fn page(&self, mut records: Records, seen: &mut Seen<'_>) -> Page {
        let Some(cursor) = &self.cursor else {
            return Page {
                records,
                cursor: None,
            };
        };
        seen.newest = records
            .iter()
            .fold(seen.newest, |newest, record| cursor.newest(newest, record));
        if cursor.is_data_feed {
            records.retain(|record| cursor.is_new(record, seen.slice, seen.end));
        }
        Page {
            records,
            cursor: seen.newest.map(|newest| cursor.shown(newest)),
        }
    }

    fn all_slices(&self, state: &State) -> Result<Vec<Slice>, SourceError> {
        match (&self.cursor, &self.router) {
            (Some(cursor), _) => cursor
                .slices(state, &self.shared.scope)
                .map_err(|error| self.problem(&error)),
            (None, Some(router)) => Ok(router.slices()),
            (None, None) => Ok(vec![Slice::default()]),
        }
    }
}

/// What was seen of a slice so far.
struct Seen<'s> {
    slice: &'s Slice,
    end: Moment,
    newest: Option<Moment>,
}

impl Stream for DeclarativeStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn schema(&self) -> BoxFuture<'_, Result<serde_json::Value, SourceError>> {
        async { Ok((*self.schema.get().await?).clone()) }.boxed()
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        match self.all_slices(state) {
            Ok(slices) => stream::iter(slices.into_iter().map(Ok)).boxed(),
            Err(error) => failed(error),
        }
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        let part = self.end().and_then(|end| Ok((end, self.part(slice, end)?)));
        let (end, part) = match part {
            Ok(part) => part,
            Err(error) => return failed(error),
        };
        let seen = Seen {
            slice,
            end,
            newest: None,
        };
        let pages = self.schema.get().map_ok(move |schema| {
            let part = Part { schema, ..part };
            self.retriever.pages(part)
        });
        let pages = pages.try_flatten_stream();
        pages
            .scan(seen, move |seen, records| {
                let page = records.map(|records| self.page(records, seen));
                std::future::ready(Some(page))
            })
            .boxed()
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        match &self.cursor {
            Some(cursor) => cursor.state_after(state, done),
            None => serde_json::json!({"__ab_no_cursor_state_message": true}),
        }
    }
}

fn failed<'a, T: Send + 'a>(error: SourceError) -> BoxStream<'a, Result<T, SourceError>> {
    stream::once(async { Err(error) }).boxed()
}

/// The names of a primary key's top-level fields.
pub fn primary_key(json: Option<&serde_json::Value>) -> Vec<String> {
    match json {
        Some(serde_json::Value::Array(keys)) => {
            let first = |key: &serde_json::Value| match key {
                serde_json::Value::Array(path) => {
                    path.first().map(|key| python::text(&Value::from(key)))
                }
                key => Some(python::text(&Value::from(key))),
            };
            keys.iter().filter_map(first).collect()
        }
        Some(serde_json::Value::String(key)) if !key.is_empty() => vec![key.clone()],
        _ => Vec::new(),
    }
}
