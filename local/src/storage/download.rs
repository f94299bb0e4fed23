//! An object's bytes on their way out, whole or in part.

use std::io::SeekFrom;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{Object, view};
use crate::error::ApiError;

/// The bytes `first..=last` of a representation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    first: u64,
    last: u64,
}

/// The reply with the bytes `range` (a `Range` header) asks for.
pub async fn reply(object: &Object, range: Option<&str>) -> Result<Response, ApiError> {
    let span = match range.map(|range| span(range, object.size)) {
        Some(Ok(span)) => span,
        Some(Err(error)) => return Ok(unsatisfiable(error, object.size)),
        None => None,
    };
    let mut file = File::open(&object.path).await?;
    let (first, length) = match span {
        Some(span) => (span.first, span.last - span.first + 1),
        None => (0, object.size),
    };
    file.seek(SeekFrom::Start(first)).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), 256 * 1024));
    let mut response = Response::new(body);
    if let Some(span) = span {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", span.first, span.last, object.size);
        insert(&mut response, header::CONTENT_RANGE.as_str(), &text);
    }
    insert(&mut response, "content-length", &length.to_string());
    describe(&mut response, object);
    Ok(response)
}

/// 416 tells the size, from which Google's clients see that an object is empty.
fn unsatisfiable(error: ApiError, size: u64) -> Response {
    let mut response = error.into_response();
    insert(&mut response, "content-range", &format!("bytes */{size}"));
    response
}

fn describe(response: &mut Response, object: &Object) {
    let setting = |name: &str| object.settings.get(name).and_then(|value| value.as_str());
    let content_type = setting("contentType").unwrap_or("application/octet-stream");
    let mut hash = format!("crc32c={}", object.crc32c);
    if let Some(md5) = &object.md5_hash {
        hash.push_str(&format!(",md5={md5}"));
    }
    let etag = view::etag(object.generation, object.metageneration);
    let encoding = setting("contentEncoding").filter(|encoding| !encoding.is_empty());
    insert(response, "content-type", content_type);
    insert(response, "etag", &etag);
    insert(response, "accept-ranges", "bytes");
    insert(response, "x-goog-hash", &hash);
    insert(
        response,
        "x-goog-generation",
        &object.generation.to_string(),
    );
    insert(
        response,
        "x-goog-metageneration",
        &object.metageneration.to_string(),
    );
    insert(
        response,
        "x-goog-stored-content-length",
        &object.size.to_string(),
    );
    insert(
        response,
        "x-goog-stored-content-encoding",
        encoding.unwrap_or("identity"),
    );
    insert(
        response,
        "x-goog-storage-class",
        setting("storageClass").unwrap_or("STANDARD"),
    );
    for (name, value) in [
        ("content-encoding", encoding),
        ("cache-control", setting("cacheControl")),
        ("content-disposition", setting("contentDisposition")),
        ("content-language", setting("contentLanguage")),
    ] {
        if let Some(value) = value {
            insert(response, name, value);
        }
    }
}

/// A value no header can carry is left out.
fn insert(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The part a `Range` header names, `None` for the whole; other units are ignored, as HTTP says.
///
/// # Errors
/// 416 where nothing of the object is in the range.
fn span(range: &str, size: u64) -> Result<Option<Span>, ApiError> {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|span| span.split_once('-'))
    else {
        return Ok(None);
    };
    let unsatisfiable = || {
        ApiError {
            code: 416,
            ..ApiError::invalid(format!("The requested range cannot be satisfied: {range}"))
        }
        .reason("requestedRangeNotSatisfiable")
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let span = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Span {
            first,
            last: last.min(size.saturating_sub(1)),
        },
        (Some(first), None) if last.trim().is_empty() => Span {
            first,
            last: size.saturating_sub(1),
        },
        (None, Some(length)) if first.trim().is_empty() && length > 0 => Span {
            first: size.saturating_sub(length),
            last: size.saturating_sub(1),
        },
        _ => return Ok(None),
    };
    if span.first >= size {
        return Err(unsatisfiable());
    }
    Ok(Some(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_object() {
        let at = |range: &str| span(range, 10).unwrap().map(|span| (span.first, span.last));
        assert_eq!(at("bytes=2-4"), Some((2, 4)));
        assert_eq!(at("bytes=2-"), Some((2, 9)));
        assert_eq!(at("bytes=-3"), Some((7, 9)));
        assert_eq!(at("bytes=-30"), Some((0, 9)));
        assert_eq!(at("bytes=5-100"), Some((5, 9)));
        assert_eq!(at("lines=1-2"), None);
    }

    #[test]
    fn a_range_behind_the_end_is_unsatisfiable() {
        assert_eq!(span("bytes=10-", 10).unwrap_err().code, 416);
        assert_eq!(span("bytes=0-0", 0).unwrap_err().code, 416);
    }
}
