//! What a busy server may ask of whoever calls it.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The longest wait a server may ask for before it is as good as a refusal.
pub const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// The longest time without an answer: a connection that somebody in between lost says nothing.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// The seconds of `Retry-After`; neither Google nor registries send dates in it.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}
