//! INSERT and DELETE: each a query whose result is the table's new rows.

use datafusion::sql::sqlparser::ast::{
    Delete, Expr, FromTable, Insert, ObjectName, Query, SetExpr, Statement, TableFactor,
    TableObject,
};
use serde_json::json;

use super::parse::{Text, Written, parse};
use super::run::plan;
use super::statements::{Context, statistics};
use super::{invalid, names, not_served};
use crate::bigquery::load::{Change, Write, apply};
use crate::bigquery::reference::TableRef;
use crate::bigquery::resource::Object;
use crate::bigquery::schema::{Field, Schema};
use crate::bigquery::table::{DataFile, Kind, Table};
use crate::error::ApiError;

impl Context<'_> {
    pub async fn modify(&self, text: Text, kind: &str) -> Result<Object, ApiError> {
        match text.statement {
            Statement::Insert(insert) => self.insert(insert, text.written).await,
            Statement::Delete(delete) => self.delete(delete, text.written).await,
            _ => Err(not_served(&format!("{kind} statements"))),
        }
    }

    fn native(&self, name: &ObjectName, written: &Written) -> Result<Table, ApiError> {
        let target = names::reference(
            &written.parts(name),
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        let table = self.tables().find(&target)?;
        match table.kind {
            Kind::Native => Ok(table),
            _ => Err(invalid(format!("{target} is not a table"))),
        }
    }

    /// Columns are matched by position.
    async fn insert(&self, insert: Insert, written: Written) -> Result<Object, ApiError> {
        let (TableObject::TableName(name), Some(query)) = (&insert.table, insert.source) else {
            return Err(not_served("this kind of INSERT"));
        };
        let table = self.native(name, &written)?;
        let targets = targets(&table.schema, &insert.columns)?;
        let planned = plan(
            *query,
            written,
            &self.tables(),
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        if planned.schema.fields.len() != targets.len() {
            return Err(invalid(format!(
                "Inserted row has wrong column count; Has {}, expected {}",
                planned.schema.fields.len(),
                targets.len()
            )));
        }
        let names: Vec<String> = targets.iter().map(|field| field.name.clone()).collect();
        let file = planned
            .run_as(&self.cloud.bigquery.data, &names, &table.schema)
            .await?;
        let rows = file.rows;
        self.replace_rows(&table, file, Write::Append, "INSERT", rows)
    }

    async fn delete(&self, delete: Delete, written: Written) -> Result<Object, ApiError> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let ([target], Some(condition)) = (from.as_slice(), delete.selection) else {
            return Err(invalid("DELETE must have a WHERE clause".to_owned()));
        };
        let TableFactor::Table { name, .. } = &target.relation else {
            return Err(not_served("this kind of DELETE"));
        };
        let table = self.native(name, &written)?;
        let mut kept = all_rows()?;
        if let SetExpr::Select(select) = kept.body.as_mut() {
            select.from = vec![target.clone()];
            select.selection = Some(Expr::IsNotTrue(Box::new(Expr::Nested(Box::new(condition)))));
        }
        let planned = plan(
            kept,
            written,
            &self.tables(),
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        let file = planned
            .run(&self.cloud.bigquery.data, &table.schema)
            .await?;
        let gone = table.rows().saturating_sub(file.rows);
        self.replace_rows(&table, file, Write::TruncateData, "DELETE", gone)
    }

    fn replace_rows(
        &self,
        table: &Table,
        file: DataFile,
        write: Write,
        kind: &str,
        rows: u64,
    ) -> Result<Object, ApiError> {
        let target: &TableRef = &table.reference;
        // Rows that came meanwhile would be lost: only the version read may be replaced.
        let unchanged = self
            .cloud
            .bigquery
            .tables
            .get(&target.key())
            .is_some_and(|now| now.files == table.files);
        if write == Write::TruncateData && !unchanged {
            return Err(ApiError::aborted(format!(
                "Could not serialize access to table {target} due to concurrent update"
            ))
            .reason("invalidQuery"));
        }
        let statistics = statistics(
            kind,
            table.bytes(),
            json!({
                "numDmlAffectedRows": rows.to_string(),
                "referencedTables": [target],
            }),
        );
        let change = Change {
            schema: table.schema.clone(),
            file,
            write,
            settings: Object::new(),
            planned_on: Some(table.schema.clone()),
        };
        let dataset = self.tables().dataset(&target.dataset())?;
        apply(
            self.cloud,
            target,
            &dataset,
            &change,
            super::commit(self.job, &statistics),
        )?;
        Ok(statistics)
    }
}

fn all_rows() -> Result<Query, ApiError> {
    match parse("SELECT * FROM t WHERE TRUE")?.statement {
        Statement::Query(query) => Ok(*query),
        _ => Err(ApiError::internal("not a query")),
    }
}

/// The columns an INSERT names, or all.
fn targets<'a>(schema: &'a Schema, names: &[ObjectName]) -> Result<Vec<&'a Field>, ApiError> {
    if names.is_empty() {
        return Ok(schema.fields.iter().collect());
    }
    let find = |name: &ObjectName| {
        let name = name.to_string();
        schema
            .field(name.trim_matches('`'))
            .ok_or_else(|| invalid(format!("Column {name} is not present in the table")))
    };
    names.iter().map(find).collect()
}
