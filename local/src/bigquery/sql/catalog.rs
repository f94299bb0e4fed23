//! The tables a query may name, and their files.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use serde_json::{Map, Value};

use super::names::{Catalog, Found};
use super::provider::ParquetTable;
use crate::bigquery::layout::Partitioning;
use crate::bigquery::reference::{DatasetRef, TableRef};
use crate::bigquery::schema::{Mode, Schema};
use crate::bigquery::table::{Kind, Table};
use crate::bigquery::{load, partitions};
use crate::cloud::Cloud;
use crate::error::ApiError;

pub struct Tables<'a> {
    cloud: &'a Cloud,
    /// Where the job runs; data elsewhere is not found.
    location: Option<&'a str>,
    given: Vec<Given>,
}

/// Rows that a query may name although they are no table.
pub struct Given {
    pub name: String,
    schema: Schema,
    pub rows: Arc<dyn TableProvider>,
}

const INFORMATION: &str = "INFORMATION_SCHEMA.";

impl<'a> Tables<'a> {
    pub fn new(cloud: &'a Cloud, location: Option<&'a str>) -> Tables<'a> {
        Tables {
            cloud,
            location,
            given: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, schema: &Schema, rows: ParquetTable) -> Tables<'a> {
        self.given.push(Given {
            name: name.to_lowercase(),
            schema: schema.clone(),
            rows: Arc::new(rows),
        });
        self
    }

    /// Adds the external tables that a job itself defines.
    pub fn defining(
        self,
        definitions: &Map<String, Value>,
        location: &str,
    ) -> Result<Tables<'a>, ApiError> {
        definitions.iter().try_fold(self, |tables, (name, config)| {
            let source = load::Source::of_external(config)?;
            let objects = load::resolve(tables.cloud, &source.uris, location)?;
            let schema = match config.get("schema").filter(|schema| !schema.is_null()) {
                Some(schema) => serde_json::from_value(schema.clone()).map_err(|error| {
                    ApiError::invalid(format!("Invalid value for schema: {error}"))
                })?,
                None => load::infer(&objects, &source)?,
            };
            let files = objects.into_iter().map(|object| object.path).collect();
            let rows = ParquetTable::new(&schema, files);
            Ok(tables.with(name, &schema, rows))
        })
    }

    pub fn given(&self) -> &[Given] {
        &self.given
    }

    /// Not found: the thing, and where it was looked for.
    fn missing(&self, what: &str) -> ApiError {
        match self.location {
            Some(location) => ApiError::not_found(format!(
                "Not found: {what} was not found in location {location}"
            )),
            None => ApiError::not_found(format!("Not found: {what}")),
        }
    }

    /// The dataset, if it is where the job runs.
    pub fn dataset(
        &self,
        reference: &DatasetRef,
    ) -> Result<crate::bigquery::datasets::Dataset, ApiError> {
        let here = |place: &str| {
            self.location
                .is_none_or(|location| location.eq_ignore_ascii_case(place))
        };
        let dataset = self.cloud.bigquery.datasets.get(&reference.key());
        dataset
            .filter(|dataset| here(&dataset.location))
            .ok_or_else(|| self.missing(&format!("Dataset {reference}")))
    }

    pub fn find(&self, reference: &TableRef) -> Result<Table, ApiError> {
        self.dataset(&reference.dataset())?;
        let table = self.cloud.bigquery.live(reference);
        table.ok_or_else(|| self.missing(&format!("Table {reference}")))
    }

    /// The rows of a table found before.
    pub fn provider(&self, reference: &TableRef) -> Result<Arc<dyn TableProvider>, ApiError> {
        if let Some(view) = reference.table.strip_prefix(INFORMATION) {
            return self.information(&reference.dataset(), view);
        }
        let table = self.find(reference)?;
        let files = match table.kind {
            Kind::External => {
                let config = table
                    .settings
                    .get("externalDataConfiguration")
                    .cloned()
                    .unwrap_or_default();
                let source = load::Source::of_external(&config)?;
                let objects = load::resolve(self.cloud, &source.uris, &table.location)?;
                objects.into_iter().map(|object| object.path).collect()
            }
            _ => table
                .files
                .iter()
                .map(|file| self.cloud.bigquery.data.join(&file.name))
                .collect(),
        };
        Ok(Arc::new(
            ParquetTable::new(&table.schema, files).asking(&table),
        ))
    }

    fn information(
        &self,
        dataset: &DatasetRef,
        view: &str,
    ) -> Result<Arc<dyn TableProvider>, ApiError> {
        let tables = self.cloud.bigquery.tables_of(dataset);
        let columns = match view {
            "TABLES" => tables_columns(&tables),
            "PARTITIONS" => partitions_columns(&self.cloud.bigquery.data, &tables),
            _ => columns_columns(&tables),
        };
        let batch = columns
            .and_then(RecordBatch::try_from_iter)
            .map_err(|error| ApiError::internal(error.to_string()))?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])
            .map_err(|error| ApiError::internal(error.to_string()))?;
        Ok(Arc::new(table))
    }
}

impl Catalog for Tables<'_> {
    fn given(&self, name: &str) -> Option<&Schema> {
        let given = self.given.iter().find(|given| given.name == name);
        given.map(|given| &given.schema)
    }

    fn table(&self, reference: &TableRef) -> Result<Found, ApiError> {
        if let Some(view) = reference.table.strip_prefix(INFORMATION) {
            self.dataset(&reference.dataset())?;
            return match view {
                "TABLES" | "COLUMNS" | "PARTITIONS" => Ok(Found::Table(Schema::default())),
                other => Err(super::not_served(&format!("INFORMATION_SCHEMA.{other}"))),
            };
        }
        let table = self.find(reference)?;
        match table.kind {
            Kind::View => Ok(Found::View(table.query().to_owned())),
            _ => Ok(Found::Table(table.schema)),
        }
    }
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn texts<S: Into<String>>(values: impl Iterator<Item = S>) -> ArrayRef {
    Arc::new(
        values
            .map(|value| Some(value.into()))
            .collect::<StringArray>(),
    )
}

fn tables_columns(tables: &[Table]) -> Result<Columns, datafusion::arrow::error::ArrowError> {
    let created = tables.iter().map(|table| table.created * 1000);
    Ok(vec![
        (
            "table_catalog",
            texts(tables.iter().map(|table| table.reference.project.as_str())),
        ),
        (
            "table_schema",
            texts(tables.iter().map(|table| table.reference.dataset.as_str())),
        ),
        (
            "table_name",
            texts(tables.iter().map(|table| table.reference.table.as_str())),
        ),
        (
            "table_type",
            texts(tables.iter().map(|table| match table.kind {
                Kind::Native => "BASE TABLE",
                Kind::View => "VIEW",
                Kind::External => "EXTERNAL",
            })),
        ),
        (
            "is_insertable_into",
            texts(tables.iter().map(|table| {
                if table.kind == Kind::Native {
                    "YES"
                } else {
                    "NO"
                }
            })),
        ),
        (
            "creation_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(created).with_timezone("UTC")),
        ),
    ])
}

fn partitions_columns(
    folder: &Path,
    tables: &[Table],
) -> Result<Columns, datafusion::arrow::error::ArrowError> {
    let mut listed: Vec<(&Table, Option<String>, u64)> = Vec::new();
    for table in tables.iter().filter(|table| table.kind == Kind::Native) {
        match Partitioning::of(&table.settings).ok().flatten() {
            None => listed.push((table, None, table.rows())),
            Some(by) => {
                let counts = partitions::count(folder, table, &by)?.into_iter();
                listed.extend(counts.map(|(id, rows)| (table, Some(by.name(id)), rows)));
            }
        }
    }
    let modified = listed.iter().map(|(table, ..)| table.modified * 1000);
    Ok(vec![
        (
            "table_catalog",
            texts(listed.iter().map(|row| row.0.reference.project.as_str())),
        ),
        (
            "table_schema",
            texts(listed.iter().map(|row| row.0.reference.dataset.as_str())),
        ),
        (
            "table_name",
            texts(listed.iter().map(|row| row.0.reference.table.as_str())),
        ),
        (
            "partition_id",
            Arc::new(
                listed
                    .iter()
                    .map(|row| row.1.as_deref())
                    .collect::<StringArray>(),
            ),
        ),
        (
            "total_rows",
            Arc::new(
                listed
                    .iter()
                    .map(|row| row.2 as i64)
                    .collect::<Int64Array>(),
            ),
        ),
        (
            "last_modified_time",
            Arc::new(TimestampMicrosecondArray::from_iter_values(modified).with_timezone("UTC")),
        ),
    ])
}

fn columns_columns(tables: &[Table]) -> Result<Columns, datafusion::arrow::error::ArrowError> {
    let columns = || {
        tables.iter().flat_map(|table| {
            let fields = table.schema.fields.iter().enumerate();
            fields.map(move |(index, field)| (table, index as i64 + 1, field))
        })
    };
    Ok(vec![
        (
            "table_catalog",
            texts(columns().map(|(table, ..)| table.reference.project.as_str())),
        ),
        (
            "table_schema",
            texts(columns().map(|(table, ..)| table.reference.dataset.as_str())),
        ),
        (
            "table_name",
            texts(columns().map(|(table, ..)| table.reference.table.as_str())),
        ),
        (
            "column_name",
            texts(columns().map(|(_, _, field)| field.name.as_str())),
        ),
        (
            "ordinal_position",
            Arc::new(columns().map(|(_, index, _)| index).collect::<Int64Array>()),
        ),
        (
            "is_nullable",
            texts(columns().map(|(_, _, field)| {
                if field.mode == Mode::Required {
                    "NO"
                } else {
                    "YES"
                }
            })),
        ),
        (
            "data_type",
            texts(columns().map(|(_, _, field)| field.sql_type())),
        ),
    ])
}
