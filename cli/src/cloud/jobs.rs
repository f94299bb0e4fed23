//! Cloud Run jobs.

use std::collections::BTreeMap;

use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_lro::Poller;
use google_cloud_run_v2::model::{
    Container, EnvVar, EnvVarSource, ExecutionEnvironment, ExecutionReference, ExecutionTemplate,
    Job as RunJob, ResourceRequirements, SecretKeySelector, TaskTemplate, VpcAccess,
    condition::State,
    env_var::Values,
    execution_reference::CompletionStatus,
    task_template::Retries,
    vpc_access::{NetworkInterface, VpcEgress},
};
use google_cloud_wkt::Duration;

use super::executions::time;
use super::inventory::PAGE;
use super::{Cloud, CloudError, last_part};
use crate::execution::{ExecutionState, LatestRun};
use crate::resource::{Address, Job, Kind, Labels, Owner, Resources, Vpc, labels};

/// A job as its list tells it.
#[derive(Debug, Clone)]
pub struct ListedJob {
    pub job: Job,
    pub latest: Option<LatestRun>,
    /// The image it ran before its present one.
    pub previous_image: Option<String>,
}

/// Where a job keeps the image it had before, for `xetl rollback`.
const PREVIOUS_IMAGE: &str = "xetl.dev/previous-image";

impl Cloud {
    /// All jobs of another region, whoever's they are.
    pub async fn jobs_in(&self, region: &str) -> Result<Resources, CloudError> {
        let there = Cloud::new(self.connection.clone(), &self.client, &self.project, region);
        let jobs = there.list_jobs().await?.into_iter();
        let jobs = jobs.map(|(name, it)| (Address::new(Kind::Job, name), it.job.into()));
        Ok(jobs.collect())
    }

    /// All jobs of the region, whoever's they are.
    pub(super) async fn list_jobs(&self) -> Result<BTreeMap<String, ListedJob>, CloudError> {
        let list = self.jobs().await?.list_jobs();
        let list = list.set_parent(self.in_region("")).set_page_size(PAGE);
        let mut items = list.by_item();
        let all = self.listed(
            "jobs",
            async || items.next().await,
            |job| {
                let stays = job.delete_time.is_none();
                (last_part(&job.name), stays.then(|| listed(&job)))
            },
        );
        let all = all.await?.into_iter();
        Ok(all.filter_map(|(name, job)| Some((name, job?))).collect())
    }

    pub(super) async fn find_run_job(&self, name: &str) -> Result<Option<RunJob>, CloudError> {
        let get = self.jobs().await?.get_job();
        let found = get.set_name(self.job_name(name)).send().await;
        match found.map_err(self.failed(&format!("job {name}"))) {
            // One under deletion is to be made anew.
            Ok(job) => Ok(Some(job).filter(|job| job.delete_time.is_none())),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn find_job(&self, name: &str) -> Result<Option<Job>, CloudError> {
        Ok(self.find_run_job(name).await?.as_ref().map(job_of))
    }

    pub(super) async fn create_job(&self, name: &str, job: &Job) -> Result<(), CloudError> {
        self.jobs()
            .await?
            .create_job()
            .set_parent(self.in_region(""))
            .set_job_id(name)
            .set_job(run_job(job).set_labels(labels::written(&job.owner, &job.labels)))
            .poller()
            .until_done()
            .await
            .map_err(self.failed(&format!("job {name}")))?;
        Ok(())
    }

    /// Replaces the whole job, as Cloud Run's PATCH does; what others labelled stays.
    pub(super) async fn update_job(&self, name: &str, job: &Job) -> Result<(), CloudError> {
        let Some(before) = self.find_run_job(name).await? else {
            return self.create_job(name, job).await;
        };
        let image = image_of(&before);
        let mut annotations = before.annotations;
        if !image.is_empty() && image != job.image {
            annotations.insert(PREVIOUS_IMAGE.to_owned(), image);
        }
        let there: Labels = before.labels.into_iter().collect();
        let labels = labels::rewritten(&there, &job.owner, &job.labels);
        let after = run_job(job)
            .set_name(self.job_name(name))
            .set_labels(labels)
            .set_annotations(annotations)
            .set_etag(before.etag);
        self.jobs()
            .await?
            .update_job()
            .set_job(after)
            .poller()
            .until_done()
            .await
            .map_err(self.failed(&format!("job {name}")))?;
        Ok(())
    }

    pub(super) async fn delete_job(&self, name: &str) -> Result<(), CloudError> {
        self.jobs()
            .await?
            .delete_job()
            .set_name(self.job_name(name))
            .poller()
            .until_done()
            .await
            .map_err(self.failed(&format!("job {name}")))?;
        Ok(())
    }

    pub(super) fn job_name(&self, name: &str) -> String {
        self.in_region(&format!("jobs/{name}"))
    }
}

fn run_job(job: &Job) -> RunJob {
    let limits = [("cpu", &job.cpu), ("memory", &job.memory)];
    let limits = limits.map(|(key, value)| (key.to_owned(), value.clone()));
    let container = Container::new()
        .set_image(&job.image)
        .set_args(&job.args)
        .set_env(
            job.env
                .iter()
                .map(plain_env)
                .chain(job.secrets.iter().map(secret_env)),
        )
        .set_resources(ResourceRequirements::new().set_limits(limits));
    let mut task = TaskTemplate::new()
        .set_containers([container])
        .set_service_account(&job.account)
        .set_timeout(Duration::clamp(job.timeout_seconds as i64, 0))
        // Left out it would be 3.
        .set_max_retries(job.retries as i32)
        .set_execution_environment(ExecutionEnvironment::Gen2);
    task.vpc_access = job.vpc.as_ref().map(vpc_access);
    let execution = ExecutionTemplate::new()
        .set_task_count(job.tasks as i32)
        .set_parallelism(job.parallelism as i32)
        .set_template(task);
    RunJob::new()
        .set_client("xetl")
        .set_client_version(env!("CARGO_PKG_VERSION"))
        .set_template(execution)
}

fn listed(job: &RunJob) -> ListedJob {
    ListedJob {
        job: job_of(job),
        latest: job.latest_created_execution.as_ref().map(latest_of),
        previous_image: job.annotations.get(PREVIOUS_IMAGE).cloned(),
    }
}

fn image_of(job: &RunJob) -> String {
    let task = job.template.as_ref().and_then(|it| it.template.as_ref());
    let container = task.and_then(|task| task.containers.first());
    container.map(|it| it.image.clone()).unwrap_or_default()
}

fn latest_of(run: &ExecutionReference) -> LatestRun {
    let state = match run.completion_status {
        CompletionStatus::ExecutionSucceeded => ExecutionState::Succeeded,
        CompletionStatus::ExecutionFailed => ExecutionState::Failed,
        CompletionStatus::ExecutionCancelled => ExecutionState::Cancelled,
        CompletionStatus::ExecutionRunning => ExecutionState::Running,
        _ => ExecutionState::Pending,
    };
    LatestRun {
        name: last_part(&run.name),
        state,
        created: run.create_time.as_ref().and_then(time),
        completed: run.completion_time.as_ref().and_then(time),
    }
}

fn vpc_access(vpc: &Vpc) -> VpcAccess {
    let access = VpcAccess::new().set_egress(VpcEgress::from(vpc.egress.as_str()));
    if let Some(connector) = &vpc.connector {
        return access.set_connector(connector);
    }
    let interface = NetworkInterface::new()
        .set_network(vpc.network.clone().unwrap_or_default())
        .set_subnetwork(vpc.subnetwork.clone().unwrap_or_default())
        .set_tags(&vpc.tags);
    access.set_network_interfaces([interface])
}

fn vpc_of(access: &VpcAccess) -> Vpc {
    let interface = access.network_interfaces.first().cloned();
    let interface = interface.unwrap_or_default();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Vpc {
        network: some(&interface.network),
        subnetwork: some(&interface.subnetwork),
        tags: interface.tags,
        connector: some(&access.connector),
        egress: access.egress.name().unwrap_or_default().to_owned(),
    }
}

fn plain_env((name, value): (&String, &String)) -> EnvVar {
    EnvVar::new().set_name(name).set_value(value)
}

fn secret_env((name, secret): (&String, &String)) -> EnvVar {
    let selector = SecretKeySelector::new()
        .set_secret(secret)
        .set_version("latest");
    EnvVar::new()
        .set_name(name)
        .set_value_source(EnvVarSource::new().set_secret_key_ref(selector))
}

/// The fields we manage of a job that is there.
pub(super) fn job_of(job: &RunJob) -> Job {
    let all: Labels = job.labels.clone().into_iter().collect();
    let execution = job.template.clone().unwrap_or_default();
    let task = execution.template.unwrap_or_default();
    let container = task.containers.into_iter().next().unwrap_or_default();
    let limits = container.resources.unwrap_or_default().limits;
    let limit = |name: &str| limits.get(name).cloned().unwrap_or_default();
    let (mut env, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for variable in container.env {
        match variable.values {
            Some(Values::ValueSource(source)) => {
                let selector = source.secret_key_ref.unwrap_or_default();
                secrets.insert(variable.name, last_part(&selector.secret));
            }
            Some(Values::Value(value)) => {
                env.insert(variable.name, value);
            }
            _ => {
                env.insert(variable.name, String::new());
            }
        }
    }
    Job {
        image: container.image,
        args: container.args,
        account: task.service_account,
        env,
        secrets,
        tasks: execution.task_count.max(1) as u32,
        parallelism: execution.parallelism as u32,
        cpu: limit("cpu"),
        memory: limit("memory"),
        timeout_seconds: task.timeout.map_or(600, |timeout| timeout.seconds() as u64),
        retries: match task.retries {
            Some(Retries::MaxRetries(retries)) => retries as u32,
            _ => 3,
        },
        vpc: task.vpc_access.as_ref().map(vpc_of),
        fault: fault_of(job),
        labels: labels::own(&all),
        owner: Owner::of_labels(&all),
    }
}

/// Why Cloud Run does not run it, where it could not be made as it was sent.
fn fault_of(job: &RunJob) -> Option<String> {
    let condition = job.terminal_condition.as_ref()?;
    (condition.state == State::ConditionFailed).then(|| condition.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_back_as_it_was_written() {
        let job = Job {
            image: "r/i@sha256:0".to_owned(),
            args: vec!["run".to_owned()],
            account: "a@p".to_owned(),
            env: BTreeMap::from([("A".to_owned(), "x".to_owned())]),
            secrets: BTreeMap::from([("K".to_owned(), "s".to_owned())]),
            tasks: 2,
            parallelism: 1,
            cpu: "1".to_owned(),
            memory: "512Mi".to_owned(),
            timeout_seconds: 60,
            retries: 0,
            vpc: Some(Vpc {
                network: Some("n".to_owned()),
                subnetwork: Some("s".to_owned()),
                tags: vec!["t".to_owned()],
                connector: None,
                egress: "ALL_TRAFFIC".to_owned(),
            }),
            fault: None,
            labels: Labels::from([("team".to_owned(), "data".to_owned())]),
            owner: Owner::pipeline("acme", "xero"),
        };
        let sent = run_job(&job).set_labels(labels::written(&job.owner, &job.labels));
        assert_eq!(job_of(&sent), job);
        let by_connector = Vpc {
            connector: Some("c".to_owned()),
            egress: "PRIVATE_RANGES_ONLY".to_owned(),
            ..Vpc::default()
        };
        assert_eq!(vpc_of(&vpc_access(&by_connector)), by_connector);
    }
}
