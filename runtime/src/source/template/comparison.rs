//! Order as Python has it: `a < b` of a number and text is an error, not an answer.
//!
//! The engine orders values of every kind, and what is undefined too. `<`, `>`, `<=` and `>=`
//! become calls of a function that orders what Python orders; a chain becomes its parts.

use std::cmp::Ordering;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::objects::{Dated, Delta};
use super::tokens::{self, KEYWORDS, Piece, closing, join};

const FUNCTION: &str = "_ordered";

pub fn add(environment: &mut Environment<'_>) {
    environment.add_function(FUNCTION, ordered);
}

fn ordered(a: Value, sign: &str, b: Value) -> Result<bool, Error> {
    if a.is_undefined() || b.is_undefined() {
        let problem = "an undefined value has no order";
        return Err(Error::new(ErrorKind::UndefinedError, problem));
    }
    if !comparable(&a, &b) {
        let problem = format!("`{sign}` between a {} and a {}", a.kind(), b.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    let order = a.partial_cmp(&b);
    Ok(match sign {
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// Whether Python orders two values.
pub fn comparable(a: &Value, b: &Value) -> bool {
    let kind = |value: &Value| match value.kind() {
        // In Python a bool is a number.
        ValueKind::Bool | ValueKind::Number => Some(ValueKind::Number),
        ValueKind::String => Some(ValueKind::String),
        ValueKind::Seq => Some(ValueKind::Seq),
        _ => None,
    };
    let is_dated = |value: &Value| value.downcast_object_ref::<Dated>().is_some();
    let is_delta = |value: &Value| value.downcast_object_ref::<Delta>().is_some();
    match (kind(a), kind(b)) {
        (Some(a), Some(b)) => a == b,
        _ => (is_dated(a) && is_dated(b)) || (is_delta(a) && is_delta(b)),
    }
}

/// `source` with comparisons as calls.
pub fn rewrite(source: &str) -> String {
    match source.contains(['<', '>']) {
        true => tokens::in_expressions(source, |expression| {
            join(&comparisons(&tokens::split(expression)))
        }),
        false => source.to_owned(),
    }
}

/// Rewrites the comparisons of one level of brackets; deeper levels first.
fn comparisons(tokens: &[&str]) -> Vec<Piece> {
    let mut done = Vec::new();
    let mut chain = Chain::default();
    let mut index = 0;
    while index < tokens.len() {
        let token = tokens[index];
        let followed = tokens.get(index + 1) == Some(&"=");
        match token {
            "(" | "[" | "{" => {
                let end = closing(tokens, index);
                let inside = join(&comparisons(&tokens[index + 1..end]));
                let close = tokens.get(end).copied().unwrap_or_default();
                chain.operand.push_str(&format!("{token}{inside}{close}"));
                index = end;
            }
            "<" | ">" => {
                chain.sign(format!("{token}{}", if followed { "=" } else { "" }));
                index += usize::from(followed);
            }
            _ if ends_operand(token) => {
                done.push(chain.finish());
                done.push(Piece(token.to_owned()));
            }
            _ => chain.operand.push_str(token),
        }
        index += 1;
    }
    done.push(chain.finish());
    done
}

fn ends_operand(token: &str) -> bool {
    KEYWORDS.contains(&token) || matches!(token, "," | ":" | "=" | "!" | "%")
}

/// `a < b <= c`: operands, and the signs between them.
#[derive(Default)]
struct Chain {
    parts: Vec<(String, String)>,
    operand: String,
}

impl Chain {
    fn sign(&mut self, sign: String) {
        let operand = std::mem::take(&mut self.operand);
        self.parts.push((operand, sign));
    }

    /// The chain as text; what stands around it is left as it is.
    fn finish(&mut self) -> Piece {
        let last = std::mem::take(&mut self.operand);
        let parts = std::mem::take(&mut self.parts);
        let Some((first, _)) = parts.first() else {
            return Piece(last);
        };
        let lead: String = first.chars().take_while(|it| it.is_whitespace()).collect();
        let trail: String = last
            .chars()
            .rev()
            .take_while(|it| it.is_whitespace())
            .collect();
        let rights = parts
            .iter()
            .skip(1)
            .map(|(operand, _)| operand)
            .chain([&last]);
        let calls = parts.iter().zip(rights).map(|((left, sign), right)| {
            format!("{FUNCTION}({}, '{sign}', {})", left.trim(), right.trim())
        });
        let calls: Vec<String> = calls.collect();
        Piece(format!("{lead}({}){trail}", calls.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_become_calls() {
        for (source, rewritten) in [
            ("{{ a < b }}", "{{ (_ordered(a, '<', b)) }}"),
            (
                "{{ x if a|length >= 2 and not b > c else y }}",
                "{{ x if (_ordered(a|length, '>=', 2)) and not (_ordered(b, '>', c)) else y }}",
            ),
            (
                "{{ [1 < a < 3, '<'] }}",
                "{{ [(_ordered(1, '<', a) and _ordered(a, '<', 3)), '<'] }}",
            ),
            ("<a>{{ b }}</a>", "<a>{{ b }}</a>"),
            (
                "{% if a > b %}x{% endif %}",
                "{% if (_ordered(a, '>', b)) %}x{% endif %}",
            ),
        ] {
            assert_eq!(rewrite(source), rewritten, "{source}");
        }
    }
}
