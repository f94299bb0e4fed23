//! What a run did: put together, logged, kept in the bucket.

use jiff::Timestamp;
use serde::Serialize;

use crate::google::storage::Precondition;
use crate::load::Loader;
use crate::models::{ModelOutcome, ModelSummary};
use crate::pipeline::{Outcome, StreamSummary};
use crate::state::{self, StoreError};

use super::Setup;

/// An entry of Cloud Logging holds 256 KiB; long states stay out of it.
const LONGEST_LOGGED_STATE: usize = 4096;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub client: String,
    pub pipeline: String,
    pub run: String,
    pub task: usize,
    pub outcome: RunOutcome,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub rows: u64,
    pub bytes: u64,
    pub requests: u64,
    pub retries: u64,
    pub seconds: f64,
    pub streams: Vec<StreamSummary>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelSummary>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunOutcome {
    Done,
    /// Some streams failed; the others are loaded.
    Failed,
    /// A limit of the source, or a signal, ended it early; the next run goes on.
    Parked,
    /// Another execution of the pipeline runs.
    Skipped,
}

impl Summary {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self.outcome {
            RunOutcome::Done | RunOutcome::Skipped => 0,
            RunOutcome::Failed => 1,
            RunOutcome::Parked => 75,
        }
    }
}

/// How a run of these ended.
pub fn outcome(streams: &[StreamSummary], models: &[ModelSummary]) -> RunOutcome {
    let any = |outcome| streams.iter().any(|stream| stream.outcome == outcome);
    let broken = models
        .iter()
        .any(|model| model.outcome == ModelOutcome::Failed);
    if any(Outcome::Failed) || broken {
        RunOutcome::Failed
    } else if any(Outcome::Parked) || any(Outcome::Stopped) {
        RunOutcome::Parked
    } else {
        RunOutcome::Done
    }
}

/// What a run that ends now did; its models are added where it has any.
pub fn summary(
    setup: &Setup,
    started_at: Timestamp,
    streams: Vec<StreamSummary>,
    outcome: RunOutcome,
) -> Summary {
    let finished_at = Timestamp::now();
    Summary {
        client: setup.bundle.client.clone(),
        pipeline: setup.bundle.pipeline.clone(),
        run: setup.run.clone(),
        task: setup.task.index,
        outcome,
        started_at,
        finished_at,
        seconds: finished_at.duration_since(started_at).as_secs_f64(),
        requests: streams.iter().map(|stream| stream.requests).sum(),
        retries: streams.iter().map(|stream| stream.retries).sum(),
        rows: streams.iter().map(|stream| stream.rows).sum(),
        bytes: streams.iter().map(|stream| stream.bytes).sum(),
        streams,
        models: Vec::new(),
    }
}

/// The run's last log entry.
pub fn log(summary: &Summary) {
    let mut logged = summary.clone();
    for stream in &mut logged.streams {
        if stream.state.to_string().len() > LONGEST_LOGGED_STATE {
            stream.state = serde_json::Value::Null;
        }
        if stream.state_before.to_string().len() > LONGEST_LOGGED_STATE {
            stream.state_before = serde_json::Value::Null;
        }
    }
    let json = serde_json::to_string(&logged).unwrap_or_default();
    let failed: Vec<&str> = failed(summary).collect();
    match summary.outcome {
        RunOutcome::Failed => {
            tracing::error!(
                summary_json = json,
                failed = failed.join(", "),
                "run summary"
            );
        }
        RunOutcome::Parked => tracing::warn!(summary_json = json, "run summary"),
        _ => tracing::info!(summary_json = json, "run summary"),
    }
}

/// The streams and models that failed.
fn failed(summary: &Summary) -> impl Iterator<Item = &str> {
    let streams = summary.streams.iter();
    let streams = streams.filter(|stream| stream.outcome == Outcome::Failed);
    let models = summary.models.iter();
    let models = models.filter(|model| model.outcome == ModelOutcome::Failed);
    streams
        .map(|stream| stream.stream.as_str())
        .chain(models.map(|model| model.model.as_str()))
}

/// Keeps it beside the state, where `xetl status` reads it.
pub async fn keep(loader: &Loader, summary: &Summary) -> Result<(), StoreError> {
    let name = match summary.task {
        0 => loader.layout.summary(&summary.run),
        task => loader
            .layout
            .summary(&format!("{}.task-{task}", summary.run)),
    };
    state::write(&loader.bucket, &name, summary, Precondition::None).await?;
    Ok(())
}
