//! One stream: slices from its state, pages of a slice, one request after another.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::stream::{Page, Slice, SliceDone, SourceError, State, Stream, StreamInfo};
use crate::value::Value;

use super::component::Component;
use super::cursor::DatetimeCursor;
use super::moment::Moment;
use super::paginator::{Paginator, Read};
use super::partition::ListRouter;
use super::python;
use super::requester::Requester;
use super::response::Response;
use super::selector::Selector;
use super::shared::Shared;
use super::template::{Scope, TemplateError, to_template};

/// A stream of the manifest.
pub struct DeclarativeStream {
    info: StreamInfo,
    at: String,
    requester: Requester,
    paginator: Paginator,
    selector: Selector,
    cursor: Option<DatetimeCursor>,
    router: Option<ListRouter>,
    /// Cursor and partition go only into the first page's request.
    slice_on_first_page_only: bool,
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
        if retriever.kind() != "SimpleRetriever" {
            return Err(retriever.unknown("SimpleRetriever"));
        }
        retriever.unsupported(&[
            "pagination_reset",
            "page_size_reduction",
            "request_window_splitting",
        ])?;
        check_decoder(&retriever)?;
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
        info.cursor_field = cursor.as_ref().map(|cursor| cursor.field.clone());
        // A data feed is filtered after paging has seen its records.
        let client_side = cursor.as_ref().is_some_and(|cursor| cursor.is_client_side);
        Ok(DeclarativeStream {
            info,
            at: retriever.at.clone(),
            requester: Requester::open(&retriever.need("requester")?, shared)?,
            paginator: Paginator::open(retriever.child("paginator").as_ref(), scope)?,
            selector: Selector::open(
                &retriever.need("record_selector")?,
                &component.children("transformations"),
                client_side,
            )?,
            cursor,
            router,
            slice_on_first_page_only: retriever
                .flag("ignore_stream_slicer_parameters_on_paginated_requests"),
            shared: shared.clone(),
        })
    }

    fn problem(&self, error: &TemplateError) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&error.to_string()),
        }
    }

    async fn page(&self, paging: &mut Paging<'_>) -> Result<Page, SourceError> {
        let response = self.request(paging).await?;
        // An ignored error is an empty page and the last one.
        if !response.ok() {
            paging.done = true;
            return Ok(Page {
                records: Vec::new(),
                cursor: self.shown(paging.newest),
            });
        }
        let read = self
            .read(&response, paging)
            .map_err(|error| self.problem(&error))?;
        self.advance(&response, &read, paging)
            .map_err(|error| self.problem(&error))?;
        Ok(Page {
            records: self.emitted(read.records, paging),
            cursor: self.shown(paging.newest),
        })
    }

    async fn request(&self, paging: &Paging<'_>) -> Result<Response, SourceError> {
        let token = paging.token.as_ref();
        let scope = paging.page_scope();
        let options = || -> Result<_, TemplateError> {
            let mut options = vec![self.paginator.options(token, &self.shared.scope)?];
            if token.is_none() || !self.slice_on_first_page_only {
                if let Some(cursor) = &self.cursor {
                    options.push(cursor.options(paging.slice, &self.shared.scope)?);
                }
                if let Some(router) = &self.router {
                    options.push(router.options(paging.slice, &self.shared.scope)?);
                }
            }
            Ok(options)
        };
        let options = options().map_err(|error| self.problem(&error))?;
        let path = self.paginator.path(token);
        self.requester.send(&scope, path.as_deref(), options).await
    }

    fn read(&self, response: &Response, paging: &Paging<'_>) -> Result<ReadPage, TemplateError> {
        let scope = paging.page_scope();
        // As in the reference, a body that is no JSON holds no records.
        let body = match response.json() {
            Ok(body) => body,
            Err(problem) => {
                tracing::warn!(stream = self.info.name, problem, "the reply is no JSON");
                Value::Null
            }
        };
        let records = self.selector.extract(body, &self.shared.scope)?;
        let extracted = records.len();
        let filters = self
            .cursor
            .as_ref()
            .filter(|it| it.is_client_side && !it.is_data_feed);
        let keep = |record: &Value| {
            filters.is_none_or(|cursor| cursor.is_new(record, paging.slice, paging.end))
        };
        let mut kept = Vec::with_capacity(extracted);
        for record in records {
            kept.extend(self.selector.select(record, &scope, &keep)?);
        }
        Ok(ReadPage {
            records: kept,
            extracted,
        })
    }

    fn advance(
        &self,
        response: &Response,
        page: &ReadPage,
        paging: &mut Paging<'_>,
    ) -> Result<(), TemplateError> {
        let last_record = page.records.last();
        if let Some(cursor) = &self.cursor {
            let records = page.records.iter();
            paging.newest = records.fold(paging.newest, |newest, record| {
                cursor.newest(newest, record)
            });
            if cursor.is_data_feed
                && last_record.is_some_and(|last| !cursor.is_new(last, paging.slice, paging.end))
            {
                paging.done = true;
                return Ok(());
            }
        }
        let read = Read {
            response,
            extracted: page.extracted,
            kept: page.records.len(),
            last_record,
        };
        paging.token = self
            .paginator
            .next(read, paging.token.as_ref(), &paging.scope)?;
        paging.done = paging.token.is_none();
        Ok(())
    }

    fn emitted(&self, mut records: Vec<Value>, paging: &Paging<'_>) -> Vec<Value> {
        if let Some(cursor) = self.cursor.as_ref().filter(|cursor| cursor.is_data_feed) {
            records.retain(|record| cursor.is_new(record, paging.slice, paging.end));
        }
        records
    }

    fn shown(&self, newest: Option<Moment>) -> Option<String> {
        let cursor = self.cursor.as_ref()?;
        newest.map(|newest| cursor.shown(newest))
    }

    fn paging<'s>(&self, slice: &'s Slice) -> Result<Paging<'s>, SourceError> {
        let scope = &self.shared.scope;
        let end = match &self.cursor {
            Some(cursor) => cursor
                .filter_end(scope)
                .map_err(|error| self.problem(&error))?,
            None => Moment::now(),
        };
        Ok(Paging {
            slice,
            scope: scope.clone().with_slice(slice),
            token: self.paginator.first(),
            newest: None,
            end,
            done: false,
        })
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

/// The records of a page, and how many there were before the filter.
struct ReadPage {
    records: Vec<Value>,
    extracted: usize,
}

/// Where the reading of a slice stands.
struct Paging<'s> {
    slice: &'s Slice,
    scope: Scope,
    token: Option<Value>,
    newest: Option<Moment>,
    end: Moment,
    done: bool,
}

impl Paging<'_> {
    /// The slice's scope with the page's token.
    fn page_scope(&self) -> Scope {
        let nothing = minijinja::Value::from(());
        let token = self.token.as_ref().map_or(nothing, |token| {
            minijinja::Value::from_pairs([("next_page_token", to_template(token))])
        });
        self.scope.clone().with("next_page_token", token)
    }
}

impl Stream for DeclarativeStream {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        match self.all_slices(state) {
            Ok(slices) => stream::iter(slices.into_iter().map(Ok)).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        let paging = match self.paging(slice) {
            Ok(paging) => paging,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        stream::try_unfold(paging, move |mut paging| async move {
            if paging.done {
                return Ok(None);
            }
            let page = self.page(&mut paging).await?;
            Ok(Some((page, paging)))
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

fn check_decoder(retriever: &Component<'_>) -> Result<(), SourceError> {
    match retriever.child("decoder") {
        Some(decoder) if decoder.kind() != "JsonDecoder" => Err(decoder.unknown("JsonDecoder")),
        _ => Ok(()),
    }
}

/// A stream the runtime cannot read; reading it says why.
pub struct Unreadable {
    pub info: StreamInfo,
    pub at: String,
    pub problem: String,
}

impl Unreadable {
    fn error(&self) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.problem.clone(),
        }
    }
}

impl Stream for Unreadable {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn slices<'a>(&'a self, _: &'a State) -> BoxStream<'a, Result<Slice, SourceError>> {
        stream::once(async { Err(self.error()) }).boxed()
    }

    fn pages<'a>(&'a self, _: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>> {
        stream::once(async { Err(self.error()) }).boxed()
    }

    fn state_after(&self, state: &State, _: &[SliceDone]) -> State {
        state.clone()
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
