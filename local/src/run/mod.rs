//! Cloud Run jobs (Admin API v2), with processes of this machine as tasks.

mod access;
mod check;
mod command;
mod execution;
mod executions_api;
mod executor;
mod job;
mod jobs_api;
mod knative;
mod output;
mod process;
mod spec;
mod start;
mod unpack;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::assets::Asset;
use crate::cloud::Cloud;
use crate::router::Route;
use crate::store::{Collection, Store};

use execution::{Execution, Task};
use job::Job;

/// Jobs and what has run.
pub struct Runs {
    jobs: Collection<Job>,
    executions: Collection<Execution>,
    tasks: Collection<Task>,
    /// Unpacked images.
    images: PathBuf,
    unpacking: tokio::sync::Mutex<()>,
    /// Executions that run now, by name.
    live: Mutex<HashMap<String, CancellationToken>>,
    ended: Notify,
}

impl Runs {
    pub fn open(store: &Store) -> io::Result<Runs> {
        Ok(Runs {
            jobs: store.collection("run/jobs")?,
            executions: store.collection("run/executions")?,
            tasks: store.collection("run/tasks")?,
            // Absolute, as tasks have working folders of their own.
            images: store.folder("run/images")?.canonicalize()?,
            unpacking: tokio::sync::Mutex::new(()),
            live: Mutex::new(HashMap::new()),
            ended: Notify::new(),
        })
    }

    fn live(&self) -> std::sync::MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no execution runs any more.
    pub async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.live().is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn tasks_of(&self, execution: &Execution) -> Vec<Task> {
        let mut tasks: Vec<Task> = self
            .tasks
            .list(&format!("{}/tasks/", execution.name))
            .into_iter()
            .map(|(_, task)| task)
            .collect();
        tasks.sort_by_key(|task| task.index);
        tasks
    }
}

/// Settles what an earlier server left running.
pub fn recover(cloud: &Arc<Cloud>) {
    executor::recover(cloud);
}

/// A project's jobs, for the inventory of assets.
pub fn assets(cloud: &Cloud, project: &str) -> Vec<Asset> {
    let jobs = cloud.run.jobs.list(&format!("projects/{project}/"));
    let assets = jobs.into_iter().map(|(name, job)| Asset {
        kind: "run.googleapis.com/Job",
        policy: Some(name.clone()),
        data: job.view(),
        name,
    });
    assets.collect()
}

pub fn routes() -> Vec<Route> {
    let mut routes = jobs_api::routes();
    routes.extend(executions_api::routes());
    routes.extend(knative::routes());
    routes
}
