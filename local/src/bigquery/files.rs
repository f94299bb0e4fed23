//! The Parquet files of tables: written once, read many times, swept when no
//! table knows them any more.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::TypePtr;

use super::BigQuery;
use super::conform::conform;
use super::resource::now_ms;
use super::schema::Schema;
use super::table::DataFile;

/// Results of queries are kept as tables of a dataset that has no document.
pub const RESULTS: &str = "_xetl_results";
const RESULTS_LIVE_MS: i64 = 24 * 3600 * 1000;

/// A data file being written; dropped unfinished it is removed.
pub struct Part {
    path: PathBuf,
    name: String,
    rows: u64,
    writer: Option<ArrowWriter<File>>,
}

impl Part {
    pub fn create(folder: &Path, schema: SchemaRef) -> io::Result<Part> {
        let name = format!("{}.parquet", uuid::Uuid::new_v4());
        let path = folder.join(&name);
        let level = ZstdLevel::try_new(1).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .build();
        let writer = ArrowWriter::try_new(File::create(&path)?, schema, Some(properties))
            .map_err(io::Error::other)?;
        Ok(Part {
            path,
            name,
            rows: 0,
            writer: Some(writer),
        })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.rows += batch.num_rows() as u64;
        match &mut self.writer {
            Some(writer) => writer.write(batch).map_err(io::Error::other),
            None => Err(io::Error::other("the part is closed")),
        }
    }

    /// Closes the file; it stays, whether or not a table ever names it.
    pub fn finish(mut self) -> io::Result<DataFile> {
        if let Some(writer) = self.writer.take() {
            let file = writer.into_inner().map_err(io::Error::other)?;
            file.sync_data()?;
        }
        let bytes = fs::metadata(&self.path)?.len();
        Ok(DataFile {
            name: std::mem::take(&mut self.name),
            rows: self.rows,
            bytes,
            arrived: None,
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A Parquet file opened for reading.
pub struct Source {
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl Source {
    pub fn open(path: &Path) -> io::Result<Source> {
        // Arrow's own schema in the metadata means nothing to BigQuery.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let file = File::open(path)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(io::Error::other)?;
        Ok(Source { builder })
    }

    pub fn root(&self) -> TypePtr {
        self.builder.parquet_schema().root_schema_ptr()
    }

    /// Batches with exactly the columns of `schema`, reading only those.
    pub fn batches(self, schema: &Schema) -> io::Result<Batches> {
        let names = self.builder.schema().fields().iter().enumerate();
        let wanted: Vec<usize> = names
            .filter(|(_, have)| schema.field(have.name()).is_some())
            .map(|(index, _)| index)
            .collect();
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), wanted);
        let reader = self
            .builder
            .with_projection(mask)
            .with_batch_size(8192)
            .build()
            .map_err(io::Error::other)?;
        Ok(Batches {
            reader,
            arrow: schema.arrow(),
            schema: schema.clone(),
        })
    }
}

pub struct Batches {
    reader: ParquetRecordBatchReader,
    schema: Schema,
    arrow: SchemaRef,
}

impl Iterator for Batches {
    type Item = io::Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(
            batch
                .and_then(|batch| conform(&batch, &self.schema, &self.arrow))
                .map_err(io::Error::other),
        )
    }
}

/// A file with just the rows that `keep` says; itself if these are all, `None` if there are none.
pub fn sieve<E: From<io::Error>>(
    folder: &Path,
    file: &DataFile,
    schema: &Schema,
    mut keep: impl FnMut(&RecordBatch) -> Result<BooleanArray, E>,
) -> Result<Option<DataFile>, E> {
    let mut part = Part::create(folder, schema.arrow())?;
    for batch in Source::open(&folder.join(&file.name))?.batches(schema)? {
        let batch = batch?;
        let kept = filter_record_batch(&batch, &keep(&batch)?).map_err(io::Error::other)?;
        part.write(&kept)?;
    }
    Ok(match part.rows {
        0 => None,
        rows if rows == file.rows => Some(file.clone()),
        _ => Some(DataFile {
            arrived: file.arrived,
            ..part.finish()?
        }),
    })
}

/// Removes old results and the files no table names: leftovers of jobs cut off.
pub fn sweep(service: &BigQuery) -> io::Result<()> {
    let mut named = HashSet::new();
    for (key, table) in service.tables.list("") {
        let old = table.reference.dataset == RESULTS && table.created + RESULTS_LIVE_MS < now_ms();
        if old {
            service.tables.remove(&key)?;
        } else {
            named.extend(table.files.into_iter().map(|file| file.name));
        }
    }
    for entry in fs::read_dir(&service.data)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_str()
            .is_none_or(|name| !named.contains(name))
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Field, Mode, Type};
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn a_part_that_is_not_finished_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let schema = Schema {
            fields: vec![Field::new("n", Type::Integer, Mode::Nullable)],
        };
        drop(Part::create(folder.path(), schema.arrow()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_written_is_read_back_under_a_wider_schema() {
        let folder = tempfile::tempdir().unwrap();
        let narrow = Schema {
            fields: vec![Field::new("n", Type::Integer, Mode::Nullable)],
        };
        let mut part = Part::create(folder.path(), narrow.arrow()).unwrap();
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        part.write(&RecordBatch::try_new(narrow.arrow(), vec![column]).unwrap())
            .unwrap();
        let file = part.finish().unwrap();

        let wide = Schema {
            fields: vec![
                Field::new("n", Type::Numeric, Mode::Nullable),
                Field::new("s", Type::String, Mode::Nullable),
            ],
        };
        let batches = Source::open(&folder.path().join(&file.name))
            .unwrap()
            .batches(&wide)
            .unwrap();
        let rows: usize = batches.map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!((rows, file.rows), (2, 2));
    }
}
