//! One slice, from its pages to Parquet parts in the bucket.
//!
//! Reading, encoding and uploading overlap, with at most a page or a part waiting
//! between them, so that memory stays flat however long the slice is.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::batch::Stamp;
use crate::google::ApiError;
use crate::google::storage::{Bucket, Precondition};
use crate::layout::touched::Touched;
use crate::merge;
use crate::options::Settled;
use crate::parts::{EncodeError, Part, PartWriter};
use crate::pipeline::Meter;
use crate::raw::{self, RawError, RawFile, choice};
use crate::schema::TableSchema;
use crate::state::{self, Layout, PartFile, Plan, SliceManifest, StoreError};
use crate::stream::{Page, Records, Slice, SliceDone, Source, SourceError};
use crate::tape::Tape;

/// Why a slice did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Upload(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Raw(#[from] RawError),
    /// The run was told to stop; what is finished can be committed.
    #[error("stopped before the slice was read to its end")]
    Stopped,
    #[error("a step of the slice broke down: {0}")]
    Broken(String),
}

/// The schema of this run's rows, known before the records or by the first of them.
pub trait SchemaOf: Send + Sync {
    fn schema<'a>(
        &'a self,
        records: &'a Records,
    ) -> futures::future::BoxFuture<'a, Result<TableSchema, StoreError>>;
}

/// What goes on beside the reading of a slice; gives the files of its pages.
type Beside<'a> = BoxFuture<'a, Result<Option<Vec<RawFile>>, FetchError>>;

/// All it takes to read one slice of a stream.
pub struct SliceReader<'a> {
    pub source: Arc<dyn Source>,
    /// The stream's place in the source.
    pub stream: usize,
    pub bucket: &'a Bucket,
    pub layout: &'a Layout,
    pub plan: &'a Plan,
    pub schema: &'a dyn SchemaOf,
    pub options: &'a Settled,
    pub meter: &'a Meter,
    /// Whether pages are kept as they come.
    pub keeps_raw: bool,
    pub stop: CancellationToken,
}

impl SliceReader<'_> {
    /// Reads the slice to its end and says what came of it.
    pub async fn read(&self, number: usize) -> Result<SliceManifest, FetchError> {
        let slice = self.plan.slices.get(number).cloned().unwrap_or_default();
        let (tape, beside) = self.tape(number, &slice).await?;
        let pages = self.start_reading(slice.clone(), tape);
        let (to_parts, parts) = mpsc::channel(1);
        let stamp = self.stamp(number);
        let (read, (parts, touched), raw) = tokio::try_join!(
            self.encode(pages, to_parts, stamp),
            self.upload(number, parts),
            beside
        )?;
        let rows = parts.iter().map(|part| part.rows).sum();
        if read.records != rows {
            let problem = format!(
                "{} records were read, but {rows} rows written",
                read.records
            );
            return Err(FetchError::Broken(problem));
        }
        let done = SliceDone::now(slice, read.cursor);
        Ok(SliceManifest {
            slice: number,
            done,
            rows,
            pages: read.pages,
            parts,
            touched,
            raw,
        })
    }

    /// The tape of a slice, where its pages are kept or were, and what works beside it.
    async fn tape(
        &self,
        number: usize,
        slice: &Slice,
    ) -> Result<(Option<Tape>, Beside<'_>), FetchError> {
        let stream = &self.source.streams()[self.stream].info().name;
        let (layout, run) = (self.layout, &self.plan.run);
        if let Some(origin) = self.plan.replay.get(number) {
            let name = layout.slice(stream, &origin.run, origin.slice);
            let manifest = state::read::<SliceManifest>(self.bucket, &name).await?;
            let files = manifest.and_then(|stored| stored.value.raw);
            let files = files.unwrap_or_default();
            let (to_tape, entries) = mpsc::channel(1);
            let played = async move {
                let of = (origin.run.as_str(), origin.slice);
                raw::play(self.bucket, of, &files, to_tape).await?;
                Ok(None)
            };
            return Ok((Some(Tape::playing(entries)), played.boxed()));
        }
        if !self.keeps_raw {
            return Ok((None, std::future::ready(Ok(None)).boxed()));
        }
        let (to_files, told) = mpsc::channel(1);
        let head = raw::Head::of(stream, run, number, slice);
        let kept = async move {
            let name = |file| layout.raw(stream, run, number, file);
            Ok(Some(raw::keep(self.bucket, name, head, told).await?))
        };
        Ok((Some(Tape::keeping(to_files)), kept.boxed()))
    }

    /// What stands beside the records of a slice.
    fn stamp(&self, number: usize) -> Stamp {
        let now = self.plan.extracted_at;
        let origin = self.plan.replay.get(number);
        Stamp {
            run_id: self.plan.run.clone(),
            extracted_at: origin.map_or(now, |origin| choice::stamp(origin.extracted_at, now)),
        }
    }

    fn start_reading(
        &self,
        slice: Slice,
        tape: Option<Tape>,
    ) -> mpsc::Receiver<Result<Page, FetchError>> {
        let (sender, receiver) = mpsc::channel(1);
        let (source, stream, stop) = (self.source.clone(), self.stream, self.stop.clone());
        tokio::spawn(async move {
            let stream = &source.streams()[stream];
            let mut pages = match &tape {
                Some(tape) => stream.pages_on(&slice, tape),
                None => stream.pages(&slice),
            };
            // The place first, then the page: none waits that is not asked for.
            while let Ok(place) = sender.reserve().await {
                let page = tokio::select! {
                    biased;
                    () = stop.cancelled() => Some(Err(FetchError::Stopped)),
                    page = pages.next() => page.map(|page| page.map_err(FetchError::from)),
                };
                let Some(page) = page else { break };
                let is_last = page.is_err();
                place.send(page);
                if is_last {
                    break;
                }
            }
        });
        receiver
    }

    /// Feeds the pages to an encoder on a thread of its own.
    async fn encode(
        &self,
        mut pages: mpsc::Receiver<Result<Page, FetchError>>,
        to_parts: mpsc::Sender<Part>,
        stamp: Stamp,
    ) -> Result<Read, FetchError> {
        let mut read = Read::default();
        let mut encoder: Option<Encoder> = None;
        let mut to_parts = Some((to_parts, stamp));
        loop {
            let place = match &encoder {
                Some(encoder) => encoder.records.clone().reserve_owned().await.ok(),
                None => None,
            };
            let Some(page) = pages.recv().await.transpose()? else {
                break;
            };
            read.count(&page);
            self.meter.read(page.records.len());
            if page.records.is_empty() {
                continue;
            }
            match (place, to_parts.take()) {
                (Some(place), _) => drop(place.send(page.records)),
                (None, Some((to_parts, stamp))) => {
                    let schema = self.schema.schema(&page.records).await?;
                    let started =
                        encoder.insert(Encoder::start(self.writer(schema, stamp), to_parts));
                    let _ = started.records.send(page.records).await;
                }
                // The encoder has ended early: `finish` says why.
                (None, None) => break,
            }
        }
        drop(to_parts);
        if let Some(encoder) = encoder {
            encoder.finish().await?;
        }
        Ok(read)
    }

    async fn upload(
        &self,
        number: usize,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<(Vec<PartFile>, Option<Touched>), FetchError> {
        let stream = &self.source.streams()[self.stream].info().name;
        let mut files = Vec::new();
        let mut touched: Option<Touched> = None;
        while let Some(part) = parts.recv().await {
            if let Some(more) = &part.touched {
                touched.get_or_insert_default().join(more);
            }
            let name = self
                .layout
                .part(stream, &self.plan.run, number, files.len());
            files.push(put_part(self.bucket, name, part).await?);
        }
        Ok((files, touched))
    }

    fn writer(&self, schema: TableSchema, stamp: Stamp) -> PartWriter {
        let watched = merge::watched(self.options, &schema, self.plan.refresh);
        PartWriter::new(schema, stamp).watching(watched)
    }
}

/// Uploads a part. An attempt before this one may have left a part of that name: until
/// the slice is finished no load names it, so it is replaced.
pub async fn put_part(bucket: &Bucket, name: String, part: Part) -> Result<PartFile, ApiError> {
    let bytes = part.bytes.len() as u64;
    let generation = bucket
        .put(
            &name,
            "application/vnd.apache.parquet",
            part.bytes,
            Precondition::None,
        )
        .await?;
    Ok(PartFile {
        name,
        rows: part.rows,
        bytes,
        generation,
    })
}

#[derive(Default)]
struct Read {
    records: u64,
    pages: u64,
    cursor: Option<String>,
}

impl Read {
    fn count(&mut self, page: &Page) {
        self.records += page.records.len() as u64;
        self.pages += 1;
        if page.cursor.is_some() {
            self.cursor.clone_from(&page.cursor);
        }
    }
}

struct Encoder {
    records: mpsc::Sender<Records>,
    thread: tokio::task::JoinHandle<Result<(), EncodeError>>,
}

impl Encoder {
    fn start(writer: PartWriter, parts: mpsc::Sender<Part>) -> Encoder {
        let (records, receiver) = mpsc::channel(1);
        let thread = tokio::task::spawn_blocking(move || encode(writer, receiver, &parts));
        Encoder { records, thread }
    }

    async fn finish(self) -> Result<(), FetchError> {
        drop(self.records);
        self.thread
            .await
            .map_err(|error| FetchError::Broken(error.to_string()))??;
        Ok(())
    }
}

fn encode(
    mut writer: PartWriter,
    mut pages: mpsc::Receiver<Records>,
    parts: &mpsc::Sender<Part>,
) -> Result<(), EncodeError> {
    while let Some(records) = pages.blocking_recv() {
        records.each(|record| match writer.push(record)? {
            // If nobody takes the part any more, the upload has failed and says so.
            Some(part) => Ok(drop(parts.blocking_send(part))),
            None => Ok::<(), EncodeError>(()),
        })?;
        if parts.is_closed() {
            return Ok(());
        }
    }
    if let Some(part) = writer.finish()? {
        let _ = parts.blocking_send(part);
    }
    Ok(())
}
