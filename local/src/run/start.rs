//! The start of an execution: what is written down before anything runs.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::execution::{Execution, KIND};
use super::executor;
use super::job::Job;
use super::spec::Overrides;
use super::{access, check};
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::operations::{Operation, any};

/// The body of `:run`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RunRequest {
    pub overrides: Option<Overrides>,
    pub etag: String,
    pub validate_only: bool,
}

impl RunRequest {
    pub fn parse(mut body: Map<String, Value>) -> Result<RunRequest, ApiError> {
        let empty = |value: &mut Value| value.as_object().is_some_and(Map::is_empty);
        if body.get_mut("overrides").is_some_and(empty) {
            body.remove("overrides");
        }
        forms::read(body)
    }
}

/// Starts an execution of `job` and answers its operation.
pub fn start(
    cloud: &Arc<Cloud>,
    job: &Job,
    request: RunRequest,
    creator: &str,
) -> Result<Operation, ApiError> {
    job.check_etag(&request.etag)?;
    if !job.ready.is_success() {
        return Err(ApiError::failed_precondition(format!(
            "Job '{}' is not ready to be run: {}",
            job.id(),
            job.ready.message
        )));
    }
    let template = job
        .spec
        .template
        .overridden(request.overrides.unwrap_or_default());
    check::check_template(&template)?;
    access::check_account(cloud, &template)?;
    let mut execution = Execution::new(job, template, creator);
    let parent = format!("projects/{}/locations/{}", job.project(), job.location());
    let shown = any(KIND, execution.view());
    if request.validate_only {
        return Ok(cloud.operations.done(&parent, shown.clone(), Ok(shown))?);
    }
    let operation = cloud.operations.start(&parent, shown)?;
    operation.name.clone_into(&mut execution.operation);
    for task in execution.tasks() {
        cloud.run.tasks.put(&task.name.clone(), task)?;
    }
    cloud
        .run
        .executions
        .put(&execution.name, execution.clone())?;
    cloud.run.jobs.update(&job.name, |job| {
        if let Some(job) = job {
            job.execution_count += 1;
            job.latest = Some(execution.reference());
        }
        Ok::<_, ApiError>(())
    })?;
    executor::spawn(cloud, execution);
    Ok(operation)
}
