//! Statements: SELECT into results or a table, and the DDL that xetl needs.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{ObjectType, Query as SqlQuery, Statement, visit_relations};
use serde_json::{Value, json};

use super::catalog::Tables;
use super::names::reference;
use super::parse::{Text, Written};
use super::run::plan;
use super::{Query, commit, invalid, not_served};
use crate::bigquery::datasets::Dataset;
use crate::bigquery::files::RESULTS;
use crate::bigquery::load::{Change, Write, apply};
use crate::bigquery::reference::{DatasetRef, TableRef};
use crate::bigquery::resource::Object;
use crate::bigquery::schema::Schema;
use crate::bigquery::table::{Kind, Table};
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
        Statement::Drop { object_type: ObjectType::View, .. } => "DROP_VIEW",
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

impl Context<'_> {
    pub async fn run(&self, text: Text) -> Result<Object, ApiError> {
        let kind = kind(&text.statement);
        match text.statement {
            Statement::Query(query) => self.select(*query, text.written).await,
            _ => Err(not_served(&format!("{kind} statements"))),
        }
    }

    fn tables(&self) -> Tables<'_> {
        Tables::new(self.cloud, Some(self.location))
    }

    async fn select(&self, query: SqlQuery, written: Written) -> Result<Object, ApiError> {
        let planned = plan(query, written, &self.tables(), &self.query.project, self.query.default.as_ref())?;
        let bytes = self.bytes(&planned.tables);
        let statistics = statistics("SELECT", bytes, json!({"referencedTables": planned.tables}));
        let schema = planned.schema.clone();
        let file = planned.run(&self.cloud.bigquery.data, &schema).await?;
        let change = Change { schema, file, write: self.write(), settings: Object::new() };
        let dataset = self.results_dataset()?;
        apply(self.cloud, self.results, &dataset, &change, commit(self.job, &statistics))?;
        Ok(statistics)
    }

    fn write(&self) -> Write {
        self.query.write
    }

    /// Bytes of the tables a query reads.
    fn bytes(&self, tables: &[TableRef]) -> u64 {
        let known = tables.iter().filter_map(|table| self.cloud.bigquery.tables.get(&table.key()));
        known.map(|table| table.bytes()).sum()
    }

    /// The dataset of the results; the hidden one has no document.
    fn results_dataset(&self) -> Result<Dataset, ApiError> {
        if self.results.dataset == RESULTS {
            return Ok(Dataset::hidden(self.results.dataset(), self.location));
        }
        self.tables().dataset(&self.results.dataset())
    }
}

fn statistics(kind: &str, bytes: u64, more: Value) -> Object {
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
