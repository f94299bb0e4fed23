//! INSERT, UPDATE, DELETE and MERGE: each a query, or several, whose result is
//! the table's new rows; one write of the table's document commits them.

use datafusion::sql::sqlparser::ast::{
    Delete, FromTable, Insert, Merge, ObjectName, SetExpr, Statement, TableFactor, TableObject,
    Update, UpdateTableFromKind,
};

use super::assign::{self, Target, is_literal};
use super::catalog::Tables;
use super::changes::{Action, Counts, Outcome, Step};
use super::merge::{
    Changed, SOURCE, TARGET, alias_of, delete, from_target, insert_columns, merge_steps,
    source_query, update_step,
};
use super::parse::{Text, Written};
use super::provider::ParquetTable;
use super::run::{Planned, plan};
use super::statements::{Context, statistics};
use super::{invalid, names, not_served};
use crate::bigquery::commit::{Change, apply};
use crate::bigquery::load::Write;
use crate::bigquery::reference::TableRef;
use crate::bigquery::resource::Object;
use crate::bigquery::schema::Schema;
use crate::bigquery::table::{DataFile, Kind, Table};
use crate::bigquery::tables;
use crate::error::ApiError;

/// How often a statement is run anew when the table's rows change under it.
const TRIES: usize = 4;

impl Context<'_> {
    pub async fn modify(&self, text: Text) -> Result<Object, ApiError> {
        let mut result = self.attempt(&text).await;
        for _ in 1..TRIES {
            match result {
                Err(error) if error.status == "ABORTED" => result = self.attempt(&text).await,
                settled => return settled,
            }
        }
        result
    }

    async fn attempt(&self, text: &Text) -> Result<Object, ApiError> {
        match &text.statement {
            Statement::Insert(insert) => self.insert(insert, &text.written).await,
            Statement::Delete(delete) => self.delete(delete, &text.written).await,
            Statement::Update(update) => self.update(update, &text.written).await,
            Statement::Merge(merge) => self.merge(merge, &text.written).await,
            _ => Err(not_served("this statement")),
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

    /// The table a statement changes.
    fn changed(&self, factor: &TableFactor, written: &Written) -> Result<Table, ApiError> {
        match factor {
            TableFactor::Table { name, .. } => self.native(name, written),
            _ => Err(invalid("The target of DML must be a table".to_owned())),
        }
    }

    /// What a query may name, with the rows of `table` as the target.
    fn with_target(&self, table: &Table) -> Result<Tables<'_>, ApiError> {
        let folder = &self.cloud.bigquery.data;
        let rows = ParquetTable::numbered(&table.schema, folder, &table.files).asking(table);
        Ok(self.readable()?.with(TARGET, &table.schema, rows))
    }

    /// Columns are matched by position.
    async fn insert(&self, insert: &Insert, written: &Written) -> Result<Object, ApiError> {
        let (TableObject::TableName(name), Some(query)) = (&insert.table, &insert.source) else {
            return Err(not_served("this kind of INSERT"));
        };
        let table = self.native(name, written)?;
        let columns = insert_columns(&table.schema, &insert.columns)?;
        let planned = plan(
            query.as_ref().clone(),
            written.clone(),
            &self.readable()?,
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        if planned.schema.fields.len() != columns.len() {
            return Err(invalid(format!(
                "Inserted row has wrong column count; Has {}, expected {}",
                planned.schema.fields.len(),
                columns.len()
            )));
        }
        let targets: Vec<Target> = columns
            .iter()
            .enumerate()
            .map(|(index, field)| Target {
                field,
                literal: all_literal(&query.body, index),
            })
            .collect();
        assign::check(Action::Insert, planned.arrow(), &planned.schema, &targets)?;
        let names: Vec<String> = columns.iter().map(|field| field.name.clone()).collect();
        let read = planned.tables.clone();
        let file = planned
            .run_as(&self.cloud.bigquery.data, &names, &table.schema)
            .await?;
        self.append(&table, file, &read)
    }

    fn append(&self, table: &Table, file: DataFile, read: &[TableRef]) -> Result<Object, ApiError> {
        let counts = Counts {
            inserted: file.rows,
            ..Counts::default()
        };
        let statistics = self.changes("INSERT", counts, read);
        let change = Change {
            schema: table.schema.clone(),
            file,
            write: Write::Append,
            settings: Object::new(),
            planned_on: Some(table.schema.clone()),
            kept: None,
        };
        let dataset = self.tables().dataset(&table.reference.dataset())?;
        let commit = super::commit(self.job, &statistics);
        apply(self.cloud, &table.reference, &dataset, &change, commit)?;
        Ok(statistics)
    }

    async fn delete(&self, statement: &Delete, written: &Written) -> Result<Object, ApiError> {
        let more = statement.returning.is_some() || statement.using.is_some();
        if more || statement.limit.is_some() || !statement.order_by.is_empty() {
            return Err(not_served(
                "DELETE with USING, ORDER BY, LIMIT or RETURNING",
            ));
        }
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &statement.from;
        let ([target], Some(condition)) = (from.as_slice(), &statement.selection) else {
            return Err(invalid("DELETE must have a WHERE clause".to_owned()));
        };
        let table = self.changed(&target.relation, written)?;
        let changed = described(&table, &target.relation)?;
        let step = delete(
            &changed,
            from_target(&changed, Vec::new()),
            Some(condition.clone()),
        )?;
        self.carry_out("DELETE", &table, vec![step], written).await
    }

    async fn update(&self, update: &Update, written: &Written) -> Result<Object, ApiError> {
        let more = update.returning.is_some() || !update.table.joins.is_empty();
        if more || update.limit.is_some() || !update.order_by.is_empty() {
            return Err(not_served("UPDATE with JOIN, ORDER BY, LIMIT or RETURNING"));
        }
        let Some(condition) = &update.selection else {
            return Err(invalid("UPDATE must have a WHERE clause".to_owned()));
        };
        let more = match &update.from {
            None => Vec::new(),
            Some(UpdateTableFromKind::AfterSet(from)) => from.clone(),
            Some(UpdateTableFromKind::BeforeSet(_)) => {
                return Err(invalid("Syntax error: FROM must come after SET".to_owned()));
            }
        };
        let table = self.changed(&update.table.relation, written)?;
        let changed = described(&table, &update.table.relation)?;
        let from = from_target(&changed, more);
        let step = update_step(&changed, &update.assignments, from, Some(condition.clone()))?;
        self.carry_out("UPDATE", &table, vec![step], written).await
    }

    /// UPDATE and DELETE: one step over the table.
    async fn carry_out(
        &self,
        kind: &str,
        table: &Table,
        steps: Vec<Step>,
        written: &Written,
    ) -> Result<Object, ApiError> {
        let tables = self.with_target(table)?;
        let outcome = self.change_rows(table, steps, written, &tables).await?;
        self.replace_files(kind, table, outcome, std::slice::from_ref(&table.reference))
    }

    /// The source is read once, so that all clauses see the same rows.
    async fn merge(&self, merge: &Merge, written: &Written) -> Result<Object, ApiError> {
        if merge.output.is_some() {
            return Err(not_served("MERGE with OUTPUT or RETURNING"));
        }
        let table = self.changed(&merge.table, written)?;
        let source = self.planned_source(&merge.source, written)?;
        let mut read = vec![table.reference.clone()];
        read.extend(source.tables.iter().cloned());
        let schema: Schema = source.schema.clone();
        let folder = &self.cloud.bigquery.data;
        let file = source.run(folder, &schema).await?;
        let steps = merge_steps(merge, &described(&table, &merge.table)?, &schema)?;
        let rows = ParquetTable::numbered(&schema, folder, std::slice::from_ref(&file));
        let tables = self.with_target(&table)?.with(SOURCE, &schema, rows);
        let done = self.change_rows(&table, steps, written, &tables).await;
        let _ = std::fs::remove_file(folder.join(&file.name));
        self.replace_files("MERGE", &table, done?, &read)
    }

    fn planned_source(&self, source: &TableFactor, written: &Written) -> Result<Planned, ApiError> {
        plan(
            source_query(source)?,
            written.clone(),
            &self.readable()?,
            &self.query.project,
            self.query.default.as_ref(),
        )
    }

    fn changes(&self, kind: &str, counts: Counts, read: &[TableRef]) -> Object {
        let mut statistics = statistics(kind, 0, counts.statistics());
        self.count(&mut statistics, read);
        statistics
    }

    /// The commit: only the version that was read is replaced, else rows that came meanwhile were lost.
    fn replace_files(
        &self,
        kind: &str,
        before: &Table,
        outcome: Outcome,
        read: &[TableRef],
    ) -> Result<Object, ApiError> {
        let statistics = self.changes(kind, outcome.counts, read);
        let target = &before.reference;
        self.cloud
            .bigquery
            .tables
            .update(&target.key(), |present| {
                let table = present.as_mut().ok_or_else(|| tables::not_found(target))?;
                if table.files != before.files || table.schema != before.schema {
                    return Err(ApiError::aborted(format!(
                        "Could not serialize access to table {target} due to concurrent update"
                    ))
                    .reason("invalidQuery"));
                }
                table.files = outcome.files;
                table.commit(super::commit(self.job, &statistics));
                Ok(())
            })?;
        Ok(statistics)
    }
}

fn described<'a>(table: &'a Table, factor: &TableFactor) -> Result<Changed<'a>, ApiError> {
    let alias = alias_of(factor).ok_or_else(|| not_served("this kind of target"))?;
    Ok(Changed {
        schema: &table.schema,
        alias,
    })
}

/// Whether a column of VALUES is written out in every row.
fn all_literal(body: &SetExpr, column: usize) -> bool {
    match body {
        SetExpr::Values(values) => values
            .rows
            .iter()
            .all(|row| row.content.get(column).is_some_and(is_literal)),
        _ => false,
    }
}
