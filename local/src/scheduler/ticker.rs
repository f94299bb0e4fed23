//! The loop that fires what is due.
//!
//! A due time is moved on before its request is sent, so that a kill in between
//! loses a firing and never doubles it; times missed while down fire once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Job;
use super::fire::fire;
use crate::cloud::Cloud;
use crate::error::ApiError;

/// The wall clock may be set meanwhile, so it is looked at this often at least.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Fires jobs until the cloud ends.
pub async fn run(cloud: Arc<Cloud>) {
    loop {
        let changed = cloud.scheduler.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let now = Timestamp::now();
        for job in take_due(&cloud, now) {
            tokio::spawn(fire(cloud.clone(), job));
        }
        tokio::select! {
            () = tokio::time::sleep(until_next(&cloud, now)) => {}
            () = changed => {}
            () = cloud.shutdown.cancelled() => return,
        }
    }
}

fn take_due(cloud: &Cloud, now: Timestamp) -> Vec<Job> {
    let all = cloud.scheduler.jobs.list("");
    let due = all.into_iter().filter(|(_, job)| job.is_due(now));
    due.filter_map(|(name, _)| match take(cloud, &name, now) {
        Ok(job) => job,
        Err(error) => {
            tracing::error!(job = name, %error, "a schedule could not be moved on");
            None
        }
    })
    .collect()
}

fn take(cloud: &Cloud, name: &str, now: Timestamp) -> Result<Option<Job>, ApiError> {
    cloud.scheduler.jobs.update(name, |job| {
        let due = job.as_mut().filter(|job| job.is_due(now));
        Ok(due.map(|job| {
            job.reschedule(now);
            job.clone()
        }))
    })
}

fn until_next(cloud: &Cloud, now: Timestamp) -> Duration {
    let all = cloud.scheduler.jobs.list("").into_iter();
    let next = all.filter_map(|(_, job)| job.due).min();
    let wait = next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    wait.map_or(LONGEST_SLEEP, |wait| wait.min(LONGEST_SLEEP))
}
