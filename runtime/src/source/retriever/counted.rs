//! `xetl_count`: how many records a source says there are, against how many came.
//!
//! Pages are held back until they agree, and read once more where they do not;
//! how a page is had is the retriever's.

use async_stream::try_stream;
use futures::stream::BoxStream;

use crate::stream::SourceError;

use super::super::component::Component;
use super::super::python;
use super::super::response::Response;
use super::super::template::{Scope, Template, TemplateError};
use super::Records;
use super::paging::Paging;
use super::simple::SimpleRetriever;

/// More records than this are not held back until they are counted.
const MOST_HELD: usize = 50_000;

pub struct Count {
    total: Template,
    needed: Option<Template>,
}

/// The records of a slice so far, and how many the source says there are.
#[derive(Debug, Default)]
pub struct Tally {
    came: usize,
    total: Option<usize>,
    /// The source gave another number on a later page.
    has_moved: bool,
}

impl Tally {
    fn add(&mut self, came: usize, total: Option<usize>) {
        self.came += came;
        self.has_moved |= self.total.is_some() && total.is_some() && self.total != total;
        self.total = total.or(self.total);
    }

    fn agrees(&self) -> bool {
        !self.has_moved && self.total.is_none_or(|total| total == self.came)
    }
}

impl Count {
    /// The count of a retriever, if it has one.
    pub fn open(retriever: &Component<'_>) -> Result<Option<Count>, SourceError> {
        let Some(component) = retriever.child("xetl_count") else {
            return Ok(None);
        };
        // They read parts of a slice anew, and nobody knows how many of the total those are.
        for other in ["pagination_reset", "request_window_splitting"] {
            if retriever.field(other).is_some() {
                return Err(component.error(format!("a count cannot be with `{other}`")));
            }
        }
        Ok(Some(Count {
            total: component.need_template("total")?,
            needed: component.template("needed")?,
        }))
    }

    /// Adds a page of `came` records; a reply need not say how many there are of all.
    pub fn add(
        &self,
        tally: &mut Tally,
        came: usize,
        response: &Response,
        scope: &Scope,
    ) -> Result<(), TemplateError> {
        let scope = scope.clone().with("response", response.shown_first());
        let total = self.total.value(&scope)?;
        tally.add(came, python::text(&total).parse().ok());
        Ok(())
    }

    /// Whether nothing at all must not be taken for the truth.
    fn is_needed(&self, scope: &Scope) -> Result<bool, TemplateError> {
        match &self.needed {
            Some(needed) => needed.condition(scope),
            None => Ok(false),
        }
    }
}

impl SimpleRetriever {
    /// Pages whose records are as many as the source says.
    pub(super) fn counted<'a>(
        &'a self,
        count: &'a Count,
        mut paging: Paging<'a>,
    ) -> BoxStream<'a, Result<Records, SourceError>> {
        Box::pin(try_stream! {
            let mut held: Vec<Records> = Vec::new();
            let mut flows = false;
            let mut is_again = false;
            loop {
                while !paging.done {
                    held.push(self.page(&mut paging).await?);
                    flows |= paging.tally.came > MOST_HELD;
                    if flows {
                        for records in held.drain(..) {
                            yield records;
                        }
                    }
                }
                if paging.tally.agrees() || flows || is_again {
                    break;
                }
                self.differs(&paging.tally, "records moved while they were read; reading them again");
                self.shared.cache.clear();
                held.clear();
                if let Some(tape) = paging.part.tape {
                    tape.begin_again().await;
                }
                paging.tally = Tally::default();
                is_again = true;
                self.restart(&mut paging)?;
            }
            self.judge(count, &paging)?;
            for records in held {
                yield records;
            }
        })
    }

    fn judge(&self, count: &Count, paging: &Paging<'_>) -> Result<(), SourceError> {
        if !paging.tally.agrees() {
            self.differs(&paging.tally, "the source counts other than what came");
        }
        let scope = &paging.part.scope;
        let needed = count.is_needed(scope);
        match paging.tally.came == 0 && needed.map_err(|error| self.problem(&error))? {
            true => Err(self.wrong(
                "nothing came, which mostly is a missing permission; if there is nothing in truth, \
                 name the stream in the config's `allow_empty`",
            )),
            false => Ok(()),
        }
    }

    fn differs(&self, tally: &Tally, problem: &str) {
        let Tally { came, total, .. } = tally;
        tracing::warn!(stream = self.name, came, total, "{problem}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(pages: &[(usize, Option<usize>)]) -> Tally {
        let mut tally = Tally::default();
        for (came, total) in pages {
            tally.add(*came, *total);
        }
        tally
    }

    #[test]
    fn what_came_agrees_with_what_the_source_says() {
        assert!(tally(&[(2, Some(3)), (1, Some(3))]).agrees());
        assert!(!tally(&[(2, Some(3))]).agrees());
        assert!(tally(&[(2, None)]).agrees());
        assert!(tally(&[(0, Some(0))]).agrees());
    }

    #[test]
    fn a_number_that_changes_between_pages_does_not_agree_even_if_the_last_one_does() {
        assert!(!tally(&[(2, Some(4)), (1, Some(3))]).agrees());
    }
}
