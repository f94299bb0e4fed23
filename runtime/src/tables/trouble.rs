//! What BigQuery refused, as a sentence that says what is missing, on what, and what to do.

use std::time::Duration;

use crate::google::ApiError;
use crate::stream::SourceError;

use super::settings::{Origin, StreamSettings, wrong};

/// A quota that is spent opens again at some time of the day; it is tried again after this.
const QUOTA_PAUSE: Duration = Duration::from_secs(3600);

/// Around what an error arose.
#[derive(Debug, Clone)]
pub struct About<'a> {
    pub stream: &'a str,
    pub settings: &'a StreamSettings,
    /// Who asked, as `service account a@p`.
    pub who: &'a str,
    /// The project that the query runs in.
    pub project: &'a str,
}

impl About<'_> {
    fn at(&self) -> String {
        format!("config.streams.{}", self.stream)
    }

    /// What is read, in words.
    fn what(&self) -> String {
        match &self.settings.origin {
            Origin::Table(name) => format!("table `{name}`"),
            Origin::Query(_) => "what its query names".to_owned(),
        }
    }

    fn readable(&self) -> String {
        match &self.settings.origin {
            Origin::Table(name) => format!("dataset `{}.{}`", name.project, name.dataset),
            Origin::Query(_) => "the datasets of its tables".to_owned(),
        }
    }

    pub fn error(&self, error: ApiError) -> SourceError {
        let (status, reason, message) = match &error {
            ApiError::Answer {
                status,
                reason,
                message,
                ..
            } => (*status, reason.as_str(), message.as_str()),
            ApiError::Credentials(problem) => {
                return SourceError::Credentials(format!("{}: {problem}", self.who));
            }
            ApiError::Unreachable { call, problem } => {
                return SourceError::Unreachable {
                    url: call.clone(),
                    problem: problem.clone(),
                };
            }
            ApiError::Decode { call, problem } => {
                return SourceError::Decode {
                    url: call.clone(),
                    problem: problem.clone(),
                };
            }
        };
        match status {
            401 => SourceError::Credentials(format!("{}: {message}", self.who)),
            _ if error.is_transient() => SourceError::Unreachable {
                url: format!("BigQuery for stream `{}`", self.stream),
                problem: error.to_string(),
            },
            _ => self.refused(reason, message),
        }
    }

    /// What a job or a request was refused with.
    pub fn refused(&self, reason: &str, message: &str) -> SourceError {
        match reason {
            "accessDenied" | "PERMISSION_DENIED" | "forbidden" => self.denied(message),
            "quotaExceeded" => {
                tracing::warn!(stream = self.stream, message, "a quota is spent");
                SourceError::Parked {
                    retry_after: QUOTA_PAUSE,
                }
            }
            "notFound" => self.missing(message),
            "responseTooLarge" => wrong(
                &self.at(),
                format!(
                    "the result is larger than BigQuery keeps for a query ({message}); read less \
                     at once: with a `cursor` and --from and --to, or a `query` with fewer columns"
                ),
            ),
            "invalidQuery" | "invalid" => {
                wrong(&self.at(), format!("BigQuery refuses the query: {message}"))
            }
            _ => wrong(&self.at(), format!("BigQuery answers {reason}: {message}")),
        }
    }

    fn denied(&self, message: &str) -> SourceError {
        let who = self.who;
        let help = match message.contains("bigquery.jobs.create") {
            true => format!(
                "grant it roles/bigquery.jobUser on project `{}`, or name another one that it \
                 may run queries in with `project` in the config",
                self.project
            ),
            false => format!("grant it roles/bigquery.dataViewer on {}", self.readable()),
        };
        let what = self.what();
        SourceError::Credentials(format!(
            "stream `{}`: {who} may not read {what}: {help} ({message})",
            self.stream
        ))
    }

    fn missing(&self, message: &str) -> SourceError {
        let elsewhere = message.contains("not found in location");
        let problem = match elsewhere {
            true => format!(
                "{message}. A query runs where its data is: put that into `location` in the config"
            ),
            false => format!("{} is not there (any more): {message}", self.what()),
        };
        wrong(&self.at(), problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::google::bigquery::TableName;

    fn said(status: u16, reason: &str, message: &str) -> String {
        let settings = StreamSettings {
            origin: Origin::Table(TableName {
                project: "other".into(),
                dataset: "d".into(),
                table: "t".into(),
            }),
            cursor: None,
            lookback: None,
            start: None,
        };
        let about = About {
            stream: "s",
            settings: &settings,
            who: "service account a@p",
            project: "p",
        };
        let error = ApiError::Answer {
            call: "GET x".into(),
            status,
            reason: reason.into(),
            message: message.into(),
        };
        about.error(error).to_string()
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_grant() {
        insta::assert_snapshot!(said(403, "accessDenied", "Access Denied: Table other:d.t: User does not have permission to query table"), @"the source refused the credentials: stream `s`: service account a@p may not read table `other.d.t`: grant it roles/bigquery.dataViewer on dataset `other.d` (Access Denied: Table other:d.t: User does not have permission to query table)");
        insta::assert_snapshot!(said(403, "accessDenied", "Access Denied: Project p: User does not have bigquery.jobs.create permission in project p."), @"the source refused the credentials: stream `s`: service account a@p may not read table `other.d.t`: grant it roles/bigquery.jobUser on project `p`, or name another one that it may run queries in with `project` in the config (Access Denied: Project p: User does not have bigquery.jobs.create permission in project p.)");
    }

    #[test]
    fn a_table_that_is_gone_and_one_elsewhere_are_told_apart() {
        insta::assert_snapshot!(said(404, "notFound", "Not found: Table other:d.t"), @"config.streams.s: table `other.d.t` is not there (any more): Not found: Table other:d.t");
        insta::assert_snapshot!(said(404, "notFound", "Not found: Dataset other:d was not found in location US"), @"config.streams.s: Not found: Dataset other:d was not found in location US. A query runs where its data is: put that into `location` in the config");
    }

    #[test]
    fn a_spent_quota_parks_the_stream() {
        assert!(said(403, "quotaExceeded", "Quota exceeded").contains("opens again in 3600s"));
    }
}
