//! Copy jobs: the rows of one or several tables become those of another, in one commit.
//!
//! No bytes move: files never change, so tables share them.

use serde_json::{Value, json};

use super::layout;
use super::load::Write;
use super::reference::TableRef;
use super::resource::{Object, merge};
use super::schema::{Field, Mode, Schema};
use super::table::{Commit, Kind, Table};
use super::tables;
use crate::cloud::Cloud;
use crate::error::ApiError;

/// Google's limit of one job.
const MOST_SOURCES: usize = 1200;

/// `configuration.copy`, as far as it is served.
#[derive(Debug, Clone)]
pub struct Copy {
    pub destination: TableRef,
    pub sources: Vec<TableRef>,
    write: Write,
    create: bool,
    expiration: Value,
}

impl Copy {
    pub fn parse(config: &Value) -> Result<Copy, ApiError> {
        let read = |name: &str, value: &Value| -> Result<TableRef, ApiError> {
            let table: TableRef = serde_json::from_value(value.clone())
                .map_err(|error| ApiError::invalid(format!("Invalid value for {name}: {error}")))?;
            table.check()?;
            Ok(table)
        };
        let mut sources: Vec<TableRef> = Vec::new();
        for source in config["sourceTables"].as_array().into_iter().flatten() {
            sources.push(read("sourceTables", source)?);
        }
        if config["sourceTable"].is_object() {
            sources.push(read("sourceTable", &config["sourceTable"])?);
        }
        if sources.is_empty() || sources.len() > MOST_SOURCES {
            return Err(ApiError::invalid(format!(
                "A copy job takes 1 to {MOST_SOURCES} source tables, not {}",
                sources.len()
            )));
        }
        let operation = config["operationType"].as_str().unwrap_or("COPY");
        if !matches!(operation, "COPY" | "CLONE" | "OPERATION_TYPE_UNSPECIFIED") {
            return Err(ApiError::unimplemented(format!(
                "the local cloud runs no copy jobs of operationType {operation}"
            )));
        }
        let write = match &config["writeDisposition"] {
            Value::Null => Write::Empty,
            given => serde_json::from_value(given.clone()).map_err(|error| {
                ApiError::invalid(format!("Invalid value for writeDisposition: {error}"))
            })?,
        };
        Ok(Copy {
            destination: read("destinationTable", &config["destinationTable"])?,
            sources,
            write,
            create: config["createDisposition"].as_str() != Some("CREATE_NEVER"),
            expiration: config["destinationExpirationTime"].clone(),
        })
    }
}

pub fn run(cloud: &Cloud, copy: &Copy, job: &str) -> Result<Object, ApiError> {
    let dataset = cloud.bigquery.dataset(&copy.destination.dataset())?;
    let sources = copy
        .sources
        .iter()
        .map(|source| source_table(cloud, source, &dataset.location))
        .collect::<Result<Vec<Table>, _>>()?;
    let (first, rest) = sources
        .split_first()
        .ok_or_else(|| ApiError::internal("a copy of nothing"))?;
    for other in rest {
        check_fits(&other.schema, &first.schema, &copy.destination)?;
    }
    let statistics = statistics(&sources);
    let commit = Commit {
        job: job.to_owned(),
        statistics: statistics.clone(),
    };
    cloud.bigquery.live(&copy.destination);
    let key = copy.destination.key();
    cloud.bigquery.tables.update(&key, |present| {
        let mut table = match present.take() {
            None if !copy.create => return Err(tables::not_found(&copy.destination)),
            Some(table) => written_to(table, copy, first)?,
            None => {
                let target = copy.destination.clone();
                let mut table = Table::new(
                    target,
                    Kind::Native,
                    &dataset.location,
                    first.schema.clone(),
                );
                table.settings = tables::with_defaults(taken(first), &dataset);
                table
            }
        };
        if !copy.expiration.is_null() {
            let patch = json!({"expirationTime": copy.expiration});
            merge(
                &mut table.settings,
                patch.as_object().unwrap_or(&Object::new()),
            );
        }
        let files = sources.iter().flat_map(|source| source.files.clone());
        table.files.extend(files);
        table.commit(commit);
        *present = Some(table);
        Ok(())
    })?;
    Ok(statistics)
}

fn source_table(cloud: &Cloud, source: &TableRef, location: &str) -> Result<Table, ApiError> {
    let place = cloud.bigquery.dataset(&source.dataset())?.location;
    if !place.eq_ignore_ascii_case(location) {
        return Err(ApiError::invalid(format!(
            "Cannot read and write in different locations: source: {place}, destination: {location}"
        )));
    }
    let table = cloud.bigquery.table(source)?;
    match table.kind {
        Kind::Native => Ok(table),
        _ => Err(ApiError::invalid(format!(
            "{source} is not allowed for this operation because it is not a table."
        ))),
    }
}

/// What a new table takes over from the one it is a copy of.
fn taken(source: &Table) -> Object {
    let mut settings = source.settings.clone();
    settings.remove("expirationTime");
    settings.remove("encryptionConfiguration");
    settings
}

/// The destination, ready for the rows.
fn written_to(mut table: Table, copy: &Copy, source: &Table) -> Result<Table, ApiError> {
    if table.kind != Kind::Native {
        return Err(ApiError::invalid(format!(
            "{} is not a table",
            table.reference
        )));
    }
    match copy.write {
        Write::Empty if table.rows() > 0 => Err(tables::already_exists(&table.reference)),
        Write::Truncate | Write::Empty => {
            table.files.clear();
            table.schema = source.schema.clone();
            let expiration = table.settings.remove("expirationTime");
            table.settings = taken(source);
            table
                .settings
                .extend(expiration.map(|at| ("expirationTime".to_owned(), at)));
            Ok(table)
        }
        Write::TruncateData | Write::Append => {
            check_fits(&source.schema, &table.schema, &table.reference)?;
            if !layout::same(&source.settings, &table.settings)? {
                return Err(ApiError::invalid(
                    "Incompatible table partitioning specification between source and destination.",
                ));
            }
            if copy.write == Write::TruncateData {
                table.files.clear();
            }
            Ok(table)
        }
    }
}

fn check_fits(source: &Schema, target: &Schema, table: &TableRef) -> Result<(), ApiError> {
    mismatch(&source.fields, &target.fields).map_or(Ok(()), |what| {
        Err(ApiError::invalid(format!(
            "Provided Schema does not match Table {table}. {what}"
        )))
    })
}

/// Why rows with one set of fields may not be appended to those with another.
fn mismatch(from: &[Field], to: &[Field]) -> Option<String> {
    let gone = from
        .iter()
        .find(|field| !to.iter().any(|other| other.is(&field.name)));
    if let Some(field) = gone {
        return Some(format!("Cannot add fields (field: {})", field.name));
    }
    to.iter().find_map(|want| {
        let Some(have) = from.iter().find(|field| field.is(&want.name)) else {
            return Some(format!("Field {} is missing in new schema", want.name));
        };
        if have.kind != want.kind {
            return Some(format!(
                "Field {} has changed type from {} to {}",
                want.name,
                want.kind.name(),
                have.kind.name()
            ));
        }
        let tighter = have.mode == Mode::Required && want.mode == Mode::Nullable;
        if have.mode != want.mode && !tighter {
            return Some(format!(
                "Field {} has changed mode from {} to {}",
                want.name,
                want.mode.name(),
                have.mode.name()
            ));
        }
        mismatch(&have.fields, &want.fields)
    })
}

fn statistics(sources: &[Table]) -> Object {
    let statistics = json!({"copy": {
        "copiedRows": sources.iter().map(Table::rows).sum::<u64>().to_string(),
        "copiedLogicalBytes": sources.iter().map(Table::bytes).sum::<u64>().to_string(),
    }});
    statistics.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::schema::Type;
    use super::*;

    #[test]
    fn rows_are_appended_only_to_the_same_columns() {
        let field = |name: &str, kind, mode| Field::new(name, kind, mode);
        let id = || field("id", Type::String, Mode::Nullable);
        let n = |kind| field("n", kind, Mode::Nullable);
        assert_eq!(mismatch(&[id()], &[id()]), None);
        assert_eq!(
            mismatch(&[field("ID", Type::String, Mode::Required)], &[id()]),
            None
        );
        assert_eq!(
            mismatch(&[id(), n(Type::Integer)], &[id()]).unwrap(),
            "Cannot add fields (field: n)"
        );
        assert_eq!(
            mismatch(&[id()], &[id(), n(Type::Integer)]).unwrap(),
            "Field n is missing in new schema"
        );
        assert!(mismatch(&[n(Type::Integer)], &[n(Type::Float)]).is_some());
        assert!(mismatch(&[id()], &[field("id", Type::String, Mode::Required)]).is_some());
    }

    #[test]
    fn a_copy_needs_a_source_and_is_for_an_empty_table_unless_told() {
        let table = |name: &str| json!({"projectId": "p", "datasetId": "d", "tableId": name});
        assert!(Copy::parse(&json!({"destinationTable": table("t")})).is_err());
        let copy = Copy::parse(&json!({
            "sourceTables": [table("a"), table("b")], "destinationTable": table("t")}))
        .unwrap();
        assert_eq!((copy.sources.len(), copy.write), (2, Write::Empty));
    }
}
