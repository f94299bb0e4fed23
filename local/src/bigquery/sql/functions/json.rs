//! JSON text: values out of it, rows into it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DataFusionError, Result};
use serde_json::Value;

use super::{Call, Spec, arity};
use crate::bigquery::conform;
use crate::bigquery::schema;

pub const ALL: &[Spec] = &[
    Spec {
        name: "to_json_string",
        result: |types| arity(types, 1, 2, DataType::Utf8),
        call: to_json_string,
    },
    Spec {
        name: "to_json",
        result: |types| arity(types, 1, 1, DataType::Utf8),
        call: to_json_string,
    },
    Spec {
        name: "parse_json",
        result: |types| arity(types, 1, 1, DataType::Utf8),
        call: |call| parse_json(call, Wide::Exact),
    },
    Spec {
        name: "parse_json_round",
        result: |types| arity(types, 1, 1, DataType::Utf8),
        call: |call| parse_json(call, Wide::Round),
    },
    Spec {
        name: "json_value",
        result: |types| arity(types, 1, 2, DataType::Utf8),
        call: |call| extract(call, scalar),
    },
    Spec {
        name: "json_extract_scalar",
        result: |types| arity(types, 1, 2, DataType::Utf8),
        call: |call| extract(call, scalar),
    },
    Spec {
        name: "json_query",
        result: |types| arity(types, 1, 2, DataType::Utf8),
        call: |call| extract(call, whole),
    },
    Spec {
        name: "json_extract",
        result: |types| arity(types, 1, 2, DataType::Utf8),
        call: |call| extract(call, whole),
    },
    Spec {
        name: "json_field",
        result: |types| arity(types, 2, 2, DataType::Utf8),
        call: field,
    },
    Spec {
        name: "json_query_array",
        result: |types| {
            arity(
                types,
                1,
                2,
                DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))),
            )
        },
        call: items,
    },
];

fn to_json_string(call: &Call) -> Result<ArrayRef> {
    let field = schema::Field::of_arrow(&Field::new("v", call.args[0].data_type().clone(), true));
    let schema = schema::Schema {
        fields: vec![field],
    };
    let batch =
        datafusion::arrow::array::RecordBatch::try_from_iter([("v", Arc::clone(&call.args[0]))])?;
    let batch = conform::conform(&batch, &schema, &schema.arrow())?;
    let texts: StringArray = (0..call.rows)
        .map(|row| Some(json(batch.column(0), row).to_string()))
        .collect();
    Ok(Arc::new(texts))
}

/// One value as JSON: numbers bare where a double holds them, the rest as text.
fn json(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
            let text = super::texts::plain(array, row);
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len()).map(|row| json(&items, row)).collect()
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let pairs = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| (field.name().clone(), json(column, row)));
            Value::Object(pairs.collect())
        }
        _ => Value::String(super::texts::plain(array, row)),
    }
}

/// What becomes of numbers that a double does not hold.
#[derive(Clone, Copy, PartialEq)]
enum Wide {
    Exact,
    Round,
}

fn parse_json(call: &Call, wide: Wide) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let invalid =
        |what: String| DataFusionError::Execution(format!("Invalid input to PARSE_JSON: {what}"));
    let parsed: StringArray = call.each(|row| {
        let text = texts.value(row);
        let value: Value =
            serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if let (Wide::Exact, Some(number)) = (wide, too_wide(text)) {
            return Err(invalid(format!(
                "Input number: {number} cannot round-trip through string representation"
            )));
        }
        Ok(Some(value.to_string()))
    })?;
    Ok(Arc::new(parsed))
}

/// The first number of a JSON text that a double does not give back.
fn too_wide(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let token = &rest[start..];
        let length = match token.starts_with('"') {
            true => string_length(token),
            false => token
                .find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c))
                .unwrap_or(token.len()),
        };
        let (token, after) = token.split_at(length);
        if !token.starts_with('"') && !round_trips(token) {
            return Some(token);
        }
        rest = after;
    }
    None
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn round_trips(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    let double: f64 = number.parse().unwrap_or(f64::NAN);
    digits(&format!("{double:e}")) == digits(number)
}

/// Digits without zeros at either end, and the power of ten of the last.
fn digits(number: &str) -> Option<(String, i64)> {
    let number = number.trim_start_matches('-').to_ascii_lowercase();
    let (mantissa, exponent) = number.split_once('e').unwrap_or((&number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 = exponent.trim_start_matches('+').parse().ok()?;
    let all = format!("{whole}{fraction}");
    let kept = all.trim_end_matches('0');
    let cut = (all.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0').to_owned();
    match kept.is_empty() {
        true => Some((kept, 0)),
        false => Some((kept, exponent - fraction.len() as i64 + cut)),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn whole(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| value.to_string())
}

fn at_path(
    call: &Call,
    row: usize,
    texts: &StringArray,
    paths: Option<&StringArray>,
) -> Result<Option<Value>> {
    let Ok(value) = serde_json::from_str::<Value>(texts.value(row)) else {
        return Ok(None);
    };
    let path = paths.map_or("$", |paths| paths.value(row));
    let _ = call;
    Ok(lookup(&value, path)?.cloned())
}

fn extract(call: &Call, take: fn(&Value) -> Option<String>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let paths = if call.args.len() > 1 {
        Some(call.texts(1)?)
    } else {
        None
    };
    let found: StringArray = call.each(|row| {
        Ok(at_path(call, row, &texts, paths.as_ref())?
            .as_ref()
            .and_then(take))
    })?;
    Ok(Arc::new(found))
}

fn items(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let paths = if call.args.len() > 1 {
        Some(call.texts(1)?)
    } else {
        None
    };
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let value = if call.any_null(row) {
            None
        } else {
            at_path(call, row, &texts, paths.as_ref())?
        };
        match value {
            Some(Value::Array(items)) => {
                items
                    .iter()
                    .for_each(|item| lists.values().append_value(item.to_string()));
                lists.append(true);
            }
            _ => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}

fn field(call: &Call) -> Result<ArrayRef> {
    let (texts, names) = (call.texts(0)?, call.texts(1)?);
    let found: StringArray = call.each(|row| {
        let value: Option<Value> = serde_json::from_str(texts.value(row)).ok();
        Ok(value.and_then(|value| whole(value.get(names.value(row))?)))
    })?;
    Ok(Arc::new(found))
}

/// What a path such as `$.a.b[0]` or `$['a']` leads to.
fn lookup<'a>(value: &'a Value, path: &str) -> Result<Option<&'a Value>> {
    let bad = || DataFusionError::Execution(format!("Invalid JSONPath: {path}"));
    let mut rest = path.strip_prefix('$').ok_or_else(bad)?;
    let mut at = Some(value);
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix('.') {
            let quoted = name.strip_prefix('"').and_then(|name| name.split_once('"'));
            let (name, after) = quoted
                .unwrap_or_else(|| name.split_at(name.find(['.', '[']).unwrap_or(name.len())));
            at = at.and_then(|value| value.get(name));
            rest = after;
        } else {
            let (step, after) = rest
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .ok_or_else(bad)?;
            let name = step.trim_matches(['\'', '"']);
            at = match step.parse::<usize>() {
                Ok(index) => at.and_then(|value| value.get(index)),
                Err(_) => at.and_then(|value| value.get(name)),
            };
            rest = after;
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_through_objects_and_arrays() {
        let value = json!({"a": {"b c": [1, {"d": "x"}]}});
        assert_eq!(
            lookup(&value, "$.a.\"b c\"[1].d").unwrap(),
            Some(&json!("x"))
        );
        assert_eq!(lookup(&value, "$['a']['b c'][0]").unwrap(), Some(&json!(1)));
        assert_eq!(lookup(&value, "$.nope.d").unwrap(), None);
        assert!(lookup(&value, "a").is_err());
    }

    #[test]
    fn only_numbers_that_a_double_gives_back_are_exact() {
        assert_eq!(
            too_wide(r#"{"a": [1, 2.50, -0.1, 1e3, 0.0], "b\"1.00000000000000000001": "x"}"#),
            None
        );
        assert_eq!(too_wide("[18446744073709551615, 1e300]"), None);
        assert_eq!(
            too_wide("[1, 123456789.1234567891]"),
            Some("123456789.1234567891")
        );
        assert_eq!(
            too_wide("18446744073709551617"),
            Some("18446744073709551617")
        );
    }
}
