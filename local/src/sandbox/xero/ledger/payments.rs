//! Payments of invoices and bills.

use serde_json::{Value, json};

use super::clock::{date, moment};
use super::draw::{Draw, id};
use super::invoices::{self, Invoice};
use super::money::{Cents, amount};
use super::settings::{self, Side};
use super::{Ledger, people};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Position of the invoice paid.
    pub invoice: usize,
    pub amount: Cents,
    pub made: i64,
    /// A payment entered by mistake: removed, and no longer part of its invoice.
    pub deleted: bool,
}

impl Ledger {
    /// Pays part of an invoice; now and then a payment is first entered twice.
    pub(super) fn pay(&mut self, invoice: usize, amount: Cents, made: i64) {
        if amount <= 0 {
            return;
        }
        if self.payments.len() % 60 == 59 {
            self.payments.push(Payment {
                invoice,
                amount,
                made,
                deleted: true,
            });
        }
        self.invoices[invoice].payments.push(self.payments.len());
        self.invoices[invoice].paid += amount;
        self.payments.push(Payment {
            invoice,
            amount,
            made,
            deleted: false,
        });
    }
}

fn payment_id(seed: u64, index: usize) -> String {
    id(seed, "payment", index)
}

/// An invoice's payments as the invoice lists them.
pub fn of_invoice(ledger: &Ledger, invoice: &Invoice) -> Value {
    invoice
        .payments
        .iter()
        .map(|index| {
            let payment = &ledger.payments[*index];
            json!({
                "PaymentID": payment_id(ledger.seed, *index),
                "Date": date(payment.made),
                "Amount": amount(payment.amount),
                "CurrencyRate": 1.0,
                "HasAccount": false,
                "HasValidationErrors": false,
            })
        })
        .collect()
}

pub fn payment(ledger: &Ledger, index: usize) -> Value {
    let payment = &ledger.payments[index];
    let seed = ledger.seed;
    let sale = invoices::side(payment.invoice) == Side::Sale;
    let mut draw = Draw::new(seed, "payment", &[index as u64]);
    let account = settings::bank_account(seed, &mut draw);
    json!({
        "PaymentID": payment_id(seed, index),
        "Date": date(payment.made),
        "BankAmount": amount(payment.amount),
        "Amount": amount(payment.amount),
        "Reference": if draw.percent(30) { Value::Null } else { json!(format!("DD {}", draw.below(1_000_000))) },
        "CurrencyRate": 1.0,
        "PaymentType": if sale { "ACCRECPAYMENT" } else { "ACCPAYPAYMENT" },
        "Status": if payment.deleted { "DELETED" } else { "AUTHORISED" },
        "UpdatedDateUTC": moment(payment.made),
        "HasAccount": true,
        "IsReconciled": draw.percent(70),
        "Account": account,
        "Invoice": paid_invoice(ledger, payment.invoice),
        "HasValidationErrors": false,
    })
}

fn paid_invoice(ledger: &Ledger, index: usize) -> Value {
    let contact = ledger.contact_of(&mut Draw::new(ledger.seed, "invoice", &[2, index as u64]));
    json!({
        "Type": if invoices::side(index) == Side::Sale { "ACCREC" } else { "ACCPAY" },
        "InvoiceID": invoices::invoice_id(ledger.seed, index),
        "InvoiceNumber": invoices::number(index),
        "Payments": [],
        "CreditNotes": [],
        "Prepayments": [],
        "Overpayments": [],
        "IsDiscounted": false,
        "HasErrors": false,
        "Contact": people::contact_reference(ledger.seed, contact),
        "LineItems": [],
        "CurrencyCode": "NZD",
    })
}
