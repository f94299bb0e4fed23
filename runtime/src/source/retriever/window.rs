//! The part of a slice that is asked for now, where its pages cannot be had as planned.

use crate::source::moment::Span;
use crate::source::slicer::{Newest, Slicer};
use crate::stream::{Slice, SourceError};
use crate::value::Value;

/// A slice is halved no more often than this.
const DEEPEST: u32 = 10;

/// A slice, and what is left of it.
pub struct Window<'s> {
    pub slicer: &'s Slicer,
    slice: &'s Slice,
    pub now: Slice,
    newest: Newest,
    depth: u32,
    /// Halves not read yet, the next one last.
    waiting: Vec<(Slice, u32)>,
}

impl<'s> Window<'s> {
    pub fn new(slicer: &'s Slicer, slice: &'s Slice) -> Window<'s> {
        Window {
            slicer,
            slice,
            now: slice.clone(),
            newest: Newest::default(),
            depth: 0,
            waiting: Vec::new(),
        }
    }

    pub fn observe(&mut self, records: &[Value]) -> Result<(), SourceError> {
        let mut records = records.iter();
        records.try_for_each(|record| self.slicer.observe(&mut self.newest, record))
    }

    /// Goes on from the newest record seen; whether that is another window than before.
    pub fn narrow(&mut self) -> bool {
        let rest = self.slicer.rest(self.slice, &self.newest);
        let rest = rest.unwrap_or_else(|| self.slice.clone());
        let moved = rest != self.now;
        self.now = rest;
        moved
    }

    /// Goes on with the first half; the other one waits.
    pub fn split(&mut self, least: Option<Span>) -> Result<(), &'static str> {
        if self.depth >= DEEPEST {
            return Err("the source refuses the slice even after ten halvings");
        }
        let halves = self.slicer.halves(&self.now, least);
        let [first, second] =
            halves.ok_or("the source refuses the slice at the smallest size its cursor allows")?;
        self.depth += 1;
        self.waiting.push((second, self.depth));
        self.now = first;
        Ok(())
    }

    /// Goes on with the next half; whether there is one.
    pub fn next(&mut self) -> bool {
        match self.waiting.pop() {
            Some((slice, depth)) => {
                (self.now, self.depth) = (slice, depth);
                true
            }
            None => false,
        }
    }
}
