//! Journals: a sample of the invoices as posted, and entries made by hand.
//!
//! Debits are positive and credits negative, so the lines of a journal add up to zero.

use serde_json::{Value, json};

use super::clock::{date, moment};
use super::draw::{Draw, id, part_id};
use super::invoices::{invoice_id, number, side};
use super::lines::{self, Line};
use super::money::{Cents, amount};
use super::settings::{self, Side};
use super::{Ledger, words};

/// Each twelfth invoice shows in the journals.
const POST_EVERY: usize = 12;
const POST_AT: usize = 5;

pub fn posts(invoice: usize) -> bool {
    invoice % POST_EVERY == POST_AT
}

impl Ledger {
    pub fn journals(&self) -> usize {
        (self.invoices.len() + POST_EVERY - 1 - POST_AT) / POST_EVERY
    }

    pub fn journal_created(&self, journal: usize) -> i64 {
        self.invoices[posted_invoice(journal)].row.created
    }
}

fn posted_invoice(journal: usize) -> usize {
    journal * POST_EVERY + POST_AT
}

/// Numbers ascend, with a gap here and there.
pub fn journal_number(journal: usize) -> i64 {
    (journal + 1 + journal / 40) as i64
}

pub fn journal(ledger: &Ledger, journal: usize) -> Value {
    let seed = ledger.seed;
    let index = posted_invoice(journal);
    let invoice = &ledger.invoices[index];
    let side = side(index);
    json!({
        "JournalID": id(seed, "journal", journal),
        "JournalDate": date(invoice.row.created),
        "JournalNumber": journal_number(journal),
        "CreatedDateUTC": moment(invoice.row.created),
        "Reference": number(index),
        "SourceID": invoice_id(seed, index),
        "SourceType": if side == Side::Sale { "ACCREC" } else { "ACCPAY" },
        "JournalLines": journal_lines(ledger, journal, index, side),
    })
}

fn journal_lines(ledger: &Ledger, journal: usize, index: usize, side: Side) -> Value {
    let lines = lines::lines(ledger.seed, "invoice", index, side);
    let sign = if side == Side::Sale { -1 } else { 1 };
    let (owed, tax) = (lines::total(&lines), lines::tax(&lines));
    let control = if side == Side::Sale { "610" } else { "800" };
    let posted = lines.iter().map(|line| Post::line(line, sign)).chain([
        Post::bare(control, -sign * owed),
        Post::bare("820", sign * tax),
    ]);
    posted
        .enumerate()
        .map(|(part, post)| post.shown(ledger.seed, journal, part))
        .collect()
}

struct Post {
    account: &'static str,
    description: Option<&'static str>,
    net: Cents,
    tax: Cents,
    tax_type: Option<&'static str>,
    tracking: Option<usize>,
}

impl Post {
    fn line(line: &Line, sign: i64) -> Post {
        Post {
            account: line.account,
            description: Some(line.description),
            net: sign * line.net,
            tax: sign * line.tax,
            tax_type: Some(line.tax_type),
            tracking: line.tracking,
        }
    }

    fn bare(account: &'static str, net: Cents) -> Post {
        Post {
            account,
            description: None,
            net,
            tax: 0,
            tax_type: None,
            tracking: None,
        }
    }

    fn shown(&self, seed: u64, journal: usize, part: usize) -> Value {
        let mut shown = settings::journal_account(seed, self.account);
        shown["JournalLineID"] = json!(part_id(seed, "journal", journal, part));
        shown["Description"] = json!(self.description);
        shown["NetAmount"] = amount(self.net);
        shown["GrossAmount"] = amount(self.net + self.tax);
        shown["TaxAmount"] = amount(self.tax);
        if let Some(tax_type) = self.tax_type {
            shown["TaxType"] = json!(tax_type);
            shown["TaxName"] = json!(settings::tax_name(tax_type));
        }
        shown["TrackingCategories"] = settings::line_tracking(seed, self.tracking);
        shown
    }
}

pub fn manual_journal(ledger: &Ledger, index: usize, with_lines: bool) -> Value {
    let seed = ledger.seed;
    let row = &ledger.manual_journals[index];
    let mut draw = Draw::new(seed, "manual journal", &[index as u64]);
    let moved = draw.between(1, 50_000_000);
    json!({
        "ManualJournalID": id(seed, "manual journal", index),
        "Date": date(row.created),
        "Status": manual_status(&mut draw, row.version),
        "LineAmountTypes": "NoTax",
        "UpdatedDateUTC": moment(row.updated),
        "Narration": words::description(&mut draw),
        "JournalLines": if with_lines { manual_lines(seed, &mut draw, moved) } else { json!([]) },
        "ShowOnCashBasisReports": index.is_multiple_of(2),
        "HasAttachments": false,
    })
}

fn manual_status(draw: &mut Draw, version: u32) -> &'static str {
    match draw.below(20) {
        0 => "VOIDED",
        1 if version == 0 => "DRAFT",
        2 => "DELETED",
        _ => "POSTED",
    }
}

fn manual_lines(seed: u64, draw: &mut Draw, moved: Cents) -> Value {
    let accounts = [
        settings::account_code(draw, Side::Purchase),
        settings::account_code(draw, Side::Sale),
    ];
    [(accounts[0], moved), (accounts[1], -moved)]
        .into_iter()
        .map(|(account, cents)| {
            json!({
                "Description": words::description(draw),
                "TaxType": "NONE",
                "LineAmount": amount(cents),
                "TaxAmount": 0.0,
                "AccountCode": account,
                "AccountID": settings::account_id(seed, account),
                "Tracking": [],
                "IsBlank": false,
            })
        })
        .collect()
}
