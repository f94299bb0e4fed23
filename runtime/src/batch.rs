//! Records to Arrow batches: column builders driven by the table's schema.
//!
//! What fits no column, a field unknown or a value of another type, goes to
//! `_xetl_rescued` under its JSON pointer: no value is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use base64::Engine as _;

use crate::scalar;
use crate::schema::{Column, Kind, TableSchema, arrow as arrow_schema};
use crate::value::{Object, Value};

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
    columns: Vec<Slot>,
    fields: HashMap<Box<str>, usize>,
    rescued: StringBuilder,
    rows: usize,
    bytes: usize,
}

impl BatchBuilder {
    pub fn new(schema: &TableSchema, stamp: Stamp) -> BatchBuilder {
        BatchBuilder {
            schema: schema.arrow(),
            stamp,
            columns: schema.columns.iter().map(Slot::new).collect(),
            fields: positions(&schema.columns),
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

    pub fn push(&mut self, record: &Value) {
        let mut context = Context::default();
        match record {
            Value::Object(fields) => {
                append_fields(
                    &mut self.columns,
                    &self.fields,
                    self.rows,
                    fields,
                    &mut context,
                );
            }
            other => {
                context.rescue(other);
                fill_missing(&mut self.columns, self.rows);
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
        let mut arrays = self
            .columns
            .iter_mut()
            .map(Slot::finish)
            .collect::<Result<Vec<_>, _>>()?;
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

fn positions(columns: &[Column]) -> HashMap<Box<str>, usize> {
    columns
        .iter()
        .enumerate()
        .map(|(at, column)| (column.field.as_str().into(), at))
        .collect()
}

/// A column under construction, with the rows it has.
struct Slot {
    field: Box<str>,
    cells: Cells,
    filled: usize,
}

impl Slot {
    fn new(column: &Column) -> Slot {
        Slot {
            field: column.field.as_str().into(),
            cells: Cells::of(column),
            filled: 0,
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.filled = 0;
        self.cells.finish()
    }
}

/// Appends one object, the `row`th of these columns.
fn append_fields<'a>(
    slots: &mut [Slot],
    positions: &HashMap<Box<str>, usize>,
    row: usize,
    fields: &'a Object,
    context: &mut Context<'a>,
) {
    let mut guess = 0;
    for (field, value) in fields {
        context.path.push(Step::Field(field));
        match position(slots, positions, guess, field) {
            Some(at) => {
                guess = at + 1;
                slots[at].cells.append_or_rescue(value, context);
                slots[at].filled = row + 1;
            }
            // An unknown field that says nothing is nothing to keep.
            None if *value == Value::Null => {}
            None => context.rescue(value),
        }
        context.path.pop();
    }
    fill_missing(slots, row);
}

/// Records mostly come with their fields in the schema's order.
fn position(
    slots: &[Slot],
    positions: &HashMap<Box<str>, usize>,
    guess: usize,
    field: &str,
) -> Option<usize> {
    match slots.get(guess) {
        Some(slot) if *slot.field == *field => Some(guess),
        _ => positions.get(field).copied(),
    }
}

fn fill_missing(slots: &mut [Slot], row: usize) {
    for slot in slots.iter_mut().filter(|slot| slot.filled == row) {
        slot.cells.append_null();
        slot.filled = row + 1;
    }
}

/// The values of a column so far.
enum Cells {
    Bool(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Numeric(Decimal128Builder),
    BigNumeric(Decimal256Builder),
    String(StringBuilder),
    Text(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Datetime(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Bytes(BinaryBuilder),
    Struct(StructCells),
    List(ListCells),
}

struct StructCells {
    columns: Vec<Slot>,
    positions: HashMap<Box<str>, usize>,
    fields: arrow::datatypes::Fields,
    validity: NullBufferBuilder,
}

struct ListCells {
    items: Box<Cells>,
    item_type: DataType,
    offsets: Vec<i32>,
    validity: NullBufferBuilder,
}

impl Cells {
    fn of(column: &Column) -> Cells {
        let cells = Cells::of_kind(&column.kind);
        if !column.repeated {
            return cells;
        }
        Cells::List(ListCells {
            items: Box::new(cells),
            item_type: arrow_schema::data_type(&column.kind),
            offsets: vec![0],
            validity: NullBufferBuilder::new(0),
        })
    }

    fn of_kind(kind: &Kind) -> Cells {
        let data_type = arrow_schema::data_type(kind);
        match kind {
            Kind::Bool => Cells::Bool(BooleanBuilder::new()),
            Kind::Int64 => Cells::Int64(Int64Builder::new()),
            Kind::Float64 => Cells::Float64(Float64Builder::new()),
            Kind::Numeric => Cells::Numeric(Decimal128Builder::new().with_data_type(data_type)),
            Kind::BigNumeric => {
                Cells::BigNumeric(Decimal256Builder::new().with_data_type(data_type))
            }
            Kind::String | Kind::Geography => Cells::String(StringBuilder::new()),
            Kind::Text => Cells::Text(StringBuilder::new()),
            Kind::Timestamp => {
                Cells::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type))
            }
            Kind::Datetime => Cells::Datetime(TimestampMicrosecondBuilder::new()),
            Kind::Date => Cells::Date(Date32Builder::new()),
            Kind::Time => Cells::Time(Time64MicrosecondBuilder::new()),
            Kind::Bytes => Cells::Bytes(BinaryBuilder::new()),
            Kind::Struct(columns) => Cells::Struct(StructCells {
                columns: columns.iter().map(Slot::new).collect(),
                positions: positions(columns),
                fields: arrow_schema::fields(columns),
                validity: NullBufferBuilder::new(0),
            }),
        }
    }

    fn append_or_rescue<'a>(&mut self, value: &'a Value, context: &mut Context<'a>) {
        if *value == Value::Null {
            self.append_null();
        } else if !self.append(value, context) {
            self.append_null();
            context.rescue(value);
        }
    }

    /// Appends a value that fits; else appends nothing and says `false`.
    fn append<'a>(&mut self, value: &'a Value, context: &mut Context<'a>) -> bool {
        match (self, value) {
            (Cells::Bool(cells), Value::Bool(value)) => cells.append_value(*value),
            (Cells::Int64(cells), value) => {
                return put(scalar::integer(value), |v| cells.append_value(v));
            }
            (Cells::Float64(cells), value) => {
                return put(scalar::float(value), |v| cells.append_value(v));
            }
            (Cells::Numeric(cells), value) => {
                return put(scalar::numeric(value), |v| cells.append_value(v));
            }
            (Cells::BigNumeric(cells), value) => {
                return put(scalar::big_numeric(value), |v| cells.append_value(v));
            }
            (Cells::String(cells), Value::String(text)) => {
                cells.append_value(context.counted(text))
            }
            (Cells::Text(cells), value) => cells.append_value(context.counted(&json(value))),
            (Cells::Timestamp(cells), Value::String(text)) => {
                return put(scalar::timestamp(text), |v| cells.append_value(v));
            }
            (Cells::Datetime(cells), Value::String(text)) => {
                return put(scalar::datetime(text), |v| cells.append_value(v));
            }
            (Cells::Date(cells), Value::String(text)) => {
                return put(scalar::date(text), |v| cells.append_value(v));
            }
            (Cells::Time(cells), Value::String(text)) => {
                return put(scalar::time(text), |v| cells.append_value(v));
            }
            (Cells::Bytes(cells), Value::String(text)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
                return put(bytes, |v| cells.append_value(v));
            }
            (Cells::Struct(cells), Value::Object(fields)) => cells.append(fields, context),
            (Cells::List(cells), Value::Array(items)) => cells.append(items, context),
            _ => return false,
        }
        true
    }

    fn append_null(&mut self) {
        match self {
            Cells::Bool(cells) => cells.append_null(),
            Cells::Int64(cells) => cells.append_null(),
            Cells::Float64(cells) => cells.append_null(),
            Cells::Numeric(cells) => cells.append_null(),
            Cells::BigNumeric(cells) => cells.append_null(),
            Cells::String(cells) | Cells::Text(cells) => cells.append_null(),
            Cells::Timestamp(cells) | Cells::Datetime(cells) => cells.append_null(),
            Cells::Date(cells) => cells.append_null(),
            Cells::Time(cells) => cells.append_null(),
            Cells::Bytes(cells) => cells.append_null(),
            Cells::Struct(cells) => cells.append_null(),
            Cells::List(cells) => cells.append_null(),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Cells::Bool(cells) => Arc::new(cells.finish()),
            Cells::Int64(cells) => Arc::new(cells.finish()),
            Cells::Float64(cells) => Arc::new(cells.finish()),
            Cells::Numeric(cells) => Arc::new(cells.finish()),
            Cells::BigNumeric(cells) => Arc::new(cells.finish()),
            Cells::String(cells) | Cells::Text(cells) => Arc::new(cells.finish()),
            Cells::Timestamp(cells) | Cells::Datetime(cells) => Arc::new(cells.finish()),
            Cells::Date(cells) => Arc::new(cells.finish()),
            Cells::Time(cells) => Arc::new(cells.finish()),
            Cells::Bytes(cells) => Arc::new(cells.finish()),
            Cells::Struct(cells) => cells.finish()?,
            Cells::List(cells) => cells.finish()?,
        })
    }
}

fn put<T>(value: Option<T>, append: impl FnOnce(T)) -> bool {
    match value {
        Some(value) => {
            append(value);
            true
        }
        None => false,
    }
}

impl StructCells {
    fn append<'a>(&mut self, fields: &'a Object, context: &mut Context<'a>) {
        let row = self.validity.len();
        append_fields(&mut self.columns, &self.positions, row, fields, context);
        self.validity.append_non_null();
    }

    fn append_null(&mut self) {
        fill_missing(&mut self.columns, self.validity.len());
        self.validity.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.validity.len();
        let validity = self.validity.finish();
        let arrays = self
            .columns
            .iter_mut()
            .map(Slot::finish)
            .collect::<Result<Vec<_>, _>>()?;
        let array = StructArray::try_new_with_length(self.fields.clone(), arrays, validity, rows)?;
        Ok(Arc::new(array))
    }
}

impl ListCells {
    /// An array in BigQuery has no null and one type: other items are rescued.
    fn append<'a>(&mut self, items: &'a [Value], context: &mut Context<'a>) {
        let mut kept = 0;
        for (at, item) in items.iter().enumerate() {
            context.path.push(Step::Item(at));
            if *item != Value::Null && self.items.append(item, context) {
                kept += 1;
            } else {
                context.rescue(item);
            }
            context.path.pop();
        }
        self.close(kept);
        self.validity.append_non_null();
    }

    fn append_null(&mut self) {
        self.close(0);
        self.validity.append_null();
    }

    fn close(&mut self, items: i32) {
        let start = self.offsets.last().copied().unwrap_or(0);
        self.offsets.push(start + items);
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(offsets.into());
        let element = arrow_schema::element(self.item_type.clone());
        let items = self.items.finish()?;
        Ok(Arc::new(ListArray::try_new(
            element,
            offsets,
            items,
            self.validity.finish(),
        )?))
    }
}

/// Where in the record we are, and what of it fitted nowhere.
#[derive(Default)]
struct Context<'a> {
    path: Vec<Step<'a>>,
    rescued: String,
    bytes: usize,
}

enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

impl<'a> Context<'a> {
    fn rescue(&mut self, value: &Value) {
        self.rescued
            .push(if self.rescued.is_empty() { '{' } else { ',' });
        let pointer = Value::String(self.pointer());
        self.rescued.push_str(&json(&pointer));
        self.rescued.push(':');
        self.rescued.push_str(&json(value));
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Field(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Step::Item(at) => pointer.push_str(&at.to_string()),
            }
        }
        pointer
    }

    fn counted<'t>(&mut self, text: &'t str) -> &'t str {
        self.bytes += text.len();
        text
    }

    fn finish(mut self) -> Option<String> {
        if self.rescued.is_empty() {
            return None;
        }
        self.rescued.push('}');
        Some(self.rescued)
    }
}

/// A value as JSON text; a number that is none in JSON (`NaN`) as a string.
fn json(value: &Value) -> String {
    serde_json::to_string(value)
        .unwrap_or_else(|_| serde_json::Value::from(format!("{value:?}")).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::declared;
    use serde_json::json;

    fn stamp() -> Stamp {
        Stamp {
            run_id: "r1".into(),
            extracted_at: 1_000_000,
        }
    }

    fn value(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Number(number.to_string().into()),
            },
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(items) => Value::Array(items.into_iter().map(value).collect()),
            serde_json::Value::Object(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(name, field)| (name, value(field)))
                    .collect(),
            ),
        }
    }

    fn rescued(properties: serde_json::Value, record: serde_json::Value) -> Option<String> {
        let schema = declared::table_schema(&json!({"properties": properties})).unwrap();
        let mut builder = BatchBuilder::new(&schema, stamp());
        builder.push(&value(record));
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
            builder.push(&value(json!({"a": number})));
            let batch = builder.finish().unwrap();
            assert_eq!(batch.num_rows(), 1);
        }
    }
}
