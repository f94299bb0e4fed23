//! Python's methods of text, lists and mappings that the engine's helper does not have.
//!
//! Text and lists do not change here: `append` and its like are not among them.

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::formatting;

/// Calls a method by its name; what is not known here is the helper's.
pub fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match (value.as_str(), value.kind()) {
        (Some(text), _) => of_text(text, method, args)?,
        (None, ValueKind::Map | ValueKind::Seq) if method == "copy" => Some(value.clone()),
        (None, ValueKind::Seq) if method == "index" => Some(index(value, args)?),
        _ => None,
    };
    match own {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn index(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (wanted,): (Value,) = from_args(args)?;
    let place = list.try_iter()?.position(|element| element == wanted);
    place.map(Value::from).ok_or_else(|| {
        Error::new(
            ErrorKind::CannotUnpack,
            format!("{wanted} is not in the list"),
        )
    })
}

fn of_text(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "rsplit" => rsplit(text, args)?,
        "partition" | "rpartition" => partition(text, method, args)?,
        "ljust" | "rjust" | "center" => justified(text, method, args)?,
        "zfill" => zfill(text, args)?,
        "index" => {
            let (part,): (&str,) = from_args(args)?;
            let at = text.find(part).ok_or_else(|| {
                Error::new(ErrorKind::CannotUnpack, format!("`{part}` is not in it"))
            })?;
            Value::from(text[..at].chars().count())
        }
        "removeprefix" => {
            let (part,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(part).unwrap_or(text))
        }
        "removesuffix" => {
            let (part,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(part).unwrap_or(text))
        }
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "swapcase" => Value::from(text.chars().flat_map(swapped).collect::<String>()),
        "isspace" => Value::from(!text.is_empty() && text.chars().all(char::is_whitespace)),
        // Text and its bytes are one here: UTF-8.
        "encode" | "decode" => Value::from(text),
        "format" => {
            let (values, named): (Rest<Value>, Kwargs) = from_args(args)?;
            Value::from(formatting::braces(text, &values, &named)?)
        }
        _ => return Ok(None),
    }))
}

fn swapped(letter: char) -> Vec<char> {
    match letter.is_uppercase() {
        true => letter.to_lowercase().collect(),
        false => letter.to_uppercase().collect(),
    }
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (mark, most): (Option<&str>, Option<i64>) = from_args(args)?;
    let most = most.filter(|most| *most >= 0).map(|most| most as usize + 1);
    let mut parts: Vec<&str> = match (mark, most) {
        (Some(mark), Some(most)) => text.rsplitn(most, mark).collect(),
        (Some(mark), None) => text.rsplit(mark).collect(),
        (None, Some(most)) => words_from_the_end(text, most),
        (None, None) => text.split_whitespace().rev().collect(),
    };
    parts.reverse();
    Ok(listed(parts))
}

fn words_from_the_end(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_end();
    let mut words = Vec::new();
    while words.len() + 1 < most
        && let Some(at) = rest.rfind(char::is_whitespace)
    {
        words.push(rest[at..].trim_start());
        rest = rest[..at].trim_end();
    }
    if !rest.trim().is_empty() {
        words.push(rest.trim_start());
    }
    words
}

fn partition(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (mark,): (&str,) = from_args(args)?;
    let found = match method {
        "partition" => text.split_once(mark),
        _ => text.rsplit_once(mark),
    };
    Ok(listed(match (found, method) {
        (Some((before, after)), _) => vec![before, mark, after],
        (None, "partition") => vec![text, "", ""],
        (None, _) => vec!["", "", text],
    }))
}

fn listed(parts: Vec<&str>) -> Value {
    parts.into_iter().map(str::to_owned).collect()
}

fn justified(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (usize, Option<&str>) = from_args(args)?;
    let missing = width.saturating_sub(text.chars().count());
    let fill = fill.unwrap_or(" ");
    let left = match method {
        "ljust" => 0,
        "rjust" => missing,
        // As Python: the odd one goes to the left where the width is odd.
        _ => missing / 2 + (missing & width & 1),
    };
    let (before, after) = (fill.repeat(left), fill.repeat(missing - left));
    Ok(Value::from(format!("{before}{text}{after}")))
}

fn zfill(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (width,): (usize,) = from_args(args)?;
    let missing = width.saturating_sub(text.chars().count());
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    Ok(Value::from(format!(
        "{sign}{}{digits}",
        "0".repeat(missing)
    )))
}
