//! The methods of v1: a project is the path's namespace, and a location the host's beginning.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{read, show};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::policy;
use crate::router::{Reply, Request, Route};
use crate::run::execution::Execution;
use crate::run::job::Job;
use crate::run::spec::JobSpec;
use crate::run::start::{RunRequest, start};
use crate::run::{check, executor};
use crate::run::{executions_api, jobs_api};

pub fn routes() -> Vec<Route> {
    const JOBS: &str = "/apis/run.googleapis.com/v1/namespaces/{project}/jobs";
    const JOB: &str = "/apis/run.googleapis.com/v1/namespaces/{project}/jobs/{job}";
    const EXECUTION: &str =
        "/apis/run.googleapis.com/v1/namespaces/{project}/executions/{execution}";
    vec![
        Route::new(Method::POST, JOBS, create),
        Route::new(Method::GET, JOBS, list),
        Route::new(Method::GET, JOB, get),
        Route::new(Method::PUT, JOB, replace),
        Route::new(Method::DELETE, JOB, delete),
        Route::new(
            Method::POST,
            "/apis/run.googleapis.com/v1/namespaces/{project}/jobs/{job}:run",
            run,
        ),
        Route::new(
            Method::GET,
            "/apis/run.googleapis.com/v1/namespaces/{project}/executions",
            list_executions,
        ),
        Route::new(Method::GET, EXECUTION, get_execution),
        Route::new(Method::DELETE, EXECUTION, delete_execution),
        Route::new(
            Method::POST,
            "/apis/run.googleapis.com/v1/namespaces/{project}/executions/{execution}:cancel",
            cancel_execution,
        ),
        Route::new(
            Method::GET,
            "/apis/run.googleapis.com/v1/namespaces/{project}/tasks",
            list_tasks,
        ),
        Route::new(
            Method::GET,
            "/apis/run.googleapis.com/v1/namespaces/{project}/tasks/{task}",
            get_task,
        ),
    ]
}

/// Where a request goes: `projects/P/locations/L`, of the host `L-run.googleapis.com`. The
/// namespace may be the project's number, as it is in what is shown.
fn parent(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    let host = request.uri.host().or_else(|| request.header("host"));
    let location = host.and_then(|host| host.split('.').next()?.strip_suffix("-run"));
    let location = location.ok_or_else(|| {
        ApiError::invalid(
            "Cloud Run's API v1 has its location in the host: LOCATION-run.googleapis.com",
        )
    })?;
    let project = cloud.projects.id(request.var("project"))?;
    Ok(format!("projects/{project}/locations/{location}"))
}

fn namespace(cloud: &Cloud, request: &Request) -> Result<String, ApiError> {
    Ok(cloud.projects.get(request.var("project"))?.number)
}

fn job(cloud: &Cloud, request: &Request, permission: &str) -> Result<Job, ApiError> {
    let name = format!("{}/jobs/{}", parent(cloud, request)?, request.var("job"));
    policy::require(cloud, &request.caller, &name, permission)?;
    let found = cloud.run.jobs.get(&name);
    found.ok_or_else(|| jobs_api::no_job(&name))
}

fn show_job(cloud: &Cloud, request: &Request, name: &str) -> Reply {
    let job = cloud
        .run
        .jobs
        .get(name)
        .ok_or_else(|| jobs_api::no_job(name))?;
    let namespace = namespace(cloud, request)?;
    Ok(Json(show::job(&job.view(), &namespace)).into_response())
}

/// A job that is made but not ready says so itself.
async fn create(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let parent = parent(&cloud, &request)?;
    policy::require(&cloud, &request.caller, &parent, "run.jobs.create")?;
    let body: Value = request.json().await?;
    let id = body["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    check::check_name(&id)?;
    let name = format!("{parent}/jobs/{id}");
    let spec = check::with_defaults(JobSpec::parse(read::job(body))?);
    let job = Job::new(name.clone(), spec, request.caller.email());
    jobs_api::write(&cloud, &request.caller, job, None, false)?;
    show_job(&cloud, &request, &name)
}

async fn replace(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let body: Value = request.json().await?;
    let etag = body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let present = job(&cloud, &request, "run.jobs.update")?;
    present.check_etag(&etag)?;
    let spec = check::with_defaults(JobSpec::parse(read::job(body))?);
    let next = present.replaced(spec, request.caller.email());
    jobs_api::write(&cloud, &request.caller, next, Some(present.etag()), false)?;
    show_job(&cloud, &request, &present.name)
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let name = job(&cloud, &request, "run.jobs.get")?.name;
    show_job(&cloud, &request, &name)
}

async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let parent = parent(&cloud, &request)?;
    policy::require(&cloud, &request.caller, &parent, "run.jobs.list")?;
    let namespace = namespace(&cloud, &request)?;
    let jobs = cloud.run.jobs.list(&format!("{parent}/jobs/")).into_iter();
    let jobs: Vec<Value> = jobs
        .map(|(_, job)| show::job(&job.view(), &namespace))
        .collect();
    Ok(Json(show::list("JobList", &jobs)).into_response())
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = job(&cloud, &request, "run.jobs.delete")?;
    jobs_api::remove(&cloud, &job)?;
    Ok(Json(json!({"status": "Success"})).into_response())
}

async fn run(cloud: Arc<Cloud>, mut request: Request) -> Reply {
    let body = RunRequest::parse(read::overrides(request.json().await?))?;
    let job = job(&cloud, &request, "run.jobs.run")?;
    if body.overrides.is_some() {
        let permission = "run.jobs.runWithOverrides";
        policy::require(&cloud, &request.caller, &job.name, permission)?;
    }
    let operation = start(&cloud, &job, body, request.caller.email())?;
    let metadata = operation.metadata.unwrap_or_default();
    let name = metadata["name"].as_str().unwrap_or_default();
    show_execution(&cloud, &request, &execution_at(&cloud, name)?)
}

fn execution_at(cloud: &Cloud, name: &str) -> Result<Execution, ApiError> {
    let found = cloud.run.executions.get(name);
    found.ok_or_else(|| jobs_api::no_job(name))
}

/// An execution by its own name, which has its job's at the beginning.
fn execution(cloud: &Cloud, request: &Request, permission: &str) -> Result<Execution, ApiError> {
    let parent = parent(cloud, request)?;
    policy::require(cloud, &request.caller, &parent, permission)?;
    let id = request.var("execution");
    let all = cloud
        .run
        .executions
        .list(&format!("{parent}/jobs/"))
        .into_iter();
    let mut all = all.map(|(_, execution)| execution);
    all.find(|execution| execution.id() == id)
        .ok_or_else(|| jobs_api::no_job(&format!("{parent}/executions/{id}")))
}

fn show_execution(cloud: &Cloud, request: &Request, execution: &Execution) -> Reply {
    let namespace = namespace(cloud, request)?;
    Ok(Json(show::execution(&execution.view(), &namespace)).into_response())
}

async fn get_execution(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = execution(&cloud, &request, "run.executions.get")?;
    show_execution(&cloud, &request, &execution)
}

/// Newest first; `labelSelector=run.googleapis.com/job=J` asks for those of a job.
async fn list_executions(cloud: Arc<Cloud>, request: Request) -> Reply {
    let parent = parent(&cloud, &request)?;
    policy::require(&cloud, &request.caller, &parent, "run.executions.list")?;
    let selector = request.query("labelSelector").unwrap_or_default();
    let of_job = selector.split_once("run.googleapis.com/job");
    let of_job = of_job.map(|(_, rest)| rest.trim_matches([' ', '=']).to_owned());
    let namespace = namespace(&cloud, &request)?;
    let all = cloud
        .run
        .executions
        .list(&format!("{parent}/jobs/"))
        .into_iter();
    let mut all: Vec<Execution> = all.map(|(_, execution)| execution).collect();
    all.retain(|execution| {
        of_job
            .as_deref()
            .is_none_or(|job| execution.job_id() == job)
    });
    all.sort_by(|one, other| other.create_time.cmp(&one.create_time));
    let all = all.iter().map(|it| show::execution(&it.view(), &namespace));
    let all: Vec<Value> = all.collect();
    Ok(Json(show::list("ExecutionList", &all)).into_response())
}

async fn cancel_execution(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = execution(&cloud, &request, "run.executions.cancel")?;
    executions_api::stop(&cloud, &execution)?;
    show_execution(&cloud, &request, &execution_at(&cloud, &execution.name)?)
}

async fn delete_execution(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = execution(&cloud, &request, "run.executions.delete")?;
    executor::cancel(&cloud, &execution.name);
    jobs_api::remove_execution(&cloud, &execution.name)?;
    Ok(Json(json!({"status": "Success"})).into_response())
}

/// The tasks of all executions of a place, in the order of their executions and indices.
fn tasks(
    cloud: &Cloud,
    request: &Request,
    permission: &str,
) -> Result<Vec<(Execution, Value)>, ApiError> {
    let parent = parent(cloud, request)?;
    policy::require(cloud, &request.caller, &parent, permission)?;
    let namespace = namespace(cloud, request)?;
    let all = cloud.run.executions.list(&format!("{parent}/jobs/"));
    let all = all.into_iter().flat_map(|(_, execution)| {
        let mut tasks = cloud.run.tasks_of(&execution);
        tasks.sort_by_key(|task| task.index);
        let tasks = tasks.into_iter();
        let shown = tasks.map(|task| show::task(&task.view(&execution), &namespace));
        let shown: Vec<Value> = shown.collect();
        shown.into_iter().map(move |task| (execution.clone(), task))
    });
    Ok(all.collect())
}

/// `labelSelector=run.googleapis.com/execution=E` asks for those of an execution.
async fn list_tasks(cloud: Arc<Cloud>, request: Request) -> Reply {
    let selector = request.query("labelSelector").unwrap_or_default();
    let of = selector.split_once("run.googleapis.com/execution");
    let of = of.map(|(_, rest)| rest.trim_matches([' ', '=']).to_owned());
    let mut all = tasks(&cloud, &request, "run.tasks.list")?;
    all.retain(|(execution, _)| of.as_deref().is_none_or(|it| execution.id() == it));
    let all: Vec<Value> = all.into_iter().map(|(_, task)| task).collect();
    Ok(Json(show::list("TaskList", &all)).into_response())
}

async fn get_task(cloud: Arc<Cloud>, request: Request) -> Reply {
    let wanted = request.var("task");
    let all = tasks(&cloud, &request, "run.tasks.get")?;
    let mut all = all.into_iter().map(|(_, task)| task);
    let found = all.find(|task| task["metadata"]["name"] == wanted);
    let parent = parent(&cloud, &request)?;
    let found = found.ok_or_else(|| jobs_api::no_job(&format!("{parent}/tasks/{wanted}")))?;
    Ok(Json(found).into_response())
}
