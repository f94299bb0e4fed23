//! Fires jobs: one request a due time, and its retries.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Job, rules, text};
use crate::cloud::Cloud;
use crate::forms;

/// A late firing still counts up to this age, as after a short sleep; older ones are passed over.
const LATEST: i64 = 60;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Fires due jobs until the cloud shuts down.
pub async fn watch(cloud: Arc<Cloud>) {
    loop {
        let now = Timestamp::now();
        let wait = fire_due(&cloud, now)
            .unwrap_or(LONGEST_WAIT)
            .min(LONGEST_WAIT);
        tokio::select! {
            () = cloud.shutdown.cancelled() => return,
            () = cloud.scheduler.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Starts what is due and says how long until something is again.
fn fire_due(cloud: &Arc<Cloud>, now: Timestamp) -> Option<Duration> {
    let mut soonest: Option<Timestamp> = None;
    for (name, job) in cloud.scheduler.jobs.list("") {
        if text(&job, "state") != "ENABLED" {
            continue;
        }
        let due = text(&job, "scheduleTime").parse::<Timestamp>().ok();
        let next = match due {
            Some(due) if due > now => Some(due),
            due => {
                let next = rules::next(&job, now);
                move_on(cloud, &name, next);
                if due.is_some_and(|due| now.as_second() - due.as_second() <= LATEST) {
                    tokio::spawn(fire(cloud.clone(), name));
                }
                next
            }
        };
        soonest = [soonest, next].into_iter().flatten().min();
    }
    soonest.map(|time| Duration::try_from(time.duration_since(now)).unwrap_or_default())
}

/// Notes the next due time before the request goes out, so that a crash fires nothing twice.
fn move_on(cloud: &Cloud, name: &str, next: Option<Timestamp>) {
    change(cloud, name, |job| match next {
        Some(next) => {
            job.insert("scheduleTime".to_owned(), json!(next.to_string()));
        }
        None => {
            job.remove("scheduleTime");
        }
    });
}

fn change(cloud: &Cloud, name: &str, edit: impl FnOnce(&mut Job)) {
    let changed = cloud.scheduler.jobs.update(name, |job| {
        if let Some(job) = job {
            edit(job);
        }
        Ok::<_, std::io::Error>(())
    });
    if let Err(error) = changed {
        tracing::error!(job = name, %error, "the job's state cannot be kept");
    }
}

/// Sends a job's request, again after failures as its retry configuration says.
pub async fn fire(cloud: Arc<Cloud>, name: String) {
    let Some(job) = cloud.scheduler.jobs.get(&name) else {
        return;
    };
    let retries = job["retryConfig"]["retryCount"].as_u64().unwrap_or(0);
    for retry in 0..=u32::try_from(retries).unwrap_or(0) {
        let began = forms::now();
        let result = attempt(&cloud, &job).await;
        let (code, message) = match &result {
            Ok(()) => (0, String::new()),
            Err((code, message)) => (*code, message.clone()),
        };
        change(&cloud, &name, |job| {
            job.insert("lastAttemptTime".to_owned(), json!(began));
            job.insert("status".to_owned(), status(code, &message));
        });
        if result.is_ok() {
            return;
        }
        tracing::warn!(job = name, message, "a scheduled request failed");
        tokio::select! {
            () = cloud.shutdown.cancelled() => return,
            () = tokio::time::sleep(rules::backoff(&job, retry)) => {}
        }
    }
}

/// `google.rpc.Status`, with nothing in it for success.
fn status(code: i32, message: &str) -> Value {
    match code {
        0 => json!({}),
        code => json!({"code": code, "message": message}),
    }
}

/// One request; an error is a gRPC code and a sentence.
async fn attempt(cloud: &Cloud, job: &Job) -> Result<(), (i32, String)> {
    let empty = Job::new();
    let target = job
        .get("httpTarget")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let uri = text(target, "uri");
    let method = text(target, "httpMethod")
        .parse()
        .unwrap_or(reqwest::Method::POST);
    let deadline =
        forms::duration(text(job, "attemptDeadline")).unwrap_or(Duration::from_secs(180));
    let body = STANDARD.decode(text(target, "body")).unwrap_or_default();
    let mut request = reqwest::Client::new()
        .request(method, address(cloud, uri))
        .timeout(deadline)
        .header("user-agent", "Google-Cloud-Scheduler")
        .body(body);
    for (key, value) in target
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        request = request.header(key, value.as_str().unwrap_or(""));
    }
    if let Some(account) = account(target) {
        if !cloud.accounts.exists(account) {
            return Err((7, format!("service account {account} does not exist")));
        }
        request = request.bearer_auth(cloud.identity.token(account));
    }
    let reply = request
        .send()
        .await
        .map_err(|error| (14, error.without_url().to_string()))?;
    match reply.status() {
        status if status.is_success() => Ok(()),
        status => Err((
            code(status.as_u16()),
            format!("the target answered {status}"),
        )),
    }
}

/// Google's hosts are this cloud, on one port.
fn address(cloud: &Cloud, uri: &str) -> String {
    match url::Url::parse(uri) {
        Ok(url) if rules::is_google(uri) => {
            let query = url
                .query()
                .map(|query| format!("?{query}"))
                .unwrap_or_default();
            format!("{}{}{query}", cloud.endpoint, url.path())
        }
        _ => uri.to_owned(),
    }
}

fn account(target: &Job) -> Option<&str> {
    let token = target
        .get("oauthToken")
        .or_else(|| target.get("oidcToken"))?;
    token.get("serviceAccountEmail")?.as_str()
}

/// The gRPC code Cloud Scheduler shows for an HTTP status.
fn code(status: u16) -> i32 {
    match status {
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 10,
        429 => 8,
        501 => 12,
        503 => 14,
        500..=599 => 13,
        _ => 2,
    }
}
