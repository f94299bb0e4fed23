//! SimpleRetriever: one page after another, a request each.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::stream::SourceError;
use crate::value::Value;

use super::super::component::Component;
use super::super::paginator::{Paginator, Read};
use super::super::requester::Requester;
use super::super::response::Response;
use super::super::selector::Selector;
use super::super::shared::Shared;
use super::super::template::{Scope, TemplateError, to_template};
use super::{Part, Records, StreamFacts};

pub struct SimpleRetriever {
    at: String,
    /// Of the stream, for the log.
    name: String,
    requester: Requester,
    paginator: Paginator,
    selector: Selector,
    /// Cursor and partition go only into the first page's request.
    slice_on_first_page_only: bool,
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
        check_decoder(component)?;
        Ok(SimpleRetriever {
            at: component.at.clone(),
            name: stream.name.to_owned(),
            requester: Requester::open(&component.need("requester")?, shared)?,
            paginator: Paginator::open(component.child("paginator").as_ref(), &shared.scope)?,
            selector: Selector::open(
                &component.need("record_selector")?,
                &stream.transformations,
                stream.client_side,
            )?,
            slice_on_first_page_only: component
                .flag("ignore_stream_slicer_parameters_on_paginated_requests"),
            shared: shared.clone(),
        })
    }

    pub fn pages<'a>(&'a self, part: Part<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        let paging = Paging {
            part,
            token: self.paginator.first(),
            done: false,
        };
        stream::try_unfold(paging, move |mut paging| async move {
            if paging.done {
                return Ok(None);
            }
            let records = self.page(&mut paging).await?;
            Ok(Some((records, paging)))
        })
        .boxed()
    }

    async fn page(&self, paging: &mut Paging<'_>) -> Result<Records, SourceError> {
        let response = self.request(paging).await?;
        // An ignored error is an empty page and the last one.
        if !response.ok() {
            paging.done = true;
            return Ok(Vec::new());
        }
        let read = self
            .read(&response, paging)
            .map_err(|error| self.problem(&error))?;
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

    fn read(&self, response: &Response, paging: &Paging<'_>) -> Result<ReadPage, TemplateError> {
        let scope = paging.page_scope();
        // As in the reference, a body that is no JSON holds no records.
        let body = match response.json() {
            Ok(body) => body,
            Err(problem) => {
                tracing::warn!(stream = self.name, problem, "the reply is no JSON");
                Value::Null
            }
        };
        let records = self.selector.extract(body, &self.shared.scope)?;
        let extracted = records.len();
        let keep = |record: &Value| paging.part.keep.as_ref().is_none_or(|keep| keep(record));
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

    fn problem(&self, error: &TemplateError) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&error.to_string()),
        }
    }
}

/// The records of a page, and how many there were before the filter.
struct ReadPage {
    records: Records,
    extracted: usize,
}

/// Where the reading of a slice stands.
struct Paging<'s> {
    part: Part<'s>,
    token: Option<Value>,
    done: bool,
}

impl Paging<'_> {
    /// The slice's scope with the page's token.
    fn page_scope(&self) -> Scope {
        let nothing = minijinja::Value::from(());
        let token = self.token.as_ref().map_or(nothing, |token| {
            minijinja::Value::from_pairs([("next_page_token", to_template(token))])
        });
        self.part.scope.clone().with("next_page_token", token)
    }
}

fn check_decoder(retriever: &Component<'_>) -> Result<(), SourceError> {
    match retriever.child("decoder") {
        Some(decoder) if decoder.kind() != "JsonDecoder" => Err(decoder.unknown("JsonDecoder")),
        _ => Ok(()),
    }
}
