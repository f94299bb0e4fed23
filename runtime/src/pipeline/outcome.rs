//! How a stream's part in a run ended, and how that is told.

use serde::Serialize;

use super::commit::MOST_FILES;
use crate::fetch::FetchError;
use crate::load::CommitError;
use crate::options::{Mode, OptionError};
use crate::raw::choice::ReplayError;
use crate::state::{SliceManifest, StoreError};
use crate::stream::{SourceError, Usage};

/// What a run did with a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamSummary {
    pub stream: String,
    pub outcome: Outcome,
    pub mode: Mode,
    /// Rows that this run brought into the table.
    pub rows: u64,
    /// Their size as Parquet.
    pub bytes: u64,
    pub pages: u64,
    pub slices: usize,
    /// Asked of the source for its pages, and the bytes of the replies.
    pub requests: u64,
    pub received: u64,
    pub retries: u64,
    /// For the source's limits, and before retries.
    pub waited_seconds: f64,
    /// What this task has settled to change of the table's columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schema_changes: Vec<String>,
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The stream's state before the run read, and after it.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub state_before: serde_json::Value,
    pub state: serde_json::Value,
}

/// How a stream's part in a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All of it is in the table.
    Loaded,
    /// This task's slices are done; another task commits the stream.
    Shared,
    /// A limit of the source outlasts the run; what was read to its end is kept.
    Parked,
    /// The run was told to stop; what was read to its end is kept.
    Stopped,
    Failed,
}

impl StreamSummary {
    /// What asking has cost between two looks.
    pub(super) fn cost(&mut self, before: &Usage, after: &Usage) {
        self.requests = after.requests - before.requests;
        self.received = after.received - before.received;
        self.retries = after.retries - before.retries;
        self.waited_seconds = (after.waited - before.waited).as_secs_f64();
    }

    pub(super) fn count(&mut self, slices: &[&SliceManifest]) {
        for slice in slices {
            self.rows += slice.rows;
            self.pages += slice.pages;
            self.bytes += slice.bytes();
        }
    }
}

/// Why a stream is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(
        "run {by} has loaded this stream since this run planned what to read. \
         Start a new execution; nothing is lost"
    )]
    Overtaken { by: String },
    #[error(
        "a range would replace the table by a part of it, as the stream is loaded with mode \
         `overwrite`; give it `mode: merge` or `append` in the client file"
    )]
    RangeReplaces,
    #[error(
        "{uri} has other rows than were written to it: {found} instead of {expected}; the state was not moved"
    )]
    Altered {
        uri: String,
        expected: u64,
        found: String,
    },
    #[error("{files} files are too many for one load, which takes {MOST_FILES}")]
    TooManyFiles { files: usize },
    #[error(
        "{files} files are too many for an external table, which shows {MOST_FILES} at most; \
         run with --full-refresh, which writes them anew, or take `load: table`"
    )]
    TooManyShown { files: usize },
}

impl StreamError {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            StreamError::Fetch(FetchError::Stopped) => Outcome::Stopped,
            StreamError::Fetch(FetchError::Source(SourceError::Parked { .. })) => Outcome::Parked,
            _ => Outcome::Failed,
        }
    }
}

pub(super) fn report(summary: &StreamSummary, task: usize) {
    let StreamSummary {
        stream,
        rows,
        bytes,
        pages,
        requests,
        seconds,
        ..
    } = summary;
    match &summary.error {
        None => tracing::info!(
            stream,
            task,
            rows,
            bytes,
            pages,
            requests,
            seconds,
            "stream done"
        ),
        Some(error) if summary.outcome == Outcome::Failed => {
            tracing::error!(
                stream,
                task,
                rows,
                bytes,
                pages,
                requests,
                seconds,
                error,
                "stream failed"
            );
        }
        Some(error) => tracing::warn!(
            stream,
            task,
            rows,
            bytes,
            pages,
            seconds,
            error,
            "stream not finished"
        ),
    }
}

/// An error with its causes, in one line.
pub fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
