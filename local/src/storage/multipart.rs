//! A `multipart/related` upload taken apart as it arrives: metadata, then media.

use axum::body::{Body, Bytes};
use bytes::{Buf, BytesMut};
use futures::StreamExt;
use memchr::memmem;

use crate::error::ApiError;

/// Headers and metadata are small; a body without an end to them is refused.
const MOST_HEAD: usize = 1024 * 1024;

/// The two parts of an upload; the second is still arriving.
pub struct Parts {
    body: axum::body::BodyDataStream,
    buffer: BytesMut,
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    done: bool,
}

/// The media part's own headers and the metadata before it.
#[derive(Debug, PartialEq)]
pub struct Head {
    pub metadata: Vec<u8>,
    pub content_type: Option<String>,
}

impl Parts {
    pub fn new(content_type: &str, body: Body) -> Result<Parts, ApiError> {
        let boundary = boundary(content_type).ok_or_else(|| {
            ApiError::invalid("The Content-Type must be multipart/related with a boundary.")
        })?;
        let mut buffer = BytesMut::new();
        // With this the first boundary looks like the others.
        buffer.extend_from_slice(b"\r\n");
        Ok(Parts {
            body: body.into_data_stream(),
            buffer,
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            done: false,
        })
    }

    /// Everything before the media.
    pub async fn head(&mut self) -> Result<Head, ApiError> {
        let first = self.delimiter.clone();
        self.until(&first).await?;
        let blank = self.line_ends().await?;
        self.until(blank).await?;
        let delimiter = self.delimiter.clone();
        let metadata = self.until(&delimiter).await?;
        let headers = self.until(blank).await?;
        Ok(Head {
            metadata: metadata.to_vec(),
            content_type: header(&headers, "content-type"),
        })
    }

    /// Looks how lines end, and gives the blank line: gcloud sends a bare LF, which Google takes.
    async fn line_ends(&mut self) -> Result<&'static [u8], ApiError> {
        while self.buffer.is_empty() {
            self.fill().await?;
        }
        if !self.buffer.starts_with(b"\n") {
            return Ok(b"\r\n\r\n");
        }
        self.delimiter.remove(0);
        Ok(b"\n\n")
    }

    /// The next piece of the media, `None` at its end.
    pub async fn media(&mut self) -> Result<Option<Bytes>, ApiError> {
        while !self.done {
            if let Some(at) = memmem::find(&self.buffer, &self.delimiter) {
                let piece = self.buffer.split_to(at).freeze();
                self.end().await?;
                return Ok(Some(piece));
            }
            // What may be the beginning of the delimiter waits for the rest.
            let held = self.delimiter.len() - 1;
            if self.buffer.len() > held {
                let ready = self.buffer.len() - held;
                return Ok(Some(self.buffer.split_to(ready).freeze()));
            }
            self.fill().await?;
        }
        Ok(None)
    }

    /// Checks that the media was the last part, and takes what follows.
    async fn end(&mut self) -> Result<(), ApiError> {
        self.buffer.advance(self.delimiter.len());
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if !self.buffer.starts_with(b"--") {
            return Err(ApiError::invalid(
                "A multipart upload has exactly two parts.",
            ));
        }
        while self.body.next().await.is_some() {}
        self.done = true;
        Ok(())
    }

    async fn until(&mut self, mark: &[u8]) -> Result<Bytes, ApiError> {
        loop {
            if let Some(at) = memmem::find(&self.buffer, mark) {
                let before = self.buffer.split_to(at).freeze();
                self.buffer.advance(mark.len());
                return Ok(before);
            }
            if self.buffer.len() > MOST_HEAD {
                return Err(ApiError::invalid(
                    "The multipart upload's metadata has no end.",
                ));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), ApiError> {
        match self.body.next().await {
            Some(Ok(bytes)) => {
                self.buffer.extend_from_slice(&bytes);
                Ok(())
            }
            Some(Err(error)) => Err(ApiError::invalid(format!("the body broke off: {error}"))),
            None => Err(ApiError::invalid(
                "The multipart body ends before its last boundary.",
            )),
        }
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        (name.eq_ignore_ascii_case("boundary") && !value.is_empty()).then_some(value)
    })
}

fn header(headers: &[u8], wanted: &str) -> Option<String> {
    String::from_utf8_lossy(headers).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case(wanted)
            .then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(media: &[u8], end: &str, step: usize) -> Body {
        let head = "--xyz\nContent-Type: application/json\n\n{\"name\":\"a\"}\n--xyz\n\
                    content-type: text/csv\n\n";
        let mut whole = head.replace('\n', end).into_bytes();
        whole.extend_from_slice(media);
        whole.extend_from_slice(format!("{end}--xyz--{end}").as_bytes());
        let pieces: Vec<_> = whole
            .chunks(step)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        Body::from_stream(futures::stream::iter(pieces))
    }

    async fn read(media: &[u8], end: &str, step: usize) -> (Head, Vec<u8>) {
        let body = body(media, end, step);
        let mut parts = Parts::new("multipart/related; boundary=\"xyz\"", body).unwrap();
        let head = parts.head().await.unwrap();
        let mut found = Vec::new();
        while let Some(piece) = parts.media().await.unwrap() {
            found.extend_from_slice(&piece);
        }
        (head, found)
    }

    proptest! {
        #[test]
        fn media_is_what_was_sent_however_it_is_cut(
            media in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()], 0..200),
            end in prop_oneof![Just("\r\n"), Just("\n")],
            step in 1usize..40,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (head, found) = runtime.block_on(read(&media, end, step));
            prop_assert_eq!(head.metadata, b"{\"name\":\"a\"}");
            prop_assert_eq!(head.content_type.as_deref(), Some("text/csv"));
            prop_assert_eq!(found, media);
        }
    }

    #[tokio::test]
    async fn a_body_cut_short_is_no_upload() {
        let cut = Body::from("--xyz\r\n\r\n{}\r\n--xyz\r\n\r\nhalf");
        let mut parts = Parts::new("multipart/related; boundary=xyz", cut).unwrap();
        parts.head().await.unwrap();
        let mut last = parts.media().await;
        while let Ok(Some(_)) = last {
            last = parts.media().await;
        }
        assert!(last.is_err());
    }

    #[test]
    fn a_type_without_a_boundary_is_refused() {
        assert!(Parts::new("application/json", Body::empty()).is_err());
        assert!(Parts::new("multipart/related", Body::empty()).is_err());
    }
}
