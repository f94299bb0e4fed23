//! SQL: BigQuery's dialect, answered by DataFusion.
//!
//! `parse` -> `names` (tables, views) -> `rewrite` (expressions) -> the engine.
//! DataFusion is used in this folder only.

mod alter;
mod assign;
mod calls;
mod catalog;
mod changes;
mod ddl;
mod divide;
mod dml;
mod functions;
mod merge;
mod names;
mod options;
mod parameters;
mod parse;
mod provider;
mod rewrite;
mod run;
mod set;
mod statements;
mod tree;
mod types;
mod unnest;

use std::sync::Arc;

use serde_json::{Value, json};

use super::load::{self, Write};
use super::reference::{DatasetRef, TableRef};
use super::resource::Object;
use super::schema::Schema;
use super::table::Commit;
use crate::cloud::Cloud;
use crate::error::ApiError;
use parse::Text;

/// `configuration.query`, as far as it is served.
#[derive(Debug, Clone)]
pub struct Query {
    pub project: String,
    pub sql: String,
    pub default: Option<DatasetRef>,
    /// Where the caller wants the rows, and how they get there.
    pub destination: Option<TableRef>,
    pub write: Write,
    pub create: bool,
    parameters: Value,
    /// New columns may be added to the destination, and REQUIRED ones relaxed.
    pub add_fields: bool,
    pub relax_fields: bool,
    /// Partitioning and clustering of a destination that the query makes.
    pub settings: Object,
    /// External tables that exist for this query alone, by name.
    definitions: Object,
}

impl Query {
    /// One statement of this script.
    fn of(&self, sql: &str) -> Query {
        Query {
            sql: sql.to_owned(),
            write: Write::Truncate,
            ..self.clone()
        }
    }

    pub fn parse(project: &str, config: &Value) -> Result<Query, ApiError> {
        if config["useLegacySql"].as_bool().unwrap_or(true) {
            return Err(legacy("useLegacySql"));
        }
        let reference = |name: &str| -> Result<Option<Value>, ApiError> {
            Ok(Some(config[name].clone()).filter(Value::is_object))
        };
        let bad = |error: serde_json::Error| {
            ApiError::invalid(format!("Invalid value in configuration.query: {error}"))
        };
        let write = config["writeDisposition"].clone();
        let destination: Option<TableRef> = reference("destinationTable")?
            .map(serde_json::from_value)
            .transpose()
            .map_err(bad)?;
        if let Some(destination) = &destination {
            destination.check()?;
        }
        let write: Write = match write {
            Value::Null => Write::Empty,
            given => serde_json::from_value(given).map_err(bad)?,
        };
        let options = load::texts(&config["schemaUpdateOptions"]);
        load::check_update_options(&options, write, false)?;
        let may = |name: &str| options.iter().any(|option| option == name);
        Ok(Query {
            add_fields: may("ALLOW_FIELD_ADDITION"),
            relax_fields: may("ALLOW_FIELD_RELAXATION"),
            settings: load::table_settings(config),
            project: project.to_owned(),
            sql: config["query"].as_str().unwrap_or_default().to_owned(),
            default: reference("defaultDataset")?
                .map(serde_json::from_value)
                .transpose()
                .map_err(bad)?,
            destination,
            write,
            create: config["createDisposition"].as_str() != Some("CREATE_NEVER"),
            parameters: config["queryParameters"].clone(),
            definitions: config["tableDefinitions"]
                .as_object()
                .cloned()
                .unwrap_or_default(),
        })
    }
}

/// Legacy SQL is the API's default, so the flag must be sent.
pub fn legacy(field: &str) -> ApiError {
    ApiError::invalid(format!(
        "Legacy SQL, which is the default, is not served by the local cloud: send {field}=false."
    ))
    .reason("invalidQuery")
}

pub fn invalid(message: String) -> ApiError {
    ApiError::invalid(message).reason("invalidQuery")
}

pub fn not_served(what: &str) -> ApiError {
    invalid(format!("{what}: not served by the local cloud"))
}

/// Parses a job's SQL and puts its parameters in.
fn read(query: &Query) -> Result<Text, ApiError> {
    let mut text = parse::parse(&query.sql)?;
    parameters::bind(&mut text.statement, &query.parameters)?;
    Ok(text)
}

/// Where a query runs when its job does not say: with the first dataset it names.
pub fn location(cloud: &Cloud, query: &Query) -> String {
    let statements = parse::split(&query.sql).unwrap_or_default();
    let named = statements
        .iter()
        .filter_map(|sql| read(&query.of(sql)).ok())
        .flat_map(|text| statements::relations(&text, &query.project, query.default.as_ref()));
    let datasets = named.map(|table| table.dataset());
    datasets
        .chain(query.destination.as_ref().map(TableRef::dataset))
        .chain(query.default.clone())
        .find_map(|dataset| Some(cloud.bigquery.dataset(&dataset).ok()?.location))
        .unwrap_or_else(|| "US".to_owned())
}

/// What a statement does with a table it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Read,
    /// Its rows come from the statement, and it too where it is made by it.
    Write,
    Change,
    Drop,
}

/// The tables a query names, and what for. Text that cannot be read names none: it fails later.
pub fn uses(query: &Query) -> Vec<(TableRef, Use)> {
    let statements = parse::split(&query.sql).unwrap_or_default();
    let texts = statements
        .iter()
        .filter_map(|sql| read(&query.of(sql)).ok());
    texts
        .flat_map(|text| statements::uses(&text, &query.project, query.default.as_ref()))
        .collect()
}

/// The tables a view's query names.
pub fn read_by(sql: &str, project: &str) -> Vec<TableRef> {
    let text = parse::parse(sql);
    text.map_or_else(
        |_| Vec::new(),
        |text| statements::relations(&text, project, None),
    )
}

/// The columns of a view's query.
pub fn describe(cloud: &Arc<Cloud>, project: &str, sql: &str) -> Result<Schema, ApiError> {
    let text = parse::parse(sql)?;
    let datafusion::sql::sqlparser::ast::Statement::Query(query) = text.statement else {
        return Err(invalid("A view's query must be a SELECT".to_owned()));
    };
    let catalog = catalog::Tables::new(cloud, None);
    Ok(run::plan(*query, text.written, &catalog, project, None)?.schema)
}

/// What a query would return, without running it.
pub fn dry_run(cloud: &Arc<Cloud>, query: &Query) -> Result<Object, ApiError> {
    if let [_, _, ..] = parse::split(&query.sql)?.as_slice() {
        let script = statements::statistics("SCRIPT", 0, json!({}));
        return Ok(script);
    }
    let text = read(query)?;
    let kind = statements::kind(&text.statement);
    let schema = match text.statement {
        datafusion::sql::sqlparser::ast::Statement::Query(select) => {
            let catalog = catalog::Tables::new(cloud, None)
                .defining(&query.definitions, &location(cloud, query))?;
            run::plan(
                *select,
                text.written,
                &catalog,
                &query.project,
                query.default.as_ref(),
            )?
            .schema
        }
        _ => Schema::default(),
    };
    let statistics = json!({
        "totalBytesProcessed": "0",
        "query": {"statementType": kind, "totalBytesProcessed": "0", "schema": schema},
    });
    Ok(statistics.as_object().cloned().unwrap_or_default())
}

/// Runs a query job; `results` is where a SELECT's rows go.
pub async fn run(
    cloud: &Arc<Cloud>,
    query: &Query,
    results: &TableRef,
    location: &str,
    job: &str,
) -> Result<Object, ApiError> {
    let place = Place {
        cloud,
        results,
        location,
    };
    match parse::split(&query.sql)?.as_slice() {
        [] | [_] => place.statement(query, job).await,
        statements => place.script(query, statements, job).await,
    }
}

/// Where statements run and leave their rows.
struct Place<'a> {
    cloud: &'a Arc<Cloud>,
    results: &'a TableRef,
    location: &'a str,
}

impl Place<'_> {
    async fn statement(&self, query: &Query, job: &str) -> Result<Object, ApiError> {
        let context = statements::Context {
            cloud: self.cloud,
            query,
            results: self.results,
            location: self.location,
            job,
        };
        context.run(read(query)?).await
    }

    /// One statement after another; the first that fails ends the script, and those before it stand.
    async fn script(
        &self,
        query: &Query,
        statements: &[&str],
        job: &str,
    ) -> Result<Object, ApiError> {
        if query.destination.is_some() {
            return Err(invalid(
                "configuration.query.destinationTable cannot be set for scripts".to_owned(),
            ));
        }
        for sql in statements {
            read(&query.of(sql))?;
        }
        for (index, sql) in statements.iter().enumerate() {
            self.statement(&query.of(sql), &format!("{job}#{index}"))
                .await
                .map_err(|error| within(error, index))?;
        }
        let mut whole = statements::statistics("SCRIPT", 0, json!({}));
        let children = statements.len().to_string();
        whole.insert("numChildJobs".to_owned(), children.into());
        Ok(whole)
    }
}

fn within(error: ApiError, index: usize) -> ApiError {
    let message = format!("{} (statement {} of the script)", error.message, index + 1);
    ApiError { message, ..error }
}

/// A commit of this job with these statistics.
fn commit(job: &str, statistics: &Object) -> Commit {
    Commit {
        job: job.to_owned(),
        statistics: statistics.clone(),
    }
}
