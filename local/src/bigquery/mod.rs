//! BigQuery v2: datasets, tables, jobs, and SQL over Parquet.
//!
//! `datasets`, `tables`, `jobs` and `queries` speak HTTP; `load` and `sql` do
//! the work of jobs. Only `sql` knows DataFusion, only `files` touches the
//! Parquet files of tables.

mod conform;
mod datasets;
mod engine;
mod files;
mod job;
mod jobs;
mod load;
mod load_plan;
mod objects;
mod parquet_schema;
mod queries;
mod reference;
mod resource;
mod schema;
mod sql;
mod table;
mod tabledata;
mod tables;
mod values;

use std::io;
use std::path::PathBuf;

use axum::http::Method;

use crate::error::ApiError;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};
use datasets::Dataset;
use engine::Engine;
use job::Job;
use reference::{DatasetRef, TableRef};
use table::Table;

/// The service's state.
pub struct BigQuery {
    datasets: Collection<Dataset>,
    tables: Collection<Table>,
    jobs: Collection<Job>,
    /// Where the Parquet files of tables are.
    data: PathBuf,
    engine: Engine,
}

impl BigQuery {
    pub fn open(store: &Store) -> io::Result<BigQuery> {
        let service = BigQuery {
            datasets: store.collection("bigquery/datasets")?,
            tables: store.collection("bigquery/tables")?,
            jobs: store.collection("bigquery/jobs")?,
            data: store.folder("bigquery/data")?,
            engine: Engine::start()?,
        };
        job::settle_interrupted(&service)?;
        files::sweep(&service)?;
        Ok(service)
    }

    fn dataset(&self, reference: &DatasetRef) -> Result<Dataset, ApiError> {
        self.datasets
            .get(&reference.key())
            .ok_or_else(|| datasets::not_found(reference))
    }

    fn table(&self, reference: &TableRef) -> Result<Table, ApiError> {
        self.tables
            .get(&reference.key())
            .ok_or_else(|| tables::not_found(reference))
    }

    /// Forgets a table; its files go when the next start sweeps, as queries may still read them.
    fn drop_table(&self, key: &str) -> io::Result<Option<Table>> {
        self.tables.remove(key)
    }
}

pub fn routes() -> Vec<Route> {
    [
        datasets::routes(),
        tables::routes(),
        tabledata::routes(),
        jobs::routes(),
        queries::routes(),
        uploads(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Loads of a file in the request's body.
fn uploads() -> Vec<Route> {
    [Method::POST, Method::PUT]
        .into_iter()
        .map(|method| Route::new(method, "/upload/bigquery/v2/{rest=**}", upload))
        .collect()
}

async fn upload(_: std::sync::Arc<crate::cloud::Cloud>, _: Request) -> Reply {
    Err(ApiError::unimplemented(
        "the local cloud takes no load from a request's body; put the file into a bucket and load its gs:// URI",
    ))
}
