//! The endpoints the sandbox serves: what each is called and what it heeds.

use serde_json::Value;

use super::ledger::money::Decimals;
use super::ledger::{Ledger, Row, bank, invoices, journals, orders, payments, people, settings};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    Accounts,
    BankTransactions,
    BankTransfers,
    ContactGroups,
    Contacts,
    CreditNotes,
    Currencies,
    Invoices,
    Items,
    Journals,
    ManualJournals,
    Organisation,
    Payments,
    PurchaseOrders,
    Quotes,
    TaxRates,
    TrackingCategories,
    Users,
}

/// How a list is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// Always whole.
    Whole,
    /// By `page` and `pageSize`, and told so in `pagination`.
    Pages,
    /// By `page`, 100 at a time, without a word about it.
    Hundreds,
    /// By `offset`, the number of the last journal read.
    Offset,
}

/// What decides whether, and where, a document is in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub position: usize,
    /// What `If-Modified-Since` is compared with.
    pub changed: i64,
    /// Left out unless the caller asks for it.
    pub hidden: bool,
}

/// How much of a document is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detail {
    pub decimals: Decimals,
    pub lines: bool,
}

/// Path, stream, id field, scopes (broad or granular, without `.read`).
type Facts = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const SETTINGS: &[&str] = &["accounting.settings"];
const CONTACTS: &[&str] = &["accounting.contacts"];
const INVOICES: &[&str] = &["accounting.transactions", "accounting.invoices"];
const PAYMENTS: &[&str] = &["accounting.transactions", "accounting.payments"];
const BANK: &[&str] = &["accounting.transactions", "accounting.banktransactions"];
const MANUAL: &[&str] = &["accounting.transactions", "accounting.manualjournals"];
const ITEMS: &[&str] = &["accounting.settings", "accounting.invoices"];
const JOURNALS: &[&str] = &["accounting.journals"];

impl Endpoint {
    pub const ALL: [Endpoint; 18] = [
        Endpoint::Accounts,
        Endpoint::BankTransactions,
        Endpoint::BankTransfers,
        Endpoint::ContactGroups,
        Endpoint::Contacts,
        Endpoint::CreditNotes,
        Endpoint::Currencies,
        Endpoint::Invoices,
        Endpoint::Items,
        Endpoint::Journals,
        Endpoint::ManualJournals,
        Endpoint::Organisation,
        Endpoint::Payments,
        Endpoint::PurchaseOrders,
        Endpoint::Quotes,
        Endpoint::TaxRates,
        Endpoint::TrackingCategories,
        Endpoint::Users,
    ];

    pub fn of_path(path: &str) -> Option<Endpoint> {
        Endpoint::ALL
            .into_iter()
            .find(|endpoint| endpoint.path().eq_ignore_ascii_case(path))
    }

    fn facts(self) -> Facts {
        match self {
            Endpoint::Accounts => ("Accounts", "accounts", "AccountID", SETTINGS),
            Endpoint::BankTransactions => (
                "BankTransactions",
                "bank_transactions",
                "BankTransactionID",
                BANK,
            ),
            Endpoint::BankTransfers => ("BankTransfers", "bank_transfers", "BankTransferID", BANK),
            Endpoint::ContactGroups => (
                "ContactGroups",
                "contact_groups",
                "ContactGroupID",
                CONTACTS,
            ),
            Endpoint::Contacts => ("Contacts", "contacts", "ContactID", CONTACTS),
            Endpoint::CreditNotes => ("CreditNotes", "credit_notes", "CreditNoteID", INVOICES),
            Endpoint::Currencies => ("Currencies", "currencies", "Code", SETTINGS),
            Endpoint::Invoices => ("Invoices", "invoices", "InvoiceID", INVOICES),
            Endpoint::Items => ("Items", "items", "ItemID", ITEMS),
            Endpoint::Journals => ("Journals", "journals", "JournalID", JOURNALS),
            Endpoint::ManualJournals => (
                "ManualJournals",
                "manual_journals",
                "ManualJournalID",
                MANUAL,
            ),
            Endpoint::Organisation => ("Organisation", "organisation", "OrganisationID", SETTINGS),
            Endpoint::Payments => ("Payments", "payments", "PaymentID", PAYMENTS),
            Endpoint::PurchaseOrders => (
                "PurchaseOrders",
                "purchase_orders",
                "PurchaseOrderID",
                INVOICES,
            ),
            Endpoint::Quotes => ("Quotes", "quotes", "QuoteID", INVOICES),
            Endpoint::TaxRates => ("TaxRates", "tax_rates", "TaxType", SETTINGS),
            Endpoint::TrackingCategories => (
                "TrackingCategories",
                "tracking_categories",
                "TrackingCategoryID",
                SETTINGS,
            ),
            Endpoint::Users => ("Users", "users", "UserID", SETTINGS),
        }
    }

    pub fn path(self) -> &'static str {
        self.facts().0
    }

    /// The stream's name in our manifest.
    pub fn stream(self) -> &'static str {
        self.facts().1
    }

    pub fn id_field(self) -> &'static str {
        self.facts().2
    }

    /// Scopes, one of which opens the endpoint.
    pub fn scopes(self) -> &'static [&'static str] {
        self.facts().3
    }

    /// The envelope's key, which is the path save once.
    pub fn key(self) -> &'static str {
        match self {
            Endpoint::Organisation => "Organisations",
            _ => self.path(),
        }
    }

    pub fn paging(self) -> Paging {
        match self {
            Endpoint::BankTransactions
            | Endpoint::Contacts
            | Endpoint::CreditNotes
            | Endpoint::Invoices
            | Endpoint::ManualJournals
            | Endpoint::Payments
            | Endpoint::PurchaseOrders => Paging::Pages,
            Endpoint::Quotes => Paging::Hundreds,
            Endpoint::Journals => Paging::Offset,
            _ => Paging::Whole,
        }
    }

    /// Whether `If-Modified-Since` means anything here.
    pub fn heeds_since(self) -> bool {
        !matches!(
            self,
            Endpoint::ContactGroups
                | Endpoint::Currencies
                | Endpoint::Organisation
                | Endpoint::TaxRates
                | Endpoint::TrackingCategories
        )
    }

    /// The parameter that brings hidden documents back.
    pub fn reveal(self) -> &'static str {
        match self {
            Endpoint::BankTransfers => "includeDeleted",
            _ => "includeArchived",
        }
    }

    /// What there is, in the order the documents were made.
    pub fn entries(self, ledger: &Ledger) -> Vec<Entry> {
        let whole = |count: usize| entries((0..count).map(|_| (0, false)));
        match self {
            Endpoint::Accounts => updated(&ledger.accounts),
            Endpoint::BankTransactions => updated(&ledger.bank_transactions),
            Endpoint::BankTransfers => {
                let rows = ledger.bank_transfers.iter().enumerate();
                entries(
                    rows.map(|(index, row)| (row.created, bank::transfer_deleted(ledger, index))),
                )
            }
            Endpoint::ContactGroups => whole(people::GROUPS),
            Endpoint::Contacts => {
                let rows = ledger.contacts.iter().enumerate();
                entries(
                    rows.map(|(index, row)| (row.updated, people::contact_archived(ledger, index))),
                )
            }
            Endpoint::CreditNotes => {
                let notes = 0..ledger.credit_notes();
                entries(notes.map(|note| (ledger.credit_note_updated(note), false)))
            }
            Endpoint::Currencies => whole(settings::currencies()),
            Endpoint::Invoices => entries(
                ledger
                    .invoices
                    .iter()
                    .map(|invoice| (invoice.row.updated, false)),
            ),
            Endpoint::Items => updated(&ledger.items),
            Endpoint::Journals => {
                let journals = 0..ledger.journals();
                entries(journals.map(|journal| (ledger.journal_created(journal), false)))
            }
            Endpoint::ManualJournals => updated(&ledger.manual_journals),
            Endpoint::Organisation => whole(1),
            Endpoint::Payments => {
                entries(ledger.payments.iter().map(|payment| (payment.made, false)))
            }
            Endpoint::PurchaseOrders => updated(&ledger.purchase_orders),
            Endpoint::Quotes => updated(&ledger.quotes),
            Endpoint::TaxRates => whole(settings::tax_rates()),
            Endpoint::TrackingCategories => {
                let categories = 0..settings::tracking_categories();
                entries(categories.map(|index| (0, settings::tracking_archived(index))))
            }
            Endpoint::Users => updated(&ledger.users),
        }
    }

    /// A document as the endpoint writes it.
    pub fn document(self, ledger: &Ledger, index: usize, detail: Detail) -> Value {
        let Detail { decimals, lines } = detail;
        match self {
            Endpoint::Accounts => settings::account(ledger, index),
            Endpoint::BankTransactions => bank::transaction(ledger, index, decimals, lines),
            Endpoint::BankTransfers => bank::transfer(ledger, index),
            Endpoint::ContactGroups => people::contact_group(ledger.seed, index),
            Endpoint::Contacts => people::contact(ledger, index),
            Endpoint::CreditNotes => invoices::credit_note(ledger, index, decimals, lines),
            Endpoint::Currencies => settings::currency(index),
            Endpoint::Invoices => invoices::invoice(ledger, index, decimals, lines),
            Endpoint::Items => settings::item(ledger, index, decimals),
            Endpoint::Journals => journals::journal(ledger, index),
            Endpoint::ManualJournals => journals::manual_journal(ledger, index, lines),
            Endpoint::Organisation => people::organisation(ledger.seed),
            Endpoint::Payments => payments::payment(ledger, index),
            Endpoint::PurchaseOrders => orders::purchase_order(ledger, index, decimals, lines),
            Endpoint::Quotes => orders::quote(ledger, index, lines),
            Endpoint::TaxRates => settings::tax_rate(index),
            Endpoint::TrackingCategories => settings::tracking_category(ledger.seed, index),
            Endpoint::Users => people::user(ledger, index),
        }
    }
}

fn entries(facts: impl Iterator<Item = (i64, bool)>) -> Vec<Entry> {
    facts
        .enumerate()
        .map(|(position, (changed, hidden))| Entry {
            position,
            changed,
            hidden,
        })
        .collect()
}

fn updated(rows: &[Row]) -> Vec<Entry> {
    entries(rows.iter().map(|row| (row.updated, false)))
}
