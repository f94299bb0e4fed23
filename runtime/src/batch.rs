//! Records to Arrow batches: column builders driven by the table's schema.
//!
//! What fits no column, a field unknown or a value of another type, goes to
//! `_xetl_rescued` under its JSON pointer: no value is dropped.

mod cells;
mod rescue;
mod slots;

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use rescue::Context;
use slots::Slots;

use crate::schema::TableSchema;
use crate::value::Borrowed;

/// What xetl writes beside each record.
#[derive(Debug, Clone, PartialEq)]
pub struct Stamp {
    pub run_id: String,
    /// When the run began to read, in microseconds since 1970.
    pub extracted_at: i64,
}

/// Gathers records until there are enough for a batch.
pub struct BatchBuilder {
    schema: SchemaRef,
    stamp: Stamp,
    columns: Slots,
    rescued: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl BatchBuilder {
    pub fn new(schema: &TableSchema, stamp: Stamp) -> BatchBuilder {
        BatchBuilder {
            schema: schema.arrow(),
            stamp,
            columns: Slots::of(&schema.columns),
            rescued: StringBuilder::new(),
            rows: 0,
            bytes: 0,
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes the rows take in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, record: &Borrowed<'_>) {
        let mut context = Context::default();
        match record {
            Borrowed::Object(fields) => self.columns.append(self.rows, fields, &mut context),
            other => {
                context.rescue(other);
                self.columns.fill_missing(self.rows);
            }
        }
        self.rows += 1;
        self.bytes += context.bytes + 8 * self.columns.len();
        self.rescued.append_option(context.finish());
    }

    /// The rows so far as a batch; the builder is empty again.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays = self.columns.finish()?;
        let run_id = std::iter::repeat_n(self.stamp.run_id.as_str(), rows);
        let extracted_at = std::iter::repeat_n(self.stamp.extracted_at, rows);
        arrays.push(Arc::new(StringArray::from_iter_values(run_id)));
        arrays.push(Arc::new(
            TimestampMicrosecondArray::from_iter_values(extracted_at).with_timezone("UTC"),
        ));
        arrays.push(Arc::new(self.rescued.finish()));
        RecordBatch::try_new(self.schema.clone(), arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::declared;
    use crate::value::Value;
    use serde_json::json;

    fn stamp() -> Stamp {
        Stamp {
            run_id: "r1".into(),
            extracted_at: 1_000_000,
        }
    }

    fn rescued(properties: serde_json::Value, record: serde_json::Value) -> Option<String> {
        let schema = declared::table_schema(&json!({"properties": properties})).unwrap();
        let mut builder = BatchBuilder::new(&schema, stamp());
        builder.push(&Borrowed::from(&Value::from(&record)));
        let batch = builder.finish().unwrap();
        let column = batch
            .column(batch.num_columns() - 1)
            .as_string::<i32>()
            .clone();
        column.is_valid(0).then(|| column.value(0).to_owned())
    }

    #[test]
    fn a_record_that_fits_leaves_nothing_to_rescue() {
        let properties = json!({"a": {"type": "integer"}, "b": {"type": "string"}});
        assert_eq!(rescued(properties, json!({"b": "x", "a": 1})), None);
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_rescued_under_their_pointers() {
        let line = json!({"type": "object", "properties": {"q": {"type": "integer"}}});
        let properties = json!({
            "a": {"type": "integer"},
            "lines": {"type": "array", "items": line},
        });
        let record = json!({"a": "x", "new/one": [1], "lines": [{"q": 1, "z": 2}, 5, null]});
        insta::assert_snapshot!(
            rescued(properties, record).unwrap(),
            @r#"{"/a":"x","/new~1one":[1],"/lines/0/z":2,"/lines/1":5,"/lines/2":null}"#
        );
    }

    #[test]
    fn an_unknown_field_without_a_value_is_nothing() {
        assert_eq!(
            rescued(json!({"a": {"type": "integer"}}), json!({"b": null})),
            None
        );
    }

    #[test]
    fn a_record_that_is_no_object_is_rescued_whole() {
        let rescued = rescued(json!({"a": {"type": "integer"}}), json!([1])).unwrap();
        assert_eq!(rescued, r#"{"":[1]}"#);
    }

    #[test]
    fn a_builder_is_used_again_after_each_batch() {
        let schema =
            declared::table_schema(&json!({"properties": {"a": {"type": "integer"}}})).unwrap();
        let mut builder = BatchBuilder::new(&schema, stamp());
        for number in 0..3 {
            builder.push(&Borrowed::Object(vec![("a".into(), Borrowed::Int(number))]));
            let batch = builder.finish().unwrap();
            assert_eq!(batch.num_rows(), 1);
        }
    }
}
