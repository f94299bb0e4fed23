//! A body as it arrives: held once, and refused when it has no end.
//!
//! A buffer that doubles may be held twice while it moves; a body grows by
//! pieces instead, which are given back one by one as they are joined.

use bytes::Bytes;

/// A reply is held as a whole, and a small packed one can hide an endless one.
pub const LONGEST: usize = 1024 * 1024 * 1024;
/// What is held above the body itself while it is joined.
const PIECE: usize = 32 * 1024 * 1024;

/// What came so far.
#[derive(Debug)]
pub struct Body {
    pieces: Vec<Vec<u8>>,
    last: Vec<u8>,
    length: usize,
    longest: usize,
    piece: usize,
}

impl Body {
    /// `announced` bytes are to come; a body that was packed announces nothing.
    pub fn new(announced: Option<u64>) -> Self {
        Self::bounded(announced, LONGEST, PIECE)
    }

    fn bounded(announced: Option<u64>, longest: usize, piece: usize) -> Self {
        let announced = usize::try_from(announced.unwrap_or_default()).unwrap_or(longest);
        Self {
            pieces: Vec::new(),
            last: Vec::with_capacity(announced.min(longest)),
            length: 0,
            longest,
            piece: piece.max(announced.min(longest)),
        }
    }

    /// # Errors
    /// What to do when the body is longer than [`LONGEST`].
    pub fn push(&mut self, part: &[u8]) -> Result<(), String> {
        self.length += part.len();
        if self.length > self.longest {
            let longest = self.longest;
            return Err(format!(
                "the reply is longer than {longest} bytes; ask for less at once"
            ));
        }
        if self.last.len() + part.len() > self.piece {
            self.pieces.push(std::mem::take(&mut self.last));
        }
        self.last.extend_from_slice(part);
        Ok(())
    }

    pub fn joined(self) -> Bytes {
        if self.pieces.is_empty() {
            return self.last.into();
        }
        let mut whole = Vec::with_capacity(self.length);
        for piece in self.pieces.into_iter().chain([self.last]) {
            whole.extend_from_slice(&piece);
        }
        whole.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_came_in_any_parts_is_the_body(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
            announced in prop::option::of(0_u64..200),
        ) {
            let mut body = Body::bounded(announced, 10_000, 64);
            for part in &parts {
                body.push(part).unwrap();
            }
            prop_assert_eq!(&body.joined()[..], &parts.concat()[..]);
        }
    }

    #[test]
    fn a_body_may_be_as_long_as_the_longest_and_no_longer() {
        let mut body = Body::bounded(Some(u64::MAX), 10, 4);
        body.push(b"0123456789").unwrap();
        let problem = body.push(b"a").unwrap_err();
        assert_eq!(
            problem,
            "the reply is longer than 10 bytes; ask for less at once"
        );
    }
}
