//! What an organisation sets up once: accounts, tax rates, tracking, items, currencies.

use serde_json::{Value, json};

use super::clock::moment;
use super::draw::{Draw, id, part_id};
use super::money::{Decimals, amount, fine};
use super::words;
use super::{Ledger, Row};

/// Which side of the ledger a document is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Sale,
    Purchase,
}

/// Code, name, type, class, tax type.
type Account = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const ACCOUNTS: &[Account] = &[
    ("090", "Business Account", "BANK", "ASSET", "NONE"),
    ("091", "Savings Account", "BANK", "ASSET", "NONE"),
    ("092", "Pūtea Whakahaere", "BANK", "ASSET", "NONE"),
    ("200", "Sales", "REVENUE", "REVENUE", "OUTPUT2"),
    ("210", "Consulting", "REVENUE", "REVENUE", "OUTPUT2"),
    ("220", "Export sales", "REVENUE", "REVENUE", "ZERORATED"),
    ("260", "Other Revenue", "REVENUE", "REVENUE", "OUTPUT2"),
    ("270", "Interest Income", "REVENUE", "REVENUE", "NONE"),
    (
        "310",
        "Cost of Goods Sold",
        "DIRECTCOSTS",
        "EXPENSE",
        "INPUT2",
    ),
    ("400", "Advertising", "EXPENSE", "EXPENSE", "INPUT2"),
    ("404", "Bank Fees", "EXPENSE", "EXPENSE", "NONE"),
    ("408", "Cleaning", "EXPENSE", "EXPENSE", "INPUT2"),
    (
        "412",
        "Consulting & Accounting",
        "EXPENSE",
        "EXPENSE",
        "INPUT2",
    ),
    ("420", "Entertainment", "EXPENSE", "EXPENSE", "INPUT2"),
    ("425", "Freight & Courier", "EXPENSE", "EXPENSE", "INPUT2"),
    ("429", "General Expenses", "EXPENSE", "EXPENSE", "INPUT2"),
    ("433", "Insurance", "EXPENSE", "EXPENSE", "INPUT2"),
    ("437", "Interest Expense", "EXPENSE", "EXPENSE", "NONE"),
    ("441", "Legal expenses", "EXPENSE", "EXPENSE", "INPUT2"),
    (
        "445",
        "Light, Power, Heating",
        "EXPENSE",
        "EXPENSE",
        "INPUT2",
    ),
    (
        "449",
        "Motor Vehicle Expenses",
        "EXPENSE",
        "EXPENSE",
        "INPUT2",
    ),
    ("453", "Office Expenses", "EXPENSE", "EXPENSE", "INPUT2"),
    (
        "461",
        "Printing & Stationery",
        "EXPENSE",
        "EXPENSE",
        "INPUT2",
    ),
    ("469", "Rent", "EXPENSE", "EXPENSE", "INPUT2"),
    (
        "473",
        "Repairs and Maintenance",
        "EXPENSE",
        "EXPENSE",
        "INPUT2",
    ),
    ("477", "Salaries", "EXPENSE", "EXPENSE", "NONE"),
    ("485", "Subscriptions", "EXPENSE", "EXPENSE", "INPUT2"),
    (
        "489",
        "Telephone & Internet",
        "EXPENSE",
        "EXPENSE",
        "INPUT2",
    ),
    ("493", "Travel - National", "EXPENSE", "EXPENSE", "INPUT2"),
    (
        "494",
        "Travel - International",
        "EXPENSE",
        "EXPENSE",
        "NONE",
    ),
    ("610", "Accounts Receivable", "CURRENT", "ASSET", "NONE"),
    ("620", "Prepayments", "CURRENT", "ASSET", "NONE"),
    ("630", "Inventory", "INVENTORY", "ASSET", "NONE"),
    ("710", "Office Equipment", "FIXED", "ASSET", "INPUT2"),
    ("720", "Computer Equipment", "FIXED", "ASSET", "INPUT2"),
    ("800", "Accounts Payable", "CURRLIAB", "LIABILITY", "NONE"),
    (
        "801",
        "Unpaid Expense Claims",
        "CURRLIAB",
        "LIABILITY",
        "NONE",
    ),
    ("820", "GST", "CURRLIAB", "LIABILITY", "NONE"),
    ("860", "Rounding", "CURRLIAB", "LIABILITY", "NONE"),
    ("900", "Loan", "TERMLIAB", "LIABILITY", "NONE"),
    ("960", "Retained Earnings", "EQUITY", "EQUITY", "NONE"),
    ("970", "Owner A Share Capital", "EQUITY", "EQUITY", "NONE"),
];

const SALE_ACCOUNTS: &[&str] = &["200", "200", "200", "210", "220", "260"];
const COST_ACCOUNTS: &[&str] = &[
    "310", "400", "408", "425", "429", "445", "449", "453", "469", "485", "489",
];

pub fn accounts() -> usize {
    ACCOUNTS.len()
}

pub fn account_code(draw: &mut Draw, side: Side) -> &'static str {
    match side {
        Side::Sale => draw.pick(SALE_ACCOUNTS),
        Side::Purchase => draw.pick(COST_ACCOUNTS),
    }
}

pub fn account_id(seed: u64, code: &str) -> String {
    id(seed, "account", account_index(code))
}

fn account_index(code: &str) -> usize {
    let found = ACCOUNTS.iter().position(|account| account.0 == code);
    found.unwrap_or_default()
}

/// An account as journals name it.
pub fn journal_account(seed: u64, code: &str) -> Value {
    let (code, name, kind, ..) = ACCOUNTS[account_index(code)];
    json!({"AccountID": account_id(seed, code), "AccountCode": code, "AccountType": kind, "AccountName": name})
}

/// A bank account as documents name it.
pub fn bank_account(seed: u64, draw: &mut Draw) -> Value {
    let (code, name, ..) = ACCOUNTS[draw.index(3)];
    json!({"AccountID": account_id(seed, code), "Code": code, "Name": name})
}

pub fn account(ledger: &Ledger, index: usize) -> Value {
    let (code, name, kind, class, tax) = ACCOUNTS[index];
    let row = &ledger.accounts[index];
    let mut shown = json!({
        "AccountID": account_id(ledger.seed, code),
        "Code": code,
        "Name": name,
        "Status": if account_archived(row, index) { "ARCHIVED" } else { "ACTIVE" },
        "Type": kind,
        "TaxType": tax,
        "Class": class,
        "EnablePaymentsToAccount": code == "801" || code == "970",
        "ShowInExpenseClaims": class == "EXPENSE" && index.is_multiple_of(2),
        "ReportingCode": format!("{}.{code}", &class[..3]),
        "HasAttachments": false,
        "UpdatedDateUTC": moment(row.updated),
        "AddToWatchlist": false,
    });
    describe_account(&mut shown, kind, code, name);
    shown
}

fn account_archived(row: &Row, index: usize) -> bool {
    index == 16 || row.version % 3 == 2
}

/// Some fields are there only on accounts of a kind.
fn describe_account(shown: &mut Value, kind: &str, code: &str, name: &str) {
    if kind == "BANK" {
        shown["BankAccountNumber"] = json!(format!("01-1234-0{code}4567-00"));
        shown["BankAccountType"] = json!("BANK");
        shown["CurrencyCode"] = json!("NZD");
    } else {
        shown["BankAccountType"] = json!("");
        shown["Description"] = json!(format!("{name}: everything booked under {code}"));
    }
    match code {
        "610" => shown["SystemAccount"] = json!("DEBTORS"),
        "800" => shown["SystemAccount"] = json!("CREDITORS"),
        "820" => shown["SystemAccount"] = json!("GST"),
        _ => {}
    }
}

/// Name, type, percent, report type.
const TAX_RATES: &[(&str, &str, i64, &str)] = &[
    ("15% GST on Income", "OUTPUT2", 15, "OUTPUT"),
    ("15% GST on Expenses", "INPUT2", 15, "INPUT"),
    ("Zero Rated", "ZERORATED", 0, "ZERORATEDOUTPUT"),
    ("No GST", "NONE", 0, "NONE"),
    ("GST on Imports", "GSTONIMPORTS", 0, "GSTONIMPORTS"),
    ("Old 12.5% GST on Income", "OUTPUT", 12, "OUTPUT"),
];

pub fn tax_rates() -> usize {
    TAX_RATES.len()
}

/// A tax type and its percent, fit for the side.
pub fn tax_of(draw: &mut Draw, side: Side) -> (&'static str, i64) {
    let (_, kind, percent, _) = match (draw.below(10), side) {
        (0, Side::Sale) => TAX_RATES[2],
        (0, Side::Purchase) => TAX_RATES[3],
        (_, Side::Sale) => TAX_RATES[0],
        (_, Side::Purchase) => TAX_RATES[1],
    };
    (kind, percent)
}

pub fn tax_name(kind: &str) -> &'static str {
    let found = TAX_RATES.iter().find(|rate| rate.1 == kind);
    found.map_or("No GST", |rate| rate.0)
}

pub fn tax_rate(index: usize) -> Value {
    let (name, kind, percent, report) = TAX_RATES[index];
    // The old rate was 12.5%, the one that is no whole number.
    let rate = if kind == "OUTPUT" {
        12.5
    } else {
        percent as f64
    };
    json!({
        "Name": name,
        "TaxType": kind,
        "ReportTaxType": report,
        "CanApplyToAssets": true,
        "CanApplyToEquity": kind != "OUTPUT",
        "CanApplyToExpenses": true,
        "CanApplyToLiabilities": true,
        "CanApplyToRevenue": kind != "INPUT2",
        "DisplayTaxRate": rate,
        "EffectiveRate": rate,
        "Status": if kind == "OUTPUT" { "DELETED" } else { "ACTIVE" },
        "TaxComponents": [{"Name": "GST", "Rate": rate, "IsCompound": false, "IsNonRecoverable": false}],
    })
}

/// Name, archived, options.
const TRACKING: &[(&str, bool, &[&str])] = &[
    (
        "Region",
        false,
        &["North", "South", "Te Tai Tokerau", "Overseas"],
    ),
    (
        "Project",
        false,
        &["Alpha", "Bravo", "Charlie \"C\"", "Delta"],
    ),
    ("Salesperson (old)", true, &["Ana", "Bob"]),
];

pub const TRACKING_OPTIONS: usize = 8;

pub fn tracking_categories() -> usize {
    TRACKING.len()
}

pub fn tracking_archived(index: usize) -> bool {
    TRACKING[index].1
}

pub fn tracking_category(seed: u64, index: usize) -> Value {
    let (name, archived, options) = TRACKING[index];
    let status = if archived { "ARCHIVED" } else { "ACTIVE" };
    let options: Vec<Value> = options
        .iter()
        .enumerate()
        .map(|(part, option)| {
            json!({"TrackingOptionID": part_id(seed, "tracking", index, part), "Name": option, "Status": status,
                "HasValidationErrors": false, "IsDeleted": false, "IsArchived": archived, "IsActive": !archived})
        })
        .collect();
    json!({"Name": name, "Status": status, "TrackingCategoryID": id(seed, "tracking", index), "Options": options})
}

/// What a line is tracked under: an array of none or one.
pub fn line_tracking(seed: u64, option: Option<usize>) -> Value {
    option.map_or(json!([]), |option| {
        let (category, part) = (option / 4 % 2, option % 4);
        let (name, _, options) = TRACKING[category];
        json!([{
            "Name": name,
            "Option": options[part],
            "TrackingCategoryID": id(seed, "tracking", category),
            "TrackingOptionID": part_id(seed, "tracking", category, part),
        }])
    })
}

const CURRENCIES: &[(&str, &str)] = &[
    ("AUD", "Australian Dollar"),
    ("EUR", "Euro"),
    ("GBP", "British Pound"),
    ("NZD", "New Zealand Dollar"),
    ("USD", "United States Dollar"),
];

pub fn currencies() -> usize {
    CURRENCIES.len()
}

pub fn currency(index: usize) -> Value {
    let (code, description) = CURRENCIES[index];
    json!({"Code": code, "Description": description})
}

/// A document's currency and its rate to the organisation's, with the ten decimals Xero gives.
pub fn currency_of(draw: &mut Draw) -> (&'static str, Value) {
    match draw.below(20) {
        0 => ("AUD", rate(draw, 9_200_000_000)),
        1 => ("USD", rate(draw, 6_000_000_000)),
        2 => ("GBP", rate(draw, 4_700_000_000)),
        _ => ("NZD", json!(1.0)),
    }
}

fn rate(draw: &mut Draw, around: i64) -> Value {
    json!(draw.between(around, around + 300_000_000) as f64 / 10_000_000_000.0)
}

pub fn item_code(index: usize) -> String {
    format!("ITEM-{index:03}")
}

pub fn item_reference(seed: u64, index: usize) -> Value {
    let name = words::description(&mut item_draw(seed, index));
    json!({"ItemID": id(seed, "item", index), "Name": name, "Code": item_code(index)})
}

fn item_draw(seed: u64, index: usize) -> Draw {
    Draw::new(seed, "item", &[index as u64])
}

pub fn item(ledger: &Ledger, index: usize, decimals: Decimals) -> Value {
    let row = &ledger.items[index];
    let mut draw = item_draw(ledger.seed, index);
    let name = words::description(&mut draw);
    let price = draw.between(10_000, 9_999_999) + i64::from(row.version) * 1_234;
    let tracked = index.is_multiple_of(5);
    let mut shown = json!({
        "ItemID": id(ledger.seed, "item", index),
        "Code": item_code(index),
        "Name": name,
        "Description": if index.is_multiple_of(7) { Value::Null } else { json!(format!("{name} (sold)")) },
        "PurchaseDescription": format!("{name} (bought)"),
        "UpdatedDateUTC": moment(row.updated),
        "PurchaseDetails": {"UnitPrice": fine(price * 3 / 5, decimals), "AccountCode": "310", "TaxType": "INPUT2"},
        "SalesDetails": {"UnitPrice": fine(price, decimals), "AccountCode": "200", "TaxType": "OUTPUT2"},
        "IsTrackedAsInventory": tracked,
        "IsSold": true,
        "IsPurchased": !index.is_multiple_of(11),
    });
    if tracked {
        let held = draw.between(0, 400);
        shown["InventoryAssetAccountCode"] = json!("630");
        shown["QuantityOnHand"] = json!(held as f64);
        shown["TotalCostPool"] = amount(held * (price / 100) * 3 / 5);
    }
    shown
}
