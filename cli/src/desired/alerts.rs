//! Whom alerts tell, and of what: of a run that failed, a start that was refused, a run that never began.

use std::time::Duration;

use crate::config::{Client, LONGEST_WATCHED, Pipeline};
use crate::names::{self, first_few};
use crate::resource::{
    Address, Alert, Channel, Condition, Kind, Metric, Owner, Resource, Resources,
};

/// Google's longest window of an alert.
const LONGEST_WINDOW: Duration = Duration::from_secs(25 * 3600);
/// The least time for which a window has to stay empty.
const LEAST_HOLD: Duration = Duration::from_secs(60);
/// What the runtime writes at the end of a run; one that another run kept from loading is one too.
const ENDED_WELL: &str = "resource.type=\"cloud_run_job\" AND jsonPayload.message=\"run summary\" AND jsonPayload.summary.outcome!=\"failed\"";

/// A channel for each address, and alerts for each pipeline; nothing where nobody is told.
pub(super) fn alerts(client: &Client, resources: &mut Resources) {
    let emails = &client.settings.emails;
    if emails.is_empty() {
        return;
    }
    let api = Address::new(Kind::Api, "monitoring.googleapis.com");
    resources.insert(api, Resource::Api);
    for email in emails {
        let channel = Channel {
            enabled: true,
            is_shared: false,
        };
        resources.insert(Address::new(Kind::Channel, email), channel.into());
    }
    for pipeline in &client.pipelines {
        let job = names::job(&client.name, &pipeline.name);
        let address = Address::new(Kind::Alert, format!("{job}-failed"));
        resources.insert(address, failed(client, pipeline, &job).into());
        if let Some(after) = pipeline.missed_after {
            resources.insert(Address::new(Kind::Metric, names::METRIC), runs().into());
            let address = Address::new(Kind::Alert, format!("{job}-missed"));
            resources.insert(address, missed(client, pipeline, &job, after).into());
        }
    }
}

/// The jobs of scheduled pipelines whose runs are too far apart to be watched.
pub fn unwatched(client: &Client) -> impl Iterator<Item = String> {
    let told = !client.settings.emails.is_empty();
    let pipelines = client.pipelines.iter().filter(move |pipeline| {
        let schedule = pipeline.schedule.as_ref();
        told && pipeline.missed_after.is_none() && schedule.is_some_and(|it| !it.paused)
    });
    pipelines.map(|pipeline| names::job(&client.name, &pipeline.name))
}

/// What is to be said of jobs that are not watched, where there are some.
pub fn not_watched(jobs: &[String]) -> Option<String> {
    let hours = LONGEST_WATCHED.as_secs() / 3600;
    (!jobs.is_empty()).then(|| {
        format!(
            "no alert tells when a run of {} never began: Cloud Monitoring cannot watch runs more than {hours}h apart; a start that is refused does tell",
            first_few(jobs)
        )
    })
}

/// Counts runs by their jobs, which Logging tells apart by itself.
fn runs() -> Metric {
    Metric {
        filter: ENDED_WELL.to_owned(),
        enabled: true,
        is_shared: false,
    }
}

/// The runtime ends a run that failed with an error, Cloud Run logs one for a task that was killed,
/// and Cloud Scheduler for a start that was refused. Unlike a metric that was never written, a
/// filter over the log can be watched at once.
fn failed(client: &Client, pipeline: &Pipeline, job: &str) -> Alert {
    let runs = format!("resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"{job}\"");
    let starts =
        format!("resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"{job}\"");
    let filter = match &pipeline.schedule {
        None => format!("{runs} AND severity>=ERROR"),
        Some(_) => format!("severity>=ERROR AND (({runs}) OR ({starts}))"),
    };
    let condition = Condition::Entry {
        filter,
        tell_every_seconds: 3600,
    };
    alert(client, pipeline, "failed", condition)
}

/// A window that stays empty for a while: together they are as long as it may go without a run.
fn missed(client: &Client, pipeline: &Pipeline, job: &str, after: Duration) -> Alert {
    let window = LONGEST_WINDOW.min(after.saturating_sub(LEAST_HOLD));
    let condition = Condition::Silence {
        filter: format!(
            "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"{job}\" AND resource.labels.location=\"{}\" AND metric.type=\"logging.googleapis.com/user/{}\"",
            client.region,
            names::METRIC
        ),
        fewer_than: 1,
        window_seconds: window.as_secs(),
        hold_seconds: (after - window).as_secs(),
        missing_data: "EVALUATION_MISSING_DATA_ACTIVE".to_owned(),
    };
    alert(client, pipeline, "missed a run", condition)
}

fn alert(client: &Client, pipeline: &Pipeline, what: &str, condition: Condition) -> Alert {
    Alert {
        display_name: format!("xetl: {} {} {what}", client.name, pipeline.name),
        enabled: true,
        condition,
        emails: client.settings.emails.clone(),
        auto_close_seconds: 86_400,
        owner: Owner::pipeline(&client.name, &pipeline.name),
    }
}
