//! The ledger of a made-up company, generated from a seed.
//!
//! What time changes (when a document was made and last touched, an invoice's
//! status, its payments) is kept here; everything else about a document follows
//! from the seed and its position, and is written out when it is asked for.
//! Nothing here knows of HTTP or of the real clock: the ledger's own time
//! stands still until `advance`.

pub mod bank;
pub mod clock;
pub use super::super::common::draw;
pub mod invoices;
pub mod journals;
pub mod lines;
pub mod money;
pub mod orders;
pub mod payments;
pub mod people;
pub mod settings;
mod words;

use clock::{DAY, OPENING, SECOND, START};
use draw::Draw;
use invoices::Invoice;
use payments::Payment;

/// When a document was made and last touched, and how often it was touched since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub created: i64,
    pub updated: i64,
    pub version: u32,
}

/// The ledger at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub seed: u64,
    /// The ledger's time.
    pub now: i64,
    pub accounts: Vec<Row>,
    pub bank_transactions: Vec<Row>,
    pub bank_transfers: Vec<Row>,
    pub contacts: Vec<Row>,
    pub invoices: Vec<Invoice>,
    pub items: Vec<Row>,
    pub manual_journals: Vec<Row>,
    pub payments: Vec<Payment>,
    pub purchase_orders: Vec<Row>,
    pub quotes: Vec<Row>,
    pub users: Vec<Row>,
    /// Contacts there were at the start: documents name only these.
    known_contacts: usize,
}

impl Ledger {
    /// A ledger of about `documents` documents over all endpoints.
    pub fn new(seed: u64, documents: usize) -> Ledger {
        let share = |per_mille: usize| (documents * per_mille / 1000).max(1);
        let opening = |kind: &str, count: usize| opening_rows(seed, kind, count);
        let mut ledger = Ledger {
            seed,
            now: START,
            accounts: opening("account", settings::accounts()),
            bank_transactions: opening("bank transaction", share(85)),
            bank_transfers: opening("bank transfer", share(7)),
            contacts: opening("contact", share(120)),
            invoices: Vec::new(),
            items: opening("item", share(8).max(40)),
            manual_journals: opening("manual journal", share(11)),
            payments: Vec::new(),
            purchase_orders: opening("purchase order", share(18)),
            quotes: opening("quote", share(13)),
            users: opening("user", people::USERS),
            known_contacts: share(120),
        };
        for row in opening("invoice", share(450)) {
            ledger.add_invoice(row);
        }
        ledger
    }

    /// Lets a day pass: some documents are added, some older ones change.
    pub fn advance(&mut self) {
        self.grow();
        self.change();
        self.now += DAY;
    }

    /// Days passed since the start.
    pub fn days(&self) -> i64 {
        (self.now - START) / DAY
    }

    fn grow(&mut self) {
        let today = Today::of(self);
        today.add("bank transaction", &mut self.bank_transactions);
        today.add("bank transfer", &mut self.bank_transfers);
        today.add("contact", &mut self.contacts);
        today.add("manual journal", &mut self.manual_journals);
        today.add("purchase order", &mut self.purchase_orders);
        today.add("quote", &mut self.quotes);
        for row in today.new_rows("invoice", self.invoices.len()) {
            self.add_invoice(row);
        }
    }

    fn change(&mut self) {
        let today = Today::of(self);
        today.touch("account", &mut self.accounts);
        today.touch("bank transaction", &mut self.bank_transactions);
        today.touch("contact", &mut self.contacts);
        today.touch("item", &mut self.items);
        today.touch("manual journal", &mut self.manual_journals);
        today.touch("purchase order", &mut self.purchase_orders);
        today.touch("quote", &mut self.quotes);
        for (position, moment) in today.touched("changed invoice", self.invoices.len()) {
            self.change_invoice(position, moment);
        }
    }

    /// Position of the contact a document names.
    pub fn contact_of(&self, draw: &mut Draw) -> usize {
        draw.index(self.known_contacts)
    }
}

/// The documents there are at the start, spread over the time before it.
fn opening_rows(seed: u64, kind: &str, count: usize) -> Vec<Row> {
    let gap = (START - OPENING) / count as i64;
    (0..count)
        .map(|index| {
            let mut draw = Draw::new(seed, kind, &[0, index as u64]);
            let created = OPENING + gap * index as i64 + SECOND + draw.between(0, gap - SECOND);
            let latest = (START - SECOND).min(created + 40 * DAY);
            let touched = if draw.percent(60) {
                draw.between(created, latest)
            } else {
                created
            };
            let updated = whole_seconds(&mut draw, touched);
            Row {
                created,
                updated: updated.max(created),
                version: 0,
            }
        })
        .collect()
}

/// One moment in ten has no milliseconds.
fn whole_seconds(draw: &mut Draw, millis: i64) -> i64 {
    if draw.percent(10) {
        millis / SECOND * SECOND
    } else {
        millis
    }
}

/// What a day brings, decided by the seed and the day alone.
struct Today {
    seed: u64,
    start: i64,
}

impl Today {
    fn of(ledger: &Ledger) -> Today {
        Today {
            seed: ledger.seed,
            start: ledger.now,
        }
    }

    fn draw(&self, purpose: &str) -> Draw {
        Draw::new(self.seed, purpose, &[(self.start / DAY) as u64])
    }

    /// Rows made today: one for each 500 there are.
    fn new_rows(&self, kind: &str, existing: usize) -> Vec<Row> {
        let count = (existing / 500).max(1);
        let moments = self.moments(kind, count);
        moments
            .map(|created| Row {
                created,
                updated: created,
                version: 0,
            })
            .collect()
    }

    fn add(&self, kind: &str, rows: &mut Vec<Row>) {
        rows.extend(self.new_rows(kind, rows.len()));
    }

    /// Which rows change today, and when: one for each 300 there are.
    fn touched(&self, purpose: &str, existing: usize) -> Vec<(usize, i64)> {
        let count = (existing / 300).max(1);
        let mut draw = self.draw(&format!("which {purpose}"));
        let moments = self.moments(purpose, count);
        moments
            .map(|moment| (draw.index(existing), moment))
            .collect()
    }

    fn touch(&self, kind: &str, rows: &mut [Row]) {
        for (position, moment) in self.touched(kind, rows.len()) {
            let row = &mut rows[position];
            row.updated = row.updated.max(moment);
            row.version += 1;
        }
    }

    /// Ascending moments of today.
    fn moments(&self, purpose: &str, count: usize) -> impl Iterator<Item = i64> + use<> {
        let mut draw = self.draw(purpose);
        let (start, gap) = (self.start, DAY / count as i64);
        (0..count as i64).map(move |part| {
            let jitter = draw.between(1, gap);
            start + gap * part + whole_seconds(&mut draw, jitter)
        })
    }
}

#[cfg(test)]
mod tests;
