//! When a call is sent again.
//!
//! Google's crates send again only after 503, and only what is idempotent. Our
//! creates carry their names, so sending them twice is safe: the second answer
//! is "already exists", which is checked.

use std::time::Duration;

use google_cloud_gax::error::Error;
use google_cloud_gax::exponential_backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use google_cloud_gax::retry_policy::RetryPolicy;
use google_cloud_gax::retry_result::RetryResult;
use google_cloud_gax::retry_state::RetryState;

const ATTEMPTS: u32 = 6;
/// A closed port stays closed; a connection that breaks off does not.
const CONNECT_ATTEMPTS: u32 = 2;

/// Sends again after 429, 500, 502, 503 and broken connections.
#[derive(Debug)]
pub(super) struct Patient;

impl RetryPolicy for Patient {
    fn on_error(&self, state: &RetryState, error: Error) -> RetryResult {
        let attempts = match error.is_connect() {
            true => CONNECT_ATTEMPTS,
            false => ATTEMPTS,
        };
        match passes(&error) {
            false => RetryResult::Permanent(error),
            true if state.attempt_count >= attempts => RetryResult::Permanent(error),
            true => RetryResult::Continue(error),
        }
    }
}

/// Sends again only what never arrived: for calls that would do their work twice.
#[derive(Debug)]
pub(super) struct Once;

impl RetryPolicy for Once {
    fn on_error(&self, state: &RetryState, error: Error) -> RetryResult {
        match error.is_connect() && state.attempt_count < CONNECT_ATTEMPTS {
            true => RetryResult::Continue(error),
            false => RetryResult::Permanent(error),
        }
    }
}

fn passes(error: &Error) -> bool {
    match error.http_status_code() {
        Some(status) => status_passes(status),
        None => error.is_io() || error.is_connect() || error.is_transport(),
    }
}

pub(super) fn status_passes(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503)
}

/// Waits between attempts: short first, as most trouble is.
pub(super) fn backoff() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_delay(Duration::from_millis(200))
        .with_maximum_delay(Duration::from_secs(10))
        .clamp()
}

/// Waits between looks at a running operation.
pub(super) fn polling() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_delay(Duration::from_millis(100))
        .with_maximum_delay(Duration::from_secs(5))
        .clamp()
}

/// How long to wait after attempt `n`, for calls without Google's crates.
pub(super) fn delay(n: u32) -> Duration {
    Duration::from_millis(200) * 2u32.saturating_pow(n.min(5))
}

pub(super) fn attempts() -> u32 {
    ATTEMPTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use google_cloud_gax::retry_state::RetryState;

    fn answer(status: u16) -> Error {
        Error::http(status, Default::default(), Default::default())
    }

    #[test]
    fn busy_servers_are_asked_again_and_refusals_are_not() {
        let state = RetryState::new(false);
        for status in [429, 500, 502, 503] {
            assert!(Patient.on_error(&state, answer(status)).is_continue());
        }
        for status in [400, 403, 404, 409, 501] {
            assert!(Patient.on_error(&state, answer(status)).is_permanent());
        }
    }

    #[test]
    fn asking_again_has_an_end() {
        let state = RetryState::new(true).set_attempt_count(ATTEMPTS);
        assert!(Patient.on_error(&state, answer(503)).is_permanent());
    }

    #[test]
    fn what_would_happen_twice_is_asked_once() {
        let state = RetryState::new(false);
        assert!(Once.on_error(&state, answer(503)).is_permanent());
    }
}
