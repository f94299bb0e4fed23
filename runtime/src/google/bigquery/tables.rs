//! Tables and views: read, made, changed where they are still what was read.

use std::collections::HashMap;
use std::time::Duration;

use google_cloud_bigquery_v2::model;
use google_cloud_gax::options::RequestOptionsBuilder;
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::{Dataset, clustering, parquet, partitioning, schema};
use crate::google::ApiError;
use crate::google::retry::api_error;
use crate::layout::{Partitioning, TableLayout};
use crate::options::Granularity;

/// What is known of a table or a view that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub etag: String,
    /// The schema's fields in the API's JSON.
    pub fields: Vec<Json>,
    /// The SQL of a view.
    pub view: Option<String>,
    /// The files of an external table.
    pub files: Option<Vec<String>>,
    /// How it is kept; a granularity BigQuery does not name is a day.
    pub layout: TableLayout,
}

impl Dataset {
    /// The table, or `None` if there is none.
    pub async fn table(&self, table: &str) -> Result<Option<Table>, ApiError> {
        let request = self
            .tables
            .get_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table);
        match Box::pin(request.send())
            .await
            .map_err(|error| api_error("bigquery tables.get", error))
        {
            Ok(table) => Ok(Some(read(table))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an empty table; one that is there already is left as it is.
    pub async fn create_table(
        &self,
        table: &str,
        fields: &[Json],
        layout: &TableLayout,
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let resource = self
            .resource(table, labels)
            .set_schema(schema(fields)?)
            .set_or_clear_time_partitioning(partitioning(layout))
            .set_or_clear_clustering(clustering(layout));
        self.insert(resource).await
    }

    /// Makes an empty table that BigQuery deletes after `life`.
    pub async fn create_passing_table(
        &self,
        table: &str,
        fields: &[Json],
        life: Duration,
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let life = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
        let expires = Timestamp::now().as_millisecond().saturating_add(life);
        let resource = self
            .resource(table, labels)
            .set_schema(schema(fields)?)
            .set_expiration_time(expires);
        self.insert(resource).await
    }

    /// Makes a table that shows the rows of these files.
    pub async fn create_external(
        &self,
        table: &str,
        fields: &[Json],
        uris: &[String],
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let resource = external(self.resource(table, labels), fields, uris)?;
        self.insert(resource).await
    }

    /// Has an external table show these files, if it is still the table that was read.
    pub async fn update_external(
        &self,
        table: &str,
        etag: &str,
        fields: &[Json],
        uris: &[String],
    ) -> Result<(), ApiError> {
        let resource = external(model::Table::new(), fields, uris)?;
        self.patch(table, etag, resource).await
    }

    /// Makes a view in standard SQL.
    pub async fn create_view(
        &self,
        view: &str,
        query: &str,
        labels: &HashMap<String, String>,
    ) -> Result<(), ApiError> {
        let resource = self.resource(view, labels).set_view(definition(query));
        self.insert(resource).await
    }

    /// Gives a view another query, if it is still the view that was read.
    pub async fn update_view(&self, view: &str, etag: &str, query: &str) -> Result<(), ApiError> {
        self.patch(view, etag, model::Table::new().set_view(definition(query)))
            .await
    }

    /// Gives a table these fields, and clusters where there are any to be, if it is still the
    /// table that was read.
    pub async fn update_table(
        &self,
        table: &str,
        etag: &str,
        fields: &[Json],
        layout: &TableLayout,
    ) -> Result<(), ApiError> {
        let resource = model::Table::new()
            .set_schema(schema(fields)?)
            .set_or_clear_clustering(clustering(layout));
        self.patch(table, etag, resource).await
    }

    /// Deletes a table; one that is gone is as good.
    pub async fn delete_table(&self, table: &str) -> Result<(), ApiError> {
        let request = self
            .tables
            .delete_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table)
            .with_idempotency(true);
        match Box::pin(request.send())
            .await
            .map_err(|error| api_error("bigquery tables.delete", error))
        {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn insert(&self, resource: model::Table) -> Result<(), ApiError> {
        let request = self
            .tables
            .insert_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table(resource)
            .with_idempotency(true);
        match Box::pin(request.send())
            .await
            .map_err(|error| api_error("bigquery tables.insert", error))
        {
            Err(error) if error.status() != Some(409) => Err(error),
            _ => Ok(()),
        }
    }

    async fn patch(&self, table: &str, etag: &str, resource: model::Table) -> Result<(), ApiError> {
        let etag = HeaderValue::from_str(etag).unwrap_or(HeaderValue::from_static("*"));
        let request = self
            .tables
            .patch_table()
            .set_project_id(&self.project)
            .set_dataset_id(&self.dataset)
            .set_table_id(table)
            .set_table(resource)
            .with_custom_header(HeaderName::from_static("if-match"), etag)
            .with_idempotency(true);
        Box::pin(request.send())
            .await
            .map(|_| ())
            .map_err(|error| api_error("bigquery tables.patch", error))
    }

    fn resource(&self, table: &str, labels: &HashMap<String, String>) -> model::Table {
        model::Table::new()
            .set_table_reference(self.reference(table))
            .set_labels(labels.clone())
    }
}

fn external(
    resource: model::Table,
    fields: &[Json],
    uris: &[String],
) -> Result<model::Table, ApiError> {
    let files = model::ExternalDataConfiguration::new()
        .set_source_uris(uris.to_vec())
        .set_source_format("PARQUET")
        .set_parquet_options(parquet());
    // The table's schema, not the files' own: older files may lack a newer column.
    Ok(resource
        .set_schema(schema(fields)?)
        .set_external_data_configuration(files))
}

fn definition(query: &str) -> model::ViewDefinition {
    // The API's default is legacy SQL.
    model::ViewDefinition::new()
        .set_query(query)
        .set_use_legacy_sql(false)
}

fn read(table: model::Table) -> Table {
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
        files: table
            .external_data_configuration
            .map(|files| files.source_uris),
        layout: TableLayout {
            partition: table.time_partitioning.map(read_partitioning),
            cluster: table
                .clustering
                .map(|clustering| clustering.fields)
                .unwrap_or_default(),
        },
    }
}

fn read_partitioning(partitioning: model::TimePartitioning) -> Partitioning {
    let named = |granularity: &Granularity| granularity.name() == partitioning.r#type;
    let granularities = [Granularity::Hour, Granularity::Month, Granularity::Year];
    Partitioning {
        granularity: granularities.into_iter().find(named).unwrap_or_default(),
        column: partitioning.field,
    }
}
