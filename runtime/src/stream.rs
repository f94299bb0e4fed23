//! The seam between sources and loads: a stream arrives in slices of pages.
//!
//! A declarative stream and a native one (a BigQuery table, objects in a
//! bucket) look the same from here on.

mod records;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use serde::{Deserialize, Serialize};

use crate::bundle::Mode;
use crate::layout::TableLayout;
use crate::tape::Tape;
pub use records::{Records, Texts};

/// What is known of a stream before anything is read.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    pub name: String,
    /// Top-level fields that name a record; empty where the source has no key.
    pub primary_key: Vec<String>,
    /// The field by which newer is told from older.
    pub cursor_field: Option<String>,
    /// JSON Schema of one record, `{}` where nothing is declared.
    pub schema: serde_json::Value,
    /// JSON Schema of the fields whose types a client file gives, whatever `schema` says.
    pub types: serde_json::Value,
    /// How it is loaded if the client does not say, where its key and cursor do not tell.
    pub mode: Option<Mode>,
}

/// A part of a stream that is read, retried and finished as one.
///
/// Serializes the same for the same part, so that a retried task recognises it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The partition, such as a parent's id; empty without partitions.
    #[serde(default)]
    pub partition: serde_json::Map<String, serde_json::Value>,
    /// What templates may use of a partition's parents, and what does not name it.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub extra_fields: serde_json::Map<String, serde_json::Value>,
    /// The cursor's interval (`start_time`, `end_time`); empty for a full read.
    #[serde(default)]
    pub interval: serde_json::Map<String, serde_json::Value>,
    /// Oldest cursor value to keep, in a form of the stream's own, where the runtime and
    /// not the source drops older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The state of the parent streams once this slice and all before it are done;
    /// absent where it is as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_state: Option<serde_json::Value>,
    /// How much there is to read, in a unit that is the same for all slices of the stream, where
    /// that is known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Set on the last slice of a plan that has to know when all of it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// Where BigQuery itself has gathered the rows; there are no pages to read then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gathered: Option<Gathered>,
    /// Which of its two ways a stream takes that has two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
}

/// Rows that wait in a table beside the one they go to, with xetl's own columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathered {
    /// In the pipeline's dataset; it runs out by itself.
    pub table: String,
    pub rows: u64,
    /// The newest cursor value among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// What they carry as the time the run began to read, in microseconds since 1970.
    pub extracted_at: i64,
}

/// Where rows are to be gathered, and in which form.
#[derive(Debug, Clone)]
pub struct Gathering {
    pub project: String,
    pub dataset: String,
    pub location: String,
    /// How the table is kept that the rows go to.
    pub layout: TableLayout,
    pub run: String,
    pub extracted_at: i64,
}

/// The end of a plan; its slice holds no records and needs no request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// How many slices come before it.
    pub slices: usize,
    /// When the first of them was planned, in milliseconds since 1970.
    pub began: i64,
}

/// How a stream is read that is first read whole, and later only for what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    Full,
    Incremental,
}

/// One reply of the source, decoded, filtered and transformed.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub records: Records,
    /// The newest cursor value seen in this slice so far, in a form of the stream's own.
    pub cursor: Option<String>,
}

/// A slice that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceDone {
    pub slice: Slice,
    /// `Page::cursor` of its last page.
    pub cursor: Option<String>,
    /// When it was read to its end, in milliseconds since 1970; absent where it was not.
    #[serde(default)]
    pub finished: Option<i64>,
}

impl SliceDone {
    /// A slice whose end was just seen.
    pub fn now(slice: Slice, cursor: Option<String>) -> SliceDone {
        SliceDone {
            cursor,
            finished: Some(jiff::Timestamp::now().as_millisecond()),
            ..SliceDone::unfinished(slice)
        }
    }

    /// A slice that was begun and could not be finished: no state may go past it.
    pub fn unfinished(slice: Slice) -> SliceDone {
        SliceDone {
            // No state is kept by these, and a parent's record may be long.
            slice: Slice {
                extra_fields: serde_json::Map::new(),
                ..slice
            },
            cursor: None,
            finished: None,
        }
    }
}

/// A stream's state in Airbyte's form; `Null` before the first sync.
pub type State = serde_json::Value;

/// One stream of a source.
pub trait Stream: Send + Sync {
    fn info(&self) -> &StreamInfo;

    /// The JSON Schema of a record, asked of the source where only that knows it.
    fn schema(&self) -> BoxFuture<'_, Result<serde_json::Value, SourceError>> {
        std::future::ready(Ok(self.info().schema.clone())).boxed()
    }

    /// What to read next, given what the state says was read.
    fn slices<'a>(&'a self, state: &'a State) -> BoxStream<'a, Result<Slice, SourceError>>;

    /// Whether `gather` may do something.
    fn gathers(&self) -> bool {
        false
    }

    /// Has BigQuery gather what `slices` would read, if the stream is there and BigQuery can;
    /// `None` where pages have to be read.
    fn gather<'a>(
        &'a self,
        _state: &'a State,
        _place: &'a Gathering,
    ) -> BoxFuture<'a, Result<Option<Slice>, SourceError>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// The pages of one slice, each requested when the one before was taken.
    fn pages<'a>(&'a self, slice: &'a Slice) -> BoxStream<'a, Result<Page, SourceError>>;

    /// The same with a tape, which keeps the replies of the pages or has them already.
    fn pages_on<'a>(
        &'a self,
        _slice: &'a Slice,
        _tape: &'a Tape,
    ) -> BoxStream<'a, Result<Page, SourceError>> {
        let error = SourceError::Config {
            at: format!("stream `{}`", self.info().name),
            problem: "it is read without replies that could be kept; leave `keep_raw` out"
                .to_owned(),
        };
        futures::stream::once(std::future::ready(Err(error))).boxed()
    }

    /// The state once these slices are in the warehouse: all of the plan that came from
    /// `state` that are, in the plan's order.
    fn state_after(&self, state: &State, done: &[SliceDone]) -> State;

    /// Whether the state moves only once all slices of a plan are done, so that none of them
    /// may be loaded before.
    fn is_whole(&self) -> bool {
        false
    }

    /// Leaves fewer slices that say the same to `state_after`, where a stream can.
    fn condense(&self, _done: &mut Vec<SliceDone>) {}
}

/// What asking a source for a stream has cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    pub requests: u64,
    /// Bytes of the replies' bodies.
    pub received: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// For the source's limits, and before retries.
    pub waited: std::time::Duration,
    /// Calls that are left, where the source or the manifest says.
    pub left: Option<u64>,
}

/// What a manifest and a config make: streams, and a way to try the credentials.
pub trait Source: Send + Sync {
    fn streams(&self) -> &[Box<dyn Stream>];

    /// The group of a stream; streams of one group are not read at the same time.
    fn group(&self, _stream: &str) -> Option<&str> {
        None
    }

    /// What asking for a stream has cost; nothing where nobody counts.
    fn usage(&self, _stream: &str) -> Usage {
        Usage::default()
    }

    /// Reads as little as shows that the credentials and the config work.
    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>>;
}

/// A stream that cannot run: what in the manifest, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfitStream {
    pub name: String,
    pub at: String,
    pub problem: String,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The manifest or the config is at fault: where in it, and what.
    #[error("{at}: {problem}")]
    Config { at: String, problem: String },
    /// Streams were asked for that cannot run; nothing was read.
    #[error("{}", cannot_run(unfit, fit))]
    CannotRun {
        unfit: Vec<UnfitStream>,
        /// The streams that can.
        fit: Vec<String>,
    },
    #[error("the source has no stream `{name}`; it has: {}", known.join(", "))]
    UnknownStream { name: String, known: Vec<String> },
    /// The source refused the credentials; a person has to look.
    #[error("the source refused the credentials: {0}")]
    Credentials(String),
    /// The source answered and the manifest's error handler calls it final.
    #[error("{method} {url} answered {status}: {message}")]
    Response {
        method: String,
        url: String,
        status: u16,
        message: String,
        fault: Fault,
    },
    /// A limit that outlasts a run, such as a day's quota. Go on later.
    #[error("the source's limit is spent; it opens again in {}s", retry_after.as_secs())]
    Parked { retry_after: std::time::Duration },
    /// The source could not be reached, after the retries.
    #[error("cannot reach {url}: {problem}")]
    Unreachable { url: String, problem: String },
    /// The reply is not what the manifest says.
    #[error("{url}: cannot decode the reply: {problem}")]
    Decode { url: String, problem: String },
    /// A rotated refresh token could not be kept; the access token that came with it is not used.
    #[error("cannot store the new value of `{field}`: {problem}")]
    Store { field: String, problem: String },
}

/// What is to blame for a reply that is final, as the manifest or the status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The same request is refused however often it is sent.
    Config,
    Source,
}

fn cannot_run(unfit: &[UnfitStream], fit: &[String]) -> String {
    let lines = unfit.iter().map(|stream| {
        let UnfitStream { name, at, problem } = stream;
        format!("\n  stream `{name}`: {at}: {problem}")
    });
    let lines: String = lines.collect();
    let plural = if unfit.len() == 1 { "" } else { "s" };
    let head = format!("{} stream{plural} cannot run:{lines}", unfit.len());
    match fit.is_empty() {
        true => format!("{head}\nno other stream can"),
        false => format!(
            "{head}\nthese can: {}\nchoose streams (--stream, or `streams` in the client file), or skip the others with --skip-unsupported",
            fit.join(", ")
        ),
    }
}
