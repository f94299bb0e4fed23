//! BigQuery v2: datasets, tables, jobs, and SQL over Parquet.
//!
//! `datasets`, `tables`, `jobs`, `queries` and `faults` speak HTTP; `load`, `copy`,
//! `extract` and `sql` do the work of jobs, and `commit` makes it a table's.
//! Only `sql` knows DataFusion, only `files` touches the Parquet files of tables.

mod access;
mod commit;
mod conform;
mod copy;
mod datasets;
mod encryption;
mod engine;
mod export;
mod extract;
mod faults;
mod files;
mod job;
mod jobs;
mod layout;
mod load;
mod load_plan;
mod objects;
mod parquet_schema;
mod partitioning;
mod partitions;
mod queries;
mod reference;
mod resource;
mod schema;
mod schema_rules;
mod sql;
mod table;
mod tabledata;
mod tables;
mod values;
mod work;

use std::io;
use std::path::PathBuf;

use axum::http::Method;

use crate::error::ApiError;
use crate::router::{Reply, Request, Route};
use crate::store::{Collection, Store};
pub use datasets::assets;
pub use faults::routes as fault_routes;

use datasets::Dataset;
use engine::Engine;
use faults::Faults;
use job::Job;
use reference::{DatasetRef, TableRef};
use resource::now_ms;
use table::Table;

/// The service's state.
pub struct BigQuery {
    datasets: Collection<Dataset>,
    tables: Collection<Table>,
    jobs: Collection<Job>,
    /// Where the Parquet files of tables are.
    data: PathBuf,
    engine: Engine,
    faults: Faults,
}

impl BigQuery {
    pub fn open(store: &Store) -> io::Result<BigQuery> {
        let service = BigQuery {
            datasets: store.collection("bigquery/datasets")?,
            tables: store.collection("bigquery/tables")?,
            jobs: store.collection("bigquery/jobs")?,
            data: store.folder("bigquery/data")?,
            engine: Engine::start()?,
            faults: Faults::default(),
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

    /// The rights of an account that was deleted are nobody's from now on.
    pub fn forget_account(&self, email: &str, deleted: &str) -> io::Result<()> {
        datasets::forget_account(&self.datasets, email, deleted)
    }

    fn table(&self, reference: &TableRef) -> Result<Table, ApiError> {
        self.live(reference)
            .ok_or_else(|| tables::not_found(reference))
    }

    /// A table; one past its `expirationTime` goes when it is next looked for.
    fn live(&self, reference: &TableRef) -> Option<Table> {
        let key = reference.key();
        let table = self.tables.get(&key)?;
        if !table.expired(now_ms()) {
            let vacuumed = partitions::vacuumed(self, table.clone());
            return Some(vacuumed.unwrap_or_else(|error| {
                tracing::error!(table = key, %error, "cannot remove expired partitions");
                table
            }));
        }
        let forgotten = self.tables.update(&key, |present| {
            if present
                .as_ref()
                .is_some_and(|table| table.expired(now_ms()))
            {
                *present = None;
            }
            Ok::<_, io::Error>(present.clone())
        });
        forgotten.unwrap_or_else(|error| {
            tracing::error!(table = key, %error, "cannot remove an expired table");
            None
        })
    }

    /// The tables of a dataset, in order of their names.
    fn tables_of(&self, dataset: &DatasetRef) -> Vec<Table> {
        let all = self.tables.list(&format!("{}/", dataset.key())).into_iter();
        all.map(|(_, table)| table)
            .filter(|table| !table.expired(now_ms()))
            .collect()
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
