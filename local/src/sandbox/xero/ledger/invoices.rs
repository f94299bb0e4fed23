//! Invoices and bills, with their credit notes: statuses, totals, and how they move on.

use serde_json::{Value, json};

use super::clock::{DAY, date, date_text, moment};
use super::draw::{Draw, id, part_id};
use super::lines::{self, Line, Shown};
use super::money::{Cents, Decimals, amount};
use super::settings::{self, Side};
use super::{Ledger, Row, people, words};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Draft,
    Submitted,
    Authorised,
    Paid,
    Voided,
    Deleted,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Draft => "DRAFT",
            Status::Submitted => "SUBMITTED",
            Status::Authorised => "AUTHORISED",
            Status::Paid => "PAID",
            Status::Voided => "VOIDED",
            Status::Deleted => "DELETED",
        }
    }

    /// Money can be owed on it.
    fn is_booked(self) -> bool {
        matches!(self, Status::Authorised | Status::Paid)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    pub row: Row,
    pub status: Status,
    pub total: Cents,
    pub paid: Cents,
    /// What its credit note takes off.
    pub credited: Cents,
    /// Positions of its payments that count.
    pub payments: Vec<usize>,
}

impl Invoice {
    pub fn open(&self) -> Cents {
        self.total - self.paid - self.credited
    }

    /// What is still owed: nothing on what was voided or deleted.
    pub fn due(&self) -> Cents {
        match self.status {
            Status::Voided | Status::Deleted => 0,
            _ => self.open(),
        }
    }
}

/// Each 16th invoice has a credit note over its first line.
const NOTE_EVERY: usize = 16;
const NOTE_AT: usize = 7;

fn has_note(index: usize) -> bool {
    index % NOTE_EVERY == NOTE_AT
}

fn noted_invoice(note: usize) -> usize {
    note * NOTE_EVERY + NOTE_AT
}

pub fn side(index: usize) -> Side {
    if index % 4 == 3 {
        Side::Purchase
    } else {
        Side::Sale
    }
}

pub fn invoice_id(seed: u64, index: usize) -> String {
    id(seed, "invoice", index)
}

pub fn number(index: usize) -> String {
    match side(index) {
        Side::Sale => format!("INV-{:05}", index + 1),
        Side::Purchase => format!("BILL/{}", index + 1),
    }
}

fn lines_of(seed: u64, index: usize) -> Vec<Line> {
    lines::lines(seed, "invoice", index, side(index))
}

fn first_status(draw: &mut Draw, index: usize) -> Status {
    match draw.below(100) {
        0..=54 => Status::Paid,
        55..=84 => Status::Authorised,
        _ if has_note(index) || super::journals::posts(index) => Status::Authorised,
        85..=89 => Status::Draft,
        90..=91 => Status::Submitted,
        92..=96 => Status::Voided,
        _ => Status::Deleted,
    }
}

impl Ledger {
    /// Adds the next invoice, with the payments its status asks for.
    pub(super) fn add_invoice(&mut self, row: Row) {
        let index = self.invoices.len();
        let mut draw = Draw::new(self.seed, "invoice status", &[index as u64]);
        let lines = lines_of(self.seed, index);
        let credited = if has_note(index) {
            lines::total(&lines[..1])
        } else {
            0
        };
        let total = lines::total(&lines);
        let status = match first_status(&mut draw, index) {
            Status::Authorised if credited == total => Status::Paid,
            status => status,
        };
        let moment = row.updated;
        self.invoices.push(Invoice {
            row,
            status,
            total,
            paid: 0,
            credited,
            payments: Vec::new(),
        });
        match status {
            Status::Paid if draw.percent(20) => {
                self.pay(index, self.invoices[index].open() / 3, moment);
                self.pay(index, self.invoices[index].open(), moment);
            }
            Status::Paid => self.pay(index, self.invoices[index].open(), moment),
            Status::Authorised if draw.percent(15) => {
                self.pay(index, self.invoices[index].open() / 3, moment);
            }
            _ => {}
        }
    }

    /// Moves an invoice one step on; what has ended only gets a new reference.
    pub(super) fn change_invoice(&mut self, index: usize, moment: i64) {
        let version = self.invoices[index].row.version + 1;
        let mut draw = Draw::new(
            self.seed,
            "invoice step",
            &[index as u64, u64::from(version)],
        );
        let voidable = self.invoices[index].payments.is_empty() && !has_note(index);
        let next = match self.invoices[index].status {
            Status::Draft if draw.percent(20) => Status::Deleted,
            Status::Draft | Status::Submitted => Status::Authorised,
            Status::Authorised if voidable && draw.percent(12) => Status::Voided,
            Status::Authorised => Status::Paid,
            ended => ended,
        };
        if next == Status::Paid {
            self.pay(index, self.invoices[index].open(), moment);
        }
        let invoice = &mut self.invoices[index];
        invoice.status = next;
        invoice.row.version = version;
        invoice.row.updated = invoice.row.updated.max(moment);
    }

    pub fn credit_notes(&self) -> usize {
        (self.invoices.len() + NOTE_EVERY - 1 - NOTE_AT) / NOTE_EVERY
    }

    /// A credit note was made, and last touched, with its invoice's first version.
    pub fn credit_note_updated(&self, note: usize) -> i64 {
        self.invoices[noted_invoice(note)].row.created
    }
}

pub fn invoice(ledger: &Ledger, index: usize, decimals: Decimals, with_lines: bool) -> Value {
    let invoice = &ledger.invoices[index];
    let seed = ledger.seed;
    let mut draw = Draw::new(seed, "invoice", &[2, index as u64]);
    let contact = ledger.contact_of(&mut draw);
    let (currency, rate) = settings::currency_of(&mut draw);
    let sale = side(index) == Side::Sale;
    let issued = invoice.row.created;
    let due = issued + draw.between(7, 45) * DAY;
    let reference = words::reference(&mut draw, index + invoice.row.version as usize);
    let lines = lines_of(seed, index);
    let shown = Shown {
        seed,
        kind: "invoice",
        index,
        decimals,
    };
    let mut document = json!({
        "Type": if sale { "ACCREC" } else { "ACCPAY" },
        "InvoiceID": invoice_id(seed, index),
        "InvoiceNumber": number(index),
        "Reference": reference,
        "Payments": super::payments::of_invoice(ledger, invoice),
        "CreditNotes": notes_of(ledger, index),
        "Prepayments": [],
        "Overpayments": [],
        "AmountDue": amount(invoice.due()),
        "AmountPaid": amount(invoice.paid),
        "AmountCredited": amount(invoice.credited),
        "CurrencyRate": rate,
        "IsDiscounted": lines.iter().any(|line| line.discount > 0),
        "HasAttachments": index.is_multiple_of(25),
        "HasErrors": false,
        "InvoiceAddresses": [],
        "Contact": people::contact_reference(seed, contact),
        "DateString": date_text(issued),
        "Date": date(issued),
        "DueDateString": date_text(due),
        "DueDate": date(due),
        "Status": invoice.status.name(),
        "LineAmountTypes": "Exclusive",
        "LineItems": if with_lines { shown.array(&lines) } else { json!([]) },
        "SubTotal": amount(lines::net(&lines)),
        "TotalTax": amount(lines::tax(&lines)),
        "Total": amount(invoice.total),
        "UpdatedDateUTC": moment(invoice.row.updated),
        "CurrencyCode": currency,
    });
    add_details(&mut document, invoice, sale);
    document
}

fn add_details(document: &mut Value, invoice: &Invoice, sale: bool) {
    if sale && invoice.status.is_booked() {
        document["SentToContact"] = json!(invoice.row.version.is_multiple_of(2));
    }
    match invoice.status {
        Status::Paid => document["FullyPaidOnDate"] = json!(date(invoice.row.updated)),
        // What Xero gives for a date that is not there on a voided document.
        Status::Voided => document["FullyPaidOnDate"] = json!("/Date(0+0000)/"),
        Status::Draft => document["ExpectedPaymentDate"] = Value::Null,
        _ => {}
    }
}

fn note_number(note: usize) -> String {
    format!("CN-{:05}", note + 1)
}

fn notes_of(ledger: &Ledger, index: usize) -> Value {
    if !has_note(index) {
        return json!([]);
    }
    let note = index / NOTE_EVERY;
    let invoice = &ledger.invoices[index];
    json!([{
        "CreditNoteID": id(ledger.seed, "credit note", note),
        "CreditNoteNumber": note_number(note),
        "ID": id(ledger.seed, "credit note", note),
        "HasErrors": false,
        "AppliedAmount": amount(invoice.credited),
        "DateString": date_text(invoice.row.created),
        "Date": date(invoice.row.created),
        "LineItems": [],
        "Total": amount(invoice.credited),
    }])
}

pub fn credit_note(ledger: &Ledger, note: usize, decimals: Decimals, with_lines: bool) -> Value {
    let seed = ledger.seed;
    let index = noted_invoice(note);
    let invoice = &ledger.invoices[index];
    let mut draw = Draw::new(seed, "invoice", &[2, index as u64]);
    let contact = ledger.contact_of(&mut draw);
    let (currency, rate) = settings::currency_of(&mut draw);
    let lines = &lines_of(seed, index)[..1];
    let shown = Shown {
        seed,
        kind: "credit note",
        index: note,
        decimals,
    };
    let sale = side(index) == Side::Sale;
    let made = invoice.row.created;
    json!({
        "CreditNoteID": id(seed, "credit note", note),
        "CreditNoteNumber": note_number(note),
        "Payments": [],
        "ID": id(seed, "credit note", note),
        "HasErrors": false,
        "CurrencyRate": rate,
        "Type": if sale { "ACCRECCREDIT" } else { "ACCPAYCREDIT" },
        "Reference": words::reference(&mut draw, note),
        "SentToContact": sale,
        "RemainingCredit": 0.0,
        "Allocations": [{
            "AllocationID": part_id(seed, "credit note", note, 0),
            "Amount": amount(invoice.credited),
            "Date": date(made),
            "Invoice": {"InvoiceID": invoice_id(seed, index), "InvoiceNumber": number(index), "HasErrors": false,
                "IsDiscounted": false, "Payments": [], "CreditNotes": [], "LineItems": []},
            "IsDeleted": false,
        }],
        "HasAttachments": false,
        "Contact": people::contact_reference(seed, contact),
        "DateString": date_text(made),
        "Date": date(made),
        "Status": "PAID",
        "LineAmountTypes": "Exclusive",
        "LineItems": if with_lines { shown.array(lines) } else { json!([]) },
        "SubTotal": amount(lines::net(lines)),
        "TotalTax": amount(lines::tax(lines)),
        "Total": amount(lines::total(lines)),
        "UpdatedDateUTC": moment(ledger.credit_note_updated(note)),
        "CurrencyCode": currency,
        "FullyPaidOnDate": date(made),
    })
}
