//! Cloud Scheduler v1: jobs that send an HTTP request when their cron is due.

mod api;
mod attempts;
mod cron;
mod fire;
mod spec;
mod ticker;

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use api::routes;
pub use ticker::run;

use crate::clock;
use crate::forms;
use crate::operations::Status;
use crate::store::{Collection, Store};
use spec::JobSpec;

/// A job: what its user said, and when it is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `projects/P/locations/L/jobs/J`.
    pub name: String,
    pub spec: JobSpec,
    pub paused: bool,
    pub user_update_time: String,
    /// The next due time; a paused job has none.
    pub due: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    /// Of the last attempt.
    pub status: Option<Status>,
}

impl Job {
    /// The job with another spec, due next after `now`.
    pub fn with(mut self, spec: JobSpec, now: Timestamp) -> Job {
        self.spec = spec;
        self.user_update_time = clock::now();
        self.reschedule(now);
        self
    }

    /// Sets the next due time after `now`: what was missed before is not made up for.
    pub fn reschedule(&mut self, now: Timestamp) {
        let schedule = self.spec.schedule().ok();
        self.due = match self.paused {
            true => None,
            false => schedule.and_then(|schedule| schedule.after(now)),
        };
    }

    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The resource as the API shows it.
    pub fn view(&self) -> Value {
        let mut view = json!(self.spec);
        view["name"] = json!(self.name);
        view["state"] = json!(if self.paused { "PAUSED" } else { "ENABLED" });
        view["userUpdateTime"] = json!(self.user_update_time);
        if let Some(due) = self.due {
            view["scheduleTime"] = json!(forms::timestamp(due));
        }
        if let Some(time) = self.last_attempt {
            view["lastAttemptTime"] = json!(forms::timestamp(time));
        }
        if let Some(status) = &self.status {
            view["status"] = json!(status);
        }
        view
    }
}

/// All jobs, and the bell that rings when one changes.
pub struct Scheduler {
    jobs: Collection<Job>,
    changed: Notify,
}

impl Scheduler {
    pub fn open(store: &Store) -> io::Result<Scheduler> {
        Ok(Scheduler {
            jobs: store.collection("scheduler")?,
            changed: Notify::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    pub(super) fn job() -> Job {
        let job = Job {
            name: "projects/p/locations/l/jobs/j".into(),
            spec: JobSpec::default(),
            paused: false,
            user_update_time: String::new(),
            due: None,
            last_attempt: None,
            status: None,
        };
        let spec = JobSpec {
            schedule: "0 * * * *".into(),
            time_zone: "Etc/UTC".into(),
            ..JobSpec::default()
        };
        job.with(spec, time("2026-11-21T10:30:00Z"))
    }

    #[test]
    fn many_missed_times_are_due_once() {
        let mut job = job();
        let now = time("2026-11-22T10:30:00Z");
        assert!(job.is_due(now));
        job.reschedule(now);
        assert!(!job.is_due(now));
        assert_eq!(job.due, Some(time("2026-11-22T11:00:00Z")));
    }

    #[test]
    fn a_paused_job_is_never_due() {
        let mut job = job();
        job.paused = true;
        job.reschedule(time("2026-11-21T10:30:00Z"));
        assert_eq!(job.due, None);
        assert_eq!(job.view()["state"], "PAUSED");
    }
}
