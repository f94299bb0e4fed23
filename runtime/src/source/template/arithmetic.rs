//! Dates in sums: `now_utc() - duration('P1D')`.
//!
//! The engine adds and subtracts only numbers, text and lists. In templates
//! that call a macro giving a date or a duration, `a + b` and `a - b` become
//! calls of functions that know dates; other templates are left alone.

use minijinja::{Environment, Error, ErrorKind, Value};

use crate::source::moment::{Moment, Span};

use super::objects::{Dated, Delta};
use super::tokens::{self, KEYWORDS, Piece, closing, is_word, join};

const DATE_MACROS: [&str; 6] = [
    "now_utc",
    "today_utc",
    "today_with_timezone",
    "str_to_datetime",
    "duration",
    "timedelta",
];
pub fn add(environment: &mut Environment<'_>) {
    environment.add_function("_plus", |a: Value, b: Value| sum(&a, &b, 1));
    environment.add_function("_minus", |a: Value, b: Value| sum(&a, &b, -1));
}

fn sum(a: &Value, b: &Value, sign: i64) -> Result<Value, Error> {
    let date = |value: &Value| value.downcast_object_ref::<Dated>().copied();
    let delta = |value: &Value| value.downcast_object_ref::<Delta>().map(|delta| delta.0);
    let moved = |dated: Dated, span: Span| {
        let moment = dated
            .moment
            .plus(span)
            .ok_or_else(|| Error::new(ErrorKind::CannotUnpack, "the date is out of range"))?;
        Ok(Value::from_object(Dated { moment, ..dated }))
    };
    match (date(a), date(b), delta(a), delta(b)) {
        (Some(a), _, _, Some(b)) => moved(a, scaled(b, sign)),
        (_, Some(b), Some(a), _) if sign > 0 => moved(b, a),
        (Some(a), Some(b), _, _) if sign < 0 => Ok(between(b.moment, a.moment)),
        (_, _, Some(a), Some(b)) => Ok(Value::from_object(Delta(joined(a, scaled(b, sign))))),
        (None, None, None, None) => plain(a, b, sign),
        _ => Err(Error::new(
            ErrorKind::InvalidOperation,
            "unsupported operands of a sum with a date",
        )),
    }
}

fn scaled(span: Span, sign: i64) -> Span {
    if sign < 0 { -span } else { span }
}

fn joined(a: Span, b: Span) -> Span {
    Span {
        months: a.months.saturating_add(b.months),
        micros: a.micros.saturating_add(b.micros),
    }
}

fn between(from: Moment, to: Moment) -> Value {
    Value::from_object(Delta(Span {
        months: 0,
        micros: to.at.as_microsecond() - from.at.as_microsecond(),
    }))
}

/// The engine's own sum.
fn plain(a: &Value, b: &Value, sign: i64) -> Result<Value, Error> {
    let expression = if sign > 0 { "a + b" } else { "a - b" };
    Environment::empty()
        .compile_expression(expression)?
        .eval(minijinja::context! { a, b })
}

/// `source` with sums as calls, where dates may be among the operands.
pub fn rewrite(source: &str) -> String {
    if !DATE_MACROS.iter().any(|name| source.contains(name)) {
        return source.to_owned();
    }
    tokens::in_expressions(source, |expression| join(&sums(&tokens::split(expression))))
}

/// Rewrites the sums of one level of brackets; deeper levels first.
fn sums(tokens: &[&str]) -> Vec<Piece> {
    let mut done = Vec::new();
    let mut operand: Vec<Piece> = Vec::new();
    let mut sum: Option<(Vec<Piece>, char)> = None;
    let mut index = 0;
    while index < tokens.len() {
        let token = tokens[index];
        match token {
            "(" | "[" | "{" => {
                let end = closing(tokens, index);
                let inside = join(&sums(&tokens[index + 1..end]));
                let close = tokens.get(end).copied().unwrap_or_default();
                operand.push(Piece(format!("{token}{inside}{close}")));
                index = end;
            }
            "+" | "-" if ends_operand(&operand) => {
                let left = finish(sum.take(), std::mem::take(&mut operand));
                sum = Some((left, if token == "+" { '+' } else { '-' }));
            }
            _ if ends_sum(token) => {
                done.extend(finish(sum.take(), std::mem::take(&mut operand)));
                done.push(Piece(token.to_owned()));
            }
            _ => operand.push(Piece(token.to_owned())),
        }
        index += 1;
    }
    done.extend(finish(sum, operand));
    done
}

fn ends_sum(token: &str) -> bool {
    KEYWORDS.contains(&token) || matches!(token, "," | ":" | "=" | "<" | ">" | "!")
}

/// Whether what was read can be the left side of an operator.
fn ends_operand(operand: &[Piece]) -> bool {
    let last = operand
        .iter()
        .rev()
        .find(|piece| !piece.0.trim().is_empty());
    last.is_some_and(|piece| {
        piece
            .0
            .ends_with(|c: char| is_word(c) || matches!(c, ')' | ']' | '}' | '\'' | '"'))
    })
}

fn finish(sum: Option<(Vec<Piece>, char)>, operand: Vec<Piece>) -> Vec<Piece> {
    match sum {
        None => operand,
        Some((left, sign)) => {
            let function = if sign == '+' { "_plus" } else { "_minus" };
            let (left, right) = (join(&left), join(&operand));
            vec![Piece(format!(" {function}({left},{right}) "))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sums_that_may_hold_dates_are_rewritten() {
        assert_eq!(rewrite("{{ a + b }}"), "{{ a + b }}");
        assert_eq!(
            rewrite("x-{{ (now_utc() - duration('P1D')).strftime('%Y-%m') }}"),
            "x-{{ ( _minus(now_utc() , duration('P1D')) ).strftime('%Y-%m') }}"
        );
        assert_eq!(
            rewrite("{{ today_utc() - a + b if c else -1 }}"),
            "{{ _plus( _minus( today_utc() , a ) , b ) if c else -1 }}"
        );
    }
}
