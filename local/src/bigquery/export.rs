//! A row as a line of text, as extract jobs write it.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use serde_json::{Map, Value};

use super::schema::{Field, Mode, Schema, Type};
use super::values::{Timestamps, datetime, scalar};

/// One object; columns that are NULL are left out.
pub fn json_line(batch: &RecordBatch, schema: &Schema, row: usize) -> String {
    let object = json_object(&schema.fields, batch.columns(), row);
    format!("{}\n", Value::Object(object))
}

fn json_object(fields: &[Field], columns: &[ArrayRef], row: usize) -> Map<String, Value> {
    let present = fields
        .iter()
        .zip(columns)
        .filter(|(_, column)| column.is_valid(row));
    present
        .map(|(field, column)| (field.name.clone(), json_value(field, column, row)))
        .collect()
}

fn json_value(field: &Field, column: &ArrayRef, row: usize) -> Value {
    if field.mode == Mode::Repeated {
        let items = column.as_list::<i32>().value(row);
        return (0..items.len())
            .map(|item| json_item(field, &items, item))
            .collect();
    }
    json_item(field, column, row)
}

/// Whole numbers and decimals are strings, so that no reader rounds them.
fn json_item(field: &Field, column: &ArrayRef, row: usize) -> Value {
    match field.kind {
        Type::Record => {
            let columns = column.as_struct().columns();
            Value::Object(json_object(&field.fields, columns, row))
        }
        Type::Boolean => column.as_boolean().value(row).into(),
        Type::Float => {
            let value = column.as_primitive::<Float64Type>().value(row);
            serde_json::Number::from_f64(value)
                .map_or_else(|| text(column, row).into(), Value::Number)
        }
        Type::Json => {
            let text = text(column, row);
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        _ => text(column, row).into(),
    }
}

pub fn csv_header(schema: &Schema, delimiter: &str) -> String {
    let names: Vec<String> = schema
        .fields
        .iter()
        .map(|field| quoted(&field.name, delimiter))
        .collect();
    format!("{}\n", names.join(delimiter))
}

/// NULL and the empty string look the same.
pub fn csv_line(batch: &RecordBatch, row: usize, delimiter: &str) -> String {
    let cells: Vec<String> = batch
        .columns()
        .iter()
        .map(|column| match column.is_null(row) {
            true => String::new(),
            false => quoted(&text(column, row), delimiter),
        })
        .collect();
    format!("{}\n", cells.join(delimiter))
}

fn quoted(text: &str, delimiter: &str) -> String {
    let special = text.contains(delimiter) || text.contains(['"', '\n', '\r']);
    match special {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn text(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            format!("{} UTC", datetime(micros, ' '))
        }
        _ => scalar(column, row, Timestamps::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Int64Array, ListArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;

    fn batch() -> (RecordBatch, Schema) {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None]);
        let at = TimestampMicrosecondArray::from(vec![Some(0), None]).with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef),
            (
                "s",
                Arc::new(StringArray::from(vec![Some("a,\"b\""), None])),
            ),
            ("at", Arc::new(at)),
            ("l", Arc::new(lists)),
        ])
        .unwrap();
        let schema = Schema::of_arrow(&batch.schema());
        (batch, schema)
    }

    #[test]
    fn whole_numbers_are_strings_and_nulls_are_left_out() {
        let (batch, schema) = batch();
        assert_eq!(
            json_line(&batch, &schema, 0),
            "{\"n\":\"7\",\"s\":\"a,\\\"b\\\"\",\"at\":\"1970-01-01 00:00:00 UTC\",\"l\":[\"1\"]}\n"
        );
        assert_eq!(json_line(&batch, &schema, 1), "{\"n\":\"8\"}\n");
    }

    #[test]
    fn texts_with_the_delimiter_are_quoted() {
        let (batch, schema) = batch();
        let flat = batch.project(&[0, 1, 2]).unwrap();
        assert_eq!(
            csv_line(&flat, 0, ","),
            "7,\"a,\"\"b\"\"\",1970-01-01 00:00:00 UTC\n"
        );
        assert_eq!(csv_line(&flat, 1, ","), "8,,\n");
        assert_eq!(csv_header(&schema, "|"), "n|s|at|l\n");
    }
}
