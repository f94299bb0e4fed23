//! Where parts of a scalar's value stand in the text that it was written as.
//!
//! Folding, quotes and indentation change white space only, so the visible letters of the value
//! and of what was written are held against each other one by one.

use granit_parser::{ScalarStyle, Span};

use super::Place;

/// A scalar as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    start: Place,
    /// In bytes of the document.
    from: usize,
    to: usize,
    style: ScalarStyle,
}

impl Written {
    pub(super) fn of(span: &Span, style: ScalarStyle) -> Option<Written> {
        Some(Written {
            start: Place::of(span),
            from: span.start.byte_offset()?,
            to: span.end.byte_offset()?,
            style,
        })
    }

    /// The places of `offsets` (bytes of `value`, in order); where they cannot be told, the start.
    pub fn places(&self, document: &str, value: &str, offsets: &[usize]) -> Vec<Place> {
        let raw = document.get(self.from..self.to).unwrap_or_default();
        let written = self.visible(raw);
        let letters: Vec<usize> = visible(value).collect();
        // Behind a block there may be comments.
        if written.len() < letters.len() {
            return vec![self.start; offsets.len()];
        }
        let mut cursor = Cursor::new(raw, self.start);
        let place = |offset: &usize| {
            let nth = letters.partition_point(|at| at < offset);
            written
                .get(nth)
                .map_or(self.start, |at| cursor.advance(*at))
        };
        offsets.iter().map(place).collect()
    }

    /// Where the value's visible letters stand.
    fn visible(&self, raw: &str) -> Vec<usize> {
        match self.style {
            ScalarStyle::SingleQuoted => single_quoted(raw),
            ScalarStyle::DoubleQuoted => double_quoted(raw),
            // A block's header is no part of what was written.
            _ => visible(raw).collect(),
        }
    }
}

fn visible(text: &str) -> impl Iterator<Item = usize> {
    let letters = text.char_indices();
    letters.filter_map(|(at, letter)| (!letter.is_whitespace()).then_some(at))
}

fn single_quoted(raw: &str) -> Vec<usize> {
    let inside = raw.strip_suffix('\'').unwrap_or(raw);
    let mut is_first_of_two = false;
    let is_letter = |at: &usize| {
        let is_quote = inside.as_bytes()[*at] == b'\'';
        is_first_of_two = is_quote && !is_first_of_two;
        !is_first_of_two
    };
    // The opening quote is the first letter.
    visible(inside).skip(1).filter(is_letter).collect()
}

fn double_quoted(raw: &str) -> Vec<usize> {
    let inside = raw.strip_suffix('"').unwrap_or(raw);
    let mut found = Vec::new();
    let mut at = 1;
    while let Some(letter) = inside.get(at..).and_then(|rest| rest.chars().next()) {
        let (length, means) = match letter {
            '\\' => escape(&inside[at + 1..]),
            letter => (letter.len_utf8(), Some(letter)),
        };
        if means.is_some_and(|letter| !letter.is_whitespace()) {
            found.push(at);
        }
        at += length;
    }
    found
}

/// How long an escape is, its sign included, and a letter as visible as what it means.
fn escape(rest: &str) -> (usize, Option<char>) {
    let letter = rest.chars().next();
    let digits = match letter {
        Some('x') => 2,
        Some('u') => 4,
        Some('U') => 8,
        // A line that is continued, and what is white.
        Some('\r' | '\n' | 't' | '\t' | 'n' | 'v' | 'f' | 'r' | ' ' | 'N' | '_' | 'L' | 'P') => {
            return (2, None);
        }
        other => return (1 + other.map_or(0, char::len_utf8), other),
    };
    let code = rest.get(1..=digits);
    let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
    (2 + digits, code.and_then(char::from_u32))
}

/// Walks a text, counting lines and columns.
struct Cursor<'r> {
    raw: &'r str,
    at: usize,
    place: Place,
}

impl Cursor<'_> {
    fn new(raw: &str, place: Place) -> Cursor<'_> {
        Cursor { raw, at: 0, place }
    }

    fn advance(&mut self, to: usize) -> Place {
        for letter in self.raw.get(self.at..to).unwrap_or_default().chars() {
            match letter {
                '\n' => {
                    self.place.line += 1;
                    self.place.column = 1;
                }
                _ => self.place.column += 1,
            }
        }
        self.at = to.max(self.at);
        self.place
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_with_places;
    use super::*;

    /// The lines of `text` from each place of an `x` in its value `/a` on.
    fn found(text: &str) -> Vec<String> {
        let (json, places) = read_with_places(text).unwrap();
        let value = json["a"].as_str().unwrap();
        let offsets: Vec<usize> = value.match_indices('x').map(|(at, _)| at).collect();
        let places = places.inside("/a", text, value, &offsets);
        let line = |place: Place| {
            let line = text.split('\n').nth(place.line - 1).unwrap();
            line.chars().skip(place.column - 1).collect()
        };
        places.into_iter().map(line).collect()
    }

    #[test]
    fn parts_of_scalars_of_every_style_are_found() {
        for (text, expected) in [
            ("a: b {{ x }} c", vec!["x }} c"]),
            (
                "b: 1\na: b {{ x1\n  }} c\n  {{ x2 }}\n",
                vec!["x1", "x2 }}"],
            ),
            ("a: 'é {{ ''x1'' ~ x2 }}'", vec!["x1'' ~ x2 }}'", "x2 }}'"]),
            (
                r#"a: "\u00e9\t{{ \"x1\"\n\\ \x7b x2 }}""#,
                vec![r#"x1\"\n\\ \x7b x2 }}""#, r#"x2 }}""#],
            ),
            (
                "a: \"{{ x1 \\\n    ~ x2 }}\n\n   {x3\"",
                vec!["x1 \\", "x2 }}", "x3\""],
            ),
            (
                "a: |-  # x\n   {{ x1 }}\n\n     {{ x2 }}\nb: 1",
                vec!["x1 }}", "x2 }}"],
            ),
            (
                "a: !!str &n >2\n    {{ x1 }}\n    {{ x2 }}\n",
                vec!["x1 }}", "x2 }}"],
            ),
            (
                "a: |\r\n  {{ x1 }}\r\n  {{ x2 }}\r\n",
                vec!["x1 }}\r", "x2 }}\r"],
            ),
            ("{\"a\": \"{{ x1 }}\"}", vec!["x1 }}\"}"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
