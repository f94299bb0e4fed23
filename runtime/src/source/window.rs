//! A slice's window in time, where a source cannot give all of it at once: the rest of it,
//! or its halves.

use crate::stream::{Records, Slice, SourceError};

use super::moment::Span;
use super::request::Options;
use super::slicer::{Newest, Slicer};
use super::template::Scope;

/// A slice as its stream has it, or less of it.
pub struct Window<'s> {
    slicer: &'s Slicer,
    whole: &'s Slice,
    slice: Slice,
    newest: Newest,
}

impl<'s> Window<'s> {
    pub fn new(slicer: &'s Slicer, whole: &'s Slice) -> Window<'s> {
        Window {
            slicer,
            whole,
            slice: whole.clone(),
            newest: Newest::default(),
        }
    }

    /// Takes note of how far records are.
    pub fn observe(&mut self, records: &Records) -> Result<(), SourceError> {
        self.slicer.observe(&mut self.newest, records)
    }

    /// Begins the window at the newest record seen; whether that is another window than before.
    pub fn narrow(&mut self) -> bool {
        let rest = self.slicer.rest(self.whole, &self.newest);
        let moved = rest != self.slice;
        self.slice = rest;
        moved
    }

    /// The window in two parts that share nothing; `None` where it is no longer than
    /// `least`, or than the cursor can tell apart.
    pub fn halves(&self, least: Option<Span>) -> Option<[Window<'s>; 2]> {
        let halves = self.slicer.halves(&self.slice, least)?;
        Some(halves.map(|slice| Window {
            slice,
            newest: Newest::default(),
            ..*self
        }))
    }

    /// What a request for it sees.
    pub fn scope(&self) -> Scope {
        self.slicer.scope(&self.slice)
    }

    /// What cursor and partition add to a request for it.
    pub fn options(&self) -> Result<Options, SourceError> {
        self.slicer.options(&self.slice)
    }
}
