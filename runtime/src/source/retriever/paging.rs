//! Where the reading of a slice stands, and how it goes on after a page: with the next
//! one, the same one smaller, from the beginning, or with less of the slice.

use std::time::Duration;

use super::super::component::Component;
use super::super::moment::Span;
use super::super::paginator::{Endless, Seen};
use super::super::template::{Scope, TemplateError, to_template};
use super::super::window::Window;
use super::counted::Tally;
use super::page_size::Size;
use super::reset::Resetting;
use super::simple::{Read, SimpleRetriever};
use super::{Part, Records};
use crate::stream::SourceError;
use crate::value::Value;

/// A slice is halved no more often than this.
const MOST_HALVINGS: u32 = 10;

/// Where the reading of a slice stands.
pub struct Paging<'s> {
    pub part: Part<'s>,
    /// Of the page to ask for, and of the one that was.
    pub token: Option<Value>,
    pub asked: Option<Value>,
    pub size: Size,
    pub resetting: Resetting,
    pub endless: Endless,
    /// How often the window was halved, and the halves not read yet, the next one last.
    pub depth: u32,
    pub waiting: Vec<(Window<'s>, u32)>,
    pub tally: Tally,
    pub done: bool,
    /// What went wrong after the records that were read last.
    pub failed: Option<SourceError>,
}

impl<'s> Paging<'s> {
    pub fn new(part: Part<'s>, token: Option<Value>) -> Paging<'s> {
        Paging {
            part,
            token,
            asked: None,
            size: Size::default(),
            resetting: Resetting::default(),
            endless: Endless::default(),
            depth: 0,
            waiting: Vec::new(),
            tally: Tally::default(),
            done: false,
            failed: None,
        }
    }

    /// The slice's scope with the page's token.
    pub fn page_scope(&self) -> Scope {
        let nothing = minijinja::Value::from(());
        let token = self.token.as_ref().map_or(nothing, |token| {
            minijinja::Value::from_pairs([("next_page_token", to_template(token))])
        });
        self.part.scope.clone().with("next_page_token", token)
    }
}

/// Slices that are halved where the source refuses them.
pub struct Splitting {
    least: Option<Span>,
    advice: String,
}

impl Splitting {
    pub fn open(retriever: &Component<'_>) -> Result<Option<Splitting>, SourceError> {
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
}

impl SimpleRetriever {
    /// Goes on to the page after this one; where that fails, it fails after this one's records.
    pub(super) fn turn(
        &self,
        mut read: Read,
        paging: &mut Paging<'_>,
    ) -> Result<Records, SourceError> {
        if let Some(error) = read.selected.failed.take() {
            paging.failed = Some(self.unread(&read.response, error));
            return Ok(read.selected.records);
        }
        // What was kept are all pages there are.
        if paging.part.played().is_some() {
            return Ok(read.selected.records);
        }
        if let Some(shrinking) = &self.shrinking {
            shrinking.succeeded(&mut paging.size);
        }
        // An ignored error is the last page.
        if !read.response.ok() {
            paging.done = true;
            return Ok(read.selected.records);
        }
        if read.selected.extracted == 0 {
            self.tell_of_hidden_error(&read.response);
        }
        self.tell(&read, paging)
            .map_err(|error| self.problem(&error))?;
        let kept = read.selected.kept();
        self.observe(&read.selected.records, &mut paging.part.window)?;
        if self.resets.is_due(&mut paging.resetting, kept) {
            self.begin_anew(paging)?;
            return Ok(read.selected.records);
        }
        if let Err(error) = self.advance(&read, paging) {
            paging.failed = Some(self.problem(&error));
            return Ok(read.selected.records);
        }
        let body = &read.response.body;
        if !paging.done && paging.endless.is_reached(paging.asked.as_ref(), body) {
            return Err(self.wrong(
                "paging has no end: the source sends the same page again and again; \
                 look at the paginator's stop condition and where its token goes",
            ));
        }
        Ok(read.selected.records)
    }

    /// Takes note of how far records are, where the pages may begin anew behind them.
    pub(super) fn observe(
        &self,
        records: &Records,
        window: &mut Option<Window<'_>>,
    ) -> Result<(), SourceError> {
        match window.as_mut().filter(|_| self.resets.by_cursor) {
            Some(window) => window.observe(records),
            None => Ok(()),
        }
    }

    /// Counts a page's records, where the source says how many there are.
    fn tell(&self, read: &Read, paging: &mut Paging<'_>) -> Result<(), TemplateError> {
        let Some(count) = &self.count else {
            return Ok(());
        };
        let came = read.selected.extracted;
        count.add(&mut paging.tally, came, &read.response, &paging.part.scope)
    }

    fn advance(&self, read: &Read, paging: &mut Paging<'_>) -> Result<(), TemplateError> {
        let last_record = read.selected.last();
        let last_record = last_record.as_deref();
        let stop = paging.part.stop.as_ref().zip(last_record);
        if stop.is_some_and(|(stop, last)| stop(last)) {
            paging.done = true;
            return Ok(());
        }
        let seen = Seen {
            response: &read.response,
            extracted: read.selected.extracted,
            kept: read.selected.kept(),
            last_record,
            size: paging.size.now,
        };
        let token = paging.token.as_ref();
        paging.token = self.paginator.next(seen, token, &paging.part.scope)?;
        paging.done = paging.token.is_none();
        Ok(())
    }

    pub(super) fn begin_anew(&self, paging: &mut Paging<'_>) -> Result<(), SourceError> {
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

    pub(super) fn shrink(
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

    /// Begins with the half of a slice that waits; whether there is one.
    pub(super) fn begin_next(&self, paging: &mut Paging<'_>) -> Result<bool, SourceError> {
        let Some((window, depth)) = paging.waiting.pop() else {
            return Ok(false);
        };
        paging.part.window = Some(window);
        paging.depth = depth;
        self.restart(paging)?;
        Ok(true)
    }

    /// Goes on with the first half of the slice; the other one waits.
    pub(super) fn split(
        &self,
        paging: &mut Paging<'_>,
        said: Option<String>,
    ) -> Result<(), SourceError> {
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
    pub(super) fn restart(&self, paging: &mut Paging<'_>) -> Result<(), SourceError> {
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
}
