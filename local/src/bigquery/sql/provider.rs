//! Parquet files as a table of DataFusion.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use crate::bigquery::files::Source;
use crate::bigquery::schema::{Field, Schema};

/// A table's files under its schema, with lower-case names.
#[derive(Debug)]
pub struct ParquetTable {
    schema: Schema,
    arrow: SchemaRef,
    files: Vec<PathBuf>,
}

impl ParquetTable {
    pub fn new(schema: &Schema, files: Vec<PathBuf>) -> ParquetTable {
        let schema = Schema {
            fields: lower(&schema.fields),
        };
        ParquetTable {
            arrow: schema.arrow(),
            schema,
            files,
        }
    }
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

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
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
        let partitions = self.files.iter().map(|path| {
            Arc::new(FileStream {
                path: path.clone(),
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
    path: PathBuf,
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
        let (path, schema) = (self.path.clone(), self.schema.clone());
        stream.spawn_blocking(move || {
            for batch in Source::open(&path)?.batches(&schema)? {
                // Nobody listens any more once a LIMIT is met.
                if sender
                    .blocking_send(batch.map_err(DataFusionError::from))
                    .is_err()
                {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}
