//! Items of arrays by position.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, UInt64Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DataFusionError, Result};

use super::{Call, Spec, failed};

pub const ALL: &[Spec] = &[
    Spec {
        name: "offset",
        result: item_type,
        call: |call| item(call, 0),
    },
    Spec {
        name: "ordinal",
        result: item_type,
        call: |call| item(call, 1),
    },
    Spec {
        name: "offsets",
        result: |_| Ok(DataType::List(offset_field())),
        call: offsets,
    },
    Spec {
        name: "array_length",
        result: |_| Ok(DataType::Int64),
        call: length,
    },
];

fn item_type(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(DataType::List(item)) => Ok(item.data_type().clone()),
        other => Err(DataFusionError::Plan(format!(
            "Element access using [OFFSET()] is not supported on {other:?}"
        ))),
    }
}

/// The item at a position that counts from `first`.
fn item(call: &Call, first: i64) -> Result<ArrayRef> {
    let lists = call.args[0].as_list::<i32>();
    let at = call.integers(1)?;
    let indices: UInt64Array = call.each(|row| {
        let index = at.value(row) - first;
        let length = i64::from(lists.value_length(row));
        match (0..length).contains(&index) {
            true => Ok(Some(lists.value_offsets()[row] as u64 + index as u64)),
            false if call.safe => Ok(None),
            false => failed(format!("Array index {} is out of bounds", at.value(row))),
        }
    })?;
    Ok(take(lists.values(), &indices, None)?)
}

fn offset_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Int64, true))
}

/// `[0, 1, ..]` beside each array.
fn offsets(call: &Call) -> Result<ArrayRef> {
    let lists = call.args[0].as_list::<i32>();
    let lengths: Vec<usize> = (0..call.rows)
        .map(|row| {
            if lists.is_null(row) {
                0
            } else {
                lists.value_length(row) as usize
            }
        })
        .collect();
    let values: Int64Array = lengths
        .iter()
        .flat_map(|length| 0..*length as i64)
        .collect();
    let made = ListArray::try_new(
        offset_field(),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(values),
        lists.nulls().cloned(),
    )?;
    Ok(Arc::new(made))
}

fn length(call: &Call) -> Result<ArrayRef> {
    if call.args[0].data_type().is_null() {
        return Ok(Arc::new(Int64Array::new_null(call.rows)));
    }
    let lists = call.args[0].as_list::<i32>();
    let lengths: Int64Array = call.each(|row| Ok(Some(i64::from(lists.value_length(row)))))?;
    Ok(Arc::new(lengths))
}
