//! When a call is sent again, and after which wait.
//!
//! Google's crates send again only after 503, and only what is idempotent. Our
//! creates carry their names, so sending them twice is safe: the second answer
//! is "already exists", which is checked. A wait grows, is never the same for
//! two callers, and is at least what the server asks for; where that is more
//! than a person at a terminal waits for, the error comes at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use google_cloud_gax::backoff_policy::BackoffPolicy;
use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::StatusDetails;
use google_cloud_gax::exponential_backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use google_cloud_gax::retry_policy::RetryPolicy;
use google_cloud_gax::retry_result::RetryResult;
use google_cloud_gax::retry_state::RetryState;
use google_cloud_gax::retry_throttler::CircuitBreaker;

use crate::patience::{LONGEST_ASKED, retry_after};

const ATTEMPTS: u32 = 6;
/// A closed port stays closed, and who says nothing goes on to; a connection that breaks off does not.
const CONNECT_ATTEMPTS: u32 = 2;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Sends again after 429, 500, 502, 503 and broken connections.
///
/// It is both policies of a client, as the wait a server asks for is in its error, which
/// only the one sees, and is waited by the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Patient {
    /// Waits asked for, by the beginning of the loop that is to wait: the other policy takes
    /// each out at once.
    asked: Arc<Mutex<HashMap<Instant, Duration>>>,
}

impl RetryPolicy for Patient {
    fn on_error(&self, state: &RetryState, error: Error) -> RetryResult {
        let attempts = match error.is_connect() || error.is_timeout() {
            true => CONNECT_ATTEMPTS,
            false => ATTEMPTS,
        };
        if !passes(&error) || state.attempt_count >= attempts {
            return RetryResult::Permanent(error);
        }
        match asked_by(&error) {
            Some(wait) if wait > LONGEST_ASKED => return RetryResult::Permanent(error),
            Some(wait) => drop(self.asked().insert(state.start, wait)),
            None => {}
        }
        RetryResult::Continue(error)
    }
}

impl BackoffPolicy for Patient {
    fn on_failure(&self, state: &RetryState) -> Duration {
        let asked = self.asked().remove(&state.start);
        wait(state.attempt_count, asked)
    }
}

impl Patient {
    fn asked(&self) -> std::sync::MutexGuard<'_, HashMap<Instant, Duration>> {
        // A map of numbers is never left half-changed.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that holds nothing back: attempts have their end here, and Google's own throttler would
/// wait on and on between them where several calls of a client fail at the same time.
pub(super) fn unthrottled() -> CircuitBreaker {
    CircuitBreaker::clamp(1, 0, 0)
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
        None => error.is_io() || error.is_connect() || error.is_transport() || error.is_timeout(),
    }
}

pub(super) fn status_passes(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503)
}

/// The wait an error asks for: in a header, or as a `RetryInfo` among its details.
fn asked_by(error: &Error) -> Option<Duration> {
    let details = error.status().map(|status| status.details.as_slice());
    let info = details
        .unwrap_or_default()
        .iter()
        .find_map(|detail| match detail {
            StatusDetails::RetryInfo(info) => Duration::try_from(info.retry_delay?).ok(),
            _ => None,
        });
    error.http_headers().and_then(retry_after).or(info)
}

/// How long to wait after attempt `n`. Those who failed together do not come back together.
pub(super) fn wait(n: u32, asked: Option<Duration>) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << n.clamp(1, 10).saturating_sub(1));
    let longest = longest.min(LONGEST_WAIT);
    match asked {
        Some(asked) => asked + FIRST_WAIT.mul_f64(fastrand::f64()),
        None => longest.mul_f64(0.5 + fastrand::f64() / 2.0),
    }
}

/// Waits between looks at a running operation.
pub(super) fn polling() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_delay(Duration::from_millis(100))
        .with_maximum_delay(Duration::from_secs(5))
        .clamp()
}

pub(super) fn attempts() -> u32 {
    ATTEMPTS
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::RETRY_AFTER;

    use super::*;

    fn answer(status: u16) -> Error {
        Error::http(status, Default::default(), Default::default())
    }

    fn busy(after: &str) -> Error {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, after.parse().unwrap())]);
        Error::http(429, headers, Default::default())
    }

    #[test]
    fn busy_servers_are_asked_again_and_refusals_are_not() {
        let state = RetryState::new(false);
        for status in [429, 500, 502, 503] {
            let patient = Patient::default();
            assert!(patient.on_error(&state, answer(status)).is_continue());
        }
        for status in [400, 403, 404, 409, 501] {
            let patient = Patient::default();
            assert!(patient.on_error(&state, answer(status)).is_permanent());
        }
    }

    #[test]
    fn asking_again_has_an_end() {
        let state = RetryState::new(true).set_attempt_count(ATTEMPTS);
        let patient = Patient::default();
        assert!(patient.on_error(&state, answer(503)).is_permanent());
    }

    #[test]
    fn failures_of_one_call_put_off_no_other() {
        use google_cloud_gax::retry_throttler::RetryThrottler;
        let mut throttler = unthrottled();
        for _ in 0..1000 {
            throttler.on_retry_failure(&RetryResult::Continue(answer(503)));
            assert!(!throttler.throttle_retry_attempt());
        }
    }

    #[test]
    fn who_does_not_answer_is_asked_once_more() {
        let patient = Patient::default();
        let silence = || Error::timeout("nothing was said");
        let attempt = |n: u32| RetryState::new(true).set_attempt_count(n);
        assert!(patient.on_error(&attempt(1), silence()).is_continue());
        assert!(patient.on_error(&attempt(2), silence()).is_permanent());
    }

    #[test]
    fn what_would_happen_twice_is_asked_once() {
        let state = RetryState::new(false);
        assert!(Once.on_error(&state, answer(503)).is_permanent());
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asks_for() {
        let patient = Patient::default();
        let state = RetryState::new(true).set_attempt_count(1u32);
        assert!(patient.on_error(&state, busy("7")).is_continue());
        let wait = patient.on_failure(&state);
        assert!(
            wait >= Duration::from_secs(7) && wait < Duration::from_secs(8),
            "{wait:?}"
        );
        assert!(patient.on_failure(&state) <= FIRST_WAIT, "asked for once");
    }

    #[test]
    fn nobody_is_kept_waiting_for_an_hour() {
        let state = RetryState::new(true).set_attempt_count(1u32);
        let patient = Patient::default();
        assert!(patient.on_error(&state, busy("3600")).is_permanent());
    }

    #[test]
    fn waits_grow_up_to_a_limit_and_differ() {
        for n in 1..20 {
            let longest = (FIRST_WAIT * 2u32.pow(n.min(10) - 1)).min(LONGEST_WAIT);
            let waits: Vec<_> = (0..20).map(|_| wait(n, None)).collect();
            assert!(
                waits
                    .iter()
                    .all(|wait| *wait >= longest / 2 && *wait <= longest)
            );
            assert!(waits.iter().any(|wait| *wait != waits[0]));
        }
    }
}
