//! Moments, in milliseconds since 1970.

use std::time::{SystemTime, UNIX_EPOCH};

pub const SECOND: i64 = 1000;
pub const DAY: i64 = 24 * 60 * 60 * SECOND;

/// 2025-07-01T00:00:00Z: what a sandbox calls now until time is moved. It lies in the past,
/// because a client that asks "until now" by its own clock must not ask for an empty span.
pub const START: i64 = 1_751_328_000_000;

pub fn real_clock() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_millis() as i64
}

/// `2025-07-01T00:00:00.120` without a zone, the milliseconds only where there are some.
pub fn iso(millis: i64) -> String {
    let format = match millis.rem_euclid(SECOND) {
        0 => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%dT%H:%M:%S%.3f",
    };
    written(millis, format)
}

/// A moment in UTC in a `strftime` format.
pub fn written(millis: i64, format: &str) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map(|timestamp| timestamp.strftime(format).to_string())
        .unwrap_or_default()
}
