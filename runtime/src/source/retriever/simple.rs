//! SimpleRetriever: one page after another, a request each.

use std::sync::Arc;

use async_stream::try_stream;
use futures::stream::BoxStream;
use serde_json::Value as Json;

use crate::stream::SourceError;

use super::super::component::Component;
use super::super::decoder::Decoder;
use super::super::paginator::Paginator;
use super::super::record_error::RecordError;
use super::super::requester::{Answer, Requester};
use super::super::response::Response;
use super::super::selector::{Batches, Keep, Selected, Selection, Selector};
use super::super::shared::Shared;
use super::super::template::{Scope, TemplateError};
use super::counted::Count;
use super::lists::Lists;
use super::page_size::Shrinking;
use super::paging::{Paging, Splitting};
use super::properties::{Properties, with_properties};
use super::reset::Resets;
use super::taped::Noted;
use super::{Part, Records, StreamFacts};

/// A page of more records is given in several parts.
const BATCH: usize = 1000;

pub struct SimpleRetriever {
    at: String,
    pub(super) name: String,
    pub(super) requester: Requester,
    pub(super) paginator: Paginator,
    selector: Selector,
    pub(super) properties: Option<Properties>,
    pub(super) resets: Resets,
    pub(super) shrinking: Option<Shrinking>,
    pub(super) splitting: Option<Splitting>,
    pub(super) lists: Option<Lists>,
    /// How many records there must be.
    pub(super) count: Option<Count>,
    /// Cursor and partition go only into the first page's request.
    slice_on_first_page_only: bool,
    pub(super) shared: Arc<Shared>,
}

/// What came of asking for a page.
enum Asked {
    Page(Box<Reply>),
    Reset,
    Smaller(Option<String>),
    Split(Option<String>),
}

/// A reply, and what its records know of their request.
pub(super) struct Reply {
    pub response: Response,
    scope: Scope,
    /// The records, where they are not those of this reply alone.
    pub merged: Option<Selected>,
}

impl Reply {
    fn read(self, selected: Selected) -> Read {
        Read {
            selected,
            response: self.response,
        }
    }
}

/// A page: its records, and the reply that says what comes after it.
pub(super) struct Read {
    pub selected: Selected,
    pub response: Response,
}

impl SimpleRetriever {
    pub fn open(
        component: &Component<'_>,
        stream: &StreamFacts<'_>,
        shared: &Arc<Shared>,
    ) -> Result<SimpleRetriever, SourceError> {
        let decoder = Decoder::open(component.child("decoder").as_ref())?;
        let paginator = component.child("paginator");
        let requester = component.need("requester")?;
        let selector = Selector::open(
            &component.need("record_selector")?,
            decoder,
            &stream.transformations,
            stream.client_side,
            &shared.scope,
        )?;
        check_paging(paginator.as_ref(), &selector)?;
        let shrinking = component.child("page_size_reduction");
        let retriever = SimpleRetriever {
            at: component.at.clone(),
            name: stream.name.to_owned(),
            properties: Properties::of_requester(&requester, shared)?,
            requester: Requester::of_stream(&requester, stream.name, shared)?,
            paginator: Paginator::open(paginator.as_ref(), &shared.scope)?,
            selector,
            resets: Resets::open(component.child("pagination_reset").as_ref())?,
            shrinking: shrinking
                .map(|shrinking| Shrinking::open(&shrinking))
                .transpose()?,
            splitting: Splitting::open(component)?,
            lists: Lists::open(&component.need("record_selector")?, shared)?,
            count: Count::open(component)?,
            slice_on_first_page_only: component
                .flag("ignore_stream_slicer_parameters_on_paginated_requests"),
            shared: shared.clone(),
        };
        retriever.check(component)?;
        Ok(retriever)
    }

    /// What the reference refuses when it opens the manifest.
    fn check(&self, component: &Component<'_>) -> Result<(), SourceError> {
        let selector = component.need("record_selector")?;
        if self.resets.has_limit() && selector.field("record_filter").is_some() {
            return Err(
                component.error("`pagination_reset.limits` cannot be with a `record_filter`")
            );
        }
        if self.shrinking.is_none() {
            return Ok(());
        }
        let properties = self
            .properties
            .as_ref()
            .map(|_| "the stream has query properties");
        match self.paginator.keeps_size().or(properties) {
            Some(reason) => {
                Err(component.error(format!("`page_size_reduction` cannot be: {reason}")))
            }
            None => Ok(()),
        }
    }

    pub fn pages<'a>(&'a self, part: Part<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        let token = self.paginator.first().filter(|_| part.first.is_none());
        let paging = Paging::new(part, token);
        match &self.count {
            // They agreed when the pages were kept.
            Some(count) if paging.part.played().is_none() => self.counted(count, paging),
            _ => self.in_batches(paging),
        }
    }

    /// Pages, long ones in batches, so that never all of their records are held at once.
    fn in_batches<'a>(
        &'a self,
        mut paging: Paging<'a>,
    ) -> BoxStream<'a, Result<Records, SourceError>> {
        Box::pin(try_stream! {
            while let Some(mut reply) = self.next(&mut paging).await? {
                let selected = match reply.merged.take() {
                    Some(selected) => selected,
                    None => {
                        let keep = paging.part.keep.as_deref();
                        let mut batches = self.batches(&reply, keep, &paging.part.schema)?;
                        let mut page = Selected::default();
                        while let Some(batch) = batches.next(BATCH) {
                            let before = page.replace(batch);
                            if !before.is_empty() {
                                self.observe(&before, &mut paging.part.window)?;
                                yield before;
                            }
                        }
                        batches.end(&mut page);
                        page
                    }
                };
                yield self.turn(reply.read(selected), &mut paging)?;
            }
        })
    }

    fn batches<'s>(
        &'s self,
        reply: &Reply,
        keep: Option<Keep<'s>>,
        schema: &'s Json,
    ) -> Result<Batches<'s>, SourceError> {
        let response = &reply.response;
        let batches = self.selector.batches(response, &reply.scope, keep, schema);
        batches.map_err(|error| self.unread(response, error))
    }

    fn selection<'s>(
        &'s self,
        reply: &Reply,
        keep: Option<Keep<'s>>,
        schema: &'s Json,
    ) -> Result<Selection<'s>, SourceError> {
        let response = &reply.response;
        let selection = self
            .selector
            .selection(response, &reply.scope, keep, schema);
        selection.map_err(|error| self.unread(response, error))
    }

    /// A page as a whole.
    pub(super) async fn page(&self, paging: &mut Paging<'_>) -> Result<Records, SourceError> {
        let mut reply = self.reply(paging).await?;
        let selected = match reply.merged.take() {
            Some(selected) => selected,
            None => self.read(&reply, paging)?,
        };
        self.turn(reply.read(selected), paging)
    }

    /// The reply of the next page, if there is one.
    async fn next(&self, paging: &mut Paging<'_>) -> Result<Option<Reply>, SourceError> {
        if let Some(error) = paging.failed.take() {
            return Err(error);
        }
        if let Some(tape) = paging.part.tape.filter(|tape| tape.is_playing()) {
            return self.played(tape, paging).await;
        }
        match !paging.done || self.begin_next(paging)? {
            true => self.reply(paging).await.map(Some),
            false => Ok(None),
        }
    }

    /// The reply of the next page, once the source and the error handler agree on how to ask.
    async fn reply(&self, paging: &mut Paging<'_>) -> Result<Reply, SourceError> {
        if let Some(error) = paging.failed.take() {
            return Err(error);
        }
        loop {
            match self.ask(paging).await? {
                Asked::Page(reply) => return Ok(*reply),
                Asked::Reset => self.begin_anew(paging)?,
                Asked::Smaller(said) => {
                    let wait = self.shrink(paging, said)?;
                    tokio::time::sleep(wait).await;
                }
                Asked::Split(said) => self.split(paging, said)?,
            }
        }
    }

    async fn ask(&self, paging: &mut Paging<'_>) -> Result<Asked, SourceError> {
        paging.asked.clone_from(&paging.token);
        if let Some(body) = paging.part.first.take() {
            let response = Response::new(200, String::new(), Vec::new(), body);
            let reply = self.page_of(response, &paging.page_scope()).await?;
            return Ok(Asked::Page(Box::new(reply)));
        }
        let scope = paging.page_scope();
        let Some(properties) = &self.properties else {
            let asked = self.ask_once(&scope, paging).await?;
            if let Asked::Page(reply) = &asked {
                let mut noted = Noted::default();
                self.note(&mut noted, &reply.response, paging)?;
                self.keep(noted, paging).await;
            }
            return Ok(asked);
        };
        let (mut pieces, mut noted) = (Vec::new(), Noted::default());
        let mut last = None;
        for chunk in properties.chunks(&paging.part.schema, &self.shared).await? {
            let scope = with_properties(&scope, &chunk);
            match self.ask_once(&scope, paging).await? {
                Asked::Page(reply) => {
                    self.note(&mut noted, &reply.response, paging)?;
                    let (reply, mut selected) = self.piece(*reply, paging)?;
                    pieces.push(std::mem::take(&mut selected.records));
                    last = Some((reply, selected));
                }
                other => return Ok(other),
            }
        }
        let last = last.ok_or_else(|| self.wrong("there are no properties to ask for"))?;
        self.keep(noted, paging).await;
        let (reply, selected) = last;
        Ok(Asked::Page(Box::new(self.joined(pieces, reply, selected))))
    }

    async fn ask_once(&self, scope: &Scope, paging: &Paging<'_>) -> Result<Asked, SourceError> {
        match self.request(scope, paging).await? {
            Answer::Page(response) => {
                let reply = self.page_of(*response, scope).await?;
                Ok(Asked::Page(Box::new(reply)))
            }
            Answer::Reset => Ok(Asked::Reset),
            Answer::Smaller(said) => Ok(Asked::Smaller(said)),
            Answer::Split(said) => Ok(Asked::Split(said)),
        }
    }

    pub(super) async fn page_of(
        &self,
        mut response: Response,
        scope: &Scope,
    ) -> Result<Reply, SourceError> {
        response.decoder = self.selector.decoder.clone();
        let merged = match response.ok() {
            true => {
                self.complete(&mut response).await?;
                None
            }
            // An ignored error has no records.
            false => Some(Selected::default()),
        };
        // As in the reference, records know nothing of the page they are on.
        let nothing = minijinja::Value::from(());
        let scope = scope.clone().with("next_page_token", nothing);
        Ok(Reply {
            response,
            scope,
            merged,
        })
    }

    async fn request(&self, scope: &Scope, paging: &Paging<'_>) -> Result<Answer, SourceError> {
        let token = paging.token.as_ref();
        let own = self
            .paginator
            .options(token, paging.size.now, &self.shared.scope);
        let mut options = vec![own.map_err(|error| self.problem(&error))?];
        if token.is_none() || !self.slice_on_first_page_only {
            options.push(paging.part.options.clone());
        }
        let path = self.paginator.path(token);
        self.requester.ask(scope, path.as_deref(), options).await
    }

    /// Fetches the lists that the reply's records hold cut short.
    async fn complete(&self, response: &mut Response) -> Result<(), SourceError> {
        let Some(lists) = &self.lists else {
            return Ok(());
        };
        let records = self.selector.cut_short(response, &self.shared.scope);
        let records = records.map_err(|error| self.unread(response, error))?;
        response.whole_lists = lists.of(records).await?;
        Ok(())
    }

    pub(super) fn read(&self, reply: &Reply, paging: &Paging<'_>) -> Result<Selected, SourceError> {
        let keep = paging.part.keep.as_deref();
        let mut selection = self.selection(reply, keep, &paging.part.schema)?;
        let mut page = Selected::default();
        let mut records = Vec::new();
        while let Some(batch) = selection.batch(BATCH) {
            records.extend(batch);
        }
        page.records = records.into();
        page.ended(selection);
        Ok(page)
    }

    /// No handler calls the reply an error, and there is nothing in it.
    pub(super) fn tell_of_hidden_error(&self, response: &Response) {
        if let Some(said) = response.hidden_error() {
            let url = self.shared.redactor.clean(&response.plain_url());
            let said: String = self
                .shared
                .redactor
                .clean(&said)
                .chars()
                .take(300)
                .collect();
            tracing::warn!(
                stream = self.name,
                url,
                said,
                "a reply without records speaks of an error; a response filter could fail there"
            );
        }
    }

    pub(super) fn wrong(&self, problem: &str) -> SourceError {
        SourceError::Config {
            at: format!("stream `{}`, {}", self.name, self.at),
            problem: self.shared.redactor.clean(problem.trim_end()),
        }
    }

    pub(super) fn unread(&self, response: &Response, error: RecordError) -> SourceError {
        let problem = self.shared.redactor.clean(&error.to_string());
        match error {
            RecordError::Decode(_) => SourceError::Decode {
                url: self.shared.redactor.clean(&response.url),
                problem,
            },
            _ => SourceError::Config {
                at: self.at.clone(),
                problem,
            },
        }
    }

    pub(super) fn problem(&self, error: &TemplateError) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&error.to_string()),
        }
    }
}

/// A paginator looks into replies, so it needs one document a reply, and lists it can count.
fn check_paging(paginator: Option<&Component<'_>>, selector: &Selector) -> Result<(), SourceError> {
    let Some(paginator) = paginator.filter(|it| it.kind() == "DefaultPaginator") else {
        return Ok(());
    };
    let strategy = paginator.child("pagination_strategy");
    let counts = strategy.is_some_and(|strategy| strategy.kind() == "OffsetIncrement");
    if !selector.decoder.can_page() {
        return Err(paginator.error(
            "a DefaultPaginator needs a JsonDecoder, an XmlDecoder or a GzipDecoder of a JsonDecoder",
        ));
    }
    match counts && selector.extractor.is_union() {
        true => Err(paginator.error(
            "an OffsetIncrement cannot count the records of a CombinedExtractor in `union` mode",
        )),
        false => Ok(()),
    }
}
