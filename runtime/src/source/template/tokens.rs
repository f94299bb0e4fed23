//! The text of a template in tokens, for those who rewrite operators as calls.

/// Words that end an operand: an operator may not follow them.
pub const KEYWORDS: [&str; 14] = [
    "or",
    "and",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "set",
    "for",
    "do",
    "with",
    "endif",
    "recursive",
];

/// More open brackets than this could take more stack than a thread has.
const DEEPEST: usize = 50;

/// So are more operators than this in one expression: each holds what stands before it.
const LONGEST: usize = 400;

/// Whether compiling `source` could overflow the stack.
pub fn is_too_deep(source: &str) -> bool {
    let mut rest = source;
    while let Some((start, end)) = next_expression(rest) {
        let is_link = |token: &&str| KEYWORDS.contains(token) || is_operator(token);
        if split(&rest[start..end]).into_iter().filter(is_link).count() > LONGEST {
            return true;
        }
        rest = &rest[end..];
    }
    has_deep_brackets(source)
}

fn is_operator(token: &str) -> bool {
    token.len() == 1
        && token.contains([
            '|', '.', '+', '-', '*', '/', '%', '~', '[', '(', '=', '<', '>',
        ])
}

fn has_deep_brackets(text: &str) -> bool {
    let mut depth = 0_usize;
    text.chars().any(|letter| {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

/// `source` with the inside of each `{{ }}` and `{% %}` rewritten.
pub fn in_expressions(source: &str, rewrite: impl Fn(&str) -> String) -> String {
    let mut rewritten = String::new();
    let mut rest = source;
    while let Some((start, end)) = next_expression(rest) {
        rewritten.push_str(&rest[..start]);
        rewritten.push_str(&rewrite(&rest[start..end]));
        rest = &rest[end..];
    }
    rewritten + rest
}

/// `source` without the colons that may end a statement, as in Python: `{% if x: %}`.
///
/// Spaces stand in their place, so nothing moves.
pub fn without_colons(source: &str) -> String {
    in_expressions(source, |inside| {
        let words = inside.trim_end();
        match words.strip_suffix(':') {
            Some(statement) => format!("{statement} {}", &inside[words.len()..]),
            None => inside.to_owned(),
        }
    })
}

/// Where the inside of the next `{{ }}` or `{% %}` starts and ends.
fn next_expression(text: &str) -> Option<(usize, usize)> {
    let mut braces = text.match_indices('{').map(|(at, _)| at);
    let open = braces.find(|at| text[at + 1..].starts_with(['{', '%']))?;
    let close = if text[open..].starts_with("{{") {
        "}}"
    } else {
        "%}"
    };
    let start = open + 2;
    let inside = &text[start..start + text[start..].find(close)?];
    // The signs of whitespace control (`{%-`, `-%}`) are no operators.
    let opening = usize::from(inside.starts_with(['-', '+']));
    let closing = usize::from(inside.len() > opening && inside.ends_with(['-', '+']));
    Some((start + opening, start + inside.len() - closing))
}

/// Strings, names and numbers, spaces, and single signs.
pub fn split(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => string_length(rest, first),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c if c.is_whitespace() => rest
                .find(|c: char| !c.is_whitespace())
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = &rest[length..];
    }
    tokens
}

pub fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn string_length(text: &str, mark: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, letter)| {
        let end = *letter == mark && !escaped;
        escaped = *letter == '\\' && !escaped;
        end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// A token, or brackets whose inside is rewritten.
#[derive(Clone)]
pub struct Piece(pub String);

pub fn closing(tokens: &[&str], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

pub fn join(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.0.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_whitespace_control_are_left_alone() {
        let shown = |text: &str| in_expressions(text, |inside| format!("<{inside}>"));
        assert_eq!(
            shown("a{%- set x = 1 -%}{{ x }}"),
            "a{%-< set x = 1 >-%}{{< x >}}"
        );
        assert_eq!(shown("{{-}}"), "{{-<>}}");
    }
}
