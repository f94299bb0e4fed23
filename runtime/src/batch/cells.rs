//! The values of one column, by its type.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use base64::Engine as _;

use super::rescue::{Context, Step, json};
use super::slots::Slots;
use crate::scalar;
use crate::schema::{Column, Kind, arrow as arrow_schema};
use crate::value::{Borrowed, Fields};

/// The values of a column so far.
pub enum Cells {
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
    /// Dates or times in a form of their own.
    Formatted(Box<Cells>, Box<str>),
}

pub struct StructCells {
    columns: Slots,
    fields: arrow::datatypes::Fields,
    validity: NullBufferBuilder,
}

pub struct ListCells {
    items: Box<Cells>,
    item_type: DataType,
    offsets: Vec<i32>,
    validity: NullBufferBuilder,
}

impl Cells {
    pub fn of(column: &Column) -> Cells {
        let cells = match &column.format {
            Some(format) => Cells::Formatted(
                Box::new(Cells::of_kind(&column.kind)),
                format.as_str().into(),
            ),
            None => Cells::of_kind(&column.kind),
        };
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
                columns: Slots::of(columns),
                fields: arrow_schema::fields(columns),
                validity: NullBufferBuilder::new(0),
            }),
        }
    }

    pub fn append_or_rescue<'a>(&mut self, value: &'a Borrowed<'_>, context: &mut Context<'a>) {
        if value.is_null() {
            self.append_null();
        } else if !self.append(value, context) {
            self.append_null();
            context.rescue(value);
        }
    }

    /// Appends a value that fits; else appends nothing and says `false`.
    fn append<'a>(&mut self, value: &'a Borrowed<'_>, context: &mut Context<'a>) -> bool {
        match (self, value) {
            (Cells::Bool(cells), Borrowed::Bool(value)) => cells.append_value(*value),
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
            (Cells::String(cells), Borrowed::String(text)) => {
                cells.append_value(context.counted(text))
            }
            (Cells::Text(cells), value) => cells.append_value(context.counted(&json(value))),
            (Cells::Timestamp(cells), Borrowed::String(text)) => {
                return put(scalar::timestamp(text), |v| cells.append_value(v));
            }
            (Cells::Datetime(cells), Borrowed::String(text)) => {
                return put(scalar::datetime(text), |v| cells.append_value(v));
            }
            (Cells::Date(cells), Borrowed::String(text)) => {
                return put(scalar::date(text), |v| cells.append_value(v));
            }
            (Cells::Time(cells), Borrowed::String(text)) => {
                return put(scalar::time(text), |v| cells.append_value(v));
            }
            (Cells::Bytes(cells), Borrowed::String(text)) => {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text.as_bytes())
                    .ok();
                return put(bytes, |v| cells.append_value(v));
            }
            (Cells::Struct(cells), Borrowed::Object(fields)) => cells.append(fields, context),
            (Cells::List(cells), Borrowed::Array(items)) => cells.append(items, context),
            (Cells::Formatted(cells, format), value) => {
                return cells.append_formatted(value, format) || cells.append(value, context);
            }
            _ => return false,
        }
        true
    }

    /// The same of a date or a time in this form.
    fn append_formatted(&mut self, value: &Borrowed<'_>, format: &str) -> bool {
        let Some(moment) = scalar::moment(value, format) else {
            return false;
        };
        match self {
            Cells::Timestamp(cells) => put(moment.timestamp(), |v| cells.append_value(v)),
            Cells::Datetime(cells) => put(moment.datetime(), |v| cells.append_value(v)),
            Cells::Date(cells) => put(moment.date(), |v| cells.append_value(v)),
            Cells::Time(cells) => put(moment.time(), |v| cells.append_value(v)),
            _ => false,
        }
    }

    pub fn append_null(&mut self) {
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
            Cells::Formatted(cells, _) => cells.append_null(),
        }
    }

    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
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
            Cells::Formatted(cells, _) => cells.finish()?,
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
    fn append<'a>(&mut self, fields: &'a Fields<'_>, context: &mut Context<'a>) {
        let row = self.validity.len();
        self.columns.append(row, fields, context);
        self.validity.append_non_null();
    }

    fn append_null(&mut self) {
        self.columns.fill_missing(self.validity.len());
        self.validity.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.validity.len();
        let validity = self.validity.finish();
        let arrays = self.columns.finish()?;
        let array = StructArray::try_new_with_length(self.fields.clone(), arrays, validity, rows)?;
        Ok(Arc::new(array))
    }
}

impl ListCells {
    /// An array in BigQuery has no null and one type: other items are rescued.
    fn append<'a>(&mut self, items: &'a [Borrowed<'_>], context: &mut Context<'a>) {
        let mut kept = 0;
        for (at, item) in items.iter().enumerate() {
            context.path.push(Step::Item(at));
            if !item.is_null() && self.items.append(item, context) {
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
