//! Purchase orders and quotes: what may become an invoice.

use serde_json::{Value, json};

use super::clock::{DAY, date, date_text, moment};
use super::draw::{Draw, id};
use super::lines::{self, Shown};
use super::money::{Decimals, amount};
use super::settings::{self, Side};
use super::{Ledger, people, words};

const ORDER_STAGES: [&str; 4] = ["DRAFT", "SUBMITTED", "AUTHORISED", "BILLED"];
const QUOTE_STAGES: [&str; 6] = [
    "DRAFT", "SENT", "ACCEPTED", "DECLINED", "INVOICED", "DELETED",
];

pub fn purchase_order(
    ledger: &Ledger,
    index: usize,
    decimals: Decimals,
    with_lines: bool,
) -> Value {
    let seed = ledger.seed;
    let row = &ledger.purchase_orders[index];
    let mut draw = Draw::new(seed, "purchase order", &[2, index as u64]);
    let lines = lines::lines(seed, "purchase order", index, Side::Purchase);
    let shown = Shown {
        seed,
        kind: "purchase order",
        index,
        decimals,
    };
    let contact = ledger.contact_of(&mut draw);
    let (currency, rate) = settings::currency_of(&mut draw);
    let stage = draw.index(3) + row.version as usize;
    let mut document = json!({
        "PurchaseOrderID": id(seed, "purchase order", index),
        "PurchaseOrderNumber": format!("PO-{:04}", index + 1),
        "DateString": date_text(row.created),
        "Date": date(row.created),
        "AttentionTo": words::first_name(&mut draw),
        "HasErrors": false,
        "IsDiscounted": false,
        "Type": "PURCHASEORDER",
        "CurrencyRate": rate,
        "CurrencyCode": currency,
        "Contact": people::contact_reference(seed, contact),
        "Reference": words::reference(&mut draw, index),
        "SentToContact": draw.percent(50),
        "LineAmountTypes": "Exclusive",
        "LineItems": if with_lines { shown.array(&lines) } else { json!([]) },
        "SubTotal": amount(lines::net(&lines)),
        "TotalTax": amount(lines::tax(&lines)),
        "Total": amount(lines::total(&lines)),
        "UpdatedDateUTC": moment(row.updated),
        "Status": ORDER_STAGES[stage.min(3)],
        "HasAttachments": false,
    });
    if draw.percent(60) {
        let delivery = row.created + draw.between(3, 60) * DAY;
        document["DeliveryDateString"] = json!(date_text(delivery));
        document["DeliveryDate"] = json!(date(delivery));
        document["DeliveryAddress"] = json!("12 Wharf Road\nDevonport\nAuckland 0624");
    }
    document
}

pub fn quote(ledger: &Ledger, index: usize, with_lines: bool) -> Value {
    let seed = ledger.seed;
    let row = &ledger.quotes[index];
    let mut draw = Draw::new(seed, "quote", &[2, index as u64]);
    let lines = lines::lines(seed, "quote", index, Side::Sale);
    let shown = Shown {
        seed,
        kind: "quote",
        index,
        decimals: Decimals::Two,
    };
    let contact = ledger.contact_of(&mut draw);
    let (currency, rate) = settings::currency_of(&mut draw);
    let expiry = row.created + 30 * DAY;
    let stage = draw.index(4) + row.version as usize;
    json!({
        "QuoteID": id(seed, "quote", index),
        "QuoteNumber": format!("QU-{:04}", index + 1),
        "Reference": words::reference(&mut draw, index),
        "Terms": "Prices hold for 30 days.",
        "Contact": people::contact_reference(seed, contact),
        "LineItems": if with_lines { shown.array(&lines) } else { json!([]) },
        "Date": date(row.created),
        "DateString": date_text(row.created),
        "ExpiryDate": date(expiry),
        "ExpiryDateString": date_text(expiry),
        "Status": QUOTE_STAGES[stage.min(5)],
        "CurrencyRate": rate,
        "CurrencyCode": currency,
        "SubTotal": amount(lines::net(&lines)),
        "TotalTax": amount(lines::tax(&lines)),
        "Total": amount(lines::total(&lines)),
        "TotalDiscount": 0.0,
        "Title": if draw.percent(40) { Value::Null } else { json!("Quote") },
        "Summary": words::description(&mut draw),
        "UpdatedDateUTC": moment(row.updated),
        "LineAmountTypes": "EXCLUSIVE",
    })
}
