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
    #[error("cannot write {}: {problem}", path.display())]
    Write {
        path: PathBuf,
        problem: std::io::Error,
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
        std::fs::create_dir_all(&folder).map_err(|problem| FolderError::Write {
            path: folder.clone(),
            problem,
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

    /// Writes what is left, takes away what an earlier read left behind it, and gives the
    /// number of rows.
    pub fn finish(mut self) -> Result<u64, FolderError> {
        if let Some(writer) = self.writer.take()
            && let Some(part) = writer.finish()?
        {
            self.save(&part)?;
        }
        self.clear_rest()?;
        Ok(self.rows)
    }

    fn part(&self, number: usize) -> PathBuf {
        self.folder.join(format!("part-{number}.parquet"))
    }

    /// The parts of a longer read would be taken for rows of this one.
    fn clear_rest(&self) -> Result<(), FolderError> {
        let rest = (self.parts..).map(|number| self.part(number));
        for path in rest.take_while(|path| path.exists()) {
            std::fs::remove_file(&path).map_err(|problem| FolderError::Write { path, problem })?;
        }
        Ok(())
    }

    fn schema(&self, page: &Page) -> TableSchema {
        self.declared
            .clone()
            .unwrap_or_else(|| inferred::table_schema(page.records.values().iter()))
    }

    fn save(&mut self, part: &Part) -> Result<(), FolderError> {
        let path = self.part(self.parts);
        replace(&path, &part.bytes).map_err(|problem| FolderError::Write { path, problem })?;
        self.parts += 1;
        self.rows += part.rows;
        Ok(())
    }
}

/// A disk that is full leaves what was there, and no half of a part.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let next = path.with_extension("parquet.new");
    let written = std::fs::write(&next, bytes).and_then(|()| std::fs::rename(&next, path));
    if written.is_err() {
        // The disk is full or gone; what cannot be removed is not taken for a part.
        let _ = std::fs::remove_file(&next);
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::Value;

    fn info() -> StreamInfo {
        StreamInfo {
            name: "things".to_owned(),
            primary_key: Vec::new(),
            cursor_field: None,
            schema: json!({"properties": {"id": {"type": "integer"}}}),
            types: json!({}),
            mode: None,
        }
    }

    fn folder(dir: &Path) -> StreamFolder {
        let stamp = Stamp {
            run_id: "r".to_owned(),
            extracted_at: 0,
        };
        StreamFolder::create(dir, &info(), stamp).unwrap()
    }

    fn page() -> Page {
        let record = Value::Object(vec![("id".into(), Value::Int(1))].into_iter().collect());
        Page {
            records: vec![record].into(),
            ..Page::default()
        }
    }

    #[test]
    fn a_read_leaves_nothing_of_a_longer_one_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("things");
        std::fs::create_dir(&there).unwrap();
        for number in 0..3 {
            std::fs::write(there.join(format!("part-{number}.parquet")), "old").unwrap();
        }
        let mut folder = folder(dir.path());
        folder.write(&page()).unwrap();
        assert_eq!(folder.finish().unwrap(), 1);
        let left: Vec<_> = std::fs::read_dir(&there).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_ne!(std::fs::read(there.join("part-0.parquet")).unwrap(), b"old");
    }

    #[test]
    fn what_cannot_be_written_is_named_with_the_reason_and_leaves_no_half() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = folder(dir.path());
        // A folder stands where the part would be written first.
        let next = dir.path().join("things/part-0.parquet.new");
        std::fs::create_dir(&next).unwrap();
        folder.write(&page()).unwrap();
        let error = folder.finish().unwrap_err().to_string();
        assert!(error.contains("part-0.parquet: "), "{error}");
        assert!(!dir.path().join("things/part-0.parquet").exists());
    }
}
