//! Pages and the tape: each page's replies are kept, or the pages are made of those that were.

use crate::stream::SourceError;
use crate::tape::{self, Entry, Tape};

use super::super::response::Response;
use super::super::selector::Selected;
use super::paging::Paging;
use super::simple::{Reply, SimpleRetriever};

/// The replies of a page that the tape is to keep, once all of them are in.
#[derive(Default)]
pub struct Noted(Vec<tape::Reply>);

impl SimpleRetriever {
    /// Notes a reply, where there is a tape that keeps them.
    pub(super) fn note(
        &self,
        noted: &mut Noted,
        response: &Response,
        paging: &Paging<'_>,
    ) -> Result<(), SourceError> {
        if paging.part.tape.is_none() {
            return Ok(());
        }
        if self.lists.is_some() {
            return Err(self.wrong(
                "a `truncated_list_retriever` asks for more than pages, which a replay could not; \
                 leave `keep_raw` out",
            ));
        }
        noted.0.push(self.requester.kept(response));
        Ok(())
    }

    pub(super) async fn keep(&self, noted: Noted, paging: &Paging<'_>) {
        let Some(tape) = paging.part.tape else {
            return;
        };
        let mut left = noted.0.len();
        for mut reply in noted.0 {
            left -= 1;
            reply.about.continues = left > 0;
            tape.keep(Entry::Reply(reply)).await;
        }
    }

    /// The next page of a tape.
    pub(super) async fn played(
        &self,
        tape: &Tape,
        paging: &mut Paging<'_>,
    ) -> Result<Option<Reply>, SourceError> {
        if let Some(body) = paging.part.first.take() {
            let response = Response::new(200, String::new(), Vec::new(), body);
            let reply = self.page_of(response, &paging.part.scope).await?;
            return Ok(Some(reply));
        }
        let mut pieces = Vec::new();
        while let Some(kept) = tape.reply().await {
            let continues = kept.about.continues;
            let reply = self.page_of(response(kept), &paging.part.scope).await?;
            if pieces.is_empty() && !continues {
                return Ok(Some(reply));
            }
            let (reply, mut selected) = self.piece(reply, paging)?;
            pieces.push(std::mem::take(&mut selected.records));
            if !continues {
                return Ok(Some(self.joined(pieces, reply, selected)));
            }
        }
        Ok(None)
    }

    /// A piece of a page and its records; an error in it is one of the whole page.
    pub(super) fn piece(
        &self,
        mut reply: Reply,
        paging: &Paging<'_>,
    ) -> Result<(Reply, Selected), SourceError> {
        let mut selected = match reply.merged.take() {
            Some(selected) => selected,
            None => self.read(&reply, paging)?,
        };
        match selected.failed.take() {
            Some(error) => Err(self.unread(&reply.response, error)),
            None => Ok((reply, selected)),
        }
    }

    /// A page of several pieces; what comes after it is said by the last.
    pub(super) fn joined(
        &self,
        pieces: Vec<super::Records>,
        mut last: Reply,
        mut selected: Selected,
    ) -> Reply {
        let pieces = pieces.into_iter();
        selected.records = match &self.properties {
            Some(properties) => {
                let pieces = pieces.map(super::Records::into_values);
                properties.merged(pieces.collect()).into()
            }
            None => pieces.flatten().collect(),
        };
        last.merged = Some(selected);
        last
    }
}

fn response(kept: tape::Reply) -> Response {
    let tape::About {
        status,
        url,
        headers,
        ..
    } = kept.about;
    Response::new(status, url, headers, kept.body)
}
