//! What Google's own clients send again: more than their default, which leaves 429
//! and 500 to the caller.

use std::time::Duration;

use google_cloud_gax::error::Error;
use google_cloud_gax::retry_policy::{RetryPolicy, RetryPolicyArg, RetryPolicyExt};
use google_cloud_gax::retry_result::RetryResult;
use google_cloud_gax::retry_state::RetryState;

use super::ApiError;

/// For calls that are safe to send twice: reads, and writes with an id or an etag.
pub fn policy() -> RetryPolicyArg {
    Transient
        .with_time_limit(Duration::from_secs(120))
        .with_attempt_limit(8)
        .into()
}

#[derive(Debug)]
struct Transient;

impl RetryPolicy for Transient {
    fn on_error(&self, _state: &RetryState, error: Error) -> RetryResult {
        let again = match error.http_status_code() {
            Some(status) => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            None => error.is_io() || error.is_timeout() || error.is_connect(),
        };
        if again {
            RetryResult::Continue(error)
        } else {
            RetryResult::Permanent(error)
        }
    }
}

/// A failed call of Google's own clients, in our terms.
pub fn api_error(call: &str, error: Error) -> ApiError {
    let call = call.to_owned();
    match (
        error.http_status_code(),
        error.http_payload(),
        error.status(),
    ) {
        (Some(status), Some(body), _) => ApiError::from_answer(call, status, body),
        (Some(status), None, Some(details)) => ApiError::Answer {
            call,
            status,
            reason: details.code.name().to_owned(),
            message: details.message.clone(),
        },
        _ if error.is_authentication() => ApiError::Credentials(error.to_string()),
        _ => ApiError::Unreachable {
            call,
            problem: error.to_string(),
        },
    }
}
