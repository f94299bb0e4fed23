//! The commit of a job: its files become a table's rows by one write of the
//! table's document.

use super::datasets::Dataset;
use super::layout;
use super::load::Write;
use super::reference::TableRef;
use super::resource::{Object, now_ms};
use super::schema::Schema;
use super::table::{Commit, DataFile, Kind, Table};
use super::tables;
use crate::cloud::Cloud;
use crate::error::ApiError;

/// What a job does to a table.
pub struct Change {
    pub schema: Schema,
    pub file: DataFile,
    pub write: Write,
    pub settings: Object,
    /// The schema that the change was planned on; `None` where it does not matter.
    pub planned_on: Option<Schema>,
    /// What stays of a table of which a part is replaced.
    pub kept: Option<Kept>,
}

/// A table's files as they were read, and those that stay.
pub struct Kept {
    pub before: Vec<DataFile>,
    pub after: Vec<DataFile>,
}

/// The file with the partition its rows came into, where no column tells it.
pub fn arrived(file: DataFile, settings: &Object) -> Result<DataFile, ApiError> {
    let by = layout::Partitioning::of(settings)?.filter(|by| by.field().is_none());
    let now = by.and_then(|by| by.arrival(now_ms()));
    Ok(DataFile {
        arrived: file.arrived.or(now),
        ..file
    })
}

/// The commit: one write of the table's document.
pub fn apply(
    cloud: &Cloud,
    reference: &TableRef,
    dataset: &Dataset,
    change: &Change,
    commit: Commit,
) -> Result<(), ApiError> {
    cloud.bigquery.tables.update(&reference.key(), |present| {
        let table = present.get_or_insert_with(|| {
            let mut table = Table::new(
                reference.clone(),
                Kind::Native,
                &dataset.location,
                Schema::default(),
            );
            table.settings = tables::with_defaults(change.settings.clone(), dataset);
            table
        });
        if change.write == Write::Empty && table.rows() > 0 {
            return Err(tables::already_exists(reference));
        }
        if change
            .planned_on
            .as_ref()
            .is_some_and(|schema| *schema != table.schema)
        {
            return Err(ApiError::aborted(format!(
                "the schema of table {reference} changed meanwhile; retry"
            ))
            .reason("backendError"));
        }
        match &change.kept {
            Some(kept) if kept.before != table.files => {
                return Err(ApiError::aborted(format!(
                    "the rows of table {reference} changed meanwhile; retry"
                ))
                .reason("backendError"));
            }
            Some(kept) => table.files.clone_from(&kept.after),
            None if matches!(change.write, Write::Truncate | Write::TruncateData) => {
                table.files.clear();
            }
            None => {}
        }
        table.schema = change.schema.clone();
        if change.file.rows > 0 {
            let file = change.file.clone();
            table.files.push(arrived(file, &table.settings)?);
        }
        table.commit(commit);
        Ok(())
    })
}
