//! Where the records of `read` go: lines on stdout, or a folder of Parquet.
//!
//! Each stream is written on a thread of its own, a page behind what is fetched.

use std::io::Write;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use tokio::sync::mpsc::{self, Permit};
use tokio::task::JoinHandle;

use crate::batch::Stamp;
use crate::folder::StreamFolder;
use crate::stream::{Page, Records, StreamInfo};
use crate::value::Borrowed;

use super::{Output, ReadError};

/// Lines are written when there are so many bytes of them.
const BLOCK: usize = 64 << 10;

/// Where records go.
pub enum Sink {
    Stdout,
    Folder(PathBuf, Stamp),
}

/// Takes the pages of one stream.
pub struct Writer {
    stream: String,
    pages: mpsc::Sender<Page>,
    thread: JoinHandle<Result<(), ReadError>>,
}

impl Sink {
    pub fn new(output: &Output) -> Sink {
        match output {
            Output::Jsonl => Sink::Stdout,
            Output::Parquet(folder) => Sink::Folder(
                folder.clone(),
                Stamp {
                    run_id: "read".to_owned(),
                    extracted_at: jiff::Timestamp::now().as_microsecond(),
                },
            ),
        }
    }

    pub fn writer(&self, info: &StreamInfo) -> Result<Writer, ReadError> {
        let (pages, receiver) = mpsc::channel(1);
        let stream = info.name.clone();
        let thread = match self {
            Sink::Stdout => {
                let stream = stream.clone();
                tokio::task::spawn_blocking(move || print(&stream, receiver))
            }
            Sink::Folder(folder, stamp) => {
                let folder = StreamFolder::create(folder, info, stamp.clone())?;
                tokio::task::spawn_blocking(move || keep(folder, receiver))
            }
        };
        Ok(Writer {
            stream,
            pages,
            thread,
        })
    }
}

impl Writer {
    /// Room for a page; `None` once the writer has ended, and `finish` says why.
    pub async fn place(&self) -> Option<Permit<'_, Page>> {
        self.pages.reserve().await.ok()
    }

    pub fn has_ended(&self) -> bool {
        self.pages.is_closed()
    }

    /// Waits until all pages are written.
    pub async fn finish(self) -> Result<(), ReadError> {
        drop(self.pages);
        let stream = self.stream;
        self.thread.await.unwrap_or_else(|error| {
            let problem = error.to_string();
            Err(ReadError::Broken { stream, problem })
        })
    }
}

/// Pages of several streams take turns, so that lines stay whole.
fn print(stream: &str, mut pages: mpsc::Receiver<Page>) -> Result<(), ReadError> {
    while let Some(page) = pages.blocking_recv() {
        lines(stream, &page.records, |lines| {
            std::io::stdout().lock().write_all(lines)
        })?;
    }
    Ok(std::io::stdout().lock().flush()?)
}

fn keep(mut folder: StreamFolder, mut pages: mpsc::Receiver<Page>) -> Result<(), ReadError> {
    while let Some(page) = pages.blocking_recv() {
        folder.write(&page)?;
    }
    folder.finish()?;
    Ok(())
}

/// Writes a line for each record, many lines at a time; `write` is given whole lines.
fn lines(
    stream: &str,
    records: &Records,
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut lines = Vec::with_capacity(BLOCK + BLOCK / 8);
    records.each(|record| {
        serde_json::to_writer(&mut lines, &Line { stream, record })?;
        lines.push(b'\n');
        match lines.len() < BLOCK {
            true => Ok(()),
            false => written(&mut lines, &mut write),
        }
    })?;
    written(&mut lines, &mut write)
}

fn written(
    lines: &mut Vec<u8>,
    write: &mut impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    write(lines)?;
    lines.clear();
    Ok(())
}

#[derive(Serialize)]
struct Line<'r> {
    stream: &'r str,
    #[serde(serialize_with = "without_nulls")]
    record: &'r Borrowed<'r>,
}

/// A record as the reference prints it: without the fields that are null at its top.
fn without_nulls<S: Serializer>(record: &&Borrowed<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    match record {
        Borrowed::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            serializer.collect_map(fields.map(|(name, value)| (name, value)))
        }
        other => other.serialize(serializer),
    }
}
