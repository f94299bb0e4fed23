//! Cloud Scheduler v1: jobs that fire on their cron, or when told to.
//!
//! `rules` says what a job may be and when it is due, `api` keeps jobs, `fire`
//! sends their requests. A target at Google is this same cloud.

mod api;
mod fire;
mod rules;

use std::io;

use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::store::{Collection, Store};

pub use api::routes;
pub use fire::watch;

/// A job in the API's own form.
pub type Job = Map<String, Value>;

/// All jobs, by `projects/P/locations/L/jobs/J`.
pub struct Scheduler {
    jobs: Collection<Job>,
    /// Rung when a job was changed, as it may be due earlier than what is waited for.
    changed: Notify,
}

impl Scheduler {
    pub fn open(store: &Store) -> io::Result<Scheduler> {
        Ok(Scheduler {
            jobs: store.collection("scheduler/jobs")?,
            changed: Notify::new(),
        })
    }
}

fn text<'a>(job: &'a Job, key: &str) -> &'a str {
    job.get(key).and_then(Value::as_str).unwrap_or("")
}
