//! Executions and tasks as they are kept, and how their states follow from what happened.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::job::{Condition, Job, LatestExecution, part};
use super::spec::ExecutionTemplate;
use crate::clock;
use crate::operations::Status;

pub const KIND: &str = "google.cloud.run.v2.Execution";
pub const CANCELLED: &str = "CANCELLED";
pub const NON_ZERO_EXIT_CODE: &str = "NON_ZERO_EXIT_CODE";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// `projects/P/locations/L/jobs/J/executions/E`.
    pub name: String,
    pub uid: String,
    pub create_time: String,
    pub start_time: Option<String>,
    pub completion_time: Option<String>,
    pub update_time: String,
    pub creator: String,
    pub job_generation: u64,
    pub template: ExecutionTemplate,
    pub counts: Counts,
    pub completed: Condition,
    /// The operation that ends with this execution.
    pub operation: String,
}

/// Tasks by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    #[serde(skip_serializing_if = "is_zero", rename = "runningCount")]
    pub running: u32,
    #[serde(skip_serializing_if = "is_zero", rename = "succeededCount")]
    pub succeeded: u32,
    #[serde(skip_serializing_if = "is_zero", rename = "failedCount")]
    pub failed: u32,
    #[serde(skip_serializing_if = "is_zero", rename = "cancelledCount")]
    pub cancelled: u32,
    #[serde(skip_serializing_if = "is_zero", rename = "retriedCount")]
    pub retried: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// `.../executions/E/tasks/T`.
    pub name: String,
    pub uid: String,
    pub index: u32,
    pub retried: u32,
    pub create_time: String,
    pub start_time: Option<String>,
    pub completion_time: Option<String>,
    pub completed: Condition,
    pub last_attempt: Option<AttemptResult>,
    /// The process of the attempt that runs now.
    pub process: Option<ProcessId>,
}

/// A process that is still the same one only while its start time is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: u32,
    /// Field `starttime` of `/proc/PID/stat`.
    pub started: Option<u64>,
}

/// `TaskAttemptResult` of the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptResult {
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_signal: Option<i32>,
}

impl Execution {
    pub fn new(job: &Job, template: ExecutionTemplate, creator: &str) -> Execution {
        let id = format!("{}-{}", job.id(), &Uuid::new_v4().simple().to_string()[..5]);
        let now = clock::now();
        Execution {
            name: format!("{}/executions/{id}", job.name),
            uid: Uuid::new_v4().to_string(),
            create_time: now.clone(),
            start_time: None,
            completion_time: None,
            update_time: now,
            creator: creator.to_owned(),
            job_generation: job.generation,
            template,
            counts: Counts::default(),
            completed: Condition::new("Completed", "CONDITION_PENDING"),
            operation: String::new(),
        }
    }

    pub fn project(&self) -> &str {
        part(&self.name, 1)
    }

    pub fn location(&self) -> &str {
        part(&self.name, 3)
    }

    pub fn job_id(&self) -> &str {
        part(&self.name, 5)
    }

    pub fn job_name(&self) -> &str {
        self.name.split("/executions/").next().unwrap_or_default()
    }

    pub fn id(&self) -> &str {
        part(&self.name, 7)
    }

    pub fn is_over(&self) -> bool {
        self.completion_time.is_some()
    }

    /// The tasks it has from the start.
    pub fn tasks(&self) -> Vec<Task> {
        let task = |index| Task {
            name: format!("{}/tasks/{}-task{index}", self.name, self.id()),
            uid: Uuid::new_v4().to_string(),
            index,
            retried: 0,
            create_time: self.create_time.clone(),
            start_time: None,
            completion_time: None,
            completed: Condition::new("Completed", "CONDITION_PENDING"),
            last_attempt: None,
            process: None,
        };
        (0..self.template.task_count).map(task).collect()
    }

    /// How many tasks run at once.
    pub fn parallelism(&self) -> u32 {
        match self.template.parallelism {
            0 => self.template.task_count,
            most => most.min(self.template.task_count),
        }
    }

    /// This execution after all of `tasks` ended.
    pub fn ended(&self, tasks: &[Task]) -> Execution {
        let counts = Counts::of(tasks);
        let failure = tasks.iter().find(|task| task.is_failed());
        let completed = match failure {
            _ if counts.cancelled > 0 => Condition {
                execution_reason: Some(CANCELLED.to_owned()),
                ..Condition::failed("Completed", None, "The execution was cancelled.")
            },
            Some(task) => Condition {
                execution_reason: task.completed.execution_reason.clone(),
                ..Condition::failed(
                    "Completed",
                    None,
                    format!(
                        "Task {} failed with message: {}",
                        part(&task.name, 9),
                        task.completed.message
                    ),
                )
            },
            None => Condition {
                message: "Execution completed successfully.".to_owned(),
                ..Condition::succeeded("Completed")
            },
        };
        let now = clock::now();
        Execution {
            counts,
            completed,
            completion_time: Some(now.clone()),
            update_time: now,
            ..self.clone()
        }
    }

    /// The execution as its job names it.
    pub fn reference(&self) -> LatestExecution {
        let reason = self.completed.execution_reason.as_deref();
        let status = match (self.is_over(), self.start_time.is_some()) {
            (true, _) if self.completed.is_success() => "EXECUTION_SUCCEEDED",
            (true, _) if reason == Some(CANCELLED) => "EXECUTION_CANCELLED",
            (true, _) => "EXECUTION_FAILED",
            (false, true) => "EXECUTION_RUNNING",
            (false, false) => "EXECUTION_PENDING",
        };
        LatestExecution {
            name: self.id().to_owned(),
            create_time: self.create_time.clone(),
            completion_time: self.completion_time.clone(),
            completion_status: status.to_owned(),
        }
    }

    /// The resource as the API shows it.
    pub fn view(&self) -> Value {
        let mut view = json!({
            "name": self.name,
            "uid": self.uid,
            "creator": self.creator,
            "generation": "1",
            "createTime": self.create_time,
            "updateTime": self.update_time,
            "job": self.job_id(),
            "parallelism": self.parallelism(),
            "taskCount": self.template.task_count,
            "template": self.template.template,
            "reconciling": !self.is_over(),
            "conditions": [self.completed],
            "observedGeneration": "1",
            "logUri": format!("https://console.cloud.google.com/logs/viewer?project={}&advancedFilter=resource.type%3D%22cloud_run_job%22", self.project()),
            "launchStage": "GA",
            "etag": format!("\"{}/{}\"", self.uid, self.update_time),
        });
        if let (Value::Object(view), Value::Object(counts)) = (&mut view, json!(self.counts)) {
            view.extend(counts);
        }
        set(
            &mut view,
            "labels",
            (!self.template.labels.is_empty()).then_some(&self.template.labels),
        );
        set(&mut view, "startTime", self.start_time.as_ref());
        set(&mut view, "completionTime", self.completion_time.as_ref());
        view
    }
}

fn set<T: Serialize>(view: &mut Value, key: &str, value: Option<T>) {
    if let Some(value) = value {
        view[key] = json!(value);
    }
}

impl Counts {
    pub fn of(tasks: &[Task]) -> Counts {
        let mut counts = Counts::default();
        for task in tasks {
            counts.retried += task.retried;
            let reason = task.completed.execution_reason.as_deref();
            match (&task.completion_time, task.completed.is_success()) {
                (Some(_), true) => counts.succeeded += 1,
                (Some(_), false) if reason == Some(CANCELLED) => counts.cancelled += 1,
                (Some(_), false) => counts.failed += 1,
                (None, _) if task.start_time.is_some() => counts.running += 1,
                (None, _) => {}
            }
        }
        counts
    }
}

impl Task {
    pub fn started(mut self, attempt: u32) -> Task {
        self.retried = attempt;
        self.start_time.get_or_insert_with(clock::now);
        self.completed = Condition::new("Completed", "CONDITION_RECONCILING");
        self
    }

    /// The task after its last attempt.
    pub fn ended(mut self, completed: Condition) -> Task {
        self.process = None;
        self.completed = completed;
        self.completion_time = Some(clock::now());
        self
    }

    pub fn is_failed(&self) -> bool {
        self.completion_time.is_some() && !self.completed.is_success()
    }

    /// The resource as the API shows it.
    pub fn view(&self, execution: &Execution) -> Value {
        let task = &execution.template.template;
        let mut view = json!({
            "name": self.name,
            "uid": self.uid,
            "generation": "1",
            "createTime": self.create_time,
            "updateTime": self.completion_time.as_ref().or(self.start_time.as_ref()).unwrap_or(&self.create_time),
            "job": execution.job_id(),
            "execution": execution.id(),
            "containers": task.containers,
            "maxRetries": task.max_retries.unwrap_or(3),
            "timeout": task.timeout,
            "serviceAccount": task.service_account,
            "executionEnvironment": task.execution_environment,
            "reconciling": self.completion_time.is_none(),
            "conditions": [self.completed],
            "observedGeneration": "1",
            "index": self.index,
            "retried": self.retried,
            "etag": format!("\"{}/{}\"", self.uid, self.retried),
        });
        set(&mut view, "scheduledTime", self.start_time.as_ref());
        set(&mut view, "startTime", self.start_time.as_ref());
        set(&mut view, "completionTime", self.completion_time.as_ref());
        set(&mut view, "lastAttemptResult", self.last_attempt.as_ref());
        view
    }
}

/// A failed task's condition.
pub fn failure(reason: Option<&str>, message: &str) -> Condition {
    Condition {
        execution_reason: reason.map(str::to_owned),
        ..Condition::failed("Completed", None, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::spec::JobSpec;

    fn execution(count: u32) -> Execution {
        let job = Job::new(
            "projects/p/locations/l/jobs/j".into(),
            JobSpec::default(),
            "u",
        );
        let template = ExecutionTemplate {
            task_count: count,
            ..ExecutionTemplate::default()
        };
        Execution::new(&job, template, "u")
    }

    #[test]
    fn an_execution_fails_with_its_first_failed_task() {
        let execution = execution(2);
        let mut tasks = execution.tasks();
        tasks[0] = tasks[0]
            .clone()
            .started(0)
            .ended(Condition::succeeded("Completed"));
        tasks[1] = tasks[1]
            .clone()
            .started(1)
            .ended(failure(Some(NON_ZERO_EXIT_CODE), "it broke"));
        let ended = execution.ended(&tasks);
        assert_eq!(
            ended.counts,
            Counts {
                succeeded: 1,
                failed: 1,
                retried: 1,
                ..Counts::default()
            }
        );
        assert!(
            ended
                .completed
                .message
                .ends_with("-task1 failed with message: it broke")
        );
        assert_eq!(
            ended.completed.execution_reason.as_deref(),
            Some(NON_ZERO_EXIT_CODE)
        );
        assert_eq!(ended.reference().completion_status, "EXECUTION_FAILED");
    }

    #[test]
    fn a_cancelled_task_makes_a_cancelled_execution() {
        let execution = execution(1);
        let task = execution
            .tasks()
            .remove(0)
            .ended(failure(Some(CANCELLED), "stopped"));
        let ended = execution.ended(&[task]);
        assert_eq!(ended.reference().completion_status, "EXECUTION_CANCELLED");
        assert_eq!(ended.counts.cancelled, 1);
    }

    #[test]
    fn zero_parallelism_is_all_at_once() {
        assert_eq!(execution(7).parallelism(), 7);
        assert_eq!(
            execution(2).reference().completion_status,
            "EXECUTION_PENDING"
        );
    }
}
