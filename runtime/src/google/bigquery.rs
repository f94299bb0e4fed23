//! BigQuery's tables, views and jobs, over Google's own crate.
//!
//! Its calls are boxed: they are large, and many steps of a load hold one each.

mod jobs;
mod reads;
mod tables;

use google_cloud_bigquery_v2::client::{DatasetService, JobService, TableService};
use google_cloud_bigquery_v2::model;
use serde_json::{Value as Json, json};

pub use jobs::{Changes, JobState, Load, Query, passes};
pub use reads::{Datum, Progress, QueryJob, Reader, Row, Rows, Shape, TableName};
pub use tables::Table;

use super::retry::{api_error, policy};
use super::{ApiError, Google};
use crate::layout::TableLayout;

/// The tables of one dataset and the jobs that fill them.
#[derive(Debug, Clone)]
pub struct Dataset {
    datasets: DatasetService,
    tables: TableService,
    jobs: JobService,
    pub project: String,
    pub dataset: String,
    pub location: String,
}

impl Dataset {
    pub async fn connect(
        google: &Google,
        project: &str,
        dataset: &str,
        location: &str,
    ) -> Result<Dataset, ApiError> {
        let datasets = DatasetService::builder()
            .with_endpoint(&google.endpoints.bigquery)
            .with_credentials(google.credentials.clone())
            .with_retry_policy(policy())
            .build();
        let tables = TableService::builder()
            .with_endpoint(&google.endpoints.bigquery)
            .with_credentials(google.credentials.clone())
            .with_retry_policy(policy())
            .build();
        let jobs = JobService::builder()
            .with_endpoint(&google.endpoints.bigquery)
            .with_credentials(google.credentials.clone())
            .with_retry_policy(policy())
            .build();
        let failed = |error| ApiError::Credentials(format!("{error}"));
        Ok(Dataset {
            datasets: datasets.await.map_err(failed)?,
            tables: tables.await.map_err(failed)?,
            jobs: jobs.await.map_err(failed)?,
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            location: location.to_owned(),
        })
    }

    /// The location the dataset has, whatever it should be; `None` if there is no dataset.
    pub async fn place(&self) -> Result<Option<String>, ApiError> {
        let request = self.datasets.get_dataset();
        let request = request
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset);
        let got = Box::pin(request.send()).await;
        match got.map_err(|error| api_error("bigquery datasets.get", error)) {
            Ok(dataset) => Ok(Some(dataset.location)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reference(&self, table: &str) -> model::TableReference {
        model::TableReference::new()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table)
    }
}

fn schema(fields: &[Json]) -> Result<model::TableSchema, ApiError> {
    serde_json::from_value(json!({ "fields": fields })).map_err(|error| ApiError::Decode {
        call: "a table's schema".to_owned(),
        problem: error.to_string(),
    })
}

fn partitioning(layout: &TableLayout) -> Option<model::TimePartitioning> {
    let partition = layout.partition.as_ref()?;
    Some(
        model::TimePartitioning::new()
            .set_type(partition.granularity.name())
            .set_or_clear_field(partition.column.clone()),
    )
}

fn clustering(layout: &TableLayout) -> Option<model::Clustering> {
    let columns = &layout.cluster;
    (!columns.is_empty()).then(|| model::Clustering::new().set_fields(columns.clone()))
}

/// Without it a REPEATED column is loaded empty, and the job succeeds.
fn parquet() -> model::ParquetOptions {
    model::ParquetOptions::new().set_enable_list_inference(true)
}
