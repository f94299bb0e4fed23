//! The sandbox between its requests: ledger, tokens, limits, faults, and what was asked.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::faults::Faults;
use super::ledger::Ledger;
use super::ledger::clock::{DAY, SECOND};
use super::limits::{Allowance, Limits};
use super::state::{Folder, State};
use super::tokens::Tokens;

pub struct Sandbox {
    inside: Mutex<Inside>,
    folder: Folder,
    pub latency: Duration,
}

pub struct Inside {
    pub ledger: Arc<Ledger>,
    pub limits: Limits,
    pub faults: Faults,
    /// Calls per path since the start.
    pub requests: BTreeMap<String, u64>,
    pub state: State,
}

impl Sandbox {
    pub fn new(state: State, allowance: Allowance, latency: Duration, folder: Folder) -> Sandbox {
        let mut ledger = Ledger::new(state.seed, state.documents);
        (0..state.days).for_each(|_| ledger.advance());
        let inside = Inside {
            ledger: Arc::new(ledger),
            limits: Limits::new(allowance),
            faults: Faults::default(),
            requests: BTreeMap::new(),
            state,
        };
        Sandbox {
            inside: Mutex::new(inside),
            folder,
            latency,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what must survive a restart.
    pub fn save(&self) -> io::Result<()> {
        let state = self.lock().state.clone();
        self.folder.write(&state)
    }
}

impl Inside {
    /// The time tokens and limits go by: the real one, moved on by what was skipped.
    pub fn clock(&self) -> i64 {
        real_clock() + i64::from(self.state.days) * DAY + self.state.seconds * SECOND
    }

    pub fn advance(&mut self, days: u32, seconds: u32) {
        let ledger = Arc::make_mut(&mut self.ledger);
        (0..days).for_each(|_| ledger.advance());
        self.state.days += days;
        self.state.seconds += i64::from(seconds);
    }

    pub fn tokens(&mut self) -> &mut Tokens {
        &mut self.state.tokens
    }

    pub fn count(&mut self, path: &str) {
        *self.requests.entry(path.to_string()).or_default() += 1;
    }
}

pub fn real_clock() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_millis() as i64
}
