//! Methods of Cloud Scheduler's API v1.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Job;
use super::fire::fire;
use super::spec::JobSpec;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::identity::Caller;
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

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

fn parent(request: &Request) -> String {
    format!(
        "projects/{}/locations/{}",
        request.var("project"),
        request.var("location")
    )
}

/// The job a path names, when the caller may do what `permission` says.
fn named(cloud: &Cloud, request: &Request, permission: &str) -> Result<Job, ApiError> {
    let parent = parent(request);
    policy::require(cloud, &request.caller, &parent, permission)?;
    let name = format!("{parent}/jobs/{}", request.var("job"));
    cloud.scheduler.jobs.get(&name).ok_or_else(no_job)
}

fn no_job() -> ApiError {
    ApiError::not_found("Job not found.")
}

/// The account of a token must be one of the job's own project, and the caller's to act as
/// (Cloud Scheduler, HTTP target auth).
fn check_account(
    cloud: &Cloud,
    caller: &Caller,
    project: &str,
    spec: &JobSpec,
) -> Result<(), ApiError> {
    let Some(account) = spec
        .http_target
        .as_ref()
        .and_then(|target| target.account())
    else {
        return Ok(());
    };
    let of_project = account.ends_with(&format!("@{project}.iam.gserviceaccount.com"));
    if of_project && cloud.policies.may_act_as(caller, account) {
        return Ok(());
    }
    Err(ApiError::permission_denied(format!(
        "The principal lacks IAM permission \"iam.serviceAccounts.actAs\" for the resource \
         \"{account}\" (or the resource may not exist in project {project})."
    )))
}

fn check_id(id: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=500).contains(&id.len()) && id.chars().all(good) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Job name must end in an id of at most 500 letters, digits, `_` and `-`, not `{id}`"
    )))
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let parent = parent(&request);
    policy::require(
        &cloud,
        &request.caller,
        &parent,
        "cloudscheduler.jobs.create",
    )?;
    let body: Map<String, Value> = request.json().await?;
    let name = body
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let id = name.strip_prefix(&format!("{parent}/jobs/"));
    check_id(id.ok_or_else(|| {
        ApiError::invalid(format!("Job name must be {parent}/jobs/JOB, not `{name}`"))
    })?)?;
    let spec = JobSpec::parse(body)?.checked()?;
    check_account(&cloud, &request.caller, request.var("project"), &spec)?;
    let job = Job {
        name: name.clone(),
        spec: spec.clone(),
        paused: false,
        user_update_time: String::new(),
        due: None,
        last_attempt: None,
        status: None,
    }
    .with(spec, Timestamp::now());
    cloud.scheduler.jobs.update(&name, |present| {
        if present.is_some() {
            return Err(ApiError::already_exists(format!(
                "Job {name} already exists."
            )));
        }
        *present = Some(job.clone());
        Ok(())
    })?;
    cloud.scheduler.changed.notify_one();
    Ok(Json(job.view()).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let parent = parent(&request);
    policy::require(&cloud, &request.caller, &parent, "cloudscheduler.jobs.list")?;
    let all = cloud.scheduler.jobs.list(&format!("{parent}/jobs/"));
    let (page, next) = Paging::of(&request, 500)?.take(all);
    let page: Vec<Value> = page.iter().map(Job::view).collect();
    Ok(Json(forms::list_reply("jobs", &page, next)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "cloudscheduler.jobs.get")?;
    Ok(Json(job.view()).into_response())
}

/// Changes a job that is there and wakes the loop, as its due time may be another.
fn change(
    cloud: &Cloud,
    name: &str,
    change: impl FnOnce(Job) -> Result<Job, ApiError>,
) -> Result<Job, ApiError> {
    let changed = cloud.scheduler.jobs.update(name, |present| {
        let job = change(present.take().ok_or_else(no_job)?)?;
        *present = Some(job.clone());
        Ok::<_, ApiError>(job)
    })?;
    cloud.scheduler.changed.notify_one();
    Ok(changed)
}

async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let job = named(&cloud, &request, "cloudscheduler.jobs.update")?;
    let mask = request.query("updateMask").unwrap_or("").to_owned();
    let from = JobSpec::parse(request.json().await?)?;
    let job = change(&cloud, &job.name, |job| {
        let spec = job.spec.masked(from, &mask)?.checked()?;
        check_account(&cloud, &request.caller, request.var("project"), &spec)?;
        Ok(job.with(spec, Timestamp::now()))
    })?;
    Ok(Json(job.view()).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "cloudscheduler.jobs.delete")?;
    cloud.scheduler.jobs.remove(&job.name)?;
    Ok(Json(json!({})).into_response())
}

async fn pause(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "cloudscheduler.jobs.pause")?;
    set_paused(&cloud, &job.name, true)
}

async fn resume(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "cloudscheduler.jobs.enable")?;
    set_paused(&cloud, &job.name, false)
}

fn set_paused(cloud: &Cloud, name: &str, paused: bool) -> Reply {
    let job = change(cloud, name, |mut job| {
        job.paused = paused;
        job.reschedule(Timestamp::now());
        Ok(job)
    })?;
    Ok(Json(job.view()).into_response())
}

/// Fires the job now, whatever its schedule and state.
async fn run(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "cloudscheduler.jobs.run")?;
    tokio::spawn(fire(cloud.clone(), job.clone()));
    Ok(Json(job.view()).into_response())
}
