//! What follows from an attempt: done, again after a wait, or the end.

use std::time::Duration;

use crate::source::auth::Authenticator;
use crate::source::backoff::{Wait, retry_after};
use crate::source::error_handler::{Action, Resolution};
use crate::source::moment::Moment;
use crate::source::response::Response;
use crate::source::retries::Cause;
use crate::source::shared::PARK_AFTER;
use crate::stream::{Fault, SourceError};

use super::{Answer, Attempt, Next, Requester};

impl Requester {
    pub(super) fn judge(
        &self,
        mut response: Response,
        resolution: &Resolution,
        attempt: &Attempt,
    ) -> Result<Next, SourceError> {
        let failure = || {
            Ok(Next::Stop(self.failure(
                &response,
                &attempt.shown,
                resolution,
            )))
        };
        let message = || resolution.message.clone();
        match resolution.action {
            Action::Success | Action::Ignore => {
                response.asked.clone_from(&attempt.shown);
                return Ok(Next::Done(Answer::Page(Box::new(response))));
            }
            Action::ResetPagination => return Ok(Next::Done(Answer::Reset)),
            Action::ReducePageSize => return Ok(Next::Done(Answer::Smaller(message()))),
            Action::SplitRequestWindow => return Ok(Next::Done(Answer::Split(message()))),
            Action::Fail => return failure(),
            // A new token was refused too.
            Action::RefreshTokenThenRetry if attempt.refreshed && self.has_tokens() => {
                return failure();
            }
            Action::Retry | Action::RateLimited | Action::RefreshTokenThenRetry => {}
        }
        let now = Moment::now();
        let asked = retry_after(&response, now);
        if is_day_limit(&response) {
            let retry_after = asked.unwrap_or(Duration::from_secs(3600));
            return Ok(Next::Stop(SourceError::Parked { retry_after }));
        }
        let limited = resolution.action == Action::RateLimited;
        let wait = self.wait(Some(&response), attempt.number, now)?;
        let cause = match (wait, asked, limited) {
            (Wait::TooLong(seconds), _, _) => {
                let retry_after = Duration::try_from_secs_f64(seconds).unwrap_or(PARK_AFTER);
                return Ok(Next::Stop(SourceError::Parked { retry_after }));
            }
            (Wait::Seconds(seconds), _, _) => Cause::Asked(seconds),
            // The reference waits as long as it pleases; the source said how long.
            (Wait::Unknown, Some(wait), _) => Cause::Asked(wait.as_secs_f64()),
            (Wait::Unknown, None, true) => Cause::Limited,
            (Wait::Unknown, None, false) => Cause::Passing,
        };
        let error = self.failure(&response, &attempt.shown, resolution);
        Ok(Next::Again(cause, error))
    }

    /// Whether the authenticator can get another token.
    fn has_tokens(&self) -> bool {
        matches!(self.authenticator, Authenticator::OAuth(_))
    }

    pub(super) fn unreachable(
        &self,
        attempt: &Attempt,
        problem: String,
    ) -> Result<Next, SourceError> {
        let cause = match self.wait(None, attempt.number, Moment::now())? {
            Wait::Seconds(seconds) => Cause::Asked(seconds),
            Wait::Unknown | Wait::TooLong(_) => Cause::Passing,
        };
        let url = attempt.shown.clone();
        let error = SourceError::Unreachable { url, problem };
        Ok(Next::Again(cause, error))
    }

    /// The first strategy that has an answer.
    fn wait(
        &self,
        response: Option<&Response>,
        attempt: u32,
        now: Moment,
    ) -> Result<Wait, SourceError> {
        for backoff in &self.errors.backoffs {
            let wait = backoff.wait(response, attempt, now, &self.shared.scope);
            match wait.map_err(|error| self.problem(error.to_string()))? {
                Wait::Unknown => {}
                wait => return Ok(wait),
            }
        }
        Ok(Wait::Unknown)
    }

    pub(super) fn failure(
        &self,
        response: &Response,
        url: &str,
        resolution: &Resolution,
    ) -> SourceError {
        let said = response.error_text().unwrap_or_default();
        let said: String = said.trim().chars().take(300).collect();
        let message = match (&resolution.message, said.is_empty()) {
            (Some(message), true) => message.clone(),
            (Some(message), false) => format!("{message} (it says: {said})"),
            (None, true) => "no reason given".to_owned(),
            (None, false) => said,
        };
        let message = self.shared.redactor.clean(&message);
        let (method, status) = (self.method.as_str(), response.status);
        match (status, resolution.fault) {
            (401, Fault::Config) => {
                SourceError::Credentials(format!("{method} {url} answered 401: {message}"))
            }
            _ => SourceError::Response {
                method: method.to_owned(),
                url: url.to_owned(),
                status,
                message,
                fault: resolution.fault,
            },
        }
    }
}

/// Xero and others name the limit; a day's outlasts the run.
fn is_day_limit(response: &Response) -> bool {
    let problem = response.header("x-rate-limit-problem").unwrap_or_default();
    response.status == 429 && problem.to_ascii_lowercase().contains("day")
}
