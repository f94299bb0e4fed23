//! One stream: slices from its state, what is read of each, and the state after them.
//!
//! How a slice is requested is the retriever's.

use std::borrow::Cow;
use std::sync::Arc;

use async_stream::try_stream;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};

use crate::stream::{Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo};
use crate::tape::{Entry, Tape};
use crate::value::Value;

use super::component::Component;
use super::migration::Migration;
use super::moment::Moment;
use super::partition::FIRST_PAGE;
use super::python;
use super::record_error::RecordError;
use super::retriever::{Part, Records, Retriever, StreamFacts};
use super::schema_loader::Schema;
use super::shared::Shared;
use super::slicer::{Newest, Slicer, Test, failed};
use super::window::Window;

/// A stream of the manifest.
pub struct DeclarativeStream {
    info: StreamInfo,
    schema: Schema,
    retriever: Retriever,
    slicer: Slicer,
    migrations: Vec<Migration>,
    /// The first page of a partition comes with its parent.
    reads_lazily: bool,
}

impl DeclarativeStream {
    pub fn open(
        component: &Component<'_>,
        mut info: StreamInfo,
        shared: &Arc<Shared>,
    ) -> Result<DeclarativeStream, SourceError> {
        component.unsupported(&["file_uploader"])?;
        let retriever = component.need("retriever")?;
        let slicer = Slicer::open(component, &retriever, shared)?;
        let migrations = component.list("state_migrations")?;
        let migrations = migrations
            .iter()
            .map(|migration| Migration::open(migration, component, shared));
        let schema = Schema::open(component, shared)?;
        info.schema = schema.declared();
        info.cursor_field = slicer.field().map(str::to_owned);
        let facts = StreamFacts {
            name: &info.name,
            transformations: component.list("transformations")?,
            client_side: slicer.is_client_side(),
        };
        Ok(DeclarativeStream {
            retriever: Retriever::open(&retriever, &facts, shared)?,
            reads_lazily: reads_lazily(component, &retriever)?,
            migrations: migrations.collect::<Result<_, _>>()?,
            slicer,
            info,
            schema,
        })
    }

    /// How far a state says the stream is.
    pub fn reached(&self, state: &State) -> Option<Moment> {
        self.slicer.reached(state)
    }

    /// Whether the cursor is a number that grows.
    pub fn counts(&self) -> bool {
        self.slicer.counts()
    }

    /// The state in the form that is written now.
    fn migrated<'s>(&self, state: &'s State) -> Cow<'s, State> {
        let mut state = Cow::Borrowed(state);
        for migration in &self.migrations {
            if let Some(migrated) = migration.apply(&state) {
                state = Cow::Owned(migrated);
            }
        }
        state
    }

    fn part<'a>(&'a self, slice: &'a Slice) -> Result<Part<'a>, SourceError> {
        let mut part = Part {
            scope: self.slicer.scope(slice),
            options: self.slicer.options(slice)?,
            first: first_page(slice).filter(|_| self.reads_lazily),
            tape: None,
            keep: None,
            stop: None,
            window: self
                .slicer
                .has_window()
                .then(|| Window::new(&self.slicer, slice)),
            schema: Arc::default(),
        };
        let filter = self.filter(slice)?;
        // A data feed is filtered after paging has seen its records.
        match self.slicer.is_data_feed() {
            true => {
                part.stop = filter.map(|is_new| -> Test<'a> { Box::new(move |it| !is_new(it)) });
            }
            false => part.keep = filter,
        }
        Ok(part)
    }

    fn filter<'a>(&'a self, slice: &'a Slice) -> Result<Option<Test<'a>>, SourceError> {
        match self.retriever.is_filtered() {
            true => self.slicer.filter(slice),
            false => Ok(None),
        }
    }

    fn seen<'a>(&'a self, slice: &'a Slice) -> Result<Seen<'a>, SourceError> {
        let filter = match self.slicer.is_data_feed() {
            true => self.filter(slice)?,
            false => None,
        };
        Ok(Seen {
            newest: Newest::default(),
            filter,
        })
    }

    fn page(&self, mut records: Records, seen: &mut Seen<'_>) -> Result<Page, SourceError> {
        if let Some(record) = records.misfit() {
            return Err(SourceError::Config {
                at: format!("stream `{}`", self.info.name),
                problem: RecordError::no_object(record).to_string(),
            });
        }
        if let Some(filter) = &seen.filter {
            records.values_mut().retain(filter);
        }
        self.slicer.observe(&mut seen.newest, &records)?;
        Ok(Page {
            records,
            cursor: seen.newest.shown(),
        })
    }
}

fn reads_lazily(stream: &Component<'_>, retriever: &Component<'_>) -> Result<bool, SourceError> {
    let router = retriever.child("partition_router");
    let router = router.filter(|router| router.kind() == "SubstreamPartitionRouter");
    let parents = router.map(|router| router.children("parent_stream_configs"));
    let is_lazy = |parent: &Component<'_>| !parent.children("lazy_read_pointer").is_empty();
    if !parents.iter().flatten().any(is_lazy) {
        return Ok(false);
    }
    let cursor = stream.child("incremental_sync");
    if cursor.is_some_and(|cursor| cursor.field("step").is_some()) {
        return Err(stream.error(
            "with a `lazy_read_pointer` a parent's record holds all of its children, so its cursor can have no `step`",
        ));
    }
    Ok(true)
}

fn first_page(slice: &Slice) -> Option<Bytes> {
    let page = slice.extra_fields.get(FIRST_PAGE)?;
    Some(page.to_string().into())
}

/// What was seen of a slice so far.
struct Seen<'s> {
    newest: Newest,
    /// Drops records that paging had to see.
    filter: Option<Test<'s>>,
}

impl Stream for DeclarativeStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn schema(&self) -> BoxFuture<'_, Result<serde_json::Value, SourceError>> {
        async { Ok((*self.schema.get().await?).clone()) }.boxed()
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        match self.migrated(state) {
            Cow::Borrowed(state) => self.slicer.slices(state),
            Cow::Owned(state) => try_stream! {
                let mut slices = self.slicer.slices(&state);
                while let Some(slice) = slices.try_next().await? {
                    yield slice;
                }
            }
            .boxed(),
        }
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        self.pages_of(slice, None)
    }

    fn pages_on<'a>(
        &'a self,
        slice: &'a Slice,
        tape: &'a Tape,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        self.pages_of(slice, Some(tape))
    }

    fn state_after(&self, state: &State, done: &[SliceDone]) -> State {
        self.slicer.state_after(&self.migrated(state), done)
    }

    fn condense(&self, done: &mut Vec<SliceDone>) {
        self.slicer.condense(done);
    }
}

impl DeclarativeStream {
    fn pages_of<'a>(
        &'a self,
        slice: &'a Slice,
        tape: Option<&'a Tape>,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        if slice.closing.is_some() {
            return stream::empty().boxed();
        }
        try_stream! {
            // What is looked up goes into requests.
            let whole = match tape.is_some_and(Tape::is_playing) {
                true => None,
                false => self.slicer.whole_slice(slice).await?,
            };
            let mut pages = self.read(whole.as_ref().unwrap_or(slice), tape);
            while let Some(page) = pages.try_next().await? {
                yield page;
            }
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        slice: &'a Slice,
        tape: Option<&'a Tape>,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        let part = self.part(slice);
        let (part, seen) = match part.and_then(|part| Ok((part, self.seen(slice)?))) {
            Ok(both) => both,
            Err(error) => return failed(error),
        };
        let pages = self.schema_on(tape).map_ok(move |schema| {
            let part = Part {
                schema,
                tape,
                ..part
            };
            self.retriever.pages(part)
        });
        let pages = pages.try_flatten_stream();
        pages
            .scan(seen, move |seen, records| {
                let page = records.and_then(|records| self.page(records, seen));
                std::future::ready(Some(page))
            })
            .boxed()
    }

    /// The schema of the records; one that the source was asked for is kept with its pages.
    async fn schema_on(&self, tape: Option<&Tape>) -> Result<Arc<serde_json::Value>, SourceError> {
        let Some(tape) = tape.filter(|_| self.schema.is_asked_for()) else {
            return self.schema.get().await;
        };
        if let Some(schema) = tape.schema().await {
            return Ok(self.schema.given(schema));
        }
        let schema = self.schema.get().await?;
        tape.keep(Entry::Schema((*schema).clone())).await;
        Ok(schema)
    }
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
