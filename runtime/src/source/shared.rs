//! What all streams of one source share: connections, limits, tokens and the config.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::stream::SourceError;

use super::auth::{Login, Rotating, Rotation};
use super::budget::{Budget, Call};
use super::config::{Config, Redactor, SecretSink};
use super::moment::Moment;
use super::outside::{Objects, Outside};
use super::requester::Cache;
use super::template::Scope;
use super::usage::Usages;
use super::watch::{Seen, Watcher};

/// A wait this long is not worth a running task: the run parks.
pub const PARK_AFTER: Duration = Duration::from_secs(300);
/// The source's own window may be an hour long.
pub const PARK_AFTER_BUDGET: Duration = Duration::from_secs(3600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(300);

pub struct Shared {
    pub client: reqwest::Client,
    pub config: Config,
    /// Every template's scope: the config.
    pub scope: Scope,
    pub secrets: Arc<dyn SecretSink>,
    pub objects: Arc<dyn Objects>,
    pub redactor: Redactor,
    budget: Budget,
    gate: Semaphore,
    /// Jobs that may be under way at the source.
    jobs: Semaphore,
    /// Tokens the config holds and streams replace.
    pub rotating: Mutex<Vec<Rotating>>,
    /// Tokens that take turns, each of the manifest's sets once.
    pub rotations: Mutex<Vec<Arc<Rotation>>>,
    /// Session tokens of logins by name and password.
    pub logins: tokio::sync::Mutex<Vec<Login>>,
    /// Replies that are asked for more than once.
    pub cache: Cache,
    /// What was asked, by stream.
    pub usages: Usages,
    watcher: Option<Watcher>,
    offline: bool,
}

impl Shared {
    pub fn new(
        config: Config,
        scope: Scope,
        outside: Outside,
        redactor: Redactor,
        budget: Budget,
        concurrency: usize,
    ) -> Result<Shared, SourceError> {
        Ok(Shared {
            client: Timeouts::default().client()?,
            config,
            scope,
            secrets: outside.secrets,
            objects: outside.objects,
            redactor,
            budget,
            gate: Semaphore::new(concurrency.max(1)),
            jobs: Semaphore::new(1),
            rotating: Mutex::default(),
            rotations: Mutex::default(),
            logins: tokio::sync::Mutex::default(),
            cache: Cache::default(),
            usages: Usages::default(),
            watcher: None,
            offline: false,
        })
    }

    /// This, telling of each exchange.
    #[must_use]
    pub fn watched_by(mut self, watcher: Option<Watcher>) -> Shared {
        self.watcher = watcher;
        self
    }

    /// This, sending nothing: what is read was kept.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Shared {
        self.offline = offline;
        self
    }

    pub fn is_offline(&self) -> bool {
        self.offline
    }

    pub fn is_watched(&self) -> bool {
        self.watcher.is_some()
    }

    /// Tells of an exchange, where somebody watches.
    pub fn tell(&self, seen: impl FnOnce(&Redactor) -> Seen) {
        if let Some(watcher) = &self.watcher {
            watcher(seen(&self.redactor));
        }
    }

    /// This with room for more than one job at a time.
    #[must_use]
    pub fn with_jobs(mut self, most: usize) -> Shared {
        self.jobs = Semaphore::new(most.max(1));
        self
    }

    /// Waits until another job may be started; it holds its place until the permit is dropped.
    pub async fn start_job(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.jobs.acquire().await.ok()
    }

    /// Waits until the source allows this call for a stream; the permit is held until its reply
    /// is read.
    pub async fn enter(
        &self,
        call: Call<'_>,
        stream: &str,
    ) -> Result<SemaphorePermit<'_>, SourceError> {
        loop {
            let permit = self.gate.acquire().await;
            let permit = permit.map_err(|error| SourceError::Config {
                at: "concurrency_level".to_owned(),
                problem: error.to_string(),
            })?;
            let Err(wait) = self.budget.take(call, Moment::now()) else {
                return Ok(permit);
            };
            drop(permit);
            if wait > PARK_AFTER_BUDGET {
                return Err(SourceError::Parked { retry_after: wait });
            }
            tracing::debug!(
                seconds = wait.as_secs_f64(),
                "waiting for the source's budget"
            );
            self.usages.note(stream, |usage| usage.waited += wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// The calls that the manifest's limits leave.
    pub fn calls_left(&self, call: Call<'_>) -> Option<u64> {
        self.budget.left(call, Moment::now())
    }

    pub fn learn(&self, call: Call<'_>, response: &super::response::Response) {
        self.budget.learn(call, response, Moment::now());
    }
}

/// What a manifest says of a requester's connections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeouts {
    pub connect: Option<Duration>,
    /// Between one part of a reply and the next.
    pub read: Option<Duration>,
    pub keepalive: bool,
}

impl Timeouts {
    /// A client that follows no redirects; what may follow one is decided where requests are sent.
    pub fn client(&self) -> Result<reqwest::Client, SourceError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("xetl-runtime/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect.unwrap_or(CONNECT_TIMEOUT))
            .read_timeout(self.read.unwrap_or(READ_TIMEOUT));
        if self.keepalive {
            builder = builder
                .tcp_keepalive(Duration::from_secs(60))
                .tcp_keepalive_interval(Duration::from_secs(10))
                .tcp_keepalive_retries(6);
        }
        builder.build().map_err(|error| SourceError::Config {
            at: "http".to_owned(),
            problem: error.to_string(),
        })
    }
}
