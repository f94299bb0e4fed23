//! The rows of a table, as the reference's ResponseToFileExtractor has pandas read them.

use std::collections::HashSet;

use crate::source::decoder::{Charset, Rows, Text, charset_of, inflated};
use crate::source::response::Response;
use crate::value::{Object, Value};

/// Texts that pandas takes for nothing.
const NOTHING: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan",
];

type Row = Result<Value, String>;

/// The rows of a comma-separated body, which may be packed.
pub fn rows(response: &Response, only_empty_is_null: bool) -> Box<dyn Iterator<Item = Row> + Send> {
    let named = response.header("content-type").and_then(charset_of);
    let charset = match Charset::named(named.as_deref().unwrap_or("utf-8")) {
        Ok(charset) => charset,
        Err(problem) => return Box::new(std::iter::once(Err(problem))),
    };
    let text = Text::new(inflated(response.body.clone()), charset);
    let lines = Rows::new(text, ',').filter(|row| !matches!(row, Ok(row) if is_blank(row)));
    Box::new(records(lines, only_empty_is_null))
}

fn is_blank(row: &[String]) -> bool {
    match row {
        [] => true,
        [only] => only.trim_matches([' ', '\t']).is_empty(),
        _ => false,
    }
}

fn records(
    mut rows: impl Iterator<Item = Result<Vec<String>, String>> + Send,
    only_empty_is_null: bool,
) -> impl Iterator<Item = Row> + Send {
    let mut header: Option<Vec<String>> = None;
    let mut number = 1;
    std::iter::from_fn(move || {
        if header.is_none() {
            match rows.next()? {
                Ok(row) => header = Some(names(row)),
                Err(problem) => return Some(Err(problem)),
            }
        }
        let names = header.as_deref().unwrap_or_default();
        number += 1;
        let row = rows.next()?;
        Some(row.and_then(|row| record(names, row, number, only_empty_is_null)))
    })
}

/// The columns' names: one for a column without, and no name twice.
fn names(header: Vec<String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let given: HashSet<String> = header.iter().cloned().collect();
    let names = header.into_iter().enumerate().map(|(index, name)| {
        let name = name.trim_start_matches('\u{feff}');
        let name = match name {
            "" => format!("Unnamed: {index}"),
            name => name.to_owned(),
        };
        let mut unique = name.clone();
        let mut copy = 0;
        while taken.contains(&unique) || (copy > 0 && given.contains(&unique)) {
            copy += 1;
            unique = format!("{name}.{copy}");
        }
        taken.insert(unique.clone());
        unique
    });
    names.collect()
}

fn record(names: &[String], row: Vec<String>, number: usize, only_empty_is_null: bool) -> Row {
    if row.len() > names.len() {
        let (have, expected) = (row.len(), names.len());
        return Err(format!(
            "row {number} has {have} fields where the header has {expected}"
        ));
    }
    let is_nothing = |text: &str| match only_empty_is_null {
        true => text.is_empty(),
        false => text == "null" || NOTHING.contains(&text),
    };
    let value = |text: String| match is_nothing(&text) {
        true => Value::Null,
        false => Value::String(text.replace('\0', "")),
    };
    let mut row = row.into_iter();
    let fields = names
        .iter()
        .map(|name| (name.clone(), row.next().map_or(Value::Null, value)));
    Ok(Value::Object(fields.collect::<Object>()))
}
