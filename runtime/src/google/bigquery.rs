//! BigQuery's tables, views and load jobs, over Google's own crate.

use std::collections::HashMap;

use google_cloud_bigquery_v2::client::{JobService, TableService};
use google_cloud_bigquery_v2::model;
use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_wkt as wkt;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value as Json, json};

use super::retry::{api_error, policy};
use super::{ApiError, Google};

/// The tables of one dataset and the jobs that fill them.
#[derive(Debug, Clone)]
pub struct Dataset {
    tables: TableService,
    jobs: JobService,
    pub project: String,
    pub dataset: String,
    pub location: String,
}

/// What is known of a table or a view that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub etag: String,
    /// The schema's fields in the API's JSON.
    pub fields: Vec<Json>,
    /// The SQL of a view.
    pub view: Option<String>,
}

/// A load of exactly these files.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    pub job_id: String,
    pub table: String,
    pub uris: Vec<String>,
    pub fields: Vec<Json>,
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

/// How a load job stands.
#[derive(Debug, Clone, PartialEq)]
pub enum JobState {
    Running,
    Done { rows: u64 },
    Failed { reason: String, message: String },
}

impl Dataset {
    pub async fn connect(
        google: &Google,
        project: &str,
        dataset: &str,
        location: &str,
    ) -> Result<Dataset, ApiError> {
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
            tables: tables.await.map_err(failed)?,
            jobs: jobs.await.map_err(failed)?,
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            location: location.to_owned(),
        })
    }

    /// The table, or `None` if there is none.
    pub async fn table(&self, table: &str) -> Result<Option<Table>, ApiError> {
        let request = self
            .tables
            .get_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table);
        match request
            .send()
            .await
            .map_err(|error| api_error("bigquery tables.get", error))
        {
            Ok(table) => Ok(Some(read_table(table))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an empty table; one that is there already is left as it is.
    pub async fn create_table(
        &self,
        table: &str,
        fields: &[Json],
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let resource = self
            .resource(table)
            .set_schema(schema(fields)?)
            .set_labels(labels.clone());
        self.insert(resource).await
    }

    /// Makes a view in standard SQL.
    pub async fn create_view(
        &self,
        view: &str,
        query: &str,
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        self.insert(
            self.resource(view)
                .set_view(definition(query))
                .set_labels(labels.clone()),
        )
        .await
    }

    /// Gives a view another query, if it is still the view that was read.
    pub async fn update_view(&self, view: &str, etag: &str, query: &str) -> Result<(), ApiError> {
        self.patch(view, etag, model::Table::new().set_view(definition(query)))
            .await
    }

    /// Gives a table these fields, if it is still the table that was read.
    pub async fn update_schema(
        &self,
        table: &str,
        etag: &str,
        fields: &[Json],
    ) -> Result<(), ApiError> {
        self.patch(table, etag, model::Table::new().set_schema(schema(fields)?))
            .await
    }

    /// Submits a load; a job of that id that is there already is as good.
    pub async fn submit(&self, load: &Load) -> Result<(), ApiError> {
        self.insert_job(self.load_job(load)?).await
    }

    /// Submits a statement, in the same way.
    pub async fn submit_query(&self, query: &Query) -> Result<(), ApiError> {
        // The API's default is legacy SQL.
        let statement = model::JobConfigurationQuery::new()
            .set_query(&query.statement)
            .set_use_legacy_sql(false);
        let reference = model::JobReference::new()
            .set_project_id(&self.project)
            .set_job_id(&query.job_id)
            .set_location(wkt::StringValue::from(&self.location));
        let configuration = model::JobConfiguration::new()
            .set_query(statement)
            .set_labels(query.labels.clone());
        let job = model::Job::new()
            .set_job_reference(reference)
            .set_configuration(configuration);
        self.insert_job(job).await
    }

    async fn insert_job(&self, job: model::Job) -> Result<(), ApiError> {
        let request = self
            .jobs
            .insert_job()
            .set_project_id(&self.project)
            .set_job(job)
            .with_idempotency(true);
        match request
            .send()
            .await
            .map_err(|error| api_error("bigquery jobs.insert", error))
        {
            Err(error) if error.status() != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    /// How the job of this id stands; `None` if there is none.
    pub async fn job(&self, job_id: &str) -> Result<Option<JobState>, ApiError> {
        let request = self
            .jobs
            .get_job()
            .set_project_id(&self.project)
            .set_job_id(job_id)
            .set_location(&self.location);
        match request
            .send()
            .await
            .map_err(|error| api_error("bigquery jobs.get", error))
        {
            Ok(job) => Ok(Some(job_state(job))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn load_job(&self, load: &Load) -> Result<model::Job, ApiError> {
        let disposition = if load.truncate {
            "WRITE_TRUNCATE"
        } else {
            "WRITE_APPEND"
        };
        let configuration = model::JobConfigurationLoad::new()
            .set_source_uris(load.uris.clone())
            .set_source_format("PARQUET")
            .set_create_disposition("CREATE_IF_NEEDED")
            .set_write_disposition(disposition)
            .set_schema(schema(&load.fields)?)
            .set_destination_table(self.reference(&load.table))
            // Without it a REPEATED column is loaded empty, and the job succeeds.
            .set_parquet_options(model::ParquetOptions::new().set_enable_list_inference(true));
        let reference = model::JobReference::new()
            .set_project_id(&self.project)
            .set_job_id(&load.job_id)
            .set_location(wkt::StringValue::from(&self.location));
        Ok(model::Job::new()
            .set_job_reference(reference)
            .set_configuration(
                model::JobConfiguration::new()
                    .set_load(configuration)
                    .set_labels(load.labels.clone()),
            ))
    }

    async fn insert(&self, resource: model::Table) -> Result<(), ApiError> {
        let request = self
            .tables
            .insert_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table(resource)
            .with_idempotency(true);
        match request
            .send()
            .await
            .map_err(|error| api_error("bigquery tables.insert", error))
        {
            Err(error) if error.status() != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    async fn patch(&self, table: &str, etag: &str, resource: model::Table) -> Result<(), ApiError> {
        let etag = HeaderValue::from_str(etag).unwrap_or(HeaderValue::from_static("*"));
        self.tables
            .patch_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table)
            .set_table(resource)
            .with_custom_header(HeaderName::from_static("if-match"), etag)
            .with_idempotency(true)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| api_error("bigquery tables.patch", error))
    }

    fn resource(&self, table: &str) -> model::Table {
        model::Table::new().set_table_reference(self.reference(table))
    }

    fn reference(&self, table: &str) -> model::TableReference {
        model::TableReference::new()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table)
    }
}

fn definition(query: &str) -> model::ViewDefinition {
    // The API's default is legacy SQL.
    model::ViewDefinition::new()
        .set_query(query)
        .set_use_legacy_sql(false)
}

fn schema(fields: &[Json]) -> Result<model::TableSchema, ApiError> {
    serde_json::from_value(json!({ "fields": fields })).map_err(|error| ApiError::Decode {
        call: "a table's schema".to_owned(),
        problem: error.to_string(),
    })
}

fn read_table(table: model::Table) -> Table {
    let schema = table
        .schema
        .map(|schema| serde_json::to_value(schema).unwrap_or_default());
    let fields = schema.and_then(|mut schema| match schema["fields"].take() {
        Json::Array(fields) => Some(fields),
        _ => None,
    });
    Table {
        etag: table.etag,
        fields: fields.unwrap_or_default(),
        view: table.view.map(|view| view.query),
    }
}

fn job_state(job: model::Job) -> JobState {
    let status = job.status.unwrap_or_default();
    match (status.state.as_str(), status.error_result) {
        ("DONE", Some(error)) => JobState::Failed {
            reason: error.reason,
            message: error.message,
        },
        ("DONE", None) => {
            let load = job.statistics.and_then(|statistics| statistics.load);
            let rows = load.and_then(|load| load.output_rows).unwrap_or(0);
            JobState::Done {
                rows: u64::try_from(rows).unwrap_or(0),
            }
        }
        _ => JobState::Running,
    }
}
