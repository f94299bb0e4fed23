//! Models: SQL over the pipeline's tables, run in the warehouse after the load.
//!
//! What to run is decided from how the streams stand; a view is kept as it should be, a
//! table is made anew by one query job, whose id depends on the run: tasks that meet, or a
//! retry, run it once.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::bundle::{Bundle, Model, ModelKind};
use crate::google::ApiError;
use crate::google::bigquery::{Dataset, JobState, Query, Table};

/// Jobs one process submits for a model before it gives up.
const MOST_TRIES: usize = 2;

/// How a stream stands in a run, as its models see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// This run has loaded all of it.
    Loaded,
    /// It was to be loaded, and is not.
    Missing,
    /// Another task has its last slices, and builds what reads it.
    Shared,
    /// This run was not asked for it.
    Untouched,
}

/// What a run does about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'m> {
    Run,
    /// Nothing it reads is new.
    Leave,
    /// A stream it reads was not loaded.
    Wait {
        stream: &'m str,
    },
}

/// Decides on one model.
pub fn step<'m>(model: &'m Model, standing: impl Fn(&str) -> Standing) -> Step<'m> {
    let stands = |stream: &&String, how| standing(stream) == how;
    let missing = model
        .streams
        .iter()
        .find(|stream| stands(stream, Standing::Missing));
    let is_new = model
        .streams
        .iter()
        .any(|stream| stands(&stream, Standing::Loaded));
    let is_shared = model
        .streams
        .iter()
        .any(|stream| stands(&stream, Standing::Shared));
    match missing {
        Some(stream) => Step::Wait { stream },
        None if is_shared => Step::Leave,
        None if is_new || model.streams.is_empty() => Step::Run,
        None => Step::Leave,
    }
}

/// How a run ended for a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSummary {
    pub model: String,
    pub kind: ModelKind,
    pub outcome: ModelOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelOutcome {
    Built,
    /// A stream it reads was not loaded.
    Waiting,
    Failed,
}

/// Why a model is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("`{name}` is a {there} where the model's {kind} should be. Rename or delete it")]
    InTheWay {
        name: String,
        there: &'static str,
        kind: &'static str,
    },
    #[error("query job {job} failed ({reason}): {message}")]
    QueryFailed {
        job: String,
        reason: String,
        message: String,
    },
}

/// Builds models in one pipeline's dataset.
pub struct Builder<'a> {
    pub dataset: &'a Dataset,
    pub bundle: &'a Bundle,
    pub labels: &'a HashMap<String, String>,
    pub run: &'a str,
}

impl Builder<'_> {
    /// Brings the models up to date; one that fails holds up those that read it, and no other.
    pub async fn build(&self, standing: impl Fn(&str) -> Standing) -> Vec<ModelSummary> {
        let mut built = Vec::new();
        for model in &self.bundle.models {
            let (outcome, error) = match step(model, &standing) {
                Step::Leave => continue,
                Step::Wait { stream } => (
                    ModelOutcome::Waiting,
                    Some(format!("stream `{stream}` is not loaded")),
                ),
                Step::Run => match self.run(model).await {
                    Ok(()) => (ModelOutcome::Built, None),
                    Err(error) => (ModelOutcome::Failed, Some(crate::run::described(&error))),
                },
            };
            let summary = ModelSummary {
                model: model.name.clone(),
                kind: model.kind,
                outcome,
                error,
            };
            report(&summary);
            built.push(summary);
        }
        built
    }

    async fn run(&self, model: &Model) -> Result<(), ModelError> {
        let there = self.dataset.table(&model.name).await?;
        match model.kind {
            ModelKind::View => self.keep_view(model, there).await,
            ModelKind::Table => match there {
                Some(Table { view: Some(_), .. }) => Err(in_the_way(model, "view")),
                _ => self.make_table(model).await,
            },
        }
    }

    async fn keep_view(&self, model: &Model, there: Option<Table>) -> Result<(), ModelError> {
        let Model { name, sql, .. } = model;
        match there {
            None => self.dataset.create_view(name, sql, self.labels).await?,
            Some(Table { view: None, .. }) => return Err(in_the_way(model, "table")),
            Some(Table {
                view: Some(query), ..
            }) if query == *sql => {}
            Some(Table { etag, .. }) => self.dataset.update_view(name, &etag, sql).await?,
        }
        Ok(())
    }

    async fn make_table(&self, model: &Model) -> Result<(), ModelError> {
        let base = self.job_base(model);
        let mut attempt = 0;
        let mut tries = 0;
        let mut delay = Duration::from_millis(20);
        loop {
            let job = format!("{base}-{attempt}");
            match self.dataset.job(&job).await? {
                Some(JobState::Done { .. } | JobState::Changed(_)) => return Ok(()),
                Some(JobState::Failed { reason, message }) if tries == MOST_TRIES => {
                    return Err(ModelError::QueryFailed {
                        job,
                        reason,
                        message,
                    });
                }
                Some(JobState::Failed { .. }) => attempt += 1,
                Some(JobState::Running) => {
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(Duration::from_secs(5));
                }
                None => {
                    self.dataset.submit_query(&self.query(model, job)).await?;
                    tries += 1;
                }
            }
        }
    }

    fn query(&self, model: &Model, job_id: String) -> Query {
        let Dataset {
            project, dataset, ..
        } = self.dataset;
        let Model { name, sql, .. } = model;
        Query {
            job_id,
            // One statement: readers see the old rows or the new.
            statement: format!("CREATE OR REPLACE TABLE `{project}.{dataset}.{name}` AS\n{sql}"),
            labels: self.labels.clone(),
        }
    }

    /// What the ids of a model's jobs of this run begin with.
    fn job_base(&self, model: &Model) -> String {
        let mut hash = Sha256::new();
        for text in [self.run, &model.name, &model.sql] {
            hash.update(text);
            hash.update([0]);
        }
        let hash = hex::encode(hash.finalize());
        let Bundle {
            client, pipeline, ..
        } = self.bundle;
        format!(
            "xetl-{client}-{pipeline}-model-{}-{}",
            model.name,
            &hash[..24]
        )
    }
}

fn in_the_way(model: &Model, there: &'static str) -> ModelError {
    ModelError::InTheWay {
        name: model.name.clone(),
        there,
        kind: match model.kind {
            ModelKind::View => "view",
            ModelKind::Table => "table",
        },
    }
}

fn report(summary: &ModelSummary) {
    let ModelSummary { model, error, .. } = summary;
    match (summary.outcome, error) {
        (ModelOutcome::Failed, Some(error)) => tracing::error!(model, error, "model failed"),
        (ModelOutcome::Waiting, Some(error)) => tracing::warn!(model, error, "model not built"),
        _ => tracing::info!(model, "model built"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(streams: &[&str]) -> Model {
        Model {
            name: "m".into(),
            sql: "SELECT 1".into(),
            kind: ModelKind::Table,
            streams: streams.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_model_runs_once_something_it_reads_is_new_and_nothing_is_missing() {
        let standing = |stream: &str| match stream {
            "new" => Standing::Loaded,
            "failed" => Standing::Missing,
            "elsewhere" => Standing::Shared,
            _ => Standing::Untouched,
        };
        assert_eq!(step(&model(&["new", "old"]), standing), Step::Run);
        assert_eq!(step(&model(&["old"]), standing), Step::Leave);
        assert_eq!(step(&model(&["new", "elsewhere"]), standing), Step::Leave);
        assert_eq!(step(&model(&[]), standing), Step::Run);
        assert_eq!(
            step(&model(&["new", "failed"]), standing),
            Step::Wait { stream: "failed" }
        );
    }
}
