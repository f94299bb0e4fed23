//! The rows of partitions in a table's files: expired ones go, named ones are
//! counted and replaced.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use arrow::array::{BooleanArray, RecordBatch};

use super::BigQuery;
use super::commit::Kept;
use super::files::{Source, sieve};
use super::layout::{Id, Partitioning};
use super::load::{Load, Write};
use super::resource::now_ms;
use super::schema::Schema;
use super::table::{DataFile, Table};
use crate::cloud::Cloud;
use crate::error::ApiError;

/// Rows of each partition of a table.
pub fn count(folder: &Path, table: &Table, by: &Partitioning) -> io::Result<BTreeMap<Id, u64>> {
    let mut counts = BTreeMap::new();
    for file in &table.files {
        each(folder, file, &table.schema, by, |id, rows| {
            *counts.entry(id).or_default() += rows;
        })?;
    }
    Ok(counts)
}

/// Tells `take` the partition of every row, several at once where they share it.
fn each(
    folder: &Path,
    file: &DataFile,
    schema: &Schema,
    by: &Partitioning,
    mut take: impl FnMut(Id, u64),
) -> io::Result<()> {
    let Some(field) = by.field().and_then(|name| schema.field(name)) else {
        take(file.arrived, file.rows);
        return Ok(());
    };
    let column = Schema {
        fields: vec![field.clone()],
    };
    for batch in Source::open(&folder.join(&file.name))?.batches(&column)? {
        for id in by.ids(&batch?).into_iter().flatten() {
            take(id, 1);
        }
    }
    Ok(())
}

/// The files without the rows of partitions that `gone` names.
pub fn without(
    folder: &Path,
    table: &Table,
    by: &Partitioning,
    gone: impl Fn(Id) -> bool,
) -> io::Result<Vec<DataFile>> {
    let mut kept = Vec::new();
    for file in &table.files {
        if by.field().is_none() {
            kept.extend((!gone(file.arrived)).then(|| file.clone()));
            continue;
        }
        let mut any = false;
        each(folder, file, &table.schema, by, |id, _| any |= gone(id))?;
        if any {
            let keep = |batch: &RecordBatch| {
                let ids = by.ids(batch).unwrap_or_default();
                Ok::<BooleanArray, io::Error>(ids.iter().map(|id| Some(!gone(*id))).collect())
            };
            kept.extend(sieve(folder, file, &table.schema, keep)?);
        } else {
            kept.push(file.clone());
        }
    }
    Ok(kept)
}

/// Whether every row of a file is in one partition.
fn all_in(
    folder: &Path,
    file: &DataFile,
    schema: &Schema,
    by: &Partitioning,
    partition: Id,
) -> io::Result<bool> {
    let mut all = true;
    if by.field().is_some() {
        each(folder, file, schema, by, |id, _| all &= id == partition)?;
    }
    Ok(all)
}

/// Puts a load into one partition; for WRITE_TRUNCATE returns the files before, and without its rows.
pub fn replaced(
    cloud: &Cloud,
    load: &Load,
    name: &str,
    present: Option<&Table>,
    schema: &Schema,
    file: &mut DataFile,
) -> Result<Option<Kept>, ApiError> {
    let settings = present.map_or(&load.settings, |table| &table.settings);
    let by = Partitioning::of(settings)?.ok_or_else(|| {
        ApiError::invalid(format!(
            "Cannot write to a partition of {}, which is not partitioned",
            load.destination
        ))
    })?;
    let partition = by.decorated(name)?;
    let folder = &cloud.bigquery.data;
    if !all_in(folder, file, schema, &by, partition)? {
        return Err(ApiError::invalid(format!(
            "Some rows belong to different partitions rather than destination partition {name}"
        )));
    }
    if by.field().is_none() {
        file.arrived = partition;
    }
    let replaces = matches!(load.write, Write::Truncate | Write::TruncateData);
    match present.filter(|_| replaces) {
        Some(table) => Ok(Some(Kept {
            before: table.files.clone(),
            after: without(folder, table, &by, |id| id == partition)?,
        })),
        None => Ok(None),
    }
}

/// The table without its expired partitions.
pub fn vacuumed(service: &BigQuery, table: Table) -> Result<Table, ApiError> {
    let now = now_ms();
    let by = Partitioning::of(&table.settings)?.filter(Partitioning::expires);
    let Some(by) = by else {
        return Ok(table);
    };
    let files = without(&service.data, &table, &by, |id| by.expired(id, now))?;
    if files == table.files {
        return Ok(table);
    }
    service.tables.update(&table.reference.key(), |present| {
        let present = present
            .as_mut()
            .filter(|present| present.files == table.files);
        // Somebody was faster: the next look finds what they left.
        let Some(present) = present else {
            return Ok(table.clone());
        };
        present.files = files;
        present.touch();
        Ok(present.clone())
    })
}
