//! A sandbox between its requests: its world, the faults asked for, and what was called.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::clock::{DAY, SECOND, real_clock};
use super::faults::Faults;
use super::folder::{Folder, Saved};

/// What an API is about: its data, its limits, who may come in.
pub trait World: Send + 'static {
    /// What must survive a restart, beside the time that has passed.
    type Kept: Serialize + DeserializeOwned;

    fn kept(&self) -> Self::Kept;

    /// Lets a day pass in the data.
    fn pass_day(&mut self);

    /// The data's own time, as its API writes it.
    fn now(&self) -> String;

    /// What a complete copy must hold; `asked` are the parameters of the question.
    fn truth(&self, asked: &BTreeMap<String, String>) -> Result<Value, String>;

    /// What `/_sandbox/requests` tells beside the paths.
    fn told(&self) -> Map<String, Value> {
        Map::new()
    }
}

pub type Shared<W> = Arc<Sandbox<W>>;

pub struct Sandbox<W> {
    inside: Mutex<Inside<W>>,
    folder: Folder,
    latency: Duration,
}

pub struct Inside<W> {
    pub world: W,
    pub faults: Faults,
    /// Calls per path since the start.
    pub requests: BTreeMap<String, u64>,
    pub time: Time,
    port: u16,
}

/// How far a sandbox's clock was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Time {
    pub days: u32,
    /// Seconds beside whole days.
    pub seconds: i64,
}

impl Time {
    /// The time tokens and limits go by: the real one, moved on by what was skipped.
    pub fn clock(self) -> i64 {
        real_clock() + i64::from(self.days) * DAY + self.seconds * SECOND
    }
}

impl<W: World> Sandbox<W> {
    /// A world as it is after `time` has passed.
    pub(super) fn new(
        mut world: W,
        time: Time,
        port: u16,
        latency: Duration,
        folder: Folder,
    ) -> Sandbox<W> {
        (0..time.days).for_each(|_| world.pass_day());
        let inside = Inside {
            world,
            faults: Faults::default(),
            requests: BTreeMap::new(),
            time,
            port,
        };
        Sandbox {
            inside: Mutex::new(inside),
            folder,
            latency,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inside<W>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what must survive a restart.
    pub fn save(&self) -> io::Result<()> {
        let saved = {
            let inside = self.lock();
            Saved {
                port: inside.port,
                time: inside.time,
                world: inside.world.kept(),
            }
        };
        self.folder.write(&saved)
    }

    /// Counts a call; answers it with a fault if one was asked for.
    pub fn meet(&self, path: &str) -> Option<Response> {
        let mut inside = self.lock();
        *inside.requests.entry(path.to_string()).or_default() += 1;
        inside.faults.next(path).map(|fault| fault.response())
    }

    /// Takes as long as each call is said to take.
    pub async fn take_time(&self) {
        tokio::time::sleep(self.latency).await;
    }
}

impl<W: World> Inside<W> {
    pub fn clock(&self) -> i64 {
        self.time.clock()
    }

    pub fn advance(&mut self, days: u32, seconds: u32) {
        (0..days).for_each(|_| self.world.pass_day());
        self.time.days += days;
        self.time.seconds += i64::from(seconds);
    }
}
