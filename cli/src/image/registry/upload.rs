//! How a blob gets into a registry: mounted from a neighbour, in chunks that can be taken up
//! again after a cut, or in one piece.

use std::io::SeekFrom;
use std::sync::Arc;

use backon::BackoffBuilder;
use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Response, StatusCode};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use url::Url;

use super::{Registry, RegistryError, header};
use crate::image::BlobInfo;

/// Large enough that few requests are made, small enough that little is sent again.
pub(super) const CHUNK: u64 = 8 << 20;
/// More neighbours than this are not worth a question each.
const MOST_NEIGHBOURS: usize = 4;

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Bytes(Bytes),
    /// Gone when the last who has it is done.
    File(Arc<NamedTempFile>),
}

impl Source {
    async fn part(&self, start: u64, length: u64) -> std::io::Result<Bytes> {
        match self {
            Source::Bytes(bytes) => {
                let end = bytes.len().min(at(start.saturating_add(length)));
                Ok(bytes.slice(at(start).min(end)..end))
            }
            Source::File(file) => {
                let mut file = tokio::fs::File::open(file.path()).await?;
                file.seek(SeekFrom::Start(start)).await?;
                let mut part = Vec::new();
                file.take(length).read_to_end(&mut part).await?;
                Ok(part.into())
            }
        }
    }

    async fn whole(&self) -> std::io::Result<Body> {
        Ok(match self {
            Source::Bytes(bytes) => bytes.clone().into(),
            Source::File(file) => {
                let file = tokio::fs::File::open(file.path()).await?;
                Body::wrap_stream(ReaderStream::with_capacity(file, 1 << 16))
            }
        })
    }
}

fn at(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// An upload under way.
struct Upload<'a> {
    blob: &'a BlobInfo,
    source: &'a Source,
    place: Url,
    /// Bytes the registry has.
    offset: u64,
    chunk: u64,
}

impl Registry {
    /// Makes the blob one of this repository; returns how many bytes were sent.
    pub(super) async fn upload(
        &self,
        blob: &BlobInfo,
        source: impl AsyncFnOnce() -> Result<Source, RegistryError>,
    ) -> Result<u64, RegistryError> {
        let mut place = None;
        if let Some(neighbour) = self.neighbour_with(blob).await {
            match self.mount(blob, &neighbour).await? {
                Mounted::Done => return Ok(0),
                Mounted::Upload(at) => place = Some(at),
                Mounted::Refused => {}
            }
        }
        let source = source().await?;
        match self.chunk.filter(|chunk| blob.size > *chunk) {
            Some(chunk) => self.in_chunks(blob, &source, place, chunk).await?,
            None => self.in_one_piece(blob, &source, place).await?,
        }
        Ok(blob.size)
    }

    /// The first neighbour that has the blob and lets it be seen.
    async fn neighbour_with(&self, blob: &BlobInfo) -> Option<String> {
        for name in self.neighbours.iter().take(MOST_NEIGHBOURS) {
            if matches!(self.has_blob(name, &blob.digest).await, Ok(true)) {
                return Some(name.clone());
            }
        }
        None
    }

    async fn mount(&self, blob: &BlobInfo, from: &str) -> Result<Mounted, RegistryError> {
        let step = "the mount of a blob";
        let mut url = self.url("blobs/uploads/");
        url.query_pairs_mut()
            .append_pair("mount", &blob.digest)
            .append_pair("from", from);
        let post = || self.http.post(url.clone()).body("");
        let reply = self
            .patiently(|| async { self.send(step, post()).await })
            .await;
        let reply = match reply {
            Ok(reply) => reply,
            // Whoever may push here may not read there, and is told so with 401.
            Err(error) if error.refuses_caller() => return Ok(Mounted::Refused),
            Err(error) => return Err(error),
        };
        Ok(match reply.status() {
            StatusCode::CREATED => Mounted::Done,
            StatusCode::ACCEPTED => Mounted::Upload(self.place(&reply)?),
            // It may still be uploaded.
            _ => Mounted::Refused,
        })
    }

    async fn start(&self) -> Result<Response, RegistryError> {
        let step = "the start of an upload";
        self.patiently(|| async {
            let start = self.http.post(self.url("blobs/uploads/")).body("");
            let reply = self.send(step, start).await?;
            self.good(reply, step).await
        })
        .await
    }

    async fn in_one_piece(
        &self,
        blob: &BlobInfo,
        source: &Source,
        place: Option<Url>,
    ) -> Result<(), RegistryError> {
        let given = std::sync::Mutex::new(place);
        self.patiently(|| async {
            // A place is good for one try.
            let given = given.lock().ok().and_then(|mut place| place.take());
            let place = match given {
                Some(place) => place,
                None => self.place(&self.start().await?)?,
            };
            let body = source.whole().await.map_err(RegistryError::Keep)?;
            let step = "the upload";
            let put = self
                .http
                .put(finished(&place, blob))
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, blob.size)
                .body(body);
            let reply = self.send(step, put).await?;
            self.good(reply, step).await.map(drop)
        })
        .await
    }

    async fn in_chunks(
        &self,
        blob: &BlobInfo,
        source: &Source,
        place: Option<Url>,
        chunk: u64,
    ) -> Result<(), RegistryError> {
        let mut upload = self.opened(blob, source, place, chunk).await?;
        let mut delays = self.patience.build();
        loop {
            let before = upload.offset;
            let error = match self.go_on(&mut upload).await {
                Ok(Sent::All) => return Ok(()),
                Ok(Sent::Part) => continue,
                Ok(Sent::Unclear) => return self.once_more(blob, source).await,
                Err(error) => error,
            };
            if upload.is_whole() && error.status() == Some(400) {
                return self.once_more(blob, source).await;
            }
            if before == 0 && is_no_chunks(&error) {
                return self.in_one_piece(blob, source, None).await;
            }
            let is_lost = matches!(error.status(), Some(404 | 416));
            if !is_lost && !error.may_pass() {
                return Err(error);
            }
            let Some(delay) = error.patience(delays.next()) else {
                return Err(error);
            };
            tokio::time::sleep(delay).await;
            // The end may have arrived, and only its answer not.
            if self.has_blob(&self.repository, &blob.digest).await? {
                return Ok(());
            }
            self.take_up(&mut upload).await?;
            if upload.offset > before {
                delays = self.patience.build();
            }
        }
    }

    /// From zero and in one piece: what the registry said it had was not what it has.
    async fn once_more(&self, blob: &BlobInfo, source: &Source) -> Result<(), RegistryError> {
        let sent = self.in_one_piece(blob, source, None).await;
        sent.map_err(|error| match error {
            RegistryError::Answer {
                host,
                status: 400,
                message,
                ..
            } => RegistryError::Garbled {
                host,
                digest: blob.digest.clone(),
                message,
            },
            error => error,
        })
    }

    async fn opened<'a>(
        &self,
        blob: &'a BlobInfo,
        source: &'a Source,
        place: Option<Url>,
        chunk: u64,
    ) -> Result<Upload<'a>, RegistryError> {
        let (place, least) = match place {
            Some(place) => (place, 0),
            None => {
                let reply = self.start().await?;
                let least = header(&reply, "oci-chunk-min-length");
                let least = least.and_then(|least| least.parse().ok());
                (self.place(&reply)?, least.unwrap_or(0))
            }
        };
        Ok(Upload {
            blob,
            source,
            place,
            offset: 0,
            chunk: chunk.max(least),
        })
    }

    /// Sends the next chunk, or the end.
    async fn go_on(&self, upload: &mut Upload<'_>) -> Result<Sent, RegistryError> {
        if upload.is_whole() {
            let step = "the end of an upload";
            let put = self.http.put(finished(&upload.place, upload.blob));
            let reply = self.send(step, put.header(CONTENT_LENGTH, 0)).await?;
            self.good(reply, step).await?;
            return Ok(Sent::All);
        }
        let step = "a chunk of an upload";
        let part = upload.source.part(upload.offset, upload.chunk).await;
        let part = part.map_err(RegistryError::Keep)?;
        let end = upload.offset + part.len() as u64;
        let patch = self
            .http
            .patch(upload.place.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, format!("{}-{}", upload.offset, end - 1))
            .body(part);
        let reply = self.send(step, patch).await?;
        let reply = self.good(reply, step).await?;
        upload.place = self.place(&reply)?;
        let has = received(&reply).unwrap_or(end);
        if has <= upload.offset || has > end {
            return Ok(Sent::Unclear);
        }
        upload.offset = has;
        Ok(Sent::Part)
    }

    /// Asks what the registry has of an upload; begins anew where it has forgotten it.
    async fn take_up(&self, upload: &mut Upload<'_>) -> Result<(), RegistryError> {
        let step = "the question how far an upload is";
        let reply = self
            .patiently(|| async {
                let reply = self.send(step, self.http.get(upload.place.clone())).await?;
                match reply.status().as_u16() {
                    // Debian's registry drops an upload that broke off within a chunk with 400.
                    400 | 404 | 410 | 416 => Ok(None),
                    _ => self.good(reply, step).await.map(Some),
                }
            })
            .await?;
        match reply {
            Some(reply) => {
                upload.offset = received(&reply).unwrap_or(0).min(upload.blob.size);
                if let Ok(place) = self.place(&reply) {
                    upload.place = place;
                }
            }
            None => {
                upload.place = self.place(&self.start().await?)?;
                upload.offset = 0;
            }
        }
        Ok(())
    }

    /// `Location` as it is given, relative or absolute, with its own query kept.
    fn place(&self, reply: &Response) -> Result<Url, RegistryError> {
        header(reply, LOCATION.as_str())
            .and_then(|location| reply.url().join(location).ok())
            .ok_or_else(|| self.incomplete("an upload", "where to send it"))
    }
}

impl Upload<'_> {
    fn is_whole(&self) -> bool {
        self.offset >= self.blob.size
    }
}

enum Sent {
    Part,
    All,
    /// The registry took a chunk, and says to have more than was sent or no more than before.
    Unclear,
}

enum Mounted {
    Done,
    /// Not mounted, but here it can be sent to.
    Upload(Url),
    Refused,
}

/// Where the upload ends: its place with the digest.
fn finished(place: &Url, blob: &BlobInfo) -> Url {
    let mut place = place.clone();
    place.query_pairs_mut().append_pair("digest", &blob.digest);
    place
}

/// How many bytes a `Range: 0-N` stands for. `0-0` is nothing for some registries and one byte
/// for others; a byte sent twice is refused with 416, so nothing it is.
fn received(reply: &Response) -> Option<u64> {
    let range = header(reply, "range")?.trim_start_matches("bytes=");
    let (start, end) = range.split_once('-')?;
    let end: u64 = end.trim().parse().ok()?;
    (start.trim() == "0").then_some(if end == 0 { 0 } else { end + 1 })
}

/// Whether the registry takes blobs in one piece only.
fn is_no_chunks(error: &RegistryError) -> bool {
    matches!(error.status(), Some(400 | 405 | 411 | 415 | 501))
}

#[cfg(test)]
mod tests;
