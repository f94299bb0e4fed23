//! The organisation, its users, its contacts and their groups.

use serde_json::{Value, json};

use super::Ledger;
use super::clock::{DAY, OPENING, moment};
use super::draw::{Draw, id};
use super::words;

pub const ORGANISATION: &str = "Kea & Tūī Traders Limited";
pub const USERS: usize = 7;
pub const GROUPS: usize = 10;

const ROLES: [&str; 4] = ["FINANCIALADVISER", "STANDARD", "READONLY", "INVOICEONLY"];
const GROUP_NAMES: [&str; 5] = ["Key accounts", "Whānau", "Trade", "Export", "One-off"];

pub fn organisation(seed: u64) -> Value {
    json!({
        "Name": ORGANISATION,
        "LegalName": ORGANISATION,
        "PaysTax": true,
        "Version": "NZ",
        "OrganisationType": "COMPANY",
        "BaseCurrency": "NZD",
        "CountryCode": "NZ",
        "IsDemoCompany": true,
        "OrganisationStatus": "ACTIVE",
        "TaxNumber": "101-2-303",
        "FinancialYearEndDay": 31,
        "FinancialYearEndMonth": 3,
        "SalesTaxBasis": "INVOICE",
        "SalesTaxPeriod": "TWOMONTHS",
        "DefaultSalesTax": "Tax Exclusive",
        "DefaultPurchasesTax": "Tax Exclusive",
        // Before 1970, so its milliseconds are negative.
        "PeriodLockDate": moment(-DAY),
        "CreatedDateUTC": moment(OPENING),
        "OrganisationEntityType": "COMPANY",
        "Timezone": "NEWZEALANDSTANDARDTIME",
        "ShortCode": "!kea42",
        "OrganisationID": id(seed, "organisation", 0),
        "Edition": "BUSINESS",
        "Class": "PREMIUM",
        "LineOfBusiness": null,
        "Addresses": [address("STREET", "Wellington")],
        "Phones": [phone("OFFICE", "4", "5550100")],
        "ExternalLinks": [{"LinkType": "Website", "Url": "https://kea.example.com"}],
        "PaymentTerms": {"Sales": {"Day": 20, "Type": "OFFOLLOWINGMONTH"}},
    })
}

pub fn user(ledger: &Ledger, index: usize) -> Value {
    let row = &ledger.users[index];
    let mut draw = Draw::new(ledger.seed, "user", &[index as u64]);
    let (first, last) = (words::first_name(&mut draw), words::last_name(&mut draw));
    json!({
        "UserID": id(ledger.seed, "user", index),
        "EmailAddress": words::email(first, last, index),
        "FirstName": first,
        "LastName": last,
        // Some objects come without the offset.
        "UpdatedDateUTC": format!("/Date({})/", row.updated),
        "IsSubscriber": index == 0,
        "OrganisationRole": ROLES[index % ROLES.len()],
    })
}

pub fn contact_name(seed: u64, index: usize) -> String {
    words::company(&mut Draw::new(seed, "company", &[index as u64]), index)
}

pub fn contact_id(seed: u64, index: usize) -> String {
    id(seed, "contact", index)
}

/// A contact as documents name it.
pub fn contact_reference(seed: u64, index: usize) -> Value {
    json!({"ContactID": contact_id(seed, index), "Name": contact_name(seed, index), "HasValidationErrors": false})
}

pub fn contact_archived(ledger: &Ledger, index: usize) -> bool {
    index % 40 == 39 || ledger.contacts[index].version % 4 == 3
}

pub fn contact(ledger: &Ledger, index: usize) -> Value {
    let row = &ledger.contacts[index];
    let mut draw = Draw::new(
        ledger.seed,
        "contact",
        &[index as u64, u64::from(row.version)],
    );
    let (first, last) = (words::first_name(&mut draw), words::last_name(&mut draw));
    let mut shown = json!({
        "ContactID": contact_id(ledger.seed, index),
        "ContactStatus": if contact_archived(ledger, index) { "ARCHIVED" } else { "ACTIVE" },
        "Name": contact_name(ledger.seed, index),
        "FirstName": first,
        "LastName": last,
        "EmailAddress": words::email(first, last, index),
        "BankAccountDetails": "",
        "Addresses": [address("STREET", words::place(&mut draw)), {"AddressType": "POBOX"}],
        "Phones": phones(&mut draw),
        "UpdatedDateUTC": moment(row.updated),
        "ContactGroups": groups_of(ledger.seed, index),
        "IsSupplier": index % 3 == 1,
        "IsCustomer": index % 3 != 1,
        "SalesTrackingCategories": [],
        "PurchasesTrackingCategories": [],
        "ContactPersons": persons(&mut draw, index),
        "HasAttachments": false,
        "HasValidationErrors": false,
    });
    add_details(&mut shown, &mut draw, index);
    shown
}

/// What many contacts lack, Xero leaves out of the object.
fn add_details(shown: &mut Value, draw: &mut Draw, index: usize) {
    if draw.percent(30) {
        shown["AccountNumber"] = json!(format!("C{index:05}"));
        shown["DefaultCurrency"] = json!("NZD");
    }
    if draw.percent(20) {
        shown["Website"] = json!(format!("https://c{index}.example.com/?q=ā&x=1"));
        shown["TaxNumber"] = json!(format!(
            "{:03}-{:03}-{:03}",
            index % 900 + 100,
            index % 777,
            index % 555
        ));
    }
    if draw.percent(15) {
        shown["PaymentTerms"] = json!({"Bills": {"Day": 14, "Type": "DAYSAFTERBILLDATE"},
            "Sales": {"Day": 20, "Type": "OFFOLLOWINGMONTH"}});
    }
    if draw.percent(10) {
        let owed = draw.between(0, 5_000_000);
        shown["Balances"] = json!({
            "AccountsReceivable": {"Outstanding": super::money::amount(owed), "Overdue": super::money::amount(owed / 3)},
            "AccountsPayable": {"Outstanding": 0.0, "Overdue": 0.0},
        });
    }
}

fn address(kind: &str, city: &str) -> Value {
    json!({"AddressType": kind, "AddressLine1": "Level 2,\n14 Lambton Quay", "City": city, "Region": "",
        "PostalCode": "6011", "Country": "New Zealand", "AttentionTo": ""})
}

fn phone(kind: &str, area: &str, number: &str) -> Value {
    json!({"PhoneType": kind, "PhoneNumber": number, "PhoneAreaCode": area, "PhoneCountryCode": "64"})
}

fn phones(draw: &mut Draw) -> Value {
    let number = format!("555{:04}", draw.below(10_000));
    json!([
        phone("DEFAULT", "4", &number),
        phone("DDI", "", ""),
        phone("FAX", "", ""),
        phone("MOBILE", "", "")
    ])
}

fn persons(draw: &mut Draw, index: usize) -> Value {
    (0..draw.index(3))
        .map(|part| {
            let (first, last) = (words::first_name(draw), words::last_name(draw));
            json!({"FirstName": first, "LastName": last, "IncludeInEmails": part == 0,
                "EmailAddress": words::email(first, last, index * 10 + part)})
        })
        .collect()
}

fn groups_of(seed: u64, contact: usize) -> Value {
    match contact % 8 {
        0 => json!([contact_group(seed, contact / 8 % GROUPS)]),
        _ => json!([]),
    }
}

pub fn contact_group(seed: u64, index: usize) -> Value {
    json!({
        "ContactGroupID": id(seed, "group", index),
        "Name": format!("{} {}", GROUP_NAMES[index % GROUP_NAMES.len()], index + 1),
        "Status": if index == 9 { "DELETED" } else { "ACTIVE" },
        "Contacts": [],
        "HasValidationErrors": false,
    })
}
