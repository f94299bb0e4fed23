//! The methods of scheduler jobs.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde_json::json;

use super::{Job, fire, rules, text};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

/// Fields only the service sets.
const OUTPUT: [&str; 6] = [
    "state",
    "status",
    "scheduleTime",
    "lastAttemptTime",
    "userUpdateTime",
    "satisfiesPzs",
];

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v1/projects/{project}/locations/{location}/jobs";
    const ONE: &str = "/v1/projects/{project}/locations/{location}/jobs/{job}";
    vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/locations/{location}/jobs/{job}:pause",
            pause,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/locations/{location}/jobs/{job}:resume",
            resume,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/locations/{location}/jobs/{job}:run",
            run,
        ),
    ]
}

fn parent(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    let project = cloud.projects.id(request.var("project"))?;
    Ok(format!(
        "projects/{project}/locations/{}",
        request.var("location")
    ))
}

/// The job's name, once the caller may do this with it.
fn permitted(cloud: &Cloud, request: &Request, permission: &str) -> Result<String, ApiError> {
    let name = format!("{}/jobs/{}", parent(cloud, request)?, request.var("job"));
    policy::require(cloud, &request.caller, &name, permission)?;
    Ok(name)
}

fn missing() -> ApiError {
    ApiError::not_found("Job not found.")
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let parent = parent(&cloud, &request)?;
    policy::require(
        &cloud,
        &request.caller,
        &parent,
        "cloudscheduler.jobs.create",
    )?;
    let mut job: Job = request.json().await?;
    let name = new_name(&parent, text(&job, "name"))?;
    clear(&mut job);
    let mut job = rules::complete(job)?;
    check_account(&cloud, &job)?;
    job.insert("name".to_owned(), json!(name));
    job.insert("state".to_owned(), json!("ENABLED"));
    stamp(&mut job);
    let job = cloud
        .scheduler
        .jobs
        .update(&name, |present| match present {
            Some(_) => Err(ApiError::already_exists(format!(
                "Job {name} already exists."
            ))),
            None => Ok(present.insert(job).clone()),
        })?;
    cloud.scheduler.changed.notify_one();
    Ok(Json(job).into_response())
}

/// The name sent, or one made up where none is.
fn new_name(parent: &str, sent: &str) -> Result<String, ApiError> {
    if sent.is_empty() {
        return Ok(format!("{parent}/jobs/{}", rand::random::<u32>()));
    }
    let id = sent.rsplit('/').next().unwrap_or(sent);
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !sent.contains("/jobs/") || id.is_empty() || id.len() > 500 || !id.chars().all(good) {
        return Err(ApiError::invalid(format!(
            "Job name `{sent}` must be `{parent}/jobs/[A-Za-z0-9_-]+`"
        )));
    }
    Ok(format!("{parent}/jobs/{id}"))
}

fn clear(job: &mut Job) {
    for field in OUTPUT {
        job.remove(field);
    }
}

fn check_account(cloud: &Cloud, job: &Job) -> Result<(), ApiError> {
    let tokens = ["oauthToken", "oidcToken"].map(|kind| job["httpTarget"].get(kind).cloned());
    for token in tokens.into_iter().flatten() {
        let account = token["serviceAccountEmail"].as_str().unwrap_or("");
        if !cloud.accounts.exists(account) {
            return Err(ApiError::not_found(format!(
                "Service account {account} does not exist."
            )));
        }
    }
    Ok(())
}

/// Notes the change, and when the job is due by what it says now.
fn stamp(job: &mut Job) {
    job.insert("userUpdateTime".to_owned(), json!(forms::now()));
    match rules::next(job, Timestamp::now()).filter(|_| text(job, "state") == "ENABLED") {
        Some(next) => job.insert("scheduleTime".to_owned(), json!(next.to_string())),
        None => job.remove("scheduleTime"),
    };
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let parent = parent(&cloud, &request)?;
    policy::require(&cloud, &request.caller, &parent, "cloudscheduler.jobs.list")?;
    let jobs = cloud.scheduler.jobs.list(&format!("{parent}/jobs/"));
    let (jobs, next) = Paging::of(&request, 500)?.take(jobs);
    Ok(Json(forms::list_reply("jobs", &jobs, next)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = permitted(&cloud, &request, "cloudscheduler.jobs.get")?;
    let job = cloud.scheduler.jobs.get(&name).ok_or_else(missing)?;
    Ok(Json(job).into_response())
}

/// Changes the fields of the mask, or all that are sent; a paused job stays paused.
async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let name = permitted(&cloud, &request, "cloudscheduler.jobs.update")?;
    let mut sent: Job = request.json().await?;
    clear(&mut sent);
    sent.remove("name");
    let mask = request.query("updateMask").unwrap_or("").to_owned();
    let job = cloud.scheduler.jobs.update(&name, |job| {
        let present = job.as_ref().ok_or_else(missing)?;
        let mut changed = rules::complete(merged(present.clone(), sent, &mask))?;
        check_account(&cloud, &changed)?;
        stamp(&mut changed);
        Ok::<_, ApiError>(job.insert(changed).clone())
    })?;
    cloud.scheduler.changed.notify_one();
    Ok(Json(job).into_response())
}

fn merged(mut job: Job, mut sent: Job, mask: &str) -> Job {
    if mask.is_empty() || mask == "*" {
        job.extend(sent);
        return job;
    }
    for path in mask.split(',') {
        let field = camel(path.split('.').next().unwrap_or(path));
        match sent.remove(&field) {
            Some(value) => job.insert(field, value),
            None => job.remove(&field),
        };
    }
    job
}

/// `time_zone` as JSON has it: `timeZone`.
fn camel(field: &str) -> String {
    let mut words = field.trim().split('_');
    let first = words.next().unwrap_or("").to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(word.len().min(1));
        name + &head.to_ascii_uppercase() + tail
    })
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = permitted(&cloud, &request, "cloudscheduler.jobs.delete")?;
    cloud.scheduler.jobs.remove(&name)?.ok_or_else(missing)?;
    Ok(Json(json!({})).into_response())
}

async fn pause(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = permitted(&cloud, &request, "cloudscheduler.jobs.pause")?;
    set_state(&cloud, &name, "PAUSED")
}

async fn resume(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = permitted(&cloud, &request, "cloudscheduler.jobs.enable")?;
    set_state(&cloud, &name, "ENABLED")
}

fn set_state(cloud: &Cloud, name: &str, state: &str) -> Reply {
    let job = cloud.scheduler.jobs.update(name, |job| {
        let job = job.as_mut().ok_or_else(missing)?;
        job.insert("state".to_owned(), json!(state));
        stamp(job);
        Ok::<_, ApiError>(job.clone())
    })?;
    cloud.scheduler.changed.notify_one();
    Ok(Json(job).into_response())
}

async fn run(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = permitted(&cloud, &request, "cloudscheduler.jobs.run")?;
    let job = cloud.scheduler.jobs.get(&name).ok_or_else(missing)?;
    tokio::spawn(fire::fire(cloud.clone(), name));
    Ok(Json(job).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_changes_what_it_names_and_drops_what_is_not_sent() {
        let job = |value: serde_json::Value| value.as_object().unwrap().clone();
        let present = job(json!({"schedule": "a", "timeZone": "b", "description": "c"}));
        let sent = job(json!({"schedule": "d", "timeZone": "e"}));
        let changed = merged(present, sent, "time_zone,description");
        assert_eq!(changed, job(json!({"schedule": "a", "timeZone": "e"})));
    }

    #[test]
    fn names_keep_googles_rules() {
        assert_eq!(new_name("p/l", "p/l/jobs/a-1").unwrap(), "p/l/jobs/a-1");
        assert!(new_name("p/l", "p/l/jobs/a b").is_err());
    }
}
