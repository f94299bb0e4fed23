//! Python's two ways to put values into text: `'{:.2f}'.format(x)` and `'%05.2f' % x`.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::objects::text as shown;
use super::tokens::{self, KEYWORDS, Piece, closing, join};

const FUNCTION: &str = "_percent";

pub fn add(environment: &mut Environment<'_>) {
    environment.add_function(FUNCTION, percent);
}

fn wrong(problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// How one value is written.
#[derive(Default)]
struct Form {
    fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    align: Option<char>,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Form {
    fn write(&self, value: &Value) -> Result<String, Error> {
        let number = || {
            f64::try_from(value.clone())
                .map_err(|_| wrong(format!("a {} is no number", value.kind())))
        };
        let whole = || number().map(|number| number as i64);
        let body = match self.kind {
            Some('d' | 'i' | 'u') => whole()?.to_string(),
            Some('x') => format!("{:x}", whole()?),
            Some('X') => format!("{:X}", whole()?),
            Some('o') => format!("{:o}", whole()?),
            Some('f' | 'F') => format!("{:.*}", self.precision.unwrap_or(6), number()?),
            Some('r') => crate::source::python::repr(&super::objects::from_template(value)),
            _ => {
                let text = shown(value);
                match self.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text,
                }
            }
        };
        let signed = self.plus && !body.starts_with('-');
        Ok(self.padded(if signed { format!("+{body}") } else { body }, value))
    }

    fn padded(&self, body: String, value: &Value) -> String {
        let missing = self.width.saturating_sub(body.chars().count());
        let fill = self.fill.unwrap_or(' ').to_string();
        let is_number = value.kind() == ValueKind::Number || self.kind.is_some_and(|it| it != 's');
        let align = self.align.unwrap_or(if is_number { '>' } else { '<' });
        let (sign, digits) = match (align, body.strip_prefix(['-', '+'])) {
            ('=', Some(digits)) => (&body[..1], digits),
            _ => ("", body.as_str()),
        };
        let left = match align {
            '<' => 0,
            '^' => missing / 2,
            _ => missing,
        };
        let (before, after) = (fill.repeat(left), fill.repeat(missing - left));
        format!("{sign}{before}{digits}{after}")
    }
}

/// `text.format(...)`.
pub fn braces(text: &str, values: &[Value], named: &Kwargs) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = text;
    let mut next = 0;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (sign, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(sign) {
            out.push_str(sign);
            rest = after;
            continue;
        }
        let (field, after) = after
            .split_once('}')
            .ok_or_else(|| Error::new(ErrorKind::CannotUnpack, "a brace stands alone"))?;
        rest = after;
        let (name, form) = field.split_once(':').unwrap_or((field, ""));
        let value = match (name, name.parse::<usize>()) {
            ("", _) => {
                next += 1;
                values.get(next - 1).cloned()
            }
            (_, Ok(index)) => values.get(index).cloned(),
            (name, _) => named.get::<Value>(name).ok(),
        };
        let value = value.ok_or_else(|| {
            Error::new(
                ErrorKind::CannotUnpack,
                format!("nothing for `{{{field}}}`"),
            )
        })?;
        out.push_str(&brace_form(form).write(&value)?);
    }
    Ok(out + rest)
}

fn brace_form(text: &str) -> Form {
    let mut form = Form::default();
    let mut letters = text.chars().peekable();
    let second = text.chars().nth(1);
    if second.is_some_and(is_align) {
        form.fill = letters.next();
    }
    form.align = letters.next_if(|letter| is_align(*letter));
    form.plus = letters.next_if_eq(&'+').is_some();
    if letters.next_if_eq(&'0').is_some() && form.align.is_none() {
        (form.fill, form.align) = (Some('0'), Some('='));
    }
    form.width = digits(&mut letters).unwrap_or(0);
    if letters.next_if_eq(&'.').is_some() {
        form.precision = digits(&mut letters);
    }
    form.kind = letters.next();
    form
}

fn is_align(letter: char) -> bool {
    matches!(letter, '<' | '>' | '^' | '=')
}

fn digits(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut found = String::new();
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        found.push(digit);
    }
    found.parse().ok()
}

/// `a % b`: of text the values put into it, of numbers the rest as Python has it.
fn percent(a: Value, b: Value) -> Result<Value, Error> {
    let Some(text) = a.as_str() else {
        return rest_of(&a, &b);
    };
    let values: Vec<Value> = match b.kind() {
        ValueKind::Seq => b.try_iter()?.collect(),
        _ => vec![b.clone()],
    };
    let mut values = values.into_iter();
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let mut letters = after.chars().peekable();
        if letters.next_if_eq(&'%').is_some() {
            out.push('%');
            rest = &after[1..];
            continue;
        }
        let (form, name, length) = percent_form(after)?;
        rest = &after[length..];
        let value = match name {
            Some(name) => Some(b.get_attr(name)?),
            None => values.next(),
        };
        let value = value.ok_or_else(|| wrong("there are fewer values than places"))?;
        out.push_str(&form.write(&value)?);
    }
    Ok(Value::from(out + rest))
}

fn rest_of(a: &Value, b: &Value) -> Result<Value, Error> {
    if a.is_undefined() || b.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            "an undefined value has no rest",
        ));
    }
    let number = |value: &Value| match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        _ => None,
    };
    let (Some(left), Some(right)) = (number(a), number(b)) else {
        return Err(wrong(format!(
            "`%` between a {} and a {}",
            a.kind(),
            b.kind()
        )));
    };
    if right == 0.0 {
        return Err(Error::new(ErrorKind::CannotUnpack, "a rest of zero"));
    }
    match (i128::try_from(a.clone()), i128::try_from(b.clone())) {
        (Ok(left), Ok(right)) if a.is_integer() && b.is_integer() => {
            let rest = left.rem_euclid(right.abs());
            Ok(Value::from(if right < 0 && rest != 0 {
                rest + right
            } else {
                rest
            }))
        }
        _ => Ok(Value::from(left - right * (left / right).floor())),
    }
}

/// What follows a `%`: its form, the name in brackets, and how many bytes it takes.
fn percent_form(text: &str) -> Result<(Form, Option<&str>, usize), Error> {
    let mut form = Form::default();
    let name = text
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .map(|(name, _)| name);
    let start = name.map_or(0, |name| name.len() + 2);
    let mut letters = text[start..].chars().peekable();
    while let Some(flag) = letters.next_if(|it| matches!(it, '-' | '+' | ' ' | '0' | '#')) {
        match flag {
            '-' => form.align = Some('<'),
            '+' => form.plus = true,
            '0' if form.align.is_none() => (form.fill, form.align) = (Some('0'), Some('=')),
            _ => {}
        }
    }
    form.align = form.align.or(Some('>'));
    form.width = digits(&mut letters).unwrap_or(0);
    if letters.next_if_eq(&'.').is_some() {
        form.precision = digits(&mut letters);
    }
    form.kind = letters.next();
    if !form.kind.is_some_and(|kind| "sdiuxXofFr".contains(kind)) {
        return Err(Error::new(
            ErrorKind::CannotUnpack,
            "`%` without a known letter",
        ));
    }
    let left: usize = letters.map(char::len_utf8).sum();
    Ok((form, name, text.len() - left))
}

/// `source` with `a % b` as a call.
pub fn rewrite(source: &str) -> String {
    tokens::in_expressions(source, |expression| match expression.contains('%') {
        true => join(&percents(&tokens::split(expression))),
        false => expression.to_owned(),
    })
}

/// Rewrites the operator at one level of brackets; deeper levels first.
fn percents(tokens: &[&str]) -> Vec<Piece> {
    let mut done = Vec::new();
    let mut left: Option<String> = None;
    let mut operand = String::new();
    let mut index = 0;
    while index < tokens.len() {
        let token = tokens[index];
        match token {
            "(" | "[" | "{" => {
                let end = closing(tokens, index);
                let inside = join(&percents(&tokens[index + 1..end]));
                let close = tokens.get(end).copied().unwrap_or_default();
                operand.push_str(&format!("{token}{inside}{close}"));
                index = end;
            }
            "%" => {
                let whole = finish(left.take(), std::mem::take(&mut operand));
                left = Some(whole);
            }
            // A sign before an operand is part of it.
            "-" | "+" if operand.trim().is_empty() => operand.push_str(token),
            _ if ends_operand(token) => {
                done.push(Piece(finish(left.take(), std::mem::take(&mut operand))));
                done.push(Piece(token.to_owned()));
            }
            _ => operand.push_str(token),
        }
        index += 1;
    }
    done.push(Piece(finish(left, operand)));
    done
}

fn ends_operand(token: &str) -> bool {
    KEYWORDS.contains(&token)
        || matches!(
            token,
            "," | ":" | "=" | "!" | "<" | ">" | "+" | "-" | "*" | "/" | "~"
        )
}

fn finish(left: Option<String>, operand: String) -> String {
    match left {
        None => operand,
        Some(left) => {
            let lead: String = left.chars().take_while(|it| it.is_whitespace()).collect();
            let trail = &operand[operand.trim_end().len()..];
            format!(
                "{lead}{FUNCTION}({}, {}){trail}",
                left.trim(),
                operand.trim()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_becomes_a_call() {
        for (source, rewritten) in [
            ("{{ '%s' % x }}", "{{ _percent('%s', x) }}"),
            (
                "{{ a + '%d-%d' % (1, b % 2) }}",
                "{{ a + _percent('%d-%d', (1, _percent(b, 2))) }}",
            ),
            (
                "{% if n % 2 == 0 %}x{% endif %}",
                "{% if _percent(n, 2) == 0 %}x{% endif %}",
            ),
            (
                "{{ -7 % 3 - 8 % 3 }}",
                "{{ _percent(-7, 3) - _percent(8, 3) }}",
            ),
            ("{{ x.strftime('%Y') }}", "{{ x.strftime('%Y') }}"),
        ] {
            assert_eq!(rewrite(source), rewritten, "{source}");
        }
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        let written = |text: &str, value: Value| percent(text.into(), value).unwrap().to_string();
        assert_eq!(written("%05.2f", 1.234.into()), "01.23");
        assert_eq!(written("%x|%-4d|", Value::from(vec![255, 7])), "ff|7   |");
        assert_eq!(
            percent(Value::from(-7), Value::from(3)).unwrap(),
            Value::from(2)
        );
    }
}
