//! Text: regular expressions, pieces, and how values read as text.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use regex::Regex;

use super::{Call, Spec, arity, failed};
use crate::bigquery::values::{self, Timestamps};

pub const ALL: &[Spec] = &[
    Spec {
        name: "concat",
        result: |types| arity(types, 1, usize::MAX, DataType::Utf8),
        call: concat,
    },
    Spec {
        name: "substr",
        result: |types| arity(types, 2, 3, DataType::Utf8),
        call: substr,
    },
    Spec {
        name: "substring",
        result: |types| arity(types, 2, 3, DataType::Utf8),
        call: substr,
    },
    Spec {
        name: "split",
        result: |types| arity(types, 1, 2, texts_type()),
        call: split,
    },
    Spec {
        name: "length",
        result: |types| arity(types, 1, 1, DataType::Int64),
        call: length,
    },
    Spec {
        name: "instr",
        result: |types| arity(types, 2, 2, DataType::Int64),
        call: instr,
    },
    Spec {
        name: "regexp_contains",
        result: |types| arity(types, 2, 2, DataType::Boolean),
        call: regexp_contains,
    },
    Spec {
        name: "regexp_extract",
        result: |types| arity(types, 2, 2, DataType::Utf8),
        call: regexp_extract,
    },
    Spec {
        name: "regexp_extract_all",
        result: |types| arity(types, 2, 2, texts_type()),
        call: regexp_extract_all,
    },
    Spec {
        name: "regexp_replace",
        result: |types| arity(types, 3, 3, DataType::Utf8),
        call: regexp_replace,
    },
    Spec {
        name: "to_string",
        result: |types| arity(types, 1, 1, DataType::Utf8),
        call: to_string,
    },
    Spec {
        name: "to_hex",
        result: |types| arity(types, 1, 1, DataType::Utf8),
        call: to_hex,
    },
];

fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn concat(call: &Call) -> Result<ArrayRef> {
    let parts = (0..call.args.len())
        .map(|at| call.texts(at))
        .collect::<Result<Vec<_>>>()?;
    let joined: StringArray = call.each(|row| {
        Ok(Some(
            parts.iter().map(|part| part.value(row)).collect::<String>(),
        ))
    })?;
    Ok(Arc::new(joined))
}

/// From position 1; a negative one counts from the end.
fn substr(call: &Call) -> Result<ArrayRef> {
    let (texts, from) = (call.texts(0)?, call.integers(1)?);
    let count = if call.args.len() > 2 {
        Some(call.integers(2)?)
    } else {
        None
    };
    let pieces: StringArray = call.each(|row| {
        let text = texts.value(row);
        let length = text.chars().count() as i64;
        let start = match from.value(row) {
            at if at > 0 => at - 1,
            0 => 0,
            back => (length + back).max(0),
        };
        let count = count.as_ref().map_or(length, |count| count.value(row));
        if count < 0 {
            return failed("Third argument in SUBSTR() cannot be negative");
        }
        Ok(Some(
            text.chars()
                .skip(start as usize)
                .take(count as usize)
                .collect::<String>(),
        ))
    })?;
    Ok(Arc::new(pieces))
}

fn split(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let separators = if call.args.len() > 1 {
        Some(call.texts(1)?)
    } else {
        None
    };
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if call.any_null(row) {
            lists.append(false);
            continue;
        }
        let (text, separator) = (
            texts.value(row),
            separators.as_ref().map_or(",", |by| by.value(row)),
        );
        match separator {
            "" => text
                .chars()
                .for_each(|c| lists.values().append_value(c.to_string())),
            by => text
                .split(by)
                .for_each(|part| lists.values().append_value(part)),
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// Characters of a text, bytes of BYTES.
fn length(call: &Call) -> Result<ArrayRef> {
    let bytes = matches!(
        call.args[0].data_type(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    );
    if bytes {
        let values = cast(&call.args[0], &DataType::Binary)?;
        let values = values.as_binary::<i32>();
        let lengths: Int64Array = call.each(|row| Ok(Some(values.value(row).len() as i64)))?;
        return Ok(Arc::new(lengths));
    }
    let texts = call.texts(0)?;
    let lengths: Int64Array = call.each(|row| Ok(Some(texts.value(row).chars().count() as i64)))?;
    Ok(Arc::new(lengths))
}

fn instr(call: &Call) -> Result<ArrayRef> {
    let (texts, parts) = (call.texts(0)?, call.texts(1)?);
    let found: Int64Array = call.each(|row| {
        let text = texts.value(row);
        Ok(Some(
            text.find(parts.value(row))
                .map_or(0, |at| text[..at].chars().count() as i64 + 1),
        ))
    })?;
    Ok(Arc::new(found))
}

/// Patterns compiled once a batch.
#[derive(Default)]
struct Patterns(HashMap<String, Regex>);

impl Patterns {
    fn get(&mut self, pattern: &str) -> Result<&Regex> {
        if !self.0.contains_key(pattern) {
            let regex = Regex::new(pattern).map_err(|error| {
                DataFusionError::Execution(format!("Cannot parse regular expression: {error}"))
            })?;
            self.0.insert(pattern.to_owned(), regex);
        }
        Ok(&self.0[pattern])
    }
}

fn regexp_contains(call: &Call) -> Result<ArrayRef> {
    let (texts, by, mut patterns) = (call.texts(0)?, call.texts(1)?, Patterns::default());
    let found: BooleanArray = call.each(|row| {
        Ok(Some(
            patterns.get(by.value(row))?.is_match(texts.value(row)),
        ))
    })?;
    Ok(Arc::new(found))
}

/// The first group, or the whole match of a pattern without groups.
fn regexp_extract(call: &Call) -> Result<ArrayRef> {
    let (texts, by, mut patterns) = (call.texts(0)?, call.texts(1)?, Patterns::default());
    let found: StringArray = call.each(|row| {
        let captures = patterns.get(by.value(row))?.captures(texts.value(row));
        Ok(captures.and_then(|groups| {
            let group = if groups.len() > 1 {
                groups.get(1)
            } else {
                groups.get(0)
            };
            group.map(|found| found.as_str().to_owned())
        }))
    })?;
    Ok(Arc::new(found))
}

fn regexp_extract_all(call: &Call) -> Result<ArrayRef> {
    let (texts, by, mut patterns) = (call.texts(0)?, call.texts(1)?, Patterns::default());
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if call.any_null(row) {
            lists.append(false);
            continue;
        }
        for groups in patterns.get(by.value(row))?.captures_iter(texts.value(row)) {
            let group = if groups.len() > 1 {
                groups.get(1)
            } else {
                groups.get(0)
            };
            lists
                .values()
                .append_option(group.map(|found| found.as_str()));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// `\1` names a group, as in RE2.
fn regexp_replace(call: &Call) -> Result<ArrayRef> {
    let (texts, by, with, mut patterns) = (
        call.texts(0)?,
        call.texts(1)?,
        call.texts(2)?,
        Patterns::default(),
    );
    let replaced: StringArray = call.each(|row| {
        let with = re2_replacement(with.value(row));
        Ok(Some(
            patterns
                .get(by.value(row))?
                .replace_all(texts.value(row), with.as_str())
                .into_owned(),
        ))
    })?;
    Ok(Arc::new(replaced))
}

fn re2_replacement(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => out.push_str(&format!("${{{digit}}}")),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

/// CAST to STRING as BigQuery writes values.
fn to_string(call: &Call) -> Result<ArrayRef> {
    let array = &call.args[0];
    let micros = match array.data_type() {
        DataType::Timestamp(_, zone) => Some((
            cast(
                array,
                &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            )?,
            zone.is_some(),
        )),
        _ => None,
    };
    if let Some((array, zoned)) = micros {
        let array = array.as_primitive::<TimestampMicrosecondType>();
        let end = if zoned { "+00" } else { "" };
        let texts: StringArray = call.each(|row| {
            Ok(Some(format!(
                "{}{end}",
                short_fraction(values::datetime(array.value(row), ' '))
            )))
        })?;
        return Ok(Arc::new(texts));
    }
    match array.data_type() {
        DataType::Float64 | DataType::Float32 | DataType::Float16 => {
            let floats = call.floats(0)?;
            let texts: StringArray = call.each(|row| Ok(Some(float_text(floats.value(row)))))?;
            Ok(Arc::new(texts))
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let texts = call.texts(0)?;
            let texts: StringArray =
                call.each(|row| Ok(Some(values::plain_decimal(texts.value(row).to_owned()))))?;
            Ok(Arc::new(texts))
        }
        DataType::Struct(_) | DataType::List(_) => {
            failed("Invalid cast to STRING of a STRUCT or ARRAY")
        }
        _ => Ok(cast(array, &DataType::Utf8)?),
    }
}

/// Fractions are written with three digits where three will do.
fn short_fraction(text: String) -> String {
    match text.split_once('.') {
        Some((_, fraction)) if fraction.ends_with("000") => text[..text.len() - 3].to_owned(),
        _ => text,
    }
}

/// `1.0` reads as `1`.
fn float_text(value: f64) -> String {
    if value.is_finite() && value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    match value {
        value if value.is_finite() => format!("{value}"),
        value if value.is_nan() => "NaN".to_owned(),
        value if value > 0.0 => "inf".to_owned(),
        _ => "-inf".to_owned(),
    }
}

fn to_hex(call: &Call) -> Result<ArrayRef> {
    let values = cast(&call.args[0], &DataType::Binary)?;
    let values = values.as_binary::<i32>();
    let texts: StringArray = call.each(|row| Ok(Some(hex::encode(values.value(row)))))?;
    Ok(Arc::new(texts))
}

/// The text of one value, for messages and JSON.
pub fn plain(array: &ArrayRef, row: usize) -> String {
    values::scalar(array, row, Timestamps::Iso8601)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_name_groups_by_backslash() {
        assert_eq!(re2_replacement(r"\1-\2 $"), "${1}-${2} $$");
    }

    #[test]
    fn floats_and_times_read_as_bigquery_writes_them() {
        assert_eq!([float_text(1.0), float_text(0.5)], ["1", "0.5"]);
        assert_eq!(
            short_fraction("2024-01-01 00:00:00.120000".to_owned()),
            "2024-01-01 00:00:00.120"
        );
    }
}
