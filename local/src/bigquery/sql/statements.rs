//! Statements: SELECT into results or a table, and the DDL that xetl needs.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{ObjectType, Query as SqlQuery, Statement, visit_relations};
use serde_json::{Value, json};

use super::catalog::Tables;
use super::names::reference;
use super::parse::{Text, Written};
use super::run::plan;
use super::{Query, Use, commit, invalid};
use crate::bigquery::commit::{Change, apply};
use crate::bigquery::datasets::Dataset;
use crate::bigquery::files::RESULTS;
use crate::bigquery::load::{self, Write};
use crate::bigquery::reference::{DatasetRef, TableRef};
use crate::bigquery::resource::Object;
use crate::bigquery::schema::{Mode, Schema};
use crate::bigquery::table::Kind;
use crate::bigquery::tables;
use crate::cloud::Cloud;
use crate::error::ApiError;

pub struct Context<'a> {
    pub cloud: &'a Arc<Cloud>,
    pub query: &'a Query,
    pub results: &'a TableRef,
    pub location: &'a str,
    pub job: &'a str,
}

/// `statementType` of a statement.
pub fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Query(_) => "SELECT",
        Statement::CreateTable(create) if create.query.is_some() => "CREATE_TABLE_AS_SELECT",
        Statement::CreateTable(_) => "CREATE_TABLE",
        Statement::CreateView(_) => "CREATE_VIEW",
        Statement::Drop {
            object_type: ObjectType::View,
            ..
        } => "DROP_VIEW",
        Statement::Drop { .. } => "DROP_TABLE",
        Statement::Truncate(_) => "TRUNCATE_TABLE",
        Statement::AlterTable(_) => "ALTER_TABLE",
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Merge(_) => "MERGE",
        _ => "SCRIPT",
    }
}

/// The tables a statement names, as far as they can be told without a catalog.
pub fn relations(text: &Text, project: &str, default: Option<&DatasetRef>) -> Vec<TableRef> {
    let mut found = Vec::new();
    let _ = visit_relations(&text.statement, |name| {
        found.extend(reference(&text.written.parts(name), project, default).ok());
        ControlFlow::<()>::Continue(())
    });
    found
}

/// The tables a statement names and what it does with each: the first is what it is about.
pub fn uses(text: &Text, project: &str, default: Option<&DatasetRef>) -> Vec<(TableRef, Use)> {
    let about = match &text.statement {
        Statement::Query(_) => Use::Read,
        Statement::AlterTable(_) => Use::Change,
        Statement::Drop { .. } => Use::Drop,
        _ => Use::Write,
    };
    let tables = relations(text, project, default).into_iter().enumerate();
    tables
        .map(|(index, table)| (table, if index == 0 { about } else { Use::Read }))
        .collect()
}

impl Context<'_> {
    pub async fn run(&self, text: Text) -> Result<Object, ApiError> {
        let kind = kind(&text.statement);
        match text.statement {
            Statement::Query(query) => self.select(*query, text.written).await,
            Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Merge(_) => self.modify(text).await,
            _ => self.define(text, kind).await,
        }
    }

    pub fn tables(&self) -> Tables<'_> {
        Tables::new(self.cloud, Some(self.location))
    }

    /// What a query may read: also what its job defines.
    pub fn readable(&self) -> Result<Tables<'_>, ApiError> {
        self.tables()
            .defining(&self.query.definitions, self.location)
    }

    async fn select(&self, query: SqlQuery, written: Written) -> Result<Object, ApiError> {
        let present = self.cloud.bigquery.live(self.results);
        match &present {
            None if !self.query.create => return Err(tables::not_found(self.results)),
            Some(table) if table.kind != Kind::Native => {
                return Err(invalid(format!(
                    "{} cannot be written by a query",
                    self.results
                )));
            }
            _ => {}
        }
        if let Some(table) = &present {
            load::check_same_layout(&self.query.settings, table)?;
        }
        // Rows that are added take the table's columns.
        let adds = !matches!(self.query.write, Write::Truncate);
        let given = present
            .map(|table| table.schema)
            .filter(|schema| adds && !schema.fields.is_empty());
        let statistics = statistics("SELECT", 0, json!({}));
        self.select_into(
            query,
            written,
            self.results,
            self.query.write,
            given,
            self.query.settings.clone(),
            statistics,
        )
        .await
    }

    /// Writes a query's rows to a table; `given` is the schema they must fit.
    #[expect(
        clippy::too_many_arguments,
        reason = "what to read and what to write, each once"
    )]
    pub async fn select_into(
        &self,
        query: SqlQuery,
        written: Written,
        target: &TableRef,
        write: Write,
        given: Option<Schema>,
        settings: Object,
        mut statistics: Object,
    ) -> Result<Object, ApiError> {
        let dataset = self.dataset_of(target)?;
        let planned = plan(
            query,
            written,
            &self.readable()?,
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        self.count(&mut statistics, &planned.tables);
        let schema = match &given {
            Some(given) => fitting(&planned.schema, given, target, self.query)?,
            None => planned.schema.clone(),
        };
        if target.dataset != RESULTS {
            schema.check()?;
        }
        tables::check_settings(&settings, &schema)?;
        let file = planned.run(&self.cloud.bigquery.data, &schema).await?;
        let planned_on = given.filter(|_| !matches!(write, Write::Truncate));
        let change = Change {
            schema,
            file,
            write,
            settings,
            planned_on,
            kept: None,
        };
        apply(
            self.cloud,
            target,
            &dataset,
            &change,
            commit(self.job, &statistics),
        )?;
        Ok(statistics)
    }

    /// Adds what a query reads to its statistics.
    pub fn count(&self, statistics: &mut Object, tables: &[TableRef]) {
        let bytes = self.bytes(tables).to_string();
        if let Some(query) = statistics.get_mut("query") {
            query["totalBytesProcessed"] = bytes.clone().into();
            query["referencedTables"] = json!(tables);
        }
        statistics.insert("totalBytesProcessed".to_owned(), bytes.into());
    }

    /// Bytes of the tables a query reads.
    fn bytes(&self, tables: &[TableRef]) -> u64 {
        let known = tables
            .iter()
            .filter_map(|table| self.cloud.bigquery.tables.get(&table.key()));
        known.map(|table| table.bytes()).sum()
    }

    /// A target's dataset; that of results has no document.
    fn dataset_of(&self, target: &TableRef) -> Result<Dataset, ApiError> {
        if target.dataset == RESULTS {
            return Ok(Dataset::hidden(target.dataset(), self.location));
        }
        self.tables().dataset(&target.dataset())
    }
}

/// The table's columns after rows of `result` were added to `given`.
fn fitting(
    result: &Schema,
    given: &Schema,
    target: &TableRef,
    query: &Query,
) -> Result<Schema, ApiError> {
    let refuse = |what: String| {
        Err(ApiError::invalid(format!(
            "Provided Schema does not match Table {target}. {what}"
        )))
    };
    let mut schema = given.clone();
    for field in &result.fields {
        match given.field(&field.name) {
            None if query.add_fields => schema.fields.push(field.clone()),
            None => return refuse(format!("Cannot add fields (field: {})", field.name)),
            Some(have) if have.kind != field.kind => {
                return refuse(format!(
                    "Field {} has changed type from {} to {}",
                    field.name,
                    have.kind.name(),
                    field.kind.name()
                ));
            }
            Some(_) => {}
        }
    }
    if query.relax_fields {
        let required = schema.fields.iter_mut();
        for field in required.filter(|field| field.mode == Mode::Required) {
            field.mode = Mode::Nullable;
        }
    }
    Ok(schema)
}

pub fn statistics(kind: &str, bytes: u64, more: Value) -> Object {
    let mut query = json!({
        "statementType": kind,
        "totalBytesProcessed": bytes.to_string(),
        "totalBytesBilled": "0",
        "cacheHit": false,
    });
    if let (Value::Object(query), Value::Object(more)) = (&mut query, more) {
        query.extend(more);
    }
    let whole = json!({"totalBytesProcessed": bytes.to_string(), "query": query});
    whole.as_object().cloned().unwrap_or_default()
}
