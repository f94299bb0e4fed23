//! SimpleRetriever: one page after another, a request each.

use std::sync::Arc;

use async_stream::try_stream;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::stream::SourceError;
use crate::value::Value;

use super::super::component::Component;
use super::super::decoder::Decoder;
use super::super::paginator::{Paginator, Read};
use super::super::record_error::RecordError;
use super::super::requester::Requester;
use super::super::response::Response;
use super::super::selector::{Selected, Selector};
use super::super::shared::Shared;
use super::super::template::{Scope, TemplateError, to_template};
use super::counted::Count;
use super::{Part, Records, StreamFacts};

pub struct SimpleRetriever {
    at: String,
    requester: Requester,
    paginator: Paginator,
    selector: Selector,
    /// Cursor and partition go only into the first page's request.
    slice_on_first_page_only: bool,
    /// How many records there must be.
    count: Option<Count>,
    shared: Arc<Shared>,
}

impl SimpleRetriever {
    pub fn open(
        component: &Component<'_>,
        stream: &StreamFacts<'_>,
        shared: &Arc<Shared>,
    ) -> Result<SimpleRetriever, SourceError> {
        component.unsupported(&[
            "pagination_reset",
            "page_size_reduction",
            "request_window_splitting",
        ])?;
        let decoder = Decoder::open(component.child("decoder").as_ref())?;
        let paginator = component.child("paginator");
        let selector = Selector::open(
            &component.need("record_selector")?,
            decoder,
            &stream.transformations,
            stream.client_side,
            &shared.scope,
        )?;
        check_paging(paginator.as_ref(), &selector)?;
        Ok(SimpleRetriever {
            at: component.at.clone(),
            requester: Requester::of_stream(&component.need("requester")?, stream.name, shared)?,
            paginator: Paginator::open(paginator.as_ref(), &shared.scope)?,
            selector,
            slice_on_first_page_only: component
                .flag("ignore_stream_slicer_parameters_on_paginated_requests"),
            count: component
                .child("xetl_count")
                .map(|count| Count::open(&count, stream.name))
                .transpose()?,
            shared: shared.clone(),
        })
    }

    pub fn pages<'a>(&'a self, part: Part<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        let paging = Paging {
            token: self.paginator.first().filter(|_| part.first.is_none()),
            part,
            done: false,
            extracted: 0,
            total: None,
        };
        match &self.count {
            Some(count) => self.counted(count, paging),
            None => self.uncounted(paging),
        }
    }

    fn uncounted<'a>(&'a self, paging: Paging<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        stream::try_unfold(paging, move |mut paging| async move {
            if paging.done {
                return Ok(None);
            }
            let records = self.page(&mut paging).await?;
            Ok(Some((records, paging)))
        })
        .boxed()
    }

    /// Pages that are held back until their records are as many as the source says.
    ///
    /// A difference means that records moved while they were read: all is read once more.
    fn counted<'a>(
        &'a self,
        count: &'a Count,
        mut paging: Paging<'a>,
    ) -> BoxStream<'a, Result<Records, SourceError>> {
        try_stream! {
            let mut held = Vec::new();
            let mut flows = false;
            for is_last in [false, true] {
                while !paging.done {
                    let records = self.page(&mut paging).await?;
                    held.push(records);
                    flows |= count.is_too_much_to_hold(paging.extracted);
                    while flows && let Some(records) = held.pop() {
                        yield records;
                    }
                }
                if count.agrees(paging.extracted, paging.total, is_last || flows) || flows {
                    break;
                }
                if !is_last {
                    held.clear();
                    paging.restart(self.paginator.first());
                }
            }
            if paging.extracted == 0 {
                count.may_be_empty(&paging.part.scope)
                    .map_err(|problem| self.unmet(problem))?;
            }
            for records in held {
                yield records;
            }
        }
        .boxed()
    }

    fn unmet(&self, problem: String) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&problem),
        }
    }

    async fn page(&self, paging: &mut Paging<'_>) -> Result<Records, SourceError> {
        let mut response = match paging.part.first.take() {
            Some(body) => Response::new(200, String::new(), Vec::new(), body),
            None => self.request(paging).await?,
        };
        response.decoder = self.selector.decoder.clone();
        // An ignored error is an empty page and the last one.
        if !response.ok() {
            paging.done = true;
            return Ok(Vec::new());
        }
        let read = self.read(&response, paging)?;
        self.advance(&response, &read, paging)
            .map_err(|error| self.problem(&error))?;
        Ok(read.records)
    }

    async fn request(&self, paging: &Paging<'_>) -> Result<Response, SourceError> {
        let token = paging.token.as_ref();
        let own = self.paginator.options(token, &self.shared.scope);
        let mut options = vec![own.map_err(|error| self.problem(&error))?];
        if token.is_none() || !self.slice_on_first_page_only {
            options.push(paging.part.options.clone());
        }
        let path = self.paginator.path(token);
        let scope = paging.page_scope();
        self.requester.send(&scope, path.as_deref(), options).await
    }

    fn read(&self, response: &Response, paging: &Paging<'_>) -> Result<Selected, SourceError> {
        let scope = paging.page_scope();
        let keep = paging.part.keep.as_deref();
        let selected = self
            .selector
            .page(response, &scope, keep, &paging.part.schema);
        selected.map_err(|error| self.unread(response, error))
    }

    fn advance(
        &self,
        response: &Response,
        page: &Selected,
        paging: &mut Paging<'_>,
    ) -> Result<(), TemplateError> {
        paging.extracted += page.extracted;
        if let Some(count) = &self.count {
            paging.total = count.total(response, &paging.part.scope)?;
        }
        let last_record = page.records.last();
        let stop = paging.part.stop.as_ref().zip(last_record);
        if stop.is_some_and(|(stop, last)| stop(last)) {
            paging.done = true;
            return Ok(());
        }
        let read = Read {
            response,
            extracted: page.extracted,
            kept: page.records.len(),
            last_record,
        };
        let token = paging.token.as_ref();
        paging.token = self.paginator.next(read, token, &paging.part.scope)?;
        paging.done = paging.token.is_none();
        Ok(())
    }

    fn unread(&self, response: &Response, error: RecordError) -> SourceError {
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

    fn problem(&self, error: &TemplateError) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&error.to_string()),
        }
    }
}

/// Where the reading of a slice stands.
struct Paging<'s> {
    part: Part<'s>,
    token: Option<Value>,
    done: bool,
    /// Records that came so far.
    extracted: usize,
    /// How many the source says there are.
    total: Option<usize>,
}

impl Paging<'_> {
    fn restart(&mut self, token: Option<Value>) {
        self.token = token;
        self.done = false;
        self.extracted = 0;
        self.total = None;
    }

    /// The slice's scope with the page's token.
    fn page_scope(&self) -> Scope {
        let nothing = minijinja::Value::from(());
        let token = self.token.as_ref().map_or(nothing, |token| {
            minijinja::Value::from_pairs([("next_page_token", to_template(token))])
        });
        self.part.scope.clone().with("next_page_token", token)
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
