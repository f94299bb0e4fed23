//! Load and query jobs: submitted once, looked up by their ids.

use std::collections::HashMap;

use google_cloud_bigquery_v2::model;
use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_wkt as wkt;
use serde::Serialize;
use serde_json::Value as Json;

use super::{Dataset, clustering, parquet, partitioning, schema};
use crate::google::ApiError;
use crate::google::retry::api_error;
use crate::layout::TableLayout;

/// A load of exactly these files.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    pub job_id: String,
    pub table: String,
    pub uris: Vec<String>,
    pub fields: Vec<Json>,
    /// How the table is kept if the load makes it.
    pub layout: TableLayout,
    /// Replace the table's rows and schema, or add to them.
    pub truncate: bool,
    pub labels: HashMap<String, String>,
}

/// One statement in standard SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub job_id: String,
    pub statement: String,
    pub labels: HashMap<String, String>,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    Running,
    /// A load or a copy, with the rows it brought.
    Done {
        rows: u64,
    },
    /// A query, with the rows it changed.
    Changed(Changes),
    Failed {
        reason: String,
        message: String,
    },
}

/// The rows that a statement changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}

/// Failures of a job that say nothing about the job itself (Google's Python
/// client retries the same).
pub fn passes(reason: &str) -> bool {
    matches!(
        reason,
        "backendError"
            | "internalError"
            | "jobBackendError"
            | "jobInternalError"
            | "jobRateLimitExceeded"
            | "rateLimitExceeded"
            | "tableUnavailable"
    )
}

impl Dataset {
    /// Submits a load; a job of that id that is there already is as good.
    pub async fn submit(&self, load: &Load) -> Result<(), ApiError> {
        let configuration = model::JobConfiguration::new()
            .set_load(self.load(load)?)
            .set_labels(load.labels.clone());
        self.insert_job(&load.job_id, configuration).await
    }

    /// Submits a statement, in the same way.
    pub async fn submit_query(&self, query: &Query) -> Result<(), ApiError> {
        // The API's default is legacy SQL.
        let statement = model::JobConfigurationQuery::new()
            .set_query(&query.statement)
            .set_use_legacy_sql(false);
        let configuration = model::JobConfiguration::new()
            .set_query(statement)
            .set_labels(query.labels.clone());
        self.insert_job(&query.job_id, configuration).await
    }

    /// Has a table be a copy of another of the dataset, in the same way.
    pub async fn submit_copy(
        &self,
        job_id: &str,
        from: &str,
        to: &str,
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let copy = model::JobConfigurationTableCopy::new()
            .set_source_table(self.reference(from))
            .set_destination_table(self.reference(to))
            .set_create_disposition("CREATE_IF_NEEDED")
            .set_write_disposition("WRITE_TRUNCATE");
        let configuration = model::JobConfiguration::new()
            .set_copy(copy)
            .set_labels(labels.clone());
        self.insert_job(job_id, configuration).await
    }

    /// How the job of this id stands; `None` if there is none.
    pub async fn job(&self, job_id: &str) -> Result<Option<JobState>, ApiError> {
        let request = self
            .jobs
            .get_job()
            .set_project_id(&self.project)
            .set_job_id(job_id)
            .set_location(&self.location);
        match Box::pin(request.send())
            .await
            .map_err(|error| api_error("bigquery jobs.get", error))
        {
            Ok(job) => Ok(Some(job_state(job))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn insert_job(
        &self,
        job_id: &str,
        configuration: model::JobConfiguration,
    ) -> Result<(), ApiError> {
        let reference = model::JobReference::new()
            .set_project_id(&self.project)
            .set_job_id(job_id)
            .set_location(wkt::StringValue::from(&self.location));
        let job = model::Job::new()
            .set_job_reference(reference)
            .set_configuration(configuration);
        let request = self
            .jobs
            .insert_job()
            .set_project_id(&self.project)
            .set_job(job)
            .with_idempotency(true);
        match Box::pin(request.send())
            .await
            .map_err(|error| api_error("bigquery jobs.insert", error))
        {
            Err(error) if error.status() != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    fn load(&self, load: &Load) -> Result<model::JobConfigurationLoad, ApiError> {
        let disposition = if load.truncate {
            "WRITE_TRUNCATE"
        } else {
            "WRITE_APPEND"
        };
        Ok(model::JobConfigurationLoad::new()
            .set_source_uris(load.uris.clone())
            .set_source_format("PARQUET")
            .set_create_disposition("CREATE_IF_NEEDED")
            .set_write_disposition(disposition)
            .set_schema(schema(&load.fields)?)
            .set_destination_table(self.reference(&load.table))
            .set_or_clear_time_partitioning(partitioning(&load.layout))
            .set_or_clear_clustering(clustering(&load.layout))
            .set_parquet_options(parquet()))
    }
}

fn job_state(job: model::Job) -> JobState {
    let status = job.status.unwrap_or_default();
    match (status.state.as_str(), status.error_result) {
        ("DONE", Some(error)) => JobState::Failed {
            reason: error.reason,
            message: error.message,
        },
        ("DONE", None) => done(job.statistics.unwrap_or_default()),
        _ => JobState::Running,
    }
}

fn done(statistics: model::JobStatistics) -> JobState {
    let count = |count: Option<i64>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
    match statistics.query {
        Some(query) => {
            let rows = query.dml_stats.unwrap_or_default();
            JobState::Changed(Changes {
                inserted: count(rows.inserted_row_count),
                updated: count(rows.updated_row_count),
                deleted: count(rows.deleted_row_count),
            })
        }
        None => JobState::Done {
            rows: match statistics.copy {
                Some(copy) => count(copy.copied_rows),
                None => count(statistics.load.and_then(|load| load.output_rows)),
            },
        },
    }
}
