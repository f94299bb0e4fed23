//! Notices pages that come again for ever.
//!
//! The reference asks on until someone stops it. Here a page that was seen with the
//! same token and the same body, or one body for ever new tokens, ends the stream.

use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;

use crate::value::Value;

/// A page may come again a few times before it counts as endless: some sources say so until they are ready.
const REPEATS: u32 = 3;
/// The same body for so many tokens in a row.
const SAME_BODIES: u32 = 100;

/// What was seen of a slice's pages; circles of any length are found in constant memory.
#[derive(Debug, Default)]
pub struct Endless {
    /// The page that later ones are compared with.
    marked: Option<u64>,
    pages: u64,
    next_mark: u64,
    repeats: u32,
    body: Option<u64>,
    same_bodies: u32,
}

impl Endless {
    /// Whether this page, requested with `token`, shows that there is no end.
    pub fn is_reached(&mut self, token: Option<&Value>, body: &[u8]) -> bool {
        let body = hash(&body);
        self.same_bodies = match self.body == Some(body) {
            true => self.same_bodies + 1,
            false => 0,
        };
        self.body = Some(body);
        let page = hash(&(token.map(crate::source::python::repr), body));
        self.repeats += u32::from(self.marked == Some(page));
        self.pages += 1;
        if self.pages >= self.next_mark {
            // A later mark, ever further on, is inside the circle at last.
            self.marked = Some(page);
            self.next_mark = self.pages * 2;
        }
        self.repeats >= REPEATS || self.same_bodies >= SAME_BODIES
    }
}

/// Bodies are long: the standard library's hash of them costs as much as looking for records.
fn hash(value: &impl Hash) -> u64 {
    FixedState::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages_until_noticed(page: impl Fn(u64) -> (i64, String)) -> Option<u64> {
        let mut endless = Endless::default();
        (0..10_000).find(|number| {
            let (token, body) = page(*number);
            endless.is_reached(Some(&Value::Int(token)), body.as_bytes())
        })
    }

    #[test]
    fn one_page_and_circles_of_pages_are_noticed() {
        assert!(pages_until_noticed(|_| (7, "same".to_owned())) < Some(10));
        let circle = |number| ((number % 5) as i64, format!("page {}", number % 5));
        assert!(pages_until_noticed(circle) < Some(50));
        let ignored = |number| (number as i64, "the first page".to_owned());
        assert_eq!(pages_until_noticed(ignored), Some(100));
    }

    #[test]
    fn pages_that_differ_have_no_end_to_fear() {
        assert_eq!(
            pages_until_noticed(|number| (7, format!("scroll {number}"))),
            None
        );
        let few = |number: u64| (number as i64, format!("{}", number / 50));
        assert_eq!(pages_until_noticed(few), None);
    }
}
