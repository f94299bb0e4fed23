//! What a pipeline keeps in its bucket between runs and between attempts.
//!
//! Documents and their names; how they are read and written. What to do about them
//! is decided in `commit`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::google::ApiError;
use crate::google::storage::{Bucket, Precondition};
use crate::layout::TableLayout;
use crate::layout::touched::Touched;
use crate::options::{Mode, Target};
use crate::range::Range;
use crate::raw::RawFile;
use crate::raw::choice::Origin;
use crate::schema::TableSchema;
use crate::store::DatabaseError;
use crate::stream::{Slice, SliceDone};

/// The names of a pipeline's objects.
#[derive(Debug, Clone)]
pub struct Layout {
    pub pipeline: String,
}

/// What stays as it is in an object's name; `*` would be a wildcard to BigQuery.
const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

impl Layout {
    pub fn part(&self, stream: &str, run: &str, slice: usize, number: usize) -> String {
        format!("{}part-{slice}-{number}.parquet", self.of_run(stream, run))
    }

    /// A file without rows, for a stream that had none.
    pub fn empty_part(&self, stream: &str, run: &str) -> String {
        format!("{}part-empty.parquet", self.of_run(stream, run))
    }

    /// Pages as they came.
    pub fn raw(&self, stream: &str, run: &str, slice: usize, number: usize) -> String {
        let runs = self.raw_runs(stream);
        format!("{runs}{run}/slice-{slice}-{number}.pages.zst")
    }

    /// What the names of all kept pages of a stream begin with, up to the run.
    pub fn raw_runs(&self, stream: &str) -> String {
        format!("{}/{}/raw/run=", self.pipeline, safe(stream))
    }

    pub fn slice(&self, stream: &str, run: &str, slice: usize) -> String {
        format!("{}{slice}.json", self.slices(stream, run))
    }

    /// What the names of all finished slices begin with.
    pub fn slices(&self, stream: &str, run: &str) -> String {
        format!("{}slice-", self.of_run(stream, run))
    }

    pub fn plan(&self, stream: &str, run: &str) -> String {
        format!("{}plan.json", self.of_run(stream, run))
    }

    pub fn schema(&self, stream: &str, run: &str) -> String {
        format!("{}schema.json", self.of_run(stream, run))
    }

    pub fn state(&self, stream: &str) -> String {
        format!("{}/state/{}.json", self.pipeline, safe(stream))
    }

    pub fn pending(&self, stream: &str) -> String {
        format!("{}/pending/{}.json", self.pipeline, safe(stream))
    }

    pub fn lease(&self) -> String {
        format!("{}/lease.json", self.pipeline)
    }

    pub fn summary(&self, run: &str) -> String {
        format!("{}/runs/{run}.json", self.pipeline)
    }

    fn of_run(&self, stream: &str, run: &str) -> String {
        format!("{}/{}/run={run}/", self.pipeline, safe(stream))
    }
}

fn safe(name: &str) -> String {
    utf8_percent_encode(name, UNSAFE).to_string()
}

/// How far a stream is: what the next run starts from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Form of this document; 1.
    pub version: u32,
    pub stream: String,
    /// The run that wrote it.
    pub run: String,
    /// The commit that wrote it, to know a pending one as done.
    pub commit: String,
    /// The slices of that run that are in the table.
    pub slices: Vec<usize>,
    /// Whether those are all of the run's slices.
    pub complete: bool,
    /// The stream's state in Airbyte's form.
    pub state: Json,
    /// The columns rows were loaded with.
    pub schema: Option<TableSchema>,
    /// When the run that wrote it began to read.
    pub extracted_at: String,
}

/// What a run reads of a stream: fixed once, so that a retry reads the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub run: String,
    pub mode: Mode,
    /// When the run began to read this stream, in microseconds since 1970.
    pub extracted_at: i64,
    /// The state the slices come from.
    pub state: Json,
    /// Generation of the checkpoint that had it; 0 for none.
    pub replaces: i64,
    /// Whether all of it is read anew, and stands for what is in the table.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh: bool,
    /// The range of time that was asked for; the state stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// Where each slice comes from, if kept pages are loaded again; the state stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replay: Vec<Origin>,
    pub slices: Vec<Slice>,
}

impl Plan {
    /// Whether what it reads says nothing of how far the stream is.
    pub fn keeps_state(&self) -> bool {
        self.range.is_some() || !self.replay.is_empty()
    }
}

/// A slice read to its end, with all its rows in the bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceManifest {
    /// Its place in the plan.
    pub slice: usize,
    pub done: SliceDone,
    pub rows: u64,
    pub pages: u64,
    pub parts: Vec<PartFile>,
    /// The partitions its rows are in, where a merge wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Touched>,
    /// Where its pages are kept as they came, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Vec<RawFile>>,
}

impl SliceManifest {
    /// The size of its rows as Parquet.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// One Parquet file of a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartFile {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub generation: i64,
}

/// A commit that has begun: written before its load is submitted, so that whoever
/// comes next finishes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Form of this document; 1.
    pub version: u32,
    /// Begins the ids of its load jobs.
    pub commit: String,
    pub mode: Mode,
    #[serde(default)]
    pub target: Target,
    pub table: String,
    /// How the table is kept.
    #[serde(default)]
    pub layout: TableLayout,
    /// For a merge: where its rows wait, and what brings them into the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Staged>,
    /// Instead of files: the table that BigQuery gathered the rows in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gathered: Option<String>,
    /// The files of the load, or all files an external table is to show.
    pub uris: Vec<String>,
    /// The rows that this commit brings.
    pub rows: u64,
    /// Their size as Parquet.
    #[serde(default)]
    pub bytes: u64,
    /// Generation of the checkpoint it replaces; 0 for none.
    pub replaces: i64,
    /// The columns the table had when it was last loaded, to notice their loss.
    pub loaded_before: Option<TableSchema>,
    /// The checkpoint once the rows are in the table.
    pub next: Checkpoint,
}

/// The middle of a merge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    /// The table the rows are loaded into first.
    pub table: String,
    pub statement: String,
}

/// A document and its version in the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    pub value: T,
    pub generation: i64,
}

/// A document that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{uri} is not what xetl writes there: {problem}; repair or delete it")]
    Damaged { uri: String, problem: String },
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(
        "the address of the state database {0}. Mend `state.url` in the client file or xetl.yaml"
    )]
    Address(String),
    #[error(
        "the checkpoint of stream `{stream}` is kept in {to} since {uri} was handed over to it. \
         Set `state` back to it; docs/state.md says how to move it"
    )]
    Moved {
        stream: String,
        to: String,
        uri: String,
    },
    #[error(
        "stream `{stream}` has a checkpoint at {bucket} and one {database}. \
         Delete the one that is behind"
    )]
    TwoCheckpoints {
        stream: String,
        bucket: String,
        database: String,
    },
}

/// Reads a document; `None` if there is none.
pub async fn read<T: DeserializeOwned>(
    bucket: &Bucket,
    name: &str,
) -> Result<Option<Stored<T>>, StoreError> {
    let Some(object) = bucket.get(name).await? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&object.bytes).map_err(|error| StoreError::Damaged {
        uri: bucket.uri(name),
        problem: error.to_string(),
    })?;
    Ok(Some(Stored {
        value,
        generation: object.generation,
    }))
}

/// Writes a document if the precondition holds; `None` if another was faster.
pub async fn write<T: Serialize>(
    bucket: &Bucket,
    name: &str,
    value: &T,
    precondition: Precondition,
) -> Result<Option<i64>, StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Damaged {
        uri: bucket.uri(name),
        problem: error.to_string(),
    })?;
    match bucket
        .put(name, "application/json", bytes.into(), precondition)
        .await
    {
        Ok(generation) => Ok(Some(generation)),
        Err(error) if error.is_lost_race() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes a document where there is none yet, and gives the one that is there then.
pub async fn settle<T: Serialize + DeserializeOwned>(
    bucket: &Bucket,
    name: &str,
    value: T,
) -> Result<T, StoreError> {
    if write(bucket, name, &value, Precondition::Absent)
        .await?
        .is_some()
    {
        return Ok(value);
    }
    Ok(read(bucket, name)
        .await?
        .map_or(value, |stored| stored.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_names_of_the_contract() {
        let layout = Layout {
            pipeline: "xero".into(),
        };
        assert_eq!(
            layout.part("invoices", "r1", 0, 2),
            "xero/invoices/run=r1/part-0-2.parquet"
        );
        assert_eq!(
            layout.slice("invoices", "r1", 0),
            "xero/invoices/run=r1/slice-0.json"
        );
        assert_eq!(layout.state("invoices"), "xero/state/invoices.json");
    }

    #[test]
    fn a_streams_name_cannot_leave_its_folder() {
        let layout = Layout {
            pipeline: "p".into(),
        };
        assert_eq!(layout.state("../a*b"), "p/state/..%2Fa%2Ab.json");
    }
}
