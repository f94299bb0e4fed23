//! AsyncRetriever: a job at the source is started, followed until it ends, and what it made
//! is downloaded.
//!
//! A slice is a job; `job` knows its life, this file what is downloaded after it.
//! As in the reference, a cursor filters none of its records.

mod job;
mod status;

use std::sync::Arc;

use async_stream::try_stream;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use minijinja::Value as Shown;
use serde_json::{Map, Value as Json};

use crate::stream::SourceError;
use crate::tape::Tape;
use crate::value::Value;

use super::super::component::Component;
use super::super::decoder::Decoder;
use super::super::extractor::Extractor;
use super::super::request::Options;
use super::super::requester::Requester;
use super::super::response::Response;
use super::super::selector::Selector;
use super::super::shared::Shared;
use super::super::template::{Scope, to_template};
use super::{Part, Records, SimpleRetriever, StreamFacts};
use job::{Done, Jobs};

pub struct AsyncRetriever {
    at: String,
    jobs: Jobs,
    targets: Option<Targets>,
    download: SimpleRetriever,
    selector: Selector,
    delete: Option<Requester>,
    shared: Arc<Shared>,
}

/// Where the addresses of the downloads are: in the last poll, or in a reply of their own.
struct Targets {
    extractor: Extractor,
    requester: Option<Requester>,
}

impl AsyncRetriever {
    pub fn open(
        component: &Component<'_>,
        stream: &StreamFacts<'_>,
        shared: &Arc<Shared>,
    ) -> Result<AsyncRetriever, SourceError> {
        warn_of_old_names(component);
        let decoder = Decoder::open(component.child("decoder").as_ref())?;
        let selector = Selector::open(
            &component.need("record_selector")?,
            decoder.clone(),
            &stream.transformations,
            false,
            &shared.scope,
        )?;
        Ok(AsyncRetriever {
            at: component.at.clone(),
            jobs: Jobs::open(component, &decoder, shared)?,
            targets: targets(component, &decoder, shared)?,
            download: download(component, stream, shared)?,
            selector,
            delete: requester(component, "delete_requester", shared)?,
            shared: shared.clone(),
        })
    }

    pub fn pages<'a>(&'a self, part: Part<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        if part.played().is_some() {
            return self.played(part);
        }
        let pages = try_stream! {
            if let Some(done) = self.jobs.finish(&part.scope).await? {
                let replies = done.replies(&part.scope)?;
                for target in self.targets(&done).await? {
                    let scope = replies.clone().with_extra_fields(&[("download_target", target)]);
                    let mut pages = self.download.pages(whole(scope, part.tape));
                    while let Some(records) = pages.try_next().await? {
                        let (records, failed) = self.select(records, &part);
                        yield records;
                        failed.map_or(Ok(()), Err)?;
                    }
                }
                self.clean_up(&done, &part.scope).await?;
            }
        };
        Box::pin(pages)
    }

    /// What was downloaded once, without a job.
    fn played<'a>(&'a self, part: Part<'a>) -> BoxStream<'a, Result<Records, SourceError>> {
        let pages = try_stream! {
            let mut pages = self.download.pages(whole(part.scope.clone(), part.tape));
            while let Some(records) = pages.try_next().await? {
                let (records, failed) = self.select(records, &part);
                yield records;
                failed.map_or(Ok(()), Err)?;
            }
        };
        Box::pin(pages)
    }

    /// What is left of downloaded records by the stream's filter, transformations and types, up to
    /// one that fails.
    fn select(&self, records: Records, part: &Part<'_>) -> (Records, Option<SourceError>) {
        let records = Box::new(records.into_iter().map(|record| Ok(Some(record))));
        let selection = self
            .selector
            .select(records, &part.scope, None, &part.schema);
        let mut kept = Vec::new();
        for record in selection {
            match record {
                Ok(record) => kept.push(record),
                Err(error) => return (kept.into(), Some(self.problem(error))),
            }
        }
        (kept.into(), None)
    }

    /// Without an extractor there is one download, of no target.
    async fn targets(&self, done: &Done) -> Result<Vec<Shown>, SourceError> {
        let Some(targets) = &self.targets else {
            return Ok(vec![Shown::from("")]);
        };
        match &targets.requester {
            None => self.extracted(targets, &done.polled),
            Some(requester) => {
                let scope = self.shared.scope.clone().with_slice(&Default::default());
                let polled = done.polled_reply()?;
                let scope = scope.with_extra_fields(&[("polling_response", polled)]);
                let reply = requester.send(&scope, None, Vec::new()).await?;
                match reply.ok() {
                    true => self.extracted(targets, &reply),
                    false => Err(self.problem(format!(
                        "`download_target_requester` was answered {}",
                        reply.status
                    ))),
                }
            }
        }
    }

    fn extracted(&self, targets: &Targets, reply: &Response) -> Result<Vec<Shown>, SourceError> {
        let found = targets
            .extractor
            .records(&self.selector.decoder, reply, &self.shared.scope);
        let found = found.and_then(|found| found.collect::<Result<Vec<_>, _>>());
        let found = found.map_err(|error| self.problem(error))?;
        Ok(found.iter().flatten().map(to_template).collect())
    }

    async fn clean_up(&self, done: &Done, scope: &Scope) -> Result<(), SourceError> {
        if let Some(delete) = &self.delete {
            delete
                .send(&done.created_scope(scope)?, None, Vec::new())
                .await?;
        }
        Ok(())
    }

    fn problem(&self, problem: impl ToString) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&problem.to_string()),
        }
    }
}

/// A part without what a stream adds to requests and takes from records: its own retriever does that.
fn whole<'a>(scope: Scope, tape: Option<&'a Tape>) -> Part<'a> {
    Part {
        scope,
        options: Options::default(),
        first: None,
        tape,
        keep: None,
        stop: None,
        window: None,
        schema: Arc::default(),
    }
}

/// The reference passes over fields by their old names, and so over what they say.
fn warn_of_old_names(component: &Component<'_>) {
    let names = [
        ("urls_extractor", "download_target_extractor"),
        ("url_requester", "download_target_requester"),
    ];
    for (old, new) in names {
        if component.field(old).is_some() {
            tracing::warn!(at = component.at, "`{old}` does nothing; it is `{new}` now");
        }
    }
}

fn requester(
    component: &Component<'_>,
    name: &str,
    shared: &Arc<Shared>,
) -> Result<Option<Requester>, SourceError> {
    let requester = component.child(name);
    let opened = requester.map(|requester| Requester::open(&requester, shared));
    opened.transpose()
}

fn targets(
    component: &Component<'_>,
    decoder: &Decoder,
    shared: &Arc<Shared>,
) -> Result<Option<Targets>, SourceError> {
    let requester = requester(component, "download_target_requester", shared)?;
    let Some(extractor) = component.child("download_target_extractor") else {
        return match requester {
            Some(_) => Err(component
                .error("a `download_target_requester` needs a `download_target_extractor`")),
            None => Ok(None),
        };
    };
    Ok(Some(Targets {
        extractor: Extractor::open(&extractor, decoder, &shared.scope)?,
        requester,
    }))
}

/// The retriever of the downloads, made of the fields that begin with `download_`.
fn download(
    component: &Component<'_>,
    stream: &StreamFacts<'_>,
    shared: &Arc<Shared>,
) -> Result<SimpleRetriever, SourceError> {
    let extractor = component.field("download_extractor").cloned();
    let extractor = extractor
        .unwrap_or_else(|| serde_json::json!({"type": "DpathExtractor", "field_path": []}));
    let mut fields = Map::new();
    fields.insert("type".to_owned(), "SimpleRetriever".into());
    fields.insert(
        "record_selector".to_owned(),
        serde_json::json!({"type": "RecordSelector", "extractor": extractor}),
    );
    let parts = [
        (
            "requester",
            component.need("download_requester")?.json().clone(),
        ),
        ("paginator", component.json()["download_paginator"].clone()),
        ("decoder", component.json()["download_decoder"].clone()),
    ];
    fields.extend(parts.map(|(name, part)| (name.to_owned(), part)));
    let json = Json::Object(fields);
    let facts = StreamFacts {
        name: stream.name,
        transformations: Vec::new(),
        client_side: false,
    };
    SimpleRetriever::open(
        &Component::new(&json, format!("{}.download", component.at)),
        &facts,
        shared,
    )
}

/// A reply as templates see it: its JSON with its headers and its address.
fn shown_reply(reply: &Response) -> Result<Shown, String> {
    let Value::Object(fields) = reply.json()? else {
        return Err("it is no JSON object".to_owned());
    };
    let mut shown: Vec<(String, Shown)> = fields
        .iter()
        .map(|(name, value)| (name.clone(), to_template(value)))
        .collect();
    let request = Shown::from_pairs([("url", Shown::from(reply.url.as_str()))]);
    for (name, value) in [("headers", reply.shown_headers()), ("request", request)] {
        if !fields.contains_key(name) {
            shown.push((name.to_owned(), value));
        }
    }
    Ok(Shown::from_pairs(shown))
}
