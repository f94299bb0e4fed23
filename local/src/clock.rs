//! The time as Google's APIs write it.

use jiff::Timestamp;

/// Now, RFC 3339 in UTC with microseconds.
pub fn now() -> String {
    format!("{:.6}", Timestamp::now())
}
