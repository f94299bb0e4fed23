use super::invoices::{Status, credit_note, invoice};
use super::money::Decimals;
use super::*;
use rust_decimal::Decimal;
use serde_json::Value;

fn ledger() -> Ledger {
    Ledger::new(42, 2_000)
}

fn exact(value: &Value) -> Decimal {
    value.to_string().parse().unwrap()
}

fn sum(lines: &Value, field: &str) -> Decimal {
    let lines = lines.as_array().unwrap();
    lines.iter().map(|line| exact(&line[field])).sum()
}

#[test]
fn the_same_seed_makes_the_same_ledger() {
    let mut first = ledger();
    let mut second = ledger();
    assert_eq!(first, second);
    first.advance();
    second.advance();
    assert_eq!(first, second);
    assert_ne!(first, Ledger::new(43, 2_000));
}

#[test]
fn line_totals_add_up() {
    let ledger = ledger();
    for index in 0..ledger.invoices.len() {
        let document = invoice(&ledger, index, Decimals::Four, true);
        let lines = &document["LineItems"];
        assert_eq!(sum(lines, "LineAmount"), exact(&document["SubTotal"]));
        assert_eq!(sum(lines, "TaxAmount"), exact(&document["TotalTax"]));
        let total = exact(&document["SubTotal"]) + exact(&document["TotalTax"]);
        assert_eq!(total, exact(&document["Total"]));
        assert_eq!(
            sum(&document["Payments"], "Amount"),
            exact(&document["AmountPaid"])
        );
    }
}

#[test]
fn what_is_paid_owes_nothing_and_nothing_is_paid_twice() {
    let mut ledger = ledger();
    for _ in 0..30 {
        ledger.advance();
    }
    for invoice in &ledger.invoices {
        assert_eq!(
            invoice.status == Status::Paid,
            invoice.open() == 0 && invoice.paid + invoice.credited > 0
        );
        assert!(invoice.paid + invoice.credited <= invoice.total);
    }
}

#[test]
fn credit_notes_take_off_what_their_invoices_say() {
    let ledger = ledger();
    assert!(ledger.credit_notes() > 10);
    let credited: Decimal = (0..ledger.credit_notes())
        .map(|note| exact(&credit_note(&ledger, note, Decimals::Two, true)["Total"]))
        .sum();
    let of_invoices: i64 = ledger.invoices.iter().map(|invoice| invoice.credited).sum();
    assert_eq!(credited, Decimal::new(of_invoices, 2));
}

#[test]
fn journals_balance_and_ascend() {
    let ledger = ledger();
    let mut last = 0;
    for index in 0..ledger.journals() {
        let journal = journals::journal(&ledger, index);
        assert_eq!(sum(&journal["JournalLines"], "NetAmount"), Decimal::ZERO);
        let number = journal["JournalNumber"].as_i64().unwrap();
        assert!(number > last);
        last = number;
    }
    assert!(last > ledger.journals() as i64, "numbers have gaps");
}

#[test]
fn a_day_adds_and_changes_documents_within_that_day() {
    let before = ledger();
    let mut after = before.clone();
    after.advance();
    assert_eq!(after.now, before.now + DAY);
    assert!(after.invoices.len() > before.invoices.len());
    assert!(after.payments.len() > before.payments.len());
    let changed: Vec<_> = after
        .invoices
        .iter()
        .zip(&before.invoices)
        .filter(|(new, old)| new != old)
        .map(|(new, _)| new.row.updated)
        .collect();
    assert!(!changed.is_empty());
    assert!(
        changed
            .iter()
            .all(|updated| (before.now..after.now).contains(updated))
    );
}

#[test]
fn everything_lies_between_the_opening_and_now() {
    let mut ledger = ledger();
    ledger.advance();
    let rows = ledger
        .invoices
        .iter()
        .map(|invoice| &invoice.row)
        .chain(&ledger.contacts);
    for row in rows {
        assert!(row.created >= OPENING && row.created <= row.updated && row.updated < ledger.now);
    }
}

#[test]
fn a_ledger_of_twenty_thousand_has_about_as_many() {
    let ledger = Ledger::new(1, 20_000);
    let count = ledger.invoices.len()
        + ledger.contacts.len()
        + ledger.payments.len()
        + ledger.credit_notes()
        + ledger.journals()
        + ledger.bank_transactions.len()
        + ledger.bank_transfers.len()
        + ledger.items.len()
        + ledger.manual_journals.len()
        + ledger.purchase_orders.len()
        + ledger.quotes.len();
    assert!((19_000..22_000).contains(&count), "{count}");
}
