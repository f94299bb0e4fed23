//! Where the keys and values of a document stand, by JSON pointer.

use std::collections::HashMap;

use granit_parser::{ScalarStyle, Span};

use super::written::Written;

/// A line and a column, both counted from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    pub(super) fn of(span: &Span) -> Place {
        Place {
            line: span.start.line(),
            column: span.start.col() + 1,
        }
    }
}

/// The places of a document's parts. Below an alias there are none.
#[derive(Debug, Default)]
pub struct Places {
    keys: HashMap<String, Place>,
    values: HashMap<String, Place>,
    /// Of templates only.
    written: HashMap<String, Written>,
    /// Keys that stand twice in one mapping.
    repeated: Vec<(String, Place)>,
    path: String,
}

impl Places {
    /// Where the key of what `pointer` leads to stands; of an element, where it begins.
    pub fn of_key(&self, pointer: &str) -> Place {
        let known = self.keys.get(pointer).copied();
        known.unwrap_or_else(|| self.of_value(pointer))
    }

    /// Where a value begins, or the nearest value around it.
    pub fn of_value(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            match (self.values.get(pointer), pointer.rsplit_once('/')) {
                (Some(place), _) => return *place,
                (None, Some((parent, _))) => pointer = parent,
                (None, None) => return Place { line: 1, column: 1 },
            }
        }
    }

    /// Where parts of a template begin: `offsets` in bytes of its `value`, in order.
    pub fn inside(
        &self,
        pointer: &str,
        document: &str,
        value: &str,
        offsets: &[usize],
    ) -> Vec<Place> {
        match self.written.get(pointer) {
            Some(written) => written.places(document, value, offsets),
            None => vec![self.of_value(pointer); offsets.len()],
        }
    }

    /// Keys that stand twice in one mapping, by pointer; the last of them counts.
    pub fn repeated(&self) -> &[(String, Place)] {
        &self.repeated
    }

    pub(super) fn enter(&mut self, name: &str) {
        self.path.push('/');
        self.path.push_str(&escaped(name));
    }

    pub(super) fn leave(&mut self) {
        let parent = self.path.rfind('/').unwrap_or_default();
        self.path.truncate(parent);
    }

    pub(super) fn key(&mut self, name: &str, place: Place) {
        self.enter(name);
        let known = self.keys.insert(self.path.clone(), place);
        if known.is_some() && name != "<<" {
            self.repeated.push((self.path.clone(), place));
        }
    }

    pub(super) fn template(&mut self, span: &Span, style: ScalarStyle) {
        if let Some(written) = Written::of(span, style) {
            self.written.insert(self.path.clone(), written);
        }
    }

    pub(super) fn value(&mut self, place: Place) {
        self.values.insert(self.path.clone(), place);
    }
}

/// A name as one step of a JSON pointer (RFC 6901).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::super::read_with_places;
    use super::*;

    #[test]
    fn keys_and_values_have_their_places() {
        let (_, places) = read_with_places("a:\n  - x: 1\n    y/z: {k: 2}\n").unwrap();
        let at = |place: Place| (place.line, place.column);
        assert_eq!(at(places.of_key("/a")), (1, 1));
        assert_eq!(at(places.of_value("/a/0/x")), (2, 8));
        assert_eq!(at(places.of_key("/a/0/y~1z/k")), (3, 11));
        assert_eq!(at(places.of_value("/a/0/none")), (2, 5));
    }

    #[test]
    fn a_key_that_stands_twice_is_told() {
        let (_, places) = read_with_places("a: 1\nb: {c: 1, c: 2}\n").unwrap();
        let repeated: Vec<_> = places
            .repeated()
            .iter()
            .map(|(pointer, place)| (pointer.as_str(), place.column))
            .collect();
        assert_eq!(repeated, [("/b/c", 11)]);
    }
}
