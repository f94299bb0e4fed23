//! The invoices' columns under construction, as the runtime's table of them has them.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::invoice::{Contact, Invoice, Line, Text};

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn all(names: &[&str], data_type: &DataType) -> Vec<Field> {
    let fields = names.iter().map(|name| field(name, data_type.clone()));
    fields.collect()
}

fn moment() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

const TEXTS: [&str; 10] = [
    "Type",
    "InvoiceID",
    "InvoiceNumber",
    "Reference",
    "DateString",
    "DueDateString",
    "Status",
    "LineAmountTypes",
    "CurrencyCode",
    "BrandingThemeID",
];
const AMOUNTS: [&str; 7] = [
    "SubTotal",
    "TotalTax",
    "Total",
    "AmountDue",
    "AmountPaid",
    "AmountCredited",
    "CurrencyRate",
];
const FLAGS: [&str; 3] = ["HasAttachments", "IsDiscounted", "SentToContact"];
const CONTACT_TEXTS: [&str; 3] = ["ContactID", "Name", "EmailAddress"];
const LINE_TEXTS: [&str; 4] = ["LineItemID", "Description", "AccountCode", "TaxType"];
const LINE_AMOUNTS: [&str; 4] = ["Quantity", "UnitAmount", "LineAmount", "TaxAmount"];

fn contact() -> Fields {
    let mut fields = all(&CONTACT_TEXTS, &DataType::Utf8);
    fields.push(field("HasValidationErrors", DataType::Boolean));
    fields.into()
}

fn line() -> Fields {
    let mut fields = all(&LINE_TEXTS, &DataType::Utf8);
    fields.extend(all(&LINE_AMOUNTS, &DataType::Float64));
    fields.into()
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(line()), false))
}

/// Columns in the order of `bench/manifest.py`, then the runtime's own three.
pub fn schema() -> SchemaRef {
    let mut fields = all(&TEXTS, &DataType::Utf8);
    fields.extend(all(&AMOUNTS, &DataType::Float64));
    fields.extend(all(&FLAGS, &DataType::Boolean));
    fields.push(field("UpdatedDateUTC", moment()));
    fields.push(field("Contact", DataType::Struct(contact())));
    fields.push(field("LineItems", DataType::List(element())));
    fields.push(field("_xetl_run_id", DataType::Utf8));
    fields.push(field("_xetl_extracted_at", moment()));
    fields.push(field("_xetl_rescued", DataType::Utf8));
    Arc::new(Schema::new(fields))
}

/// Columns of one type, side by side.
struct Texts<const N: usize>([StringBuilder; N]);
struct Amounts<const N: usize>([Float64Builder; N]);
struct Flags<const N: usize>([BooleanBuilder; N]);

fn finish(columns: &mut [impl ArrayBuilder], into: &mut Vec<ArrayRef>) {
    into.extend(columns.iter_mut().map(ArrayBuilder::finish));
}

impl<const N: usize> Texts<N> {
    fn new() -> Self {
        Texts(std::array::from_fn(|_| StringBuilder::new()))
    }

    /// Gives the bytes of these texts.
    fn push(&mut self, values: [&Option<Text<'_>>; N]) -> usize {
        let mut bytes = 0;
        for (column, value) in self.0.iter_mut().zip(values) {
            let text = value.as_ref().map(|text| &*text.0);
            bytes += text.map_or(0, str::len);
            column.append_option(text);
        }
        bytes
    }

    fn finish(&mut self, into: &mut Vec<ArrayRef>) {
        finish(&mut self.0, into);
    }
}

impl<const N: usize> Amounts<N> {
    fn new() -> Self {
        Amounts(std::array::from_fn(|_| Float64Builder::new()))
    }

    fn push(&mut self, values: [Option<f64>; N]) {
        for (column, value) in self.0.iter_mut().zip(values) {
            column.append_option(value);
        }
    }

    fn finish(&mut self, into: &mut Vec<ArrayRef>) {
        finish(&mut self.0, into);
    }
}

impl<const N: usize> Flags<N> {
    fn new() -> Self {
        Flags(std::array::from_fn(|_| BooleanBuilder::new()))
    }

    fn push(&mut self, values: [Option<bool>; N]) {
        for (column, value) in self.0.iter_mut().zip(values) {
            column.append_option(value);
        }
    }

    fn finish(&mut self, into: &mut Vec<ArrayRef>) {
        finish(&mut self.0, into);
    }
}

/// Invoices so far.
pub struct Invoices {
    texts: Texts<10>,
    amounts: Amounts<7>,
    flags: Flags<3>,
    updated: TimestampMicrosecondBuilder,
    contacts: Contacts,
    lines: Lines,
    rows: usize,
    /// About how many bytes the rows take in memory.
    pub bytes: usize,
}

impl Default for Invoices {
    fn default() -> Invoices {
        Invoices {
            texts: Texts::new(),
            amounts: Amounts::new(),
            flags: Flags::new(),
            updated: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            contacts: Contacts::default(),
            lines: Lines::default(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl Invoices {
    pub fn push(&mut self, it: &Invoice<'_>) {
        self.bytes += 8 * 23;
        self.bytes += self.texts.push([
            &it.r#type,
            &it.invoice_id,
            &it.invoice_number,
            &it.reference,
            &it.date_string,
            &it.due_date_string,
            &it.status,
            &it.line_amount_types,
            &it.currency_code,
            &it.branding_theme_id,
        ]);
        self.amounts.push([
            it.sub_total,
            it.total_tax,
            it.total,
            it.amount_due,
            it.amount_paid,
            it.amount_credited,
            it.currency_rate,
        ]);
        self.flags
            .push([it.has_attachments, it.is_discounted, it.sent_to_contact]);
        let updated = it.updated_date_utc.as_ref();
        let updated = updated.and_then(|text| text.0.parse::<jiff::Timestamp>().ok());
        self.updated
            .append_option(updated.map(|moment| moment.as_microsecond()));
        self.bytes += self.contacts.push(it.contact.as_ref());
        self.bytes += self.lines.push(it.line_items.as_deref());
        self.rows += 1;
    }

    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays = Vec::new();
        self.texts.finish(&mut arrays);
        self.amounts.finish(&mut arrays);
        self.flags.finish(&mut arrays);
        arrays.push(Arc::new(self.updated.finish()));
        arrays.push(self.contacts.finish()?);
        arrays.push(self.lines.finish()?);
        let run = std::iter::repeat_n("floor", rows);
        arrays.push(Arc::new(StringArray::from_iter_values(run)));
        let moments = std::iter::repeat_n(0, rows);
        let moments = TimestampMicrosecondArray::from_iter_values(moments);
        arrays.push(Arc::new(moments.with_timezone("UTC")));
        arrays.push(Arc::new(StringArray::new_null(rows)));
        RecordBatch::try_new(schema(), arrays)
    }
}

struct Contacts {
    texts: Texts<3>,
    flags: Flags<1>,
    validity: NullBufferBuilder,
}

impl Default for Contacts {
    fn default() -> Contacts {
        Contacts {
            texts: Texts::new(),
            flags: Flags::new(),
            validity: NullBufferBuilder::new(0),
        }
    }
}

impl Contacts {
    fn push(&mut self, contact: Option<&Contact<'_>>) -> usize {
        self.validity.append(contact.is_some());
        let Some(it) = contact else {
            self.flags.push([None]);
            return self.texts.push([&None, &None, &None]);
        };
        self.flags.push([it.has_validation_errors]);
        self.texts
            .push([&it.contact_id, &it.name, &it.email_address])
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let mut arrays = Vec::new();
        self.texts.finish(&mut arrays);
        self.flags.finish(&mut arrays);
        let array = StructArray::try_new(contact(), arrays, self.validity.finish())?;
        Ok(Arc::new(array))
    }
}

struct Lines {
    texts: Texts<4>,
    amounts: Amounts<4>,
    offsets: Vec<i32>,
    validity: NullBufferBuilder,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines {
            texts: Texts::new(),
            amounts: Amounts::new(),
            offsets: vec![0],
            validity: NullBufferBuilder::new(0),
        }
    }
}

impl Lines {
    fn push(&mut self, lines: Option<&[Line<'_>]>) -> usize {
        self.validity.append(lines.is_some());
        let mut bytes = 0;
        let mut end = self.offsets.last().copied().unwrap_or(0);
        for it in lines.unwrap_or_default() {
            bytes += self.texts.push([
                &it.line_item_id,
                &it.description,
                &it.account_code,
                &it.tax_type,
            ]);
            self.amounts
                .push([it.quantity, it.unit_amount, it.line_amount, it.tax_amount]);
            end += 1;
        }
        self.offsets.push(end);
        bytes
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let mut arrays = Vec::new();
        self.texts.finish(&mut arrays);
        self.amounts.finish(&mut arrays);
        let items = StructArray::try_new(line(), arrays, None)?;
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(offsets.into());
        let validity = self.validity.finish();
        let array = ListArray::try_new(element(), offsets, Arc::new(items), validity)?;
        Ok(Arc::new(array))
    }
}
