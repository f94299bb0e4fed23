//! Executions of Cloud Run jobs: started, watched, and what their runs wrote.

use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_run_v2::model::run_job_request::Overrides;
use google_cloud_run_v2::model::run_job_request::overrides::ContainerOverride;
use google_cloud_run_v2::model::{Execution as RunExecution, condition};
use google_cloud_wkt::Timestamp;

use super::{Cloud, CloudError, last_part, retry};
use crate::execution::{Execution, ExecutionState, RunSummary};
use crate::names;

impl Cloud {
    /// Starts an execution of a job; `args` and `tasks` replace the job's own.
    pub async fn start(
        &self,
        job: &str,
        args: Option<Vec<String>>,
        tasks: Option<u32>,
    ) -> Result<String, CloudError> {
        let what = format!("job {job}");
        let mut run = self
            .jobs()
            .await?
            .run_job()
            .set_name(self.job_name(job))
            // Sent twice, it would be two executions.
            .with_retry_policy(retry::Once);
        if args.is_some() || tasks.is_some() {
            let containers = args.map(|args| ContainerOverride::new().set_args(args));
            let tasks = i32::try_from(tasks.unwrap_or(0)).unwrap_or(i32::MAX);
            let overrides = Overrides::new().set_task_count(tasks);
            run = run.set_overrides(overrides.set_container_overrides(containers));
        }
        let operation = run.send().await.map_err(self.failed(&what))?;
        let execution = operation
            .metadata
            .as_ref()
            .map(|any| any.to_msg::<RunExecution>());
        match execution {
            Some(Ok(execution)) if !execution.name.is_empty() => Ok(last_part(&execution.name)),
            _ => Err(CloudError::Unusable {
                what,
                problem: "it was started, but the reply names no execution".to_owned(),
            }),
        }
    }

    pub async fn execution(&self, job: &str, name: &str) -> Result<Execution, CloudError> {
        let full = format!("{}/executions/{name}", self.job_name(job));
        let get = self.executions().await?.get_execution();
        let found = get.set_name(full).send().await;
        found
            .map(|execution| execution_of(&execution))
            .map_err(self.failed(&format!("execution {name}")))
    }

    /// The newest executions of a job; none where there is no job.
    pub async fn list_executions(
        &self,
        job: &str,
        limit: usize,
    ) -> Result<Vec<Execution>, CloudError> {
        let list = self.executions().await?.list_executions();
        let mut items = list
            .set_parent(self.job_name(job))
            .set_page_size(limit as i32)
            .by_item();
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(item) = items.next().await
        {
            match item.map_err(self.failed(&format!("executions of job {job}"))) {
                Ok(execution) => found.push(execution_of(&execution)),
                Err(error) if error.is_absent() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// What a run wrote when it ended, or `None` as long as it has not.
    pub async fn run_summary(
        &self,
        pipeline: &str,
        run: &str,
    ) -> Result<Option<RunSummary>, CloudError> {
        let bucket = names::bucket(&self.project, &self.client);
        let object = format!("{pipeline}/runs/{run}.json");
        let Some(bytes) = self.read_object(&bucket, &object).await? else {
            return Ok(None);
        };
        let summary = serde_json::from_slice(&bytes);
        summary.map(Some).map_err(|error| CloudError::Unusable {
            what: format!("gs://{bucket}/{object}"),
            problem: error.to_string(),
        })
    }

    /// When Cloud Scheduler fires next, and whether it is paused.
    pub async fn next_firing(&self, schedule: &str) -> Result<Option<String>, CloudError> {
        let job = self.find_scheduler_job(schedule).await?;
        Ok(job.and_then(|job| job.schedule_time.and_then(|at| time(&at))))
    }
}

fn execution_of(execution: &RunExecution) -> Execution {
    let time = |at: &Option<Timestamp>| at.as_ref().and_then(time);
    let completed = execution
        .conditions
        .iter()
        .find(|it| it.r#type == "Completed");
    Execution {
        name: last_part(&execution.name),
        state: state(execution),
        created: time(&execution.create_time),
        started: time(&execution.start_time),
        completed: time(&execution.completion_time),
        tasks: count(execution.task_count),
        running: count(execution.running_count),
        succeeded: count(execution.succeeded_count),
        failed: count(execution.failed_count),
        message: completed
            .filter(|condition| condition.state == condition::State::ConditionFailed)
            .map(|condition| condition.message.clone()),
    }
}

fn state(execution: &RunExecution) -> ExecutionState {
    if execution.completion_time.is_none() {
        return match execution.start_time {
            Some(_) => ExecutionState::Running,
            None => ExecutionState::Pending,
        };
    }
    match execution {
        it if it.cancelled_count > 0 => ExecutionState::Cancelled,
        it if it.failed_count > 0 || it.succeeded_count < it.task_count => ExecutionState::Failed,
        _ => ExecutionState::Succeeded,
    }
}

fn count(count: i32) -> u32 {
    count.max(0) as u32
}

/// RFC 3339; `None` for what no calendar holds.
pub(super) fn time(at: &Timestamp) -> Option<String> {
    let at = jiff::Timestamp::new(at.seconds(), at.nanos()).ok()?;
    Some(at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution(started: bool, over: bool, succeeded: i32, failed: i32) -> ExecutionState {
        let at = |is: bool| is.then(|| Timestamp::clamp(1, 0));
        let mut execution = RunExecution::new()
            .set_task_count(2)
            .set_succeeded_count(succeeded)
            .set_failed_count(failed);
        execution.start_time = at(started);
        execution.completion_time = at(over);
        state(&execution)
    }

    #[test]
    fn an_executions_state_is_told_by_its_tasks() {
        assert_eq!(execution(false, false, 0, 0), ExecutionState::Pending);
        assert_eq!(execution(true, false, 1, 1), ExecutionState::Running);
        assert_eq!(execution(true, true, 2, 0), ExecutionState::Succeeded);
        assert_eq!(execution(true, true, 1, 1), ExecutionState::Failed);
    }
}
