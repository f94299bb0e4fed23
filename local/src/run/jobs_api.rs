//! Methods of jobs.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Map, Value};

use super::job::{Job, KIND};
use super::spec::JobSpec;
use super::start::{RunRequest, start};
use super::{access, check, executor};
use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::identity::Caller;
use crate::operations::{Operation, any};
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v2/projects/{project}/locations/{location}/jobs";
    const ONE: &str = "/v2/projects/{project}/locations/{location}/jobs/{job}";
    vec![
        Route::new(Method::POST, ALL, create),
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::PATCH, ONE, patch),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(
            Method::POST,
            "/v2/projects/{project}/locations/{location}/jobs/{job}:run",
            run,
        ),
        Route::new(
            Method::GET,
            "/v2/projects/{project}/locations/{location}/jobs/{job}:getIamPolicy",
            get_iam_policy,
        ),
        Route::new(
            Method::POST,
            "/v2/projects/{project}/locations/{location}/jobs/{job}:setIamPolicy",
            set_iam_policy,
        ),
        Route::new(
            Method::POST,
            "/v2/projects/{project}/locations/{location}/jobs/{job}:testIamPermissions",
            test_iam_permissions,
        ),
        // The same methods in v1, which gcloud calls.
        Route::new(
            Method::GET,
            "/v1/projects/{project}/locations/{location}/jobs/{job}:getIamPolicy",
            get_iam_policy,
        ),
        Route::new(
            Method::POST,
            "/v1/projects/{project}/locations/{location}/jobs/{job}:setIamPolicy",
            set_iam_policy,
        ),
    ]
}

pub(super) fn parent(request: &Request) -> String {
    format!(
        "projects/{}/locations/{}",
        request.var("project"),
        request.var("location")
    )
}

fn name(request: &Request) -> String {
    format!("{}/jobs/{}", parent(request), request.var("job"))
}

/// The job a path names, when the caller may do what `permission` says.
pub(super) fn named(cloud: &Cloud, request: &Request, permission: &str) -> Result<Job, ApiError> {
    let name = name(request);
    policy::require(cloud, &request.caller, &name, permission)?;
    present(cloud, &name)?.ok_or_else(|| no_job(&name))
}

/// The job of that name; one that was deleted is there until its name is free.
fn present(cloud: &Cloud, name: &str) -> Result<Option<Job>, ApiError> {
    let job = cloud.run.jobs.get(name);
    match &job {
        Some(job) if job.delete_time.is_some() && cloud.deletions.shows(name) => {
            remove(cloud, job)?;
            Ok(None)
        }
        _ => Ok(job),
    }
}

pub(super) fn no_job(name: &str) -> ApiError {
    ApiError::not_found(format!("Resource '{name}' was not found."))
}

pub(super) fn flag(request: &Request, name: &str) -> bool {
    request
        .query(name)
        .is_some_and(|value| value == "true" || value == "True")
}

async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let parent = parent(&request);
    policy::require(&cloud, &request.caller, &parent, "run.jobs.create")?;
    let id = request.query("jobId").unwrap_or("").to_owned();
    check::check_name(&id)?;
    let body: Map<String, Value> = request.json().await?;
    let name = format!("{parent}/jobs/{id}");
    if present(&cloud, &name)?.is_some() {
        return Err(taken(&id));
    }
    let spec = check::with_defaults(JobSpec::parse(body)?);
    let job = Job::new(name, spec, request.caller.email());
    let operation = write(
        &cloud,
        &request.caller,
        job,
        None,
        flag(&request, "validateOnly"),
    )?;
    Ok(Json(operation).into_response())
}

fn taken(id: &str) -> ApiError {
    ApiError::already_exists(format!("Resource '{id}' already exists."))
}

/// Keeps a new job, or one in place of the job with etag `before`. The job is
/// kept even where its secrets fail the check: then it is not ready, and the
/// operation failed.
pub(super) fn write(
    cloud: &Cloud,
    caller: &Caller,
    mut job: Job,
    before: Option<String>,
    validate_only: bool,
) -> Result<Operation, ApiError> {
    check::check(&job.spec)?;
    access::check_author(cloud, caller, &job.spec.template)?;
    let (ready, outcome) = access::readiness(cloud, job.project(), &job.spec.template);
    job.ready = ready;
    let shown = any(KIND, job.view());
    if !validate_only {
        cloud.run.jobs.update(&job.name.clone(), |present| {
            match (present.as_ref(), &before) {
                (Some(_), None) => return Err(taken(job.id())),
                (Some(present), Some(etag)) => {
                    present.check_etag(etag)?;
                    job.execution_count = present.execution_count;
                    job.latest.clone_from(&present.latest);
                }
                (None, Some(_)) => return Err(no_job(&job.name)),
                (None, None) => {}
            }
            *present = Some(job.clone());
            Ok(())
        })?;
    }
    let parent = format!("projects/{}/locations/{}", job.project(), job.location());
    let outcome = outcome.map(|()| shown.clone());
    Ok(cloud.operations.done(&parent, shown, outcome)?)
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let parent = parent(&request);
    policy::require(&cloud, &request.caller, &parent, "run.jobs.list")?;
    let all = cloud.run.jobs.list(&format!("{parent}/jobs/"));
    let (page, next) = Paging::of(&request, 1000)?.take(all);
    let page: Vec<Value> = page.iter().map(Job::view).collect();
    Ok(Json(forms::list_reply("jobs", &page, next)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    Ok(Json(named(&cloud, &request, "run.jobs.get")?.view()).into_response())
}

/// There is no mask: the body replaces the whole job.
async fn patch(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let validate_only = flag(&request, "validateOnly");
    let present = named(&cloud, &request, "run.jobs.update");
    let body: Map<String, Value> = request.json().await?;
    let etag = body
        .get("etag")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned();
    let spec = check::with_defaults(JobSpec::parse(body)?);
    let modifier = request.caller.email();
    let operation = match present {
        Ok(present) => {
            present.check_etag(&etag)?;
            let before = present.etag();
            write(
                &cloud,
                &request.caller,
                present.replaced(spec, modifier),
                Some(before),
                validate_only,
            )?
        }
        Err(error) if error.code == 404 && flag(&request, "allowMissing") => {
            policy::require(
                &cloud,
                &request.caller,
                &parent(&request),
                "run.jobs.create",
            )?;
            check::check_name(request.var("job"))?;
            write(
                &cloud,
                &request.caller,
                Job::new(name(&request), spec, modifier),
                None,
                validate_only,
            )?
        }
        Err(error) => return Err(error),
    };
    Ok(Json(operation).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "run.jobs.delete")?;
    job.check_etag(request.query("etag").unwrap_or(""))?;
    let shown = any(KIND, job.view());
    if !flag(&request, "validateOnly") {
        cloud.deletions.made(&job.name);
        match cloud.deletions.hides(&job.name) {
            true => leave(&cloud, &job)?,
            false => remove(&cloud, &job)?,
        }
    }
    let operation = cloud
        .operations
        .done(&parent(&request), shown.clone(), Ok(shown))?;
    Ok(Json(operation).into_response())
}

/// Marks a job as deleted; it goes when its name is free.
fn leave(cloud: &Cloud, job: &Job) -> Result<(), ApiError> {
    remove_executions(cloud, &job.name)?;
    cloud.run.jobs.update(&job.name, |job| {
        if let Some(job) = job {
            job.delete_time = Some(clock::now());
        }
        Ok(())
    })
}

/// Removes a job with all that is its own.
pub(super) fn remove(cloud: &Cloud, job: &Job) -> Result<(), ApiError> {
    cloud.run.jobs.remove(&job.name)?;
    remove_executions(cloud, &job.name)?;
    Ok(cloud.policies.forget(&job.name)?)
}

fn remove_executions(cloud: &Cloud, job: &str) -> Result<(), ApiError> {
    for (name, _) in cloud.run.executions.list(&format!("{job}/executions/")) {
        executor::cancel(cloud, &name);
        remove_execution(cloud, &name)?;
    }
    Ok(())
}

pub(super) fn remove_execution(cloud: &Cloud, name: &str) -> Result<(), ApiError> {
    for (task, _) in cloud.run.tasks.list(&format!("{name}/tasks/")) {
        cloud.run.tasks.remove(&task)?;
    }
    cloud.run.executions.remove(name)?;
    Ok(())
}

async fn run(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let job = named(&cloud, &request, "run.jobs.run")?;
    let body = RunRequest::parse(request.json().await?)?;
    if body.overrides.is_some() {
        let permission = "run.jobs.runWithOverrides";
        policy::require(&cloud, &request.caller, &job.name, permission)?;
    }
    let operation = start(&cloud, &job, body, request.caller.email())?;
    Ok(Json(operation).into_response())
}

async fn get_iam_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "run.jobs.getIamPolicy")?;
    policy::get_iam_policy(&cloud, request, &job.name).await
}

async fn set_iam_policy(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = named(&cloud, &request, "run.jobs.setIamPolicy")?;
    policy::set_iam_policy(&cloud, request, &job.name).await
}

async fn test_iam_permissions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = name(&request);
    cloud.run.jobs.get(&name).ok_or_else(|| no_job(&name))?;
    policy::test_iam_permissions(&cloud, request, &name).await
}
