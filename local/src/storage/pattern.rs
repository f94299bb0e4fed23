//! `matchGlob` of a listing: Google's globs as regular expressions.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use crate::error::ApiError;

/// `*` and `?` end at a `/`, `**` does not; `**/` also stands for no folder at all.
pub fn pattern(glob: &str) -> Result<Regex, ApiError> {
    Regex::new(&format!("(?s)^{}$", expression(glob)))
        .map_err(|_| ApiError::invalid(format!("Invalid matchGlob: '{glob}'.")))
}

fn expression(glob: &str) -> String {
    let mut expression = String::new();
    let mut letters = glob.chars().peekable();
    let (mut alternatives, mut is_start) = (0, true);
    while let Some(letter) = letters.next() {
        let begins = std::mem::replace(&mut is_start, letter == '/');
        match letter {
            '*' => expression.push_str(stars(&mut letters, begins)),
            '?' => expression.push_str("[^/]"),
            '[' => expression.push_str(&class(&mut letters)),
            '{' => {
                alternatives += 1;
                is_start = begins;
                expression.push_str("(?:");
            }
            ',' if alternatives > 0 => expression.push('|'),
            '}' if alternatives > 0 => {
                alternatives -= 1;
                expression.push(')');
            }
            '\\' => push_literal(&mut expression, letters.next().unwrap_or('\\')),
            letter => push_literal(&mut expression, letter),
        }
    }
    expression
}

fn stars(letters: &mut Peekable<Chars>, begins: bool) -> &'static str {
    if letters.next_if_eq(&'*').is_none() {
        return "[^/]*";
    }
    match begins && letters.next_if_eq(&'/').is_some() {
        true => "(?:.*/)?",
        false => ".*",
    }
}

/// The rest of `[a-z]` or `[!a-z]`; a class that does not end is no valid expression.
fn class(letters: &mut Peekable<Chars>) -> String {
    let mut class = String::from("[");
    if letters.next_if_eq(&'!').is_some() {
        class.push('^');
    }
    for letter in letters.by_ref() {
        match letter {
            ']' => {
                class.push(']');
                break;
            }
            '-' => class.push('-'),
            letter => push_literal(&mut class, letter),
        }
    }
    class
}

fn push_literal(expression: &mut String, letter: char) {
    expression.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_as_google_documents_it() {
        let matches = |glob: &str, name: &str| pattern(glob).unwrap().is_match(name);
        assert!(matches("*/bundle/*.json", "p/bundle/a.json"));
        assert!(!matches("*/bundle/*.json", "p/s/bundle/a.json"));
        assert!(!matches("*.json", "ajson"));
        assert!(matches("foo**bar", "foo/a/bar") && !matches("foo*bar", "foo/bar"));
        assert!(matches("**/a", "a") && matches("**/a", "b/c/a") && !matches("**/a", "ba"));
        assert!(matches("{a,b/*}", "b/c") && !matches("{a,b/*}", "c"));
        assert!(matches("[!a-y]", "z") && !matches("[!a-y]", "b"));
        assert!(matches("\\*", "*") && !matches("\\*", "a"));
    }

    #[test]
    fn a_class_without_an_end_is_refused() {
        assert_eq!(pattern("a[b").unwrap_err().code, 400);
    }
}
