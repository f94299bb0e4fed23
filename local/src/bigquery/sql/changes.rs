//! Changes of a table's rows: runs the queries that say what they become, and
//! rewrites just the files that hold rows which change or go.

use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::sql::sqlparser::ast::Query;
use serde_json::{Value, json};

use super::assign::{self, Target};
use super::catalog::Tables;
use super::parse::Written;
use super::provider::ROW;
use super::run::{Planned, conformed, plan};
use super::statements::Context;
use super::{invalid, not_served};
use crate::bigquery::commit::arrived;
use crate::bigquery::files::{Part, sieve};
use crate::bigquery::schema::{Field, Schema};
use crate::bigquery::table::{DataFile, Table};
use crate::error::ApiError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Insert,
    Update,
    Delete,
}

/// One query of a statement, and what its rows are.
#[derive(Debug)]
pub struct Step {
    pub action: Action,
    /// Selects the row's number, unless it inserts, and then `columns`.
    pub query: Query,
    pub columns: Vec<Field>,
    /// Which of the columns are set to a literal.
    pub literals: Vec<bool>,
}

/// How many rows a statement changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}

impl Counts {
    pub fn sum(self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// `numDmlAffectedRows` and `dmlStats`.
    pub fn statistics(self) -> Value {
        json!({
            "numDmlAffectedRows": self.sum().to_string(),
            "dmlStats": {
                "insertedRowCount": self.inserted.to_string(),
                "updatedRowCount": self.updated.to_string(),
                "deletedRowCount": self.deleted.to_string(),
            },
        })
    }

    fn add(&mut self, action: Action, rows: usize) {
        let count = match action {
            Action::Insert => &mut self.inserted,
            Action::Update => &mut self.updated,
            Action::Delete => &mut self.deleted,
        };
        *count += rows as u64;
    }
}

/// The numbers of rows that change or go.
#[derive(Debug, Default)]
struct Touched(Vec<bool>);

impl Touched {
    fn mark(&mut self, batch: &RecordBatch) -> Result<(), ApiError> {
        let column = batch
            .column_by_name(ROW)
            .ok_or_else(|| ApiError::internal("a changed row without its number"))?;
        for number in column.as_primitive::<Int64Type>().values() {
            let index = usize::try_from(*number).unwrap_or(usize::MAX);
            match self.0.get_mut(index) {
                Some(touched) if !*touched => *touched = true,
                _ => {
                    return Err(invalid(
                        "UPDATE/MERGE must match at most one source row for each target row"
                            .to_owned(),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The files of a table after a statement, and what it did.
pub struct Outcome {
    pub files: Vec<DataFile>,
    pub counts: Counts,
}

impl Context<'_> {
    /// Runs `steps` over `tables`, in which the rows of `table` are numbered.
    pub async fn change_rows(
        &self,
        table: &Table,
        steps: Vec<Step>,
        written: &Written,
        tables: &Tables<'_>,
    ) -> Result<Outcome, ApiError> {
        let rows = usize::try_from(table.rows()).map_err(|_| not_served("a table so large"))?;
        let mut touched = Touched(vec![false; rows]);
        let mut counts = Counts::default();
        let mut part = Part::create(&self.cloud.bigquery.data, table.schema.arrow())?;
        for step in steps {
            let planned = self.plan_step(&step, table, written, tables)?;
            run_step(
                planned,
                step.action,
                &table.schema,
                &mut part,
                &mut touched,
                &mut counts,
            )
            .await?;
        }
        let mut files = self.kept_files(table, &touched.0)?;
        let new = part.finish()?;
        if new.rows > 0 {
            files.push(arrived(new, &table.settings)?);
        }
        Ok(Outcome { files, counts })
    }

    fn plan_step(
        &self,
        step: &Step,
        table: &Table,
        written: &Written,
        tables: &Tables<'_>,
    ) -> Result<Planned, ApiError> {
        let planned = plan(
            step.query.clone(),
            written.clone(),
            tables,
            &self.query.project,
            self.query.default.as_ref(),
        )?;
        let own = usize::from(step.action != Action::Insert);
        let mut arrow = planned.arrow().as_ref().clone();
        arrow.fields = arrow.fields.iter().skip(own).cloned().collect();
        let result = Schema {
            fields: planned.schema.fields[own..].to_vec(),
        };
        let targets: Vec<Target> = step
            .columns
            .iter()
            .zip(&step.literals)
            .map(|(field, literal)| Target {
                field: table.schema.field(&field.name).unwrap_or(field),
                literal: *literal,
            })
            .collect();
        assign::check(step.action, &arrow.into(), &result, &targets)?;
        Ok(planned)
    }

    /// The table's files without the rows touched; a file with none of them stays as it is.
    fn kept_files(&self, table: &Table, touched: &[bool]) -> Result<Vec<DataFile>, ApiError> {
        let mut kept = Vec::new();
        let mut rest = touched;
        for file in &table.files {
            let size = usize::try_from(file.rows).unwrap_or(usize::MAX);
            let (here, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            if here.iter().any(|touched| *touched) {
                let mut first = 0;
                let untouched = |batch: &RecordBatch| {
                    let rows = &here[first..first + batch.num_rows()];
                    first += rows.len();
                    Ok::<BooleanArray, ApiError>(
                        rows.iter().map(|touched| Some(!touched)).collect(),
                    )
                };
                kept.extend(sieve(
                    &self.cloud.bigquery.data,
                    file,
                    &table.schema,
                    untouched,
                )?);
            } else {
                kept.push(file.clone());
            }
        }
        Ok(kept)
    }
}

async fn run_step(
    planned: Planned,
    action: Action,
    schema: &Schema,
    part: &mut Part,
    touched: &mut Touched,
    counts: &mut Counts,
) -> Result<(), ApiError> {
    let arrow = schema.arrow();
    planned
        .each(|batch| {
            counts.add(action, batch.num_rows());
            if action != Action::Insert {
                touched.mark(&batch)?;
            }
            if action != Action::Delete {
                part.write(&conformed(&batch, schema, &arrow)?)?;
            }
            Ok(())
        })
        .await
}
