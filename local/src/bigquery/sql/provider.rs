//! Parquet files as a table of DataFusion.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Int64Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, plan_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use crate::bigquery::files::Source;
use crate::bigquery::layout::{Partitioning, requires_filter};
use crate::bigquery::schema::{Field, Mode, Schema, Type};
use crate::bigquery::table::{DataFile, Table};

/// The column of a numbered table that tells a row's place in it.
pub const ROW: &str = "$row";

/// One file of a table, and the number of the first of its rows.
#[derive(Debug, Clone)]
struct Numbered {
    path: PathBuf,
    first: u64,
}

/// A table's files under its schema, with lower-case names.
#[derive(Debug)]
pub struct ParquetTable {
    schema: Schema,
    arrow: SchemaRef,
    files: Vec<Numbered>,
    filter: Option<RequiredFilter>,
}

/// A table that is read only with a filter on its partitions.
#[derive(Debug, Clone)]
struct RequiredFilter {
    table: String,
    column: String,
}

impl RequiredFilter {
    fn of(table: &Table) -> Option<RequiredFilter> {
        let by = Partitioning::of(&table.settings).ok()??;
        requires_filter(&table.settings).then(|| RequiredFilter {
            table: table.reference.to_string().replacen(':', ".", 1),
            column: by.field().unwrap_or("_PARTITIONTIME").to_owned(),
        })
    }

    fn check(&self, filters: &[Expr]) -> Result<()> {
        let about = |filter: &Expr| {
            let columns = filter.column_refs();
            columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(&self.column))
        };
        if filters.iter().any(about) {
            return Ok(());
        }
        plan_err!(
            "Cannot query over table '{}' without a filter over column(s) '{}' that can be used for partition elimination",
            self.table,
            self.column
        )
    }
}

impl ParquetTable {
    pub fn new(schema: &Schema, files: Vec<PathBuf>) -> ParquetTable {
        let schema = Schema {
            fields: lower(&schema.fields),
        };
        let files = files.into_iter().map(|path| Numbered { path, first: 0 });
        ParquetTable {
            arrow: schema.arrow(),
            schema,
            files: files.collect(),
            filter: None,
        }
    }

    /// Asks of queries what `table` does.
    pub fn asking(mut self, table: &Table) -> ParquetTable {
        self.filter = RequiredFilter::of(table);
        self
    }

    /// A table whose last column is [`ROW`].
    pub fn numbered(schema: &Schema, folder: &Path, files: &[DataFile]) -> ParquetTable {
        let mut table = ParquetTable::new(schema, Vec::new());
        table.schema.fields.push(row_field());
        table.arrow = table.schema.arrow();
        let mut first = 0;
        for file in files {
            let path = folder.join(&file.name);
            table.files.push(Numbered { path, first });
            first += file.rows;
        }
        table
    }
}

fn row_field() -> Field {
    Field::new(ROW, Type::Integer, Mode::Nullable)
}

fn lower(fields: &[Field]) -> Vec<Field> {
    let lowered = fields.iter().map(|field| Field {
        name: field.name.to_lowercase(),
        fields: lower(&field.fields),
        ..field.clone()
    });
    lowered.collect()
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let told = match self.filter {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![told; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(filter) = &self.filter {
            filter.check(filters)?;
        }
        let fields = match projection {
            Some(columns) => columns
                .iter()
                .map(|index| self.schema.fields[*index].clone())
                .collect(),
            None => self.schema.fields.clone(),
        };
        let schema = Schema { fields };
        let arrow = schema.arrow();
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(arrow)));
        }
        let partitions = self.files.iter().map(|file| {
            Arc::new(FileStream {
                file: file.clone(),
                schema: schema.clone(),
                arrow: Arc::clone(&arrow),
            }) as Arc<dyn PartitionStream>
        });
        let scan = StreamingTableExec::try_new(
            Arc::clone(&arrow),
            partitions.collect(),
            None,
            [],
            false,
            limit,
        )?;
        Ok(Arc::new(scan))
    }
}

#[derive(Debug)]
struct FileStream {
    file: Numbered,
    schema: Schema,
    arrow: SchemaRef,
}

impl PartitionStream for FileStream {
    fn schema(&self) -> &SchemaRef {
        &self.arrow
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.arrow), 2);
        let sender = stream.tx();
        let (file, schema, arrow) = (
            self.file.clone(),
            self.schema.clone(),
            Arc::clone(&self.arrow),
        );
        stream.spawn_blocking(move || {
            let mut next = file.first;
            for batch in Source::open(&file.path)?.batches(&stored(&schema))? {
                let batch = batch
                    .map_err(DataFusionError::from)
                    .and_then(|batch| with_numbers(&batch, &schema, &arrow, &mut next));
                // Nobody listens any more once a LIMIT is met.
                if sender.blocking_send(batch).is_err() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}

/// The columns that are in files.
fn stored(schema: &Schema) -> Schema {
    let fields = schema.fields.iter().filter(|field| field.name != ROW);
    Schema {
        fields: fields.cloned().collect(),
    }
}

/// Puts the rows' numbers where `schema` wants them.
fn with_numbers(
    batch: &RecordBatch,
    schema: &Schema,
    arrow: &SchemaRef,
    next: &mut u64,
) -> Result<RecordBatch> {
    let first = *next;
    *next += batch.num_rows() as u64;
    let Some(at) = schema.fields.iter().position(|field| field.name == ROW) else {
        return Ok(batch.clone());
    };
    let numbers = (first..*next).map(|number| number as i64);
    let mut columns = batch.columns().to_vec();
    columns.insert(at, Arc::new(Int64Array::from_iter_values(numbers)));
    Ok(RecordBatch::try_new(Arc::clone(arrow), columns)?)
}
