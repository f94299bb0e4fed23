//! Streams as Parquet files in a folder: the same parts a run loads, without a cloud.

use std::path::{Path, PathBuf};

use crate::batch::Stamp;
use crate::parts::{EncodeError, Part, PartWriter};
use crate::schema::{TableSchema, declared, inferred};
use crate::stream::{Page, StreamInfo};

/// Writes a stream's pages to `DIR/<stream>/part-<n>.parquet`.
pub struct StreamFolder {
    folder: PathBuf,
    declared: Option<TableSchema>,
    stamp: Stamp,
    writer: Option<PartWriter>,
    parts: usize,
    rows: u64,
}

/// A folder that cannot be written to, or records that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl StreamFolder {
    /// Without a schema of its own, the stream's first records give the columns.
    pub fn create(
        dir: &Path,
        info: &StreamInfo,
        stamp: Stamp,
    ) -> Result<StreamFolder, FolderError> {
        let folder = dir.join(info.name.replace(['/', '\\'], "_"));
        std::fs::create_dir_all(&folder).map_err(|source| FolderError::Write {
            path: folder.clone(),
            source,
        })?;
        let declared = declared::table_schema(&info.schema);
        Ok(StreamFolder {
            folder,
            declared,
            stamp,
            writer: None,
            parts: 0,
            rows: 0,
        })
    }

    pub fn write(&mut self, page: &Page) -> Result<(), FolderError> {
        if page.records.is_empty() {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => PartWriter::new(self.schema(page), self.stamp.clone()),
        };
        page.records.each(|record| match writer.push(record)? {
            Some(part) => self.save(&part),
            None => Ok(()),
        })?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Writes what is left and gives the number of rows.
    pub fn finish(mut self) -> Result<u64, FolderError> {
        if let Some(writer) = self.writer.take()
            && let Some(part) = writer.finish()?
        {
            self.save(&part)?;
        }
        Ok(self.rows)
    }

    fn schema(&self, page: &Page) -> TableSchema {
        self.declared
            .clone()
            .unwrap_or_else(|| inferred::table_schema(page.records.values().iter()))
    }

    fn save(&mut self, part: &Part) -> Result<(), FolderError> {
        let path = self.folder.join(format!("part-{}.parquet", self.parts));
        std::fs::write(&path, &part.bytes).map_err(|source| FolderError::Write { path, source })?;
        self.parts += 1;
        self.rows += part.rows;
        Ok(())
    }
}
