//! Why rows are not in their table, and what to do.

use crate::commit::Job;
use crate::google::ApiError;
use crate::google::bigquery::Changes;
use crate::schema::bigquery::Mismatch;
use crate::state::StoreError;

/// Why the rows of a stream are not in its table.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "cannot add to table `{table}`: {mismatch}. Change the column back, or load into another dataset"
    )]
    Mismatch { table: String, mismatch: Mismatch },
    #[error(
        "table `{table}` is gone, but its state {state} is not. To load all of it again, run with --full-refresh"
    )]
    TableGone { table: String, state: String },
    #[error("`{table}` is a view where the rows should go. Rename or delete it")]
    ViewInTheWay { table: String },
    #[error(
        "`{table}` is {there} where {wanted} should be. Rename or delete it and run with --full-refresh, \
         or change `load` back"
    )]
    OtherTable {
        table: String,
        there: &'static str,
        wanted: &'static str,
    },
    #[error(
        "table `{table}` is partitioned by {there}, not by {wanted}, and BigQuery cannot change that. \
         Rename or delete it and run with --full-refresh, or change `partition` back"
    )]
    OtherPartitions {
        table: String,
        there: String,
        wanted: String,
    },
    #[error(
        "dataset `{dataset}` is in {there}, but the bucket and the job are in {wanted}, and BigQuery loads within one \
         location. Give the pipeline another `dataset`; `xetl apply` makes it in {wanted}"
    )]
    DatasetElsewhere {
        dataset: String,
        there: String,
        wanted: String,
    },
    #[error("there is no dataset `{dataset}` in project `{project}`; `xetl apply` makes it")]
    NoDataset { dataset: String, project: String },
    #[error(
        "`{view}` is a table where the view of the newest versions should be. Rename or delete it"
    )]
    TableInTheWay { view: String },
    #[error(
        "the pipeline's lease was lost before the commit: this process stood still, or could not reach the bucket; \
         whoever has the lease, or the next run, goes on from what is committed"
    )]
    LeaseLost,
    #[error("{job} job {id} failed ({reason}): {message}")]
    JobFailed {
        job: Job,
        id: String,
        reason: String,
        message: String,
    },
    #[error("`{statement}` failed ({reason}): {message}")]
    NotAltered {
        statement: String,
        reason: String,
        message: String,
    },
    #[error(
        "load job {job} brought {loaded} rows into the table, but the parts have {expected}; its state was not moved"
    )]
    Miscounted {
        job: String,
        loaded: u64,
        expected: u64,
    },
    #[error(
        "merge job {job} inserted {} and updated {} rows of {staged}; its state was not moved",
        changes.inserted, changes.updated
    )]
    Overcounted {
        job: String,
        changes: Changes,
        staged: u64,
    },
}
