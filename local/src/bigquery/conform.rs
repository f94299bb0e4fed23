//! Brings Arrow columns into the form a table keeps them in.
//!
//! Columns are found by name without regard to case, missing ones are NULL,
//! and every value gets the one Arrow type that stands for its BigQuery type.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field as ArrowField, Fields, SchemaRef};
use arrow::error::ArrowError;

use super::schema::{Field, Mode, Schema, Type};

/// `batch` with exactly the columns of `schema`.
pub fn conform(
    batch: &RecordBatch,
    schema: &Schema,
    arrow: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let from = batch.schema();
    let columns = columns(
        from.fields(),
        batch.columns(),
        &schema.fields,
        batch.num_rows(),
    )?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(arrow), columns, &options)
}

fn columns(
    from: &Fields,
    arrays: &[ArrayRef],
    to: &[Field],
    rows: usize,
) -> Result<Vec<ArrayRef>, ArrowError> {
    to.iter()
        .map(|field| {
            let found = from.iter().position(|have| field.is(have.name()));
            match found {
                Some(index) => column(&arrays[index], field),
                None => Ok(missing(field, rows)),
            }
        })
        .collect()
}

/// A column no file has: NULLs, or empty arrays, as BigQuery has no NULL array.
fn missing(field: &Field, rows: usize) -> ArrayRef {
    match field.arrow().data_type() {
        DataType::List(item) => {
            let none = new_null_array(item.data_type(), 0);
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(0, rows));
            Arc::new(ListArray::new(Arc::clone(item), offsets, none, None))
        }
        other => new_null_array(other, rows),
    }
}

fn column(array: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    match (field.mode, array.data_type()) {
        (Mode::Repeated, DataType::List(_)) => repeated(array.as_list(), field),
        (Mode::Repeated, DataType::Null) => Ok(missing(field, array.len())),
        (Mode::Repeated, other) => Err(mismatch(field, other)),
        (_, DataType::List(_)) if field.kind == Type::Record => {
            list_as_record(array.as_list(), field)
        }
        _ => item(array, field),
    }
}

fn repeated(list: &ListArray, field: &Field) -> Result<ArrayRef, ArrowError> {
    let values = item(list.values(), field)?;
    let lengths = (0..list.len()).map(|row| {
        if list.is_null(row) {
            0
        } else {
            list.value_length(row) as usize
        }
    });
    let kind = Arc::new(ArrowField::new("item", field.item_type(), true));
    // NULL arrays become empty ones; where all are whole the offsets can stay.
    let offsets = match list.null_count() {
        0 => list.offsets().clone(),
        _ if spans_nothing_when_null(list) => list.offsets().clone(),
        _ => OffsetBuffer::from_lengths(lengths),
    };
    Ok(Arc::new(ListArray::try_new(kind, offsets, values, None)?))
}

fn spans_nothing_when_null(list: &ListArray) -> bool {
    (0..list.len()).all(|row| list.is_valid(row) || list.value_length(row) == 0)
}

fn item(array: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let wanted = field.item_type();
    match (array.data_type(), &wanted) {
        (have, want) if have == want => Ok(Arc::clone(array)),
        (DataType::Struct(from), DataType::Struct(into)) => {
            let record = array.as_struct();
            let children = columns(from, record.columns(), &field.fields, record.len())?;
            let made = StructArray::try_new(into.clone(), children, record.nulls().cloned())?;
            Ok(Arc::new(made))
        }
        (DataType::Struct(_), _) | (DataType::List(_), _) => {
            Err(mismatch(field, array.data_type()))
        }
        (DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => {
            // A wall clock without a zone is read as UTC, which is what the cast does for "UTC".
            cast(array, &wanted)
        }
        _ => cast(array, &wanted),
    }
}

fn cast(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, wanted, &strict)
}

/// What a Parquet list becomes without list inference: `RECORD {list: REPEATED RECORD {element}}`.
fn list_as_record(list: &ListArray, field: &Field) -> Result<ArrayRef, ArrowError> {
    let Some(inner) = field
        .fields
        .first()
        .filter(|inner| inner.mode == Mode::Repeated)
    else {
        return Err(mismatch(field, list.data_type()));
    };
    let element = inner
        .fields
        .first()
        .ok_or_else(|| mismatch(field, list.data_type()))?;
    let values = column(list.values(), element)?;
    let wrapped: ArrayRef = Arc::new(StructArray::new(
        Fields::from(vec![element.arrow()]),
        vec![values],
        None,
    ));
    let kind = Arc::new(ArrowField::new("item", inner.item_type(), true));
    let nulls = list.nulls().cloned();
    let lists = ListArray::try_new(kind, list.offsets().clone(), wrapped, None)?;
    let fields = Fields::from(vec![inner.arrow()]);
    Ok(Arc::new(StructArray::try_new(
        fields,
        vec![Arc::new(lists)],
        nulls,
    )?))
}

fn mismatch(field: &Field, have: &DataType) -> ArrowError {
    ArrowError::CastError(format!(
        "column '{}' of type {have} cannot be read as {}",
        field.name,
        field.kind.name()
    ))
}

/// The first REQUIRED column that holds a NULL, or array that does, in words.
pub fn null_violation(batch: &RecordBatch, schema: &Schema) -> Option<String> {
    schema
        .fields
        .iter()
        .zip(batch.columns())
        .find_map(|(field, array)| violation(field, array))
}

fn violation(field: &Field, array: &ArrayRef) -> Option<String> {
    match field.mode {
        Mode::Required if array.null_count() > 0 => {
            Some(format!("Required field {} cannot be null", field.name))
        }
        Mode::Repeated => {
            let values = array.as_list::<i32>().values();
            (values.null_count() > 0).then(|| {
                format!(
                    "Array specified for repeated field {} contains a null element",
                    field.name
                )
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    fn schema(fields: Vec<Field>) -> Schema {
        Schema { fields }
    }

    #[test]
    fn columns_are_found_by_name_and_widened() {
        let batch =
            RecordBatch::try_from_iter([("ID", Arc::new(Int64Array::from(vec![7])) as ArrayRef)])
                .unwrap();
        let to = schema(vec![
            Field::new("id", Type::Numeric, Mode::Nullable),
            Field::new("new", Type::String, Mode::Nullable),
            Field::new("tags", Type::String, Mode::Repeated),
        ]);
        let got = conform(&batch, &to, &to.arrow()).unwrap();
        assert_eq!(got.column(0).data_type(), &DataType::Decimal128(38, 9));
        assert_eq!(got.column(1).null_count(), 1);
        assert_eq!(
            (
                got.column(2).null_count(),
                got.column(2).as_list::<i32>().value_length(0)
            ),
            (0, 0)
        );
    }

    #[test]
    fn a_null_array_becomes_an_empty_one() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None]);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(lists) as ArrayRef)]).unwrap();
        let to = schema(vec![Field::new("n", Type::Integer, Mode::Repeated)]);
        let got = conform(&batch, &to, &to.arrow()).unwrap();
        assert_eq!(got.column(0).null_count(), 0);
    }

    #[test]
    fn without_inference_a_list_is_a_record_of_elements() {
        let lists =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)])]);
        let batch = RecordBatch::try_from_iter([("n", Arc::new(lists) as ArrayRef)]).unwrap();
        let element = Field::new("element", Type::Integer, Mode::Nullable);
        let to = schema(vec![Field::record(
            "n",
            Mode::Nullable,
            vec![Field::record("list", Mode::Repeated, vec![element])],
        )]);
        let got = conform(&batch, &to, &to.arrow()).unwrap();
        let list = got.column(0).as_struct().column(0).as_list::<i32>().clone();
        assert_eq!(list.value_length(0), 2);
    }

    #[test]
    fn a_null_in_a_required_column_is_named() {
        let batch = RecordBatch::try_from_iter([(
            "id",
            Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef,
        )])
        .unwrap();
        let to = schema(vec![Field::new("id", Type::String, Mode::Required)]);
        assert_eq!(
            null_violation(&batch, &to).unwrap(),
            "Required field id cannot be null"
        );
    }
}
