//! SimpleRetriever: one page after another, a request each.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::stream::SourceError;
use crate::value::Value;

use super::super::component::Component;
use super::super::decoder::Decoder;
use super::super::moment::Span;
use super::super::paginator::{Endless, Paginator, Seen};
use super::super::record_error::RecordError;
use super::super::requester::{Answer, Requester};
use super::super::response::Response;
use super::super::selector::{Selected, Selector};
use super::super::shared::Shared;
use super::super::template::{Scope, TemplateError, to_template};
use super::super::window::Window;
use super::page_size::{Shrinking, Size};
use super::properties::{Properties, with_properties};
use super::reset::{Resets, Resetting};
use super::{Part, Records, StreamFacts};

/// A slice is halved no more often than this.
const MOST_HALVINGS: u32 = 10;

pub struct SimpleRetriever {
    at: String,
    name: String,
    requester: Requester,
    paginator: Paginator,
    selector: Selector,
    properties: Option<Properties>,
    resets: Resets,
    shrinking: Option<Shrinking>,
    splitting: Option<Splitting>,
    /// Cursor and partition go only into the first page's request.
    slice_on_first_page_only: bool,
    shared: Arc<Shared>,
}

/// Slices that are halved where the source refuses them.
struct Splitting {
    least: Option<Span>,
    advice: String,
}

/// What came of asking for a page.
enum Asked {
    Page(Box<Read>),
    Reset,
    Smaller(Option<String>),
    Split(Option<String>),
}

/// A page: its records, and the reply that says what comes after it.
struct Read {
    selected: Selected,
    response: Response,
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
            splitting: splitting(component)?,
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
        stream::try_unfold(paging, move |mut paging| async move {
            if paging.done && !self.begin_next(&mut paging)? {
                return Ok(None);
            }
            let records = self.page(&mut paging).await?;
            Ok(Some((records, paging)))
        })
        .boxed()
    }

    async fn page(&self, paging: &mut Paging<'_>) -> Result<Records, SourceError> {
        loop {
            match self.ask(paging).await? {
                Asked::Page(read) => return self.turn(*read, paging),
                Asked::Reset => self.begin_anew(paging)?,
                Asked::Smaller(said) => {
                    let wait = self.shrink(paging, said)?;
                    tokio::time::sleep(wait).await;
                }
                Asked::Split(said) => self.split(paging, said)?,
            }
        }
    }

    /// Begins with the half of a slice that waits; whether there is one.
    fn begin_next(&self, paging: &mut Paging<'_>) -> Result<bool, SourceError> {
        let Some((window, depth)) = paging.waiting.pop() else {
            return Ok(false);
        };
        paging.part.window = Some(window);
        paging.depth = depth;
        self.restart(paging)?;
        Ok(true)
    }

    /// Goes on with the first half of the slice; the other one waits.
    fn split(&self, paging: &mut Paging<'_>, said: Option<String>) -> Result<(), SourceError> {
        let said = said.unwrap_or_default();
        let (Some(splitting), Some(window)) = (&self.splitting, &paging.part.window) else {
            return Err(self.wrong(&format!(
                "the source refuses the slice as too large, and there is no `request_window_splitting`. {said}"
            )));
        };
        let halves = window.halves(splitting.least);
        let Some([first, second]) = halves.filter(|_| paging.depth < MOST_HALVINGS) else {
            let advice = &splitting.advice;
            return Err(self.wrong(&format!(
                "the source refuses the slice at the smallest size that can be asked for. {said} {advice}"
            )));
        };
        paging.depth += 1;
        paging.waiting.push((second, paging.depth));
        paging.part.window = Some(first);
        self.restart(paging)
    }

    /// Begins with the first page of the window of now.
    fn restart(&self, paging: &mut Paging<'_>) -> Result<(), SourceError> {
        if let Some(window) = &paging.part.window {
            paging.part.scope = window.scope();
            paging.part.options = window.options()?;
        }
        paging.token = self.paginator.first();
        paging.size = Size::default();
        paging.endless = Endless::default();
        paging.done = false;
        Ok(())
    }

    /// Goes on to the page after this one.
    fn turn(&self, read: Read, paging: &mut Paging<'_>) -> Result<Records, SourceError> {
        if let Some(shrinking) = &self.shrinking {
            shrinking.succeeded(&mut paging.size);
        }
        // An ignored error is the last page.
        if !read.response.ok() {
            paging.done = true;
            return Ok(read.selected.records);
        }
        let kept = read.selected.records.len();
        if let Some(window) = paging
            .part
            .window
            .as_mut()
            .filter(|_| self.resets.by_cursor)
        {
            window.observe(&read.selected.records)?;
        }
        if self.resets.is_due(&mut paging.resetting, kept) {
            self.begin_anew(paging)?;
            return Ok(read.selected.records);
        }
        self.advance(&read, paging)
            .map_err(|error| self.problem(&error))?;
        let body = &read.response.body;
        if !paging.done && paging.endless.is_reached(paging.asked.as_ref(), body) {
            return Err(self.wrong(
                "paging has no end: the source sends the same page again and again; \
                 look at the paginator's stop condition and where its token goes",
            ));
        }
        Ok(read.selected.records)
    }

    fn begin_anew(&self, paging: &mut Paging<'_>) -> Result<(), SourceError> {
        tracing::info!(stream = self.name, "paging begins anew");
        let window = paging.part.window.as_mut();
        let window = window.filter(|_| self.resets.by_cursor);
        let by_cursor = window.is_some();
        let moved = window.is_some_and(Window::narrow);
        self.resets
            .begin(&mut paging.resetting, moved, by_cursor)
            .map_err(|problem| self.wrong(&problem))?;
        match moved {
            true => self.restart(paging),
            false => {
                paging.token = self.paginator.first();
                Ok(())
            }
        }
    }

    fn shrink(
        &self,
        paging: &mut Paging<'_>,
        said: Option<String>,
    ) -> Result<Duration, SourceError> {
        let said = said.unwrap_or_default();
        let Some(shrinking) = &self.shrinking else {
            return Err(self.wrong(&format!(
                "the source wants a smaller page, and there is no `page_size_reduction`. {said}"
            )));
        };
        let configured = self.paginator.size(&self.shared.scope);
        let configured = configured.map_err(|error| self.problem(&error))?;
        shrinking
            .shrink(&mut paging.size, configured)
            .map_err(|problem| self.wrong(&format!("{problem}. {said}")))
    }

    async fn ask(&self, paging: &mut Paging<'_>) -> Result<Asked, SourceError> {
        paging.asked.clone_from(&paging.token);
        if let Some(body) = paging.part.first.take() {
            let response = Response::new(200, String::new(), Vec::new(), body);
            return self.page_of(response, &paging.page_scope(), paging);
        }
        let scope = paging.page_scope();
        let Some(properties) = &self.properties else {
            return self.ask_once(&scope, paging).await;
        };
        let mut pieces = Vec::new();
        let mut last = None;
        for chunk in properties.chunks(&paging.part.schema, &self.shared).await? {
            let scope = with_properties(&scope, &chunk);
            match self.ask_once(&scope, paging).await? {
                Asked::Page(mut read) => {
                    pieces.push(std::mem::take(&mut read.selected.records));
                    last = Some(read);
                }
                other => return Ok(other),
            }
        }
        let mut read = last.ok_or_else(|| self.wrong("there are no properties to ask for"))?;
        read.selected.records = properties.merged(pieces);
        Ok(Asked::Page(read))
    }

    async fn ask_once(&self, scope: &Scope, paging: &Paging<'_>) -> Result<Asked, SourceError> {
        match self.request(scope, paging).await? {
            Answer::Page(response) => self.page_of(response, scope, paging),
            Answer::Reset => Ok(Asked::Reset),
            Answer::Smaller(said) => Ok(Asked::Smaller(said)),
            Answer::Split(said) => Ok(Asked::Split(said)),
        }
    }

    fn page_of(
        &self,
        mut response: Response,
        scope: &Scope,
        paging: &Paging<'_>,
    ) -> Result<Asked, SourceError> {
        response.decoder = self.selector.decoder.clone();
        let selected = match response.ok() {
            true => self.read(&response, scope, paging)?,
            // An ignored error has no records.
            false => Selected::default(),
        };
        Ok(Asked::Page(Box::new(Read { selected, response })))
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

    fn read(
        &self,
        response: &Response,
        scope: &Scope,
        paging: &Paging<'_>,
    ) -> Result<Selected, SourceError> {
        // As in the reference, records know nothing of the page they are on.
        let scope = scope
            .clone()
            .with("next_page_token", minijinja::Value::from(()));
        let keep = paging.part.keep.as_deref();
        let selected = self
            .selector
            .page(response, &scope, keep, &paging.part.schema);
        selected.map_err(|error| self.unread(response, error))
    }

    fn advance(&self, read: &Read, paging: &mut Paging<'_>) -> Result<(), TemplateError> {
        let last_record = read.selected.records.last();
        let stop = paging.part.stop.as_ref().zip(last_record);
        if stop.is_some_and(|(stop, last)| stop(last)) {
            paging.done = true;
            return Ok(());
        }
        let seen = Seen {
            response: &read.response,
            extracted: read.selected.extracted,
            kept: read.selected.records.len(),
            last_record,
            size: paging.size.now,
        };
        let token = paging.token.as_ref();
        paging.token = self.paginator.next(seen, token, &paging.part.scope)?;
        paging.done = paging.token.is_none();
        Ok(())
    }

    fn wrong(&self, problem: &str) -> SourceError {
        SourceError::Config {
            at: format!("stream `{}`, {}", self.name, self.at),
            problem: self.shared.redactor.clean(problem.trim_end()),
        }
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

fn splitting(retriever: &Component<'_>) -> Result<Option<Splitting>, SourceError> {
    let Some(component) = retriever.child("request_window_splitting") else {
        return Ok(None);
    };
    let least = match component.text("min_split_window") {
        Some(text) => Some(Span::parse(text).ok_or_else(|| {
            component.error(format!(
                "`min_split_window: {text}` is no ISO 8601 duration"
            ))
        })?),
        None => None,
    };
    let advice = component.text("failure_message").unwrap_or_default();
    Ok(Some(Splitting {
        least,
        advice: advice.trim().to_owned(),
    }))
}

/// Where the reading of a slice stands.
struct Paging<'s> {
    part: Part<'s>,
    /// Of the page to ask for, and of the one that was.
    token: Option<Value>,
    asked: Option<Value>,
    size: Size,
    resetting: Resetting,
    endless: Endless,
    /// How often the window was halved, and the halves not read yet, the next one last.
    depth: u32,
    waiting: Vec<(Window<'s>, u32)>,
    done: bool,
}

impl<'s> Paging<'s> {
    fn new(part: Part<'s>, token: Option<Value>) -> Paging<'s> {
        Paging {
            part,
            token,
            asked: None,
            size: Size::default(),
            resetting: Resetting::default(),
            endless: Endless::default(),
            depth: 0,
            waiting: Vec::new(),
            done: false,
        }
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
