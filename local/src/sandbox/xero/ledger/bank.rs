//! Money spent and received without an invoice, and moved between bank accounts.

use serde_json::{Value, json};

use super::clock::{date, date_text, moment};
use super::draw::{Draw, id};
use super::lines::{self, Shown};
use super::money::{Decimals, amount};
use super::settings::{self, Side};
use super::{Ledger, people, words};

pub fn transaction(ledger: &Ledger, index: usize, decimals: Decimals, with_lines: bool) -> Value {
    let seed = ledger.seed;
    let row = &ledger.bank_transactions[index];
    let mut draw = Draw::new(seed, "bank transaction", &[2, index as u64]);
    let side = if index.is_multiple_of(3) {
        Side::Sale
    } else {
        Side::Purchase
    };
    let lines = lines::lines(seed, "bank transaction", index, side);
    let shown = Shown {
        seed,
        kind: "bank transaction",
        index,
        decimals,
    };
    let contact = ledger.contact_of(&mut draw);
    json!({
        "BankTransactionID": id(seed, "bank transaction", index),
        "BankAccount": settings::bank_account(seed, &mut draw),
        "Type": if side == Side::Sale { "RECEIVE" } else { "SPEND" },
        "Reference": words::reference(&mut draw, index),
        "IsReconciled": row.version > 0 || draw.percent(80),
        "HasAttachments": false,
        "Contact": people::contact_reference(seed, contact),
        "DateString": date_text(row.created),
        "Date": date(row.created),
        "Status": if draw.percent(4) { "DELETED" } else { "AUTHORISED" },
        "LineAmountTypes": "Exclusive",
        "LineItems": if with_lines { shown.array(&lines) } else { json!([]) },
        "SubTotal": amount(lines::net(&lines)),
        "TotalTax": amount(lines::tax(&lines)),
        "Total": amount(lines::total(&lines)),
        "UpdatedDateUTC": moment(row.updated),
        "CurrencyCode": "NZD",
    })
}

pub fn transfer_deleted(ledger: &Ledger, index: usize) -> bool {
    Draw::new(ledger.seed, "transfer status", &[index as u64]).percent(5)
}

pub fn transfer(ledger: &Ledger, index: usize) -> Value {
    let seed = ledger.seed;
    let row = &ledger.bank_transfers[index];
    let mut draw = Draw::new(seed, "bank transfer", &[index as u64]);
    json!({
        "BankTransferID": id(seed, "bank transfer", index),
        "CreatedDateUTCString": super::clock::iso(row.created),
        "CreatedDateUTC": moment(row.created),
        "DateString": date_text(row.created),
        "Date": date(row.created),
        "FromBankAccount": settings::bank_account(seed, &mut draw),
        "ToBankAccount": settings::bank_account(seed, &mut draw),
        "Amount": amount(draw.between(100, 9_000_000)),
        "FromBankTransactionID": draw.uuid(),
        "ToBankTransactionID": draw.uuid(),
        "FromIsReconciled": draw.percent(60),
        "ToIsReconciled": draw.percent(60),
        "Reference": words::reference(&mut draw, index),
        "CurrencyRate": 1.0,
        "HasAttachments": false,
        "Status": if transfer_deleted(ledger, index) { "DELETED" } else { "AUTHORISED" },
    })
}
