//! Jobs: inserted once, run in the background, kept for ever.
//!
//! A job id stays taken in its location even when the job failed.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::files::RESULTS;
use super::job::{Failure, Job, State, key};
use super::load;
use super::reference::TableRef;
use super::resource::{Object, merge, now_ms, page};
use super::sql;
use super::work::Work;
use super::{access, copy, extract};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::router::{Reply, Request, Route};

/// The multi-regions that a job is looked for in when a request names no location.
const DEFAULT_LOCATIONS: [&str; 2] = ["US", "EU"];

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/bigquery/v2/projects/{project}/jobs";
    const ONE: &str = "/bigquery/v2/projects/{project}/jobs/{job}";
    vec![
        Route::new(Method::POST, ALL, insert),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(
            Method::POST,
            "/bigquery/v2/projects/{project}/jobs/{job}/cancel",
            cancel,
        ),
    ]
}

async fn insert(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let body: Value = request.json().await?;
    let job = submit(&cloud, request.var("project"), &request.caller, body).await?;
    Ok(Json(job.view(&cloud.endpoint)).into_response())
}

/// Checks a job, takes its id and starts it.
pub async fn submit(
    cloud: &Arc<Cloud>,
    project: &str,
    caller: &Caller,
    body: Value,
) -> Result<Job, ApiError> {
    // A null is as good as nothing, and is not given back.
    let mut given = Object::new();
    if let Some(configuration) = body["configuration"].as_object() {
        merge(&mut given, configuration);
    }
    let mut configuration = Value::Object(given);
    let work = Work::parse(project, &mut configuration)?;
    access::for_job(cloud, caller, project, &work)?;
    let id = match body["jobReference"]["jobId"].as_str() {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => format!("job_{}", uuid::Uuid::new_v4().simple()),
    };
    check_id(&id)?;
    let location = match body["jobReference"]["location"].as_str() {
        Some(location) if !location.is_empty() => location.to_owned(),
        _ => work.location(cloud)?,
    };
    work.check_location(cloud, &location)?;
    if let (Work::Query(_), true) = (&work, configuration["query"]["destinationTable"].is_null()) {
        let results = TableRef::new(
            project,
            RESULTS,
            &format!("anon{}", uuid::Uuid::new_v4().simple()),
        );
        configuration["query"]["destinationTable"] = json!(results);
    }
    let job = Job {
        project: project.to_owned(),
        id,
        location,
        configuration,
        state: State::Pending,
        failure: None,
        statistics: Object::new(),
        user: caller.email().to_owned(),
        created: now_ms(),
        started: None,
        ended: None,
        cancelled: false,
    };
    if job.configuration["dryRun"].as_bool() == Some(true) {
        return dry_run(cloud, job, work).await;
    }
    take_id(cloud, &job)?;
    let inner = Arc::clone(cloud);
    let key = job.key();
    cloud
        .bigquery
        .engine
        .spawn(async move { execute(&inner, &key, work).await });
    Ok(job)
}

fn check_id(id: &str) -> Result<(), ApiError> {
    let good = id.len() <= 1024
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    good.then_some(()).ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid job ID \"{id}\". Job IDs must be alphanumeric (plus underscores and dashes) and at most 1024 \
             characters long."
        ))
    })
}

fn take_id(cloud: &Cloud, job: &Job) -> Result<(), ApiError> {
    cloud
        .bigquery
        .jobs
        .update(&job.key(), |present| match present {
            Some(_) => Err(ApiError::already_exists(format!(
                "Already Exists: Job {}:{}.{}",
                job.project, job.location, job.id
            ))),
            None => {
                *present = Some(job.clone());
                Ok(())
            }
        })
}

/// Plans a query and says what it would do; the job is not kept.
async fn dry_run(cloud: &Arc<Cloud>, mut job: Job, work: Work) -> Result<Job, ApiError> {
    let Work::Query(query) = work else {
        return Err(ApiError::invalid("dryRun is for query jobs"));
    };
    let inner = Arc::clone(cloud);
    let statistics = cloud
        .bigquery
        .engine
        .run(async move { sql::dry_run(&inner, &query) })
        .await?;
    job.statistics = statistics;
    job.state = State::Done;
    Ok(job)
}

async fn execute(cloud: &Arc<Cloud>, key: &str, work: Work) {
    let started = cloud.bigquery.jobs.update(key, |job| {
        let job = job
            .as_mut()
            .ok_or_else(|| ApiError::internal("the job is gone"))?;
        job.state = State::Running;
        job.started = Some(now_ms());
        Ok::<_, ApiError>(job.clone())
    });
    let result = match started {
        Ok(job) if job.cancelled => {
            Err(ApiError::invalid("Job execution was cancelled").reason("stopped"))
        }
        Ok(job) => perform(cloud, key, &job, work).await,
        Err(error) => Err(error),
    };
    let saved = cloud.bigquery.jobs.update(key, |job| {
        if let Some(job) = job {
            finish(job, result);
        }
        Ok::<_, ApiError>(())
    });
    if let Err(error) = saved {
        tracing::error!(job = key, %error, "cannot save a finished job");
    }
    cloud.bigquery.engine.job_finished();
}

async fn perform(cloud: &Arc<Cloud>, key: &str, job: &Job, work: Work) -> Result<Object, ApiError> {
    cloud.bigquery.faults.meet(job.kind(), &job.id)?;
    match work {
        Work::Query(query) => {
            let results = job
                .results()
                .ok_or_else(|| ApiError::internal("a query without a destination"))?;
            let (inner, location, key) = (Arc::clone(cloud), job.location.clone(), key.to_owned());
            // A task of its own: should the engine panic, the job fails and the cloud goes on.
            let work =
                tokio::spawn(
                    async move { sql::run(&inner, &query, &results, &location, &key).await },
                );
            work.await.unwrap_or_else(|error| {
                Err(ApiError::internal(format!("the query failed: {error}")))
            })
        }
        Work::Load(load) => {
            let (inner, key) = (Arc::clone(cloud), key.to_owned());
            let work = tokio::task::spawn_blocking(move || load::run(&inner, &load, &key));
            work.await.unwrap_or_else(|error| {
                Err(ApiError::internal(format!("the load failed: {error}")))
            })
        }
        Work::Copy(copy) => copy::run(cloud, &copy, key),
        Work::Extract(extract) => extract::run(cloud, &extract).await,
    }
}

fn finish(job: &mut Job, result: Result<Object, ApiError>) {
    job.state = State::Done;
    job.ended = Some(now_ms());
    match result {
        Ok(statistics) => job.statistics = statistics,
        Err(error) => {
            job.failure = Some(Failure {
                reason: error.reason.to_owned(),
                message: error.message,
            });
        }
    }
}

/// The job a request names; without a location only the multi-regions are looked in.
pub fn find(
    cloud: &Cloud,
    project: &str,
    id: &str,
    location: Option<&str>,
) -> Result<Job, ApiError> {
    let places: Vec<&str> = match location {
        Some(location) if !location.is_empty() => vec![location],
        _ => DEFAULT_LOCATIONS.to_vec(),
    };
    places
        .iter()
        .find_map(|place| cloud.bigquery.jobs.get(&key(project, place, id)))
        .ok_or_else(|| ApiError::not_found(format!("Not found: Job {project}:{id}")))
}

/// Waits until the job is done or `limit` has passed, and returns it as it is then.
pub async fn wait(cloud: &Cloud, job: Job, limit: Duration) -> Job {
    let mut finishes = cloud.bigquery.engine.finishes();
    let key = job.key();
    let done = async {
        loop {
            finishes.borrow_and_update();
            match cloud.bigquery.jobs.get(&key) {
                Some(job) if job.state != State::Done => {}
                _ => return,
            }
            if finishes.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(limit, done).await;
    cloud.bigquery.jobs.get(&key).unwrap_or(job)
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = find(
        &cloud,
        request.var("project"),
        request.var("job"),
        request.query("location"),
    )?;
    access::for_made(&cloud, &request.caller, &job, "bigquery.jobs.get")?;
    Ok(Json(job.view(&cloud.endpoint)).into_response())
}

/// Best effort: a job that has not begun does not begin; one that runs goes on.
async fn cancel(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = find(
        &cloud,
        request.var("project"),
        request.var("job"),
        request.query("location"),
    )?;
    access::for_made(&cloud, &request.caller, &job, "bigquery.jobs.update")?;
    let job = cloud.bigquery.jobs.update(&job.key(), |present| {
        let job = present
            .as_mut()
            .ok_or_else(|| ApiError::internal("the job is gone"))?;
        job.cancelled = true;
        Ok::<_, ApiError>(job.clone())
    })?;
    let reply = json!({"kind": "bigquery#jobCancelResponse", "job": job.view(&cloud.endpoint)});
    Ok((StatusCode::OK, Json(reply)).into_response())
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let states: Vec<String> = request
        .queries("stateFilter")
        .map(str::to_uppercase)
        .collect();
    let wanted = |job: &Job| {
        let state = json!(job.state);
        states.is_empty() || states.iter().any(|wanted| state == wanted.as_str())
    };
    let mut jobs: Vec<Job> = cloud
        .bigquery
        .jobs
        .list(&format!("{}/", request.var("project")))
        .into_iter()
        .map(|(_, job)| job)
        .filter(wanted)
        .filter(|job| {
            access::for_made(&cloud, &request.caller, job, "bigquery.jobs.listAll").is_ok()
        })
        .collect();
    jobs.sort_by_key(|job| std::cmp::Reverse(job.created));
    let (jobs, next) = page(jobs, &request, 1000)?;
    let items: Vec<Value> = jobs.iter().map(|job| job.item(&cloud.endpoint)).collect();
    let mut reply = json!({"kind": "bigquery#jobList", "etag": "", "jobs": items});
    if let Some(next) = next {
        reply["nextPageToken"] = next.into();
    }
    Ok(Json(reply).into_response())
}
