//! Carries executions out: image, processes, retries, results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::access;
use super::command::{Command, command};
use super::execution::{
    AttemptResult, CANCELLED, Counts, Execution, KIND, NON_ZERO_EXIT_CODE, Task, failure,
};
use super::job::Condition;
use super::output::Lines;
use super::process::{End, Process, kill_orphan};
use super::spec::Container;
use super::unpack::unpack;
use crate::clock;
use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::forms;
use crate::operations::{Status, any};
use crate::registry::ImageConfig;

/// `google.rpc.Code` numbers.
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const ABORTED: i32 = 10;

/// Tasks that run at once on this one machine, whatever the job says.
const MOST_AT_ONCE: u32 = 64;

/// The image of one execution, ready to run: all its tasks share the digest.
struct Prepared {
    root: PathBuf,
    config: ImageConfig,
}

/// Runs the execution in the background.
pub fn spawn(cloud: &Arc<Cloud>, execution: Execution) {
    let cancel = cloud.shutdown.child_token();
    cloud
        .run
        .live()
        .insert(execution.name.clone(), cancel.clone());
    let cloud = cloud.clone();
    tokio::spawn(async move {
        let name = execution.name.clone();
        if let Err(error) = carry_out(&cloud, execution, cancel).await {
            tracing::error!(execution = name, %error, "an execution could not be kept");
        }
        cloud.run.live().remove(&name);
        cloud.run.ended.notify_waiters();
    });
}

/// Asks an execution to end; `false` when it does not run.
pub fn cancel(cloud: &Cloud, name: &str) -> bool {
    let token = cloud.run.live().get(name).cloned();
    token.is_some_and(|token| {
        token.cancel();
        true
    })
}

/// Ends executions that an earlier server left: their processes are killed, and they failed.
pub fn recover(cloud: &Arc<Cloud>) {
    for (name, execution) in cloud.run.executions.list("") {
        if execution.is_over() {
            continue;
        }
        if let Err(error) = abandon(cloud, &execution) {
            tracing::error!(execution = name, %error, "an execution could not be settled");
        }
    }
}

fn abandon(cloud: &Cloud, execution: &Execution) -> Result<(), ApiError> {
    let message = "The local cloud ended while the task ran.";
    for task in cloud.run.tasks_of(execution) {
        if let Some(process) = &task.process {
            kill_orphan(process);
        }
        if task.completion_time.is_none() {
            keep_task(cloud, &task.ended(failure(None, message)))?;
        }
    }
    finish(cloud, execution)
}

async fn carry_out(
    cloud: &Arc<Cloud>,
    mut execution: Execution,
    cancel: CancellationToken,
) -> Result<(), ApiError> {
    execution.start_time = Some(clock::now());
    execution.completed = Condition::new("Completed", "CONDITION_RECONCILING");
    keep(cloud, &execution)?;
    match prepare(cloud, &execution).await {
        Ok(prepared) => run_tasks(cloud, &execution, &prepared, &cancel).await?,
        Err(message) => {
            for task in cloud.run.tasks_of(&execution) {
                keep_task(cloud, &task.ended(failure(None, &message)))?;
            }
        }
    }
    finish(cloud, &execution)
}

async fn prepare(cloud: &Arc<Cloud>, execution: &Execution) -> Result<Prepared, String> {
    let container = execution.template.container();
    let container = container.ok_or("the job has no container")?;
    let image = cloud
        .registry
        .image(&container.image)
        .map_err(|error| error.to_string())?;
    let _alone = cloud.run.unpacking.lock().await;
    let (config, cache) = (image.config.clone(), cloud.run.images.clone());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&image, &cache)).await;
    let root = unpacked
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    Ok(Prepared { root, config })
}

async fn run_tasks(
    cloud: &Arc<Cloud>,
    execution: &Execution,
    prepared: &Prepared,
    cancel: &CancellationToken,
) -> Result<(), ApiError> {
    let tasks = cloud.run.tasks_of(execution);
    let parallelism = execution.parallelism().clamp(1, MOST_AT_ONCE) as usize;
    let mut ends = futures::stream::iter(tasks)
        .map(|task| run_task(cloud, execution, prepared, cancel, task))
        .buffer_unordered(parallelism);
    while let Some(ended) = ends.next().await {
        ended?;
    }
    Ok(())
}

/// Attempts until one succeeds or the retries are used up.
async fn run_task(
    cloud: &Arc<Cloud>,
    execution: &Execution,
    prepared: &Prepared,
    cancel: &CancellationToken,
    mut task: Task,
) -> Result<(), ApiError> {
    let retries = execution.template.template.max_retries.unwrap_or(3);
    for attempt in 0..=retries {
        if cancel.is_cancelled() {
            break;
        }
        task = task.started(attempt);
        keep_task(cloud, &task)?;
        count(cloud, execution)?;
        let ended = run_attempt(cloud, execution, prepared, cancel, &mut task).await;
        let (result, condition) = judge(ended);
        task.last_attempt = result;
        let over = condition.is_success() || attempt == retries || cancel.is_cancelled();
        if over {
            return keep_task(cloud, &task.ended(condition));
        }
    }
    keep_task(cloud, &task.ended(cancelled()))
}

async fn run_attempt(
    cloud: &Arc<Cloud>,
    execution: &Execution,
    prepared: &Prepared,
    cancel: &CancellationToken,
    task: &mut Task,
) -> Result<End, String> {
    let container = execution.template.container();
    let container = container.ok_or("the job has no container")?;
    let command = attempt_command(cloud, execution, prepared, container, task)?;
    let process = Process::start(&command).map_err(|error| {
        format!(
            "`{}` cannot be started: {error}",
            shown(&command.program, &prepared.root)
        )
    })?;
    task.process = process.id();
    keep_task(cloud, task).map_err(|error| error.message)?;
    let lines = Arc::new(Lines::new(cloud, execution, task));
    let timeout = forms::duration(&execution.template.template.timeout);
    let timeout = timeout.unwrap_or(Duration::from_secs(600));
    let writer = lines.clone();
    let end = process
        .run(timeout, cancel, move |output, text| {
            writer.write(output, &text)
        })
        .await
        .map_err(|error| format!("the process was lost: {error}"))?;
    lines.end(end);
    Ok(end)
}

fn shown(program: &Path, root: &Path) -> String {
    let inside = program.strip_prefix(root).unwrap_or(program);
    format!("/{}", inside.display())
}

fn attempt_command(
    cloud: &Cloud,
    execution: &Execution,
    prepared: &Prepared,
    container: &Container,
    task: &Task,
) -> Result<Command, String> {
    let mut env = job_env(cloud, execution, container)?;
    env.extend(cloud_env(cloud, execution, task));
    command(&prepared.config, container, &prepared.root, env)
}

/// The job's own variables; secrets are read now, as an instance reads them at its start.
fn job_env(
    cloud: &Cloud,
    execution: &Execution,
    container: &Container,
) -> Result<BTreeMap<String, String>, String> {
    let value = |var: &super::spec::EnvVar| match &var.value_source {
        None => Ok(var.value.clone().unwrap_or_default()),
        Some(source) => {
            let (project, secret) = (execution.project(), &source.secret_key_ref);
            let account = &execution.template.template.service_account;
            let bytes = access::secret_value(cloud, project, account, secret);
            let bytes = bytes.map_err(|error| error.message)?;
            let version = secret.version_name(project);
            String::from_utf8(bytes).map_err(|_| format!("{version} is no UTF-8 text"))
        }
    };
    container
        .env
        .iter()
        .map(|var| Ok((var.name.clone(), value(var)?)))
        .collect()
}

/// What Cloud Run adds (container runtime contract), and where this cloud is.
fn cloud_env(cloud: &Cloud, execution: &Execution, task: &Task) -> [(String, String); 7] {
    let account = &execution.template.template.service_account;
    [
        ("CLOUD_RUN_JOB", execution.job_id().to_owned()),
        ("CLOUD_RUN_EXECUTION", execution.id().to_owned()),
        ("CLOUD_RUN_TASK_INDEX", task.index.to_string()),
        (
            "CLOUD_RUN_TASK_COUNT",
            execution.template.task_count.to_string(),
        ),
        ("CLOUD_RUN_TASK_ATTEMPT", task.retried.to_string()),
        ("XETL_ENDPOINT", cloud.endpoint.clone()),
        ("GCE_METADATA_HOST", cloud.identity.metadata_host(account)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// What an attempt's end says of the attempt and, if it was the last, of the task.
fn judge(ended: Result<End, String>) -> (Option<AttemptResult>, Condition) {
    let result = |code, message: &str, exit_code, term_signal| AttemptResult {
        status: Status {
            code,
            message: message.to_owned(),
        },
        exit_code,
        term_signal,
    };
    let (result, reason) = match &ended {
        Ok(End::Exit(0)) => {
            let result = result(0, "", Some(0), None);
            return (Some(result), Condition::succeeded("Completed"));
        }
        Ok(End::Exit(code)) => {
            let message = "The container exited with an error.";
            (
                result(UNKNOWN, message, Some(*code), None),
                Some(NON_ZERO_EXIT_CODE),
            )
        }
        Ok(End::Signal(signal)) => {
            let message = format!("The container was ended by signal {signal}.");
            (
                result(UNKNOWN, &message, None, Some(*signal)),
                Some(NON_ZERO_EXIT_CODE),
            )
        }
        Ok(End::TimedOut) => {
            let message = "The configured timeout was reached.";
            (result(DEADLINE_EXCEEDED, message, None, None), None)
        }
        Ok(End::Cancelled) => return (None, cancelled()),
        Err(message) => (result(UNKNOWN, message, None, None), None),
    };
    let condition = failure(reason, &result.status.message);
    (Some(result), condition)
}

fn cancelled() -> Condition {
    failure(Some(CANCELLED), "The task was cancelled.")
}

fn keep(cloud: &Cloud, execution: &Execution) -> Result<(), ApiError> {
    cloud.run.executions.update(&execution.name, |kept| {
        // One that was deleted meanwhile stays deleted.
        if let Some(kept) = kept {
            execution.clone_into(kept);
        }
        Ok::<_, ApiError>(())
    })?;
    cloud.run.jobs.update(execution.job_name(), |job| {
        let latest = job.as_mut().and_then(|job| job.latest.as_mut());
        if let Some(latest) = latest.filter(|latest| latest.name == execution.id()) {
            *latest = execution.reference();
        }
        Ok(())
    })
}

fn keep_task(cloud: &Cloud, task: &Task) -> Result<(), ApiError> {
    cloud.run.tasks.update(&task.name, |kept| {
        if let Some(kept) = kept {
            task.clone_into(kept);
        }
        Ok(())
    })
}

/// Brings the execution's counts up to date while it runs.
fn count(cloud: &Cloud, execution: &Execution) -> Result<(), ApiError> {
    let counts = Counts::of(&cloud.run.tasks_of(execution));
    cloud.run.executions.update(&execution.name, |kept| {
        if let Some(kept) = kept {
            kept.counts = counts;
        }
        Ok(())
    })
}

fn finish(cloud: &Cloud, execution: &Execution) -> Result<(), ApiError> {
    let ended = execution.ended(&cloud.run.tasks_of(execution));
    keep(cloud, &ended)?;
    let shown = any(KIND, ended.view());
    let outcome = match ended.completed.is_success() {
        true => Ok(shown.clone()),
        false => Err(Status {
            code: ABORTED,
            message: ended.completed.message.clone(),
        }),
    };
    cloud
        .operations
        .finish(&ended.operation, Some(shown), outcome)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_and_a_signal_are_told_apart() {
        let (result, condition) = judge(Ok(End::Exit(3)));
        assert_eq!(result.unwrap().exit_code, Some(3));
        assert_eq!(
            condition.execution_reason.as_deref(),
            Some(NON_ZERO_EXIT_CODE)
        );
        let (result, _) = judge(Ok(End::Signal(9)));
        assert_eq!(result.unwrap().term_signal, Some(9));
        let (result, _) = judge(Ok(End::TimedOut));
        assert_eq!(result.unwrap().status.code, DEADLINE_EXCEEDED);
    }

    #[test]
    fn what_could_not_start_has_no_exit_code() {
        let (result, condition) = judge(Err("no such program".into()));
        assert_eq!(result.unwrap().exit_code, None);
        assert_eq!(condition.message, "no such program");
    }
}
