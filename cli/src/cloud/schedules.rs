//! Cloud Scheduler jobs. They have no labels: the description says whose they are.

use std::collections::BTreeMap;

use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_scheduler_v1::model::job::State;
use google_cloud_scheduler_v1::model::{HttpMethod, HttpTarget, Job, OAuthToken, RetryConfig};
use google_cloud_wkt::{Duration, FieldMask};

use super::inventory::PAGE;
use super::{Cloud, CloudError, last_part};
use crate::resource::{Owner, Schedule};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// What of a schedule is ours.
const FIELDS: [&str; 6] = [
    "description",
    "schedule",
    "time_zone",
    "attempt_deadline",
    "retry_config",
    "http_target",
];

impl Cloud {
    /// All schedules of the region, whoever's they are.
    pub(super) async fn list_schedules(&self) -> Result<BTreeMap<String, Schedule>, CloudError> {
        let list = self.schedules().await?.list_jobs();
        let list = list.set_parent(self.in_region("")).set_page_size(PAGE);
        let mut items = list.by_item();
        self.listed(
            "schedules",
            async || items.next().await,
            |job| (last_part(&job.name), schedule_of(&job)),
        )
        .await
    }

    pub(super) async fn find_scheduler_job(&self, name: &str) -> Result<Option<Job>, CloudError> {
        let get = self.schedules().await?.get_job();
        let found = get.set_name(self.schedule_name(name)).send().await;
        match found.map_err(self.failed(&format!("schedule {name}"))) {
            Ok(job) => Ok(Some(job)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn find_schedule(&self, name: &str) -> Result<Option<Schedule>, CloudError> {
        Ok(self
            .find_scheduler_job(name)
            .await?
            .as_ref()
            .map(schedule_of))
    }

    pub(super) async fn create_schedule(
        &self,
        name: &str,
        schedule: &Schedule,
    ) -> Result<(), CloudError> {
        self.schedules()
            .await?
            .create_job()
            .set_parent(self.in_region(""))
            .set_job(scheduler_job(schedule).set_name(self.schedule_name(name)))
            .send()
            .await
            .map_err(self.failed(&format!("schedule {name}")))?;
        self.set_paused(name, schedule.paused, false).await
    }

    pub(super) async fn update_schedule(
        &self,
        name: &str,
        schedule: &Schedule,
    ) -> Result<(), CloudError> {
        let updated = self
            .schedules()
            .await?
            .update_job()
            .set_job(scheduler_job(schedule).set_name(self.schedule_name(name)))
            .set_update_mask(FieldMask::default().set_paths(FIELDS))
            .send()
            .await
            .map_err(self.failed(&format!("schedule {name}")))?;
        // Whether an update keeps the pause is nowhere written: look.
        self.set_paused(name, schedule.paused, updated.state == State::Paused)
            .await
    }

    /// The state is not a field one can set.
    async fn set_paused(&self, name: &str, paused: bool, is: bool) -> Result<(), CloudError> {
        let full = self.schedule_name(name);
        let client = self.schedules().await?;
        let done = match (paused, is) {
            (true, false) => client.pause_job().set_name(full).send().await,
            (false, true) => client.resume_job().set_name(full).send().await,
            _ => return Ok(()),
        };
        done.map(drop)
            .map_err(self.failed(&format!("schedule {name}")))
    }

    pub(super) async fn delete_schedule(&self, name: &str) -> Result<(), CloudError> {
        self.schedules()
            .await?
            .delete_job()
            .set_name(self.schedule_name(name))
            .send()
            .await
            .map_err(self.failed(&format!("schedule {name}")))
    }

    fn schedule_name(&self, name: &str) -> String {
        self.in_region(&format!("jobs/{name}"))
    }
}

fn scheduler_job(schedule: &Schedule) -> Job {
    let token = OAuthToken::new()
        .set_service_account_email(&schedule.account)
        .set_scope(SCOPE);
    let target = HttpTarget::new()
        .set_uri(&schedule.uri)
        .set_http_method(HttpMethod::Post)
        // Without it the body goes out as a stream of octets.
        .set_headers([("Content-Type", "application/json")])
        .set_body("{}")
        .set_oauth_token(token);
    let retry = RetryConfig::new()
        .set_retry_count(schedule.retries as i32)
        .set_min_backoff_duration(seconds(schedule.min_backoff_seconds))
        .set_max_backoff_duration(seconds(schedule.max_backoff_seconds));
    Job::new()
        .set_description(schedule.owner.description())
        .set_schedule(&schedule.cron)
        .set_time_zone(&schedule.time_zone)
        .set_attempt_deadline(seconds(schedule.deadline_seconds))
        .set_retry_config(retry)
        .set_http_target(target)
}

fn seconds(seconds: u64) -> Duration {
    Duration::clamp(seconds as i64, 0)
}

/// The fields we manage of a schedule that is there.
pub(super) fn schedule_of(job: &Job) -> Schedule {
    let retry = job.retry_config.clone().unwrap_or_default();
    let seconds = |time: Option<Duration>| time.map_or(0, |time| time.seconds().unsigned_abs());
    let target = job.http_target().cloned();
    let token = target
        .as_ref()
        .and_then(|target| target.oauth_token().cloned());
    Schedule {
        cron: job.schedule.clone(),
        time_zone: job.time_zone.clone(),
        paused: job.state == State::Paused,
        retries: retry.retry_count.unsigned_abs(),
        min_backoff_seconds: seconds(retry.min_backoff_duration),
        max_backoff_seconds: seconds(retry.max_backoff_duration),
        deadline_seconds: seconds(job.attempt_deadline),
        uri: target.map(|target| target.uri.clone()).unwrap_or_default(),
        account: token
            .map(|token| token.service_account_email.clone())
            .unwrap_or_default(),
        owner: Owner::of_description(&job.description),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_back_as_it_was_written() {
        let schedule = Schedule {
            cron: "0 2 * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            paused: false,
            retries: 2,
            min_backoff_seconds: 10,
            max_backoff_seconds: 60,
            deadline_seconds: 180,
            uri: "https://run.googleapis.com/v2/x:run".to_owned(),
            account: "a@p".to_owned(),
            owner: Owner::pipeline("acme", "xero"),
        };
        assert_eq!(schedule_of(&scheduler_job(&schedule)), schedule);
    }
}
