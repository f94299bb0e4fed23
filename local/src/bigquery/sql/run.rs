//! The engine: a resolved query planned, then run into a Parquet file.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, SchemaError, TableReference};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement};
use futures::StreamExt;

use super::catalog::Tables;
use super::functions;
use super::names::{Resolved, resolve};
use super::parse::Written;
use super::rewrite::rewrite;
use super::types::BigQueryTypes;
use super::unnest::UnnestPlanner;
use super::{invalid, not_served};
use crate::bigquery::conform::{conform, null_violation};
use crate::bigquery::files::Part;
use crate::bigquery::reference::{DatasetRef, TableRef};
use crate::bigquery::schema::{Field, Schema};
use crate::bigquery::table::DataFile;
use crate::error::ApiError;

/// A query ready to run.
pub struct Planned {
    context: SessionContext,
    plan: LogicalPlan,
    /// The columns of its result, as BigQuery names and types them.
    pub schema: Schema,
    pub tables: Vec<TableRef>,
}

pub fn plan(
    mut query: Query,
    written: Written,
    catalog: &Tables,
    project: &str,
    default: Option<&DatasetRef>,
) -> Result<Planned, ApiError> {
    let mut resolved = Resolved::default();
    resolve(
        &mut query,
        written,
        catalog,
        project,
        default,
        &mut resolved,
    )?;
    rewrite(&mut query)?;
    let context = context()?;
    for (name, reference) in &resolved.tables {
        let provider = catalog.provider(reference)?;
        context
            .register_table(TableReference::bare(name.as_str()), provider)
            .map_err(failure)?;
    }
    for given in catalog.given() {
        context
            .register_table(
                TableReference::bare(given.name.as_str()),
                Arc::clone(&given.rows),
            )
            .map_err(failure)?;
    }
    let statement = EngineStatement::Statement(Box::new(Statement::Query(Box::new(query))));
    let state = context.state();
    let planning = async { state.statement_to_plan(statement).await };
    let plan = futures::executor::block_on(planning).map_err(failure)?;
    let schema = result_schema(plan.schema().inner(), &resolved.display)?;
    Ok(Planned {
        context,
        plan,
        schema,
        tables: resolved.tables.into_values().collect(),
    })
}

fn context() -> Result<SessionContext, ApiError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(2)
        .with_information_schema(false);
    // CURRENT_TIMESTAMP() is a TIMESTAMP, not a DATETIME.
    config.options_mut().execution.time_zone = Some("UTC".to_owned());
    let sql = &mut config.options_mut().sql_parser;
    sql.enable_ident_normalization = false;
    sql.map_string_types_to_utf8view = false;
    // NULLs are the smallest values.
    sql.default_null_ordering = "nulls_min".to_owned();
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_type_planner(Arc::new(BigQueryTypes))
        .build();
    let context = SessionContext::new_with_state(state);
    for udf in functions::udfs() {
        context.register_udf(udf.as_ref().clone());
    }
    let offsets =
        functions::udf("offsets").ok_or_else(|| ApiError::internal("no function for offsets"))?;
    context
        .register_relation_planner(Arc::new(UnnestPlanner { offsets }))
        .map_err(failure)?;
    Ok(context)
}

/// The schema of a result, with names as written.
fn result_schema(
    engine: &SchemaRef,
    display: &HashMap<String, String>,
) -> Result<Schema, ApiError> {
    let mut schema = Schema::of_arrow(engine);
    let mut seen = HashSet::new();
    for field in &mut schema.fields {
        show(field, display);
        if !seen.insert(field.name.to_lowercase()) {
            return Err(invalid(format!(
                "Duplicate column names in the result are not supported. Found duplicate(s): {}",
                field.name
            )));
        }
    }
    Ok(schema)
}

fn show(field: &mut Field, display: &HashMap<String, String>) {
    if let Some(name) = display.get(&field.name) {
        field.name.clone_from(name);
    }
    for field in &mut field.fields {
        show(field, display);
    }
}

impl Planned {
    /// As `run`, with the result's columns under other names, in order.
    pub async fn run_as(
        mut self,
        folder: &Path,
        names: &[String],
        schema: &Schema,
    ) -> Result<DataFile, ApiError> {
        let columns = self.plan.schema().columns().into_iter().zip(names);
        let columns: Vec<_> = columns
            .map(|(column, name)| Expr::Column(column).alias(name))
            .collect();
        self.plan = LogicalPlanBuilder::from(self.plan)
            .project(columns)
            .and_then(|plan| plan.build())
            .map_err(failure)?;
        self.run(folder, schema).await
    }

    /// Runs the query into a file of `folder`, in the form of `schema`.
    pub async fn run(self, folder: &Path, schema: &Schema) -> Result<DataFile, ApiError> {
        let mut part = Part::create(folder, schema.arrow())?;
        self.write_to(&mut part, schema).await?;
        Ok(part.finish()?)
    }

    /// Runs the query and adds its rows to `part`, in the form of `schema`.
    pub async fn write_to(self, part: &mut Part, schema: &Schema) -> Result<(), ApiError> {
        let arrow = schema.arrow();
        self.each(|batch| Ok(part.write(&conformed(&batch, schema, &arrow)?)?))
            .await
    }

    /// Runs the query and gives its rows to `take`, a batch at a time.
    pub async fn each(
        self,
        mut take: impl FnMut(RecordBatch) -> Result<(), ApiError> + Send,
    ) -> Result<(), ApiError> {
        let frame = DataFrame::new(self.context.state(), self.plan);
        let mut batches = frame.execute_stream().await.map_err(failure)?;
        while let Some(batch) = batches.next().await {
            take(batch.map_err(failure)?)?;
        }
        Ok(())
    }

    /// The engine's type of each column.
    pub fn arrow(&self) -> &SchemaRef {
        self.plan.schema().inner()
    }
}

/// A batch in the form of a table that it goes into.
pub fn conformed(
    batch: &RecordBatch,
    schema: &Schema,
    arrow: &SchemaRef,
) -> Result<RecordBatch, ApiError> {
    let batch = conform(batch, schema, arrow).map_err(|error| invalid(error.to_string()))?;
    match null_violation(&batch, schema) {
        Some(what) => Err(invalid(what)),
        None => Ok(batch),
    }
}

/// An error of the engine in BigQuery's words.
pub fn failure(error: DataFusionError) -> ApiError {
    let error = match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
            return failure(*inner);
        }
        DataFusionError::Shared(inner) => return invalid(message(&inner)),
        DataFusionError::Collection(mut all) if !all.is_empty() => {
            return failure(all.swap_remove(0));
        }
        other => other,
    };
    match &error {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                invalid(format!("Unrecognized name: {}", field.flat_name()))
            }
            SchemaError::AmbiguousReference { field } => {
                invalid(format!("Column name {} is ambiguous", field.name))
            }
            other => invalid(other.to_string()),
        },
        DataFusionError::NotImplemented(what) => not_served(what),
        DataFusionError::Internal(what) => not_served(what),
        _ => invalid(message(&error)),
    }
}

fn message(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let text = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Optimizer rule ",
    ]
    .iter()
    .fold(text.as_str(), |text, prefix| {
        text.strip_prefix(prefix).unwrap_or(text)
    });
    match text
        .strip_prefix("Invalid function '")
        .and_then(|rest| rest.split_once('\''))
    {
        Some((name, _)) => format!("Function not found: {name}"),
        None => text.to_owned(),
    }
}
