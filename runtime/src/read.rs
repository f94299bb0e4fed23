//! `read` and `check`: a source tried by hand, its records on stdout or in a folder.
//!
//! Config, state and rotated secrets are files; a cloud is met only where a source's config names a bucket.

mod files;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, Serializer};

use crate::batch::Stamp;
use crate::folder::{FolderError, StreamFolder};
use crate::objects::Anywhere;
use crate::range::{RangeArgs, RangeError};
use crate::source;
use crate::stream::{Page, Slice, SliceDone, Source, SourceError, State, Stream};
use crate::turns::Turns;
use crate::value::Value;
pub use files::FileError;
pub use files::{ConfigFile, States, read_states};
use files::{read_manifest, write_states};

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
    #[error("{manifest}: {source}")]
    Manifest {
        manifest: String,
        source: SourceError,
    },
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
    let outside = source::Outside {
        secrets: Arc::new(file),
        objects: Arc::new(Anywhere::default()),
    };
    let opened = source::open(&manifest, config, outside, wanted).await;
    opened.map_err(|error| match error {
        SourceError::Config { .. }
        | SourceError::CannotRun { .. }
        | SourceError::UnknownStream { .. } => ReadError::Manifest {
            manifest: args.source.display().to_string(),
            source: error,
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
    let mut done = Vec::new();
    let mut writer = match sink.writer(stream) {
        Ok(writer) => writer,
        Err(error) => return (state.clone(), Err(error)),
    };
    let mut result = read_slices(stream, state, &mut writer, &mut done).await;
    if let Err(error) = writer.finish() {
        result = result.and(Err(error));
    }
    (stream.state_after(state, &done), result)
}

/// Reads all slices; one that fails stops only itself, and the first failure is told.
async fn read_slices(
    stream: &dyn Stream,
    state: &State,
    writer: &mut Writer<'_>,
    done: &mut Vec<SliceDone>,
) -> Result<(), ReadError> {
    let mut slices = stream.slices(state);
    let mut result = Ok(());
    while let Some(slice) = slices.next().await {
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

/// The newest cursor value of a slice, once all its records are written.
async fn read_slice(
    stream: &dyn Stream,
    slice: &Slice,
    writer: &mut Writer<'_>,
) -> Result<Option<String>, ReadError> {
    let mut cursor = None;
    let mut pages = stream.pages(slice);
    while let Some(page) = pages.try_next().await? {
        writer.write(&page)?;
        cursor = page.cursor;
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

/// Where records go.
enum Sink {
    /// Pages take turns, so that lines stay whole.
    Stdout(Mutex<std::io::Stdout>),
    Folder(PathBuf, Stamp),
}

enum Writer<'s> {
    Lines(&'s Mutex<std::io::Stdout>, String),
    Folder(Box<StreamFolder>),
}

#[derive(Serialize)]
struct Line<'r> {
    stream: &'r str,
    #[serde(serialize_with = "without_nulls")]
    record: &'r Value,
}

/// A record as the reference prints it: without the fields that are null at its top.
fn without_nulls<S: Serializer>(record: &&Value, serializer: S) -> Result<S::Ok, S::Error> {
    match record {
        Value::Object(fields) => {
            serializer.collect_map(fields.iter().filter(|(_, value)| **value != Value::Null))
        }
        other => other.serialize(serializer),
    }
}

impl Sink {
    fn new(output: &Output) -> Sink {
        match output {
            Output::Jsonl => Sink::Stdout(Mutex::new(std::io::stdout())),
            Output::Parquet(folder) => Sink::Folder(
                folder.clone(),
                Stamp {
                    run_id: "read".to_owned(),
                    extracted_at: jiff::Timestamp::now().as_microsecond(),
                },
            ),
        }
    }

    fn writer(&self, stream: &dyn Stream) -> Result<Writer<'_>, ReadError> {
        Ok(match self {
            Sink::Stdout(stdout) => Writer::Lines(stdout, stream.info().name.clone()),
            Sink::Folder(folder, stamp) => Writer::Folder(Box::new(StreamFolder::create(
                folder,
                stream.info(),
                stamp.clone(),
            )?)),
        })
    }
}

impl Writer<'_> {
    fn write(&mut self, page: &Page) -> Result<(), ReadError> {
        match self {
            Writer::Lines(stdout, stream) => {
                let lines = lines(stream, &page.records)?;
                let mut stdout = stdout
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                stdout.write_all(&lines)?;
            }
            Writer::Folder(folder) => folder.write(page)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ReadError> {
        match self {
            Writer::Lines(stdout, _) => {
                let stdout = stdout.lock();
                stdout
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .flush()?;
            }
            Writer::Folder(folder) => {
                folder.finish()?;
            }
        }
        Ok(())
    }
}

fn lines(stream: &str, records: &[Value]) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, &Line { stream, record })?;
        lines.push(b'\n');
    }
    Ok(lines)
}
