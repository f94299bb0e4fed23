//! Arrow values in the REST form: `{"f": [{"v": "text"}]}`, everything a string.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float64Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    #[default]
    FloatSeconds,
    Int64Micros,
    Iso8601,
}

/// The rows of a batch whose columns are in the form `conform` makes.
pub fn rows(batch: &RecordBatch, timestamps: Timestamps) -> Vec<Value> {
    (0..batch.num_rows())
        .map(|row| {
            let cells = batch
                .columns()
                .iter()
                .map(|column| json!({"v": cell(column, row, timestamps)}));
            json!({"f": cells.collect::<Vec<_>>()})
        })
        .collect()
}

fn cell(array: &ArrayRef, row: usize, timestamps: Timestamps) -> Value {
    if array.is_null(row) {
        return match array.data_type() {
            DataType::List(_) => json!([]),
            _ => Value::Null,
        };
    }
    match array.data_type() {
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            (0..items.len())
                .map(|row| json!({"v": cell(&items, row, timestamps)}))
                .collect()
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            let cells: Vec<Value> = columns
                .iter()
                .map(|column| json!({"v": cell(column, row, timestamps)}))
                .collect();
            json!({"f": cells})
        }
        _ => Value::String(scalar(array, row, timestamps)),
    }
}

/// The text of one value that is neither NULL nor nested.
pub fn scalar(array: &ArrayRef, row: usize, timestamps: Timestamps) -> String {
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => {
            plain_decimal(array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Decimal256(..) => {
            plain_decimal(array.as_primitive::<Decimal256Type>().value_as_string(row))
        }
        DataType::Date32 => date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Time64(_) => clock(array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            match (zone, timestamps) {
                (None, _) => datetime(micros, 'T'),
                (_, Timestamps::FloatSeconds) => double(micros as f64 / 1e6),
                (_, Timestamps::Int64Micros) => micros.to_string(),
                (_, Timestamps::Iso8601) => format!("{}Z", datetime(micros, 'T')),
            }
        }
        DataType::Binary => STANDARD.encode(array.as_binary::<i32>().value(row)),
        _ => array.as_string::<i32>().value(row).to_owned(),
    }
}

/// A double as the service prints it, which is as Java does: `1.0`, `1.5E9`.
pub fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

/// NUMERIC has no trailing zeros.
pub fn plain_decimal(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

pub fn date(days: i32) -> String {
    match jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)) {
        Ok(date) => date.to_string(),
        Err(_) => days.to_string(),
    }
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    match micros % 1_000_000 {
        0 => {}
        fraction => {
            let _ = write!(text, ".{fraction:06}");
        }
    }
    text
}

/// A moment in UTC, with a fraction only where there is one.
pub fn datetime(micros: i64, between: char) -> String {
    let day = micros.div_euclid(86_400_000_000);
    let rest = micros.rem_euclid(86_400_000_000);
    let day = i32::try_from(day).unwrap_or(i32::MAX);
    format!("{}{between}{}", date(day), clock(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Decimal128Array, ListArray, StructArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Fields};

    fn one(array: impl Array + 'static, timestamps: Timestamps) -> Value {
        cell(&(Arc::new(array) as ArrayRef), 0, timestamps)
    }

    #[test]
    fn numerics_have_no_trailing_zeros() {
        let numeric = |value: i128| {
            Decimal128Array::from(vec![value])
                .with_precision_and_scale(38, 9)
                .unwrap()
        };
        assert_eq!(one(numeric(1_500_000_000), Timestamps::default()), "1.5");
        assert_eq!(
            one(numeric(-100_000_000_000), Timestamps::default()),
            "-100"
        );
        assert_eq!(one(numeric(0), Timestamps::default()), "0");
    }

    #[test]
    fn a_timestamp_is_float_seconds_unless_asked_otherwise() {
        let at =
            || TimestampMicrosecondArray::from(vec![1_704_067_200_123_456]).with_timezone("UTC");
        assert_eq!(one(at(), Timestamps::FloatSeconds), "1.704067200123456E9");
        assert_eq!(one(at(), Timestamps::Int64Micros), "1704067200123456");
        assert_eq!(
            one(at(), Timestamps::Iso8601),
            "2024-01-01T00:00:00.123456Z"
        );
        assert_eq!(
            one(
                TimestampMicrosecondArray::from(vec![-1]),
                Timestamps::Int64Micros
            ),
            "1969-12-31T23:59:59.999999"
        );
    }

    #[test]
    fn doubles_look_as_java_prints_them() {
        let shown: Vec<String> = [1.0, 0.1, 1e20, 1.5e9, f64::NAN]
            .into_iter()
            .map(double)
            .collect();
        assert_eq!(shown, ["1.0", "0.1", "1.0E20", "1.5E9", "NaN"]);
    }

    #[test]
    fn records_and_arrays_nest() {
        let numbers =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)])]);
        let fields = Fields::from(vec![Field::new("n", numbers.data_type().clone(), true)]);
        let record = StructArray::new(fields, vec![Arc::new(numbers)], None);
        assert_eq!(
            one(record, Timestamps::default()),
            json!({"f": [{"v": [{"v": "1"}, {"v": "2"}]}]})
        );
        assert_eq!(
            one(
                BinaryArray::from(vec![b"hi".as_slice()]),
                Timestamps::default()
            ),
            "aGk="
        );
    }
}
