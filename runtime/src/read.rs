//! `read` and `check`: a source tried by hand, its records on stdout or in a folder.
//!
//! Config, state and rotated secrets are files; a cloud is met only where a source's config names a bucket.

mod files;
mod writer;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::folder::FolderError;
use crate::opening::{self, Around};
use crate::range::{RangeArgs, RangeError};
use crate::source;
use crate::stream::{Slice, SliceDone, Source, SourceError, State, Stream};
use crate::turns::Turns;
pub use files::FileError;
pub use files::{ConfigFile, States, read_states};
use files::{read_manifest, write_states};
use futures::{StreamExt, TryStreamExt, stream};
use writer::{Sink, Writer};

/// Streams at once; the source's own limits hold below this.
const CONCURRENT_STREAMS: usize = 8;

/// Read a source's records, without loading them
#[derive(Debug, Clone, clap::Args)]
pub struct ReadArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// State of an earlier read: a list of stream states as Airbyte writes it
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Where to write the state after this read
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    /// Read only this stream (may be given again)
    #[arg(long = "stream", value_name = "STREAM")]
    streams: Vec<String>,
    #[command(flatten)]
    range: RangeArgs,
    /// Read what can be read where some streams cannot run
    #[arg(long)]
    skip_unsupported: bool,
    /// jsonl (records on stdout) or parquet:DIR
    #[arg(long, default_value = "jsonl", value_parser = output)]
    output: Output,
}

/// Try a source's config and credentials
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct SourceArgs {
    /// Manifest of the source, YAML or JSON
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// Config of the source, JSON or YAML; a rotated refresh token is written back to it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
enum Output {
    Jsonl,
    Parquet(PathBuf),
}

fn output(text: &str) -> Result<Output, String> {
    match (text, text.strip_prefix("parquet:")) {
        ("jsonl", _) => Ok(Output::Jsonl),
        (_, Some(folder)) if !folder.is_empty() => Ok(Output::Parquet(folder.into())),
        _ => Err("expected jsonl or parquet:DIR".to_owned()),
    }
}

/// Why a source could not be read or checked.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{manifest}: {problem}")]
    Manifest { manifest: String, problem: String },
    #[error("{} of {all} streams failed: {}", failed.len(), failed.join(", "))]
    Streams { failed: Vec<String>, all: usize },
    #[error("parked: the source's limit outlasts this read; it opens again in {seconds}s")]
    Parked { seconds: u64 },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error("cannot write records: {0}")]
    Write(#[from] std::io::Error),
    #[error("the writer of stream `{stream}` broke down: {problem}")]
    Broken { stream: String, problem: String },
}

impl ReadError {
    /// Whether other slices of the stream may still be read.
    fn is_of_one_slice(&self) -> bool {
        match self {
            ReadError::Source(SourceError::Parked { .. }) => false,
            ReadError::Source(_) => true,
            _ => false,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            ReadError::File(_) | ReadError::Range(_) | ReadError::Manifest { .. } => 2,
            ReadError::Source(SourceError::CannotRun { .. }) => 2,
            ReadError::Parked { .. } | ReadError::Source(SourceError::Parked { .. }) => 75,
            _ => 1,
        }
    }
}

/// Reads streams until they end; what other streams read is kept when one fails.
pub async fn run(args: &ReadArgs) -> Result<(), ReadError> {
    let wanted = source::Wanted {
        skip_unsupported: args.skip_unsupported,
        range: args.range.range(jiff::Timestamp::now())?,
        ..source::Wanted::named(&args.streams)
    };
    let source = open(&args.source, &wanted).await?;
    let streams: Vec<&dyn Stream> = source.streams().iter().map(AsRef::as_ref).collect();
    let turns = Turns::default();
    let states = match &args.state {
        Some(path) => read_states(path)?,
        None => Default::default(),
    };
    let sink = Sink::new(&args.output);
    let all = streams.len();
    let read = stream::iter(streams)
        .map(|stream| async {
            let name = stream.info().name.clone();
            let _turn = turns.take(source.group(&name)).await;
            let known = states.get(&name).cloned().unwrap_or(State::Null);
            let (after, result) = match wanted.range {
                // A range is read from no state, and leaves that there is.
                Some(_) => (known, read_stream(stream, &State::Null, &sink).await.1),
                None => read_stream(stream, &known, &sink).await,
            };
            (name, after, result)
        })
        .buffered(CONCURRENT_STREAMS);
    let finished: Vec<_> = read.collect().await;
    if let Some(path) = &args.state_out {
        let mut after = states.clone();
        let moved = finished
            .iter()
            .map(|(name, state, _)| (name.clone(), state.clone()));
        after.extend(moved.filter(|(_, state)| !state.is_null()));
        write_states(path, &after)?;
    }
    outcome(finished, all)
}

/// Reads as little as shows that config and credentials work; one line on stdout says so.
pub async fn check(args: &CheckArgs) -> Result<(), ReadError> {
    let result = match open(&args.source, &source::Wanted::nothing()).await {
        Ok(source) => source.check().await.map_err(ReadError::from),
        Err(error) => Err(error),
    };
    let report = match &result {
        Ok(()) => serde_json::json!({"status": "SUCCEEDED"}),
        Err(error) => serde_json::json!({"status": "FAILED", "message": error.to_string()}),
    };
    writeln!(std::io::stdout().lock(), "{report}")?;
    result
}

async fn open(args: &SourceArgs, wanted: &source::Wanted) -> Result<Box<dyn Source>, ReadError> {
    let manifest = read_manifest(&args.source)?;
    let (config, file) = ConfigFile::open(&args.config)?;
    let around = Around::by_hand(Arc::new(file));
    let opened = opening::open(&manifest, config, around, wanted, None).await;
    opened.map_err(|error| match error {
        SourceError::Config { .. }
        | SourceError::CannotRun { .. }
        | SourceError::UnknownStream { .. } => ReadError::Manifest {
            manifest: args.source.display().to_string(),
            problem: format!("{error}{}", files::places(&args.source)),
        },
        other => ReadError::Source(other),
    })
}

/// The state after the slices that were read to their end, and how the reading ended.
async fn read_stream(
    stream: &dyn Stream,
    state: &State,
    sink: &Sink,
) -> (State, Result<(), ReadError>) {
    let mut done = Done::of(stream);
    let writer = match sink.writer(stream.info()) {
        Ok(writer) => writer,
        Err(error) => return (state.clone(), Err(error)),
    };
    let result = read_slices(stream, state, &writer, &mut done).await;
    match writer.finish().await {
        Ok(()) => (stream.state_after(state, &done.slices), result),
        // What was read may not be where it should be.
        Err(error) => (state.clone(), Err(error)),
    }
}

/// More slices than this are condensed.
const MANY: usize = 1000;

/// The slices that are done, as far as the state after them needs to know each.
struct Done<'s> {
    stream: &'s dyn Stream,
    slices: Vec<SliceDone>,
    full_at: usize,
}

impl Done<'_> {
    fn of(stream: &dyn Stream) -> Done<'_> {
        Done {
            stream,
            slices: Vec::new(),
            full_at: MANY,
        }
    }

    fn push(&mut self, done: SliceDone) {
        self.slices.push(done);
        if self.slices.len() >= self.full_at {
            self.stream.condense(&mut self.slices);
            self.full_at = MANY.max(self.slices.len() * 2);
        }
    }
}

/// Reads all slices; one that fails stops only itself, and the first failure is told.
async fn read_slices(
    stream: &dyn Stream,
    state: &State,
    writer: &Writer,
    done: &mut Done<'_>,
) -> Result<(), ReadError> {
    let mut slices = stream.slices(state);
    let mut result = Ok(());
    while !writer.has_ended()
        && let Some(slice) = slices.next().await
    {
        let slice = match slice {
            Ok(slice) => slice,
            Err(error) => {
                done.push(SliceDone::unfinished(Slice::default()));
                return result.and(Err(error.into()));
            }
        };
        match read_slice(stream, &slice, writer).await {
            Ok(cursor) => done.push(SliceDone::now(slice, cursor)),
            Err(error) => {
                done.push(SliceDone::unfinished(slice));
                let goes_on = error.is_of_one_slice();
                result = result.and(Err(error));
                if !goes_on {
                    break;
                }
            }
        }
    }
    result
}

/// The newest cursor value of a slice, once all its records are with the writer.
async fn read_slice(
    stream: &dyn Stream,
    slice: &Slice,
    writer: &Writer,
) -> Result<Option<String>, ReadError> {
    let mut cursor = None;
    let mut pages = stream.pages(slice);
    // The place first, then the page: one is written while the next is fetched.
    while let Some(place) = writer.place().await
        && let Some(page) = pages.try_next().await?
    {
        cursor.clone_from(&page.cursor);
        place.send(page);
    }
    Ok(cursor)
}

fn outcome(
    finished: Vec<(String, State, Result<(), ReadError>)>,
    all: usize,
) -> Result<(), ReadError> {
    let mut failed = Vec::new();
    let mut parked = None;
    for (name, _, result) in finished {
        match result {
            Ok(()) => {}
            Err(ReadError::Source(SourceError::Parked { retry_after })) => {
                parked = parked.max(Some(retry_after.as_secs()));
            }
            Err(error) => {
                tracing::error!(stream = name, "{error}");
                failed.push(name);
            }
        }
    }
    match (failed.is_empty(), parked) {
        (false, _) => Err(ReadError::Streams { failed, all }),
        (true, Some(seconds)) => Err(ReadError::Parked { seconds }),
        (true, None) => Ok(()),
    }
}
