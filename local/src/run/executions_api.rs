//! Methods of executions and tasks.

use std::sync::Arc;

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use serde_json::Value;

use super::execution::{Execution, KIND, Task};
use super::executor;
use super::jobs_api::{flag, parent, remove_execution};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::operations::any;
use crate::paging::Paging;
use crate::policy;
use crate::router::{Reply, Request, Route};

pub fn routes() -> Vec<Route> {
    const ALL: &str = "/v2/projects/{project}/locations/{location}/jobs/{job}/executions";
    const ONE: &str =
        "/v2/projects/{project}/locations/{location}/jobs/{job}/executions/{execution}";
    vec![
        Route::new(Method::GET, ALL, list),
        Route::new(Method::GET, ONE, get),
        Route::new(Method::DELETE, ONE, delete),
        Route::new(
            Method::POST,
            "/v2/projects/{project}/locations/{location}/jobs/{job}/executions/{execution}:cancel",
            cancel,
        ),
        Route::new(
            Method::GET,
            "/v2/projects/{project}/locations/{location}/jobs/{job}/executions/{execution}/tasks",
            list_tasks,
        ),
        Route::new(
            Method::GET,
            "/v2/projects/{project}/locations/{location}/jobs/{job}/executions/{execution}/tasks/{task}",
            get_task,
        ),
    ]
}

fn job_name(request: &Request) -> String {
    format!("{}/jobs/{}", parent(request), request.var("job"))
}

fn no_resource(name: &str) -> ApiError {
    ApiError::not_found(format!("Resource '{name}' was not found."))
}

fn named(cloud: &Cloud, request: &Request, permission: &str) -> Result<Execution, ApiError> {
    let job = job_name(request);
    policy::require(cloud, &request.caller, &job, permission)?;
    let name = format!("{job}/executions/{}", request.var("execution"));
    let found = cloud.run.executions.get(&name);
    found.ok_or_else(|| no_resource(&name))
}

/// Newest first; of all jobs where the path says `jobs/-`.
async fn list(cloud: Arc<Cloud>, request: Request) -> Reply {
    let job = job_name(&request);
    policy::require(&cloud, &request.caller, &job, "run.executions.list")?;
    let prefix = match request.var("job") {
        "-" => format!("{}/jobs/", parent(&request)),
        _ => format!("{job}/executions/"),
    };
    let mut all = cloud.run.executions.list(&prefix);
    all.sort_by(|(_, one), (_, other)| other.create_time.cmp(&one.create_time));
    // Pages follow the order of keys, and this list goes by age.
    let keyed = all.into_iter().enumerate();
    let keyed = keyed.map(|(index, (_, execution))| (format!("{index:08}"), execution));
    let (page, next) = Paging::of(&request, 1000)?.take(keyed.collect());
    let page: Vec<Value> = page.iter().map(Execution::view).collect();
    Ok(Json(forms::list_reply("executions", &page, next)).into_response())
}

async fn get(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = named(&cloud, &request, "run.executions.get")?;
    Ok(Json(execution.view()).into_response())
}

async fn cancel(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = named(&cloud, &request, "run.executions.cancel")?;
    stop(&cloud, &execution)?;
    let shown = any(KIND, execution.view());
    let operation = cloud
        .operations
        .done(&parent(&request), shown.clone(), Ok(shown))?;
    Ok(Json(operation).into_response())
}

/// Has the tasks of an execution end, unless it is over.
pub fn stop(cloud: &Cloud, execution: &Execution) -> Result<(), ApiError> {
    match executor::cancel(cloud, &execution.name) {
        true => Ok(()),
        false => Err(ApiError::failed_precondition(format!(
            "Execution '{}' is over and cannot be cancelled.",
            execution.id()
        ))),
    }
}

async fn delete(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = named(&cloud, &request, "run.executions.delete")?;
    let shown = any(KIND, execution.view());
    if !flag(&request, "validateOnly") {
        executor::cancel(&cloud, &execution.name);
        remove_execution(&cloud, &execution.name)?;
    }
    let operation = cloud
        .operations
        .done(&parent(&request), shown.clone(), Ok(shown))?;
    Ok(Json(operation).into_response())
}

async fn list_tasks(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = named(&cloud, &request, "run.tasks.list")?;
    let tasks = cloud.run.tasks_of(&execution).into_iter();
    let keyed = tasks.map(|task| (format!("{:08}", task.index), task));
    let (page, next) = Paging::of(&request, 1000)?.take(keyed.collect());
    let view = |task: &Task| task.view(&execution);
    let page: Vec<Value> = page.iter().map(view).collect();
    Ok(Json(forms::list_reply("tasks", &page, next)).into_response())
}

async fn get_task(cloud: Arc<Cloud>, request: Request) -> Reply {
    let execution = named(&cloud, &request, "run.tasks.get")?;
    let name = format!("{}/tasks/{}", execution.name, request.var("task"));
    let task = cloud
        .run
        .tasks
        .get(&name)
        .ok_or_else(|| no_resource(&name))?;
    Ok(Json(task.view(&execution)).into_response())
}
