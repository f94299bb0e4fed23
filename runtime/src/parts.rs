//! Batches to zstd Parquet parts of bounded size.

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;

use crate::batch::{BatchBuilder, Stamp};
use crate::layout::touched::Touched;
use crate::options::Granularity;
use crate::schema::TableSchema;
use crate::value::Borrowed;

/// A batch is cut at so many rows or so many bytes of values.
const BATCH_ROWS: usize = 8 * 1024;
const BATCH_BYTES: usize = 512 << 10;
/// A row group under construction takes no more memory than this.
const ROW_GROUP_BYTES: usize = 8 << 20;
/// What zstd holds for each column grows with it.
const PAGE_BYTES: usize = 64 << 10;
/// Parts close near this size: it waits in memory while it is uploaded.
const PART_BYTES: usize = 8 << 20;

/// A finished Parquet file.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub bytes: bytes::Bytes,
    pub rows: u64,
    /// The partitions its rows are in, where that was asked for.
    pub touched: Option<Touched>,
}

/// The column a table is partitioned by.
pub type Watched = (String, Granularity);

/// Takes records, gives parts; the same records give the same parts.
pub struct PartWriter {
    schema: TableSchema,
    batch: BatchBuilder,
    open: Option<ArrowWriter<Vec<u8>>>,
    rows: u64,
    watched: Option<Watched>,
    touched: Option<Touched>,
}

/// Records that Arrow or Parquet would not take.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("cannot make a batch of the records")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("cannot write the records as Parquet")]
    Parquet(#[from] ParquetError),
}

impl PartWriter {
    pub fn new(schema: TableSchema, stamp: Stamp) -> PartWriter {
        let batch = BatchBuilder::new(&schema, stamp);
        PartWriter {
            schema,
            batch,
            open: None,
            rows: 0,
            watched: None,
            touched: None,
        }
    }

    /// The same, saying of each part which partitions of a column its rows are in.
    pub fn watching(mut self, column: Option<Watched>) -> PartWriter {
        self.watched = column;
        self
    }

    /// Adds a record; gives the part that is full with it.
    pub fn push(&mut self, record: &Borrowed<'_>) -> Result<Option<Part>, EncodeError> {
        self.batch.push(record);
        if self.batch.rows() < BATCH_ROWS && self.batch.bytes() < BATCH_BYTES {
            return Ok(None);
        }
        self.flush()?;
        let full = self
            .open
            .as_ref()
            .is_some_and(|open| open.bytes_written() + open.in_progress_size() >= PART_BYTES);
        if full { self.close() } else { Ok(None) }
    }

    /// The rows not yet in a part.
    pub fn finish(mut self) -> Result<Option<Part>, EncodeError> {
        if self.batch.rows() > 0 {
            self.flush()?;
        }
        self.close()
    }

    fn flush(&mut self) -> Result<(), EncodeError> {
        let batch = self.batch.finish()?;
        self.rows += batch.num_rows() as u64;
        if let Some((column, granularity)) = &self.watched
            && let Some(column) = batch.column_by_name(column)
        {
            let touched = self.touched.get_or_insert_default();
            touched.add(column.as_ref(), *granularity);
        }
        let open = match &mut self.open {
            Some(open) => open,
            empty => empty.insert(writer(&self.schema)?),
        };
        open.write(&batch)?;
        if open.memory_size() >= ROW_GROUP_BYTES {
            open.flush()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<Option<Part>, EncodeError> {
        let Some(open) = self.open.take() else {
            return Ok(None);
        };
        let bytes = open.into_inner()?.into();
        Ok(Some(Part {
            bytes,
            rows: std::mem::take(&mut self.rows),
            touched: self.touched.take(),
        }))
    }
}

/// What the end of a Parquet file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footer {
    Rows(u64),
    /// It takes so many bytes of the end to know.
    Needs(u64),
}

/// Reads the footer of a file of `size` bytes from its end.
pub fn footer(end: &bytes::Bytes, size: u64) -> Result<Footer, ParquetError> {
    let mut reader = ParquetMetaDataReader::new();
    match reader.try_parse_sized(end, size) {
        Ok(()) => {
            let rows = reader.finish()?.file_metadata().num_rows();
            Ok(Footer::Rows(u64::try_from(rows).unwrap_or_default()))
        }
        Err(ParquetError::NeedMoreData(needed)) => Ok(Footer::Needs(needed as u64)),
        Err(error) => Err(error),
    }
}

/// A part without rows: loaded with truncation it empties a table.
pub fn empty(schema: &TableSchema) -> Result<Part, EncodeError> {
    let bytes = writer(schema)?.into_inner()?.into();
    Ok(Part {
        bytes,
        rows: 0,
        touched: None,
    })
}

fn writer(schema: &TableSchema) -> Result<ArrowWriter<Vec<u8>>, ParquetError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        // Small pages: a table of hundreds of columns keeps one of each in memory.
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_created_by("xetl".to_owned())
        .build();
    ArrowWriter::try_new(Vec::new(), schema.arrow(), Some(properties))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::declared;
    use serde_json::json;

    #[test]
    fn a_footer_is_read_from_the_end_of_a_file() {
        let schema = declared::table_schema(&json!({"properties": {"id": {"type": "integer"}}}));
        let stamp = Stamp {
            run_id: "r".to_owned(),
            extracted_at: 1,
        };
        let mut writer = PartWriter::new(schema.unwrap(), stamp);
        for id in 0..3 {
            writer
                .push(&Borrowed::Object(vec![("id".into(), Borrowed::Int(id))]))
                .unwrap();
        }
        let part = writer.finish().unwrap().unwrap();
        let size = part.bytes.len() as u64;
        assert_eq!(footer(&part.bytes, size).unwrap(), Footer::Rows(3));
        let end = |length: u64| part.bytes.slice((size - length) as usize..);
        let Footer::Needs(needed) = footer(&end(8), size).unwrap() else {
            panic!("eight bytes are the footer's length alone");
        };
        assert_eq!(footer(&end(needed), size).unwrap(), Footer::Rows(3));
        assert!(footer(&bytes::Bytes::from_static(b"no Parquet at all"), 17).is_err());
    }
}
