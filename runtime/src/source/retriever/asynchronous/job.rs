//! The life of a job: created, polled until it ends, created again when it failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::Value as Shown;
use serde_json::Value as Json;

use crate::stream::{Fault, SourceError};
use crate::value::Value;

use super::super::super::component::Component;
use super::super::super::decoder::Decoder;
use super::super::super::extractor::Extractor;
use super::super::super::python;
use super::super::super::requester::Requester;
use super::super::super::response::Response;
use super::super::super::shared::Shared;
use super::super::super::template::Scope;
use super::status::{Status, StatusMap};
use super::{requester, shown_reply};

/// How often a job is created before its slice fails, as the reference's.
const MOST_ATTEMPTS: u32 = 3;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// The reference looks every five seconds; a job that is quick is seen sooner.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub struct Jobs {
    at: String,
    creation: Requester,
    polling: Requester,
    abort: Option<Requester>,
    status: Extractor,
    statuses: StatusMap,
    decoder: Decoder,
    timeout: Duration,
    /// How long a job that failed is left alone before the next.
    rest: Option<Duration>,
    shared: Arc<Shared>,
}

/// A job that has something to download.
pub struct Done {
    at: String,
    created: Response,
    pub polled: Response,
}

/// How an attempt ended.
enum End {
    Completed(Box<Done>),
    Skipped,
    NotCreated(SourceError),
    Failed,
    TimedOut,
}

impl Jobs {
    pub fn open(
        component: &Component<'_>,
        decoder: &Decoder,
        shared: &Arc<Shared>,
    ) -> Result<Jobs, SourceError> {
        let status = component.need("status_extractor")?;
        let minutes = number(component, "polling_job_timeout", shared)?;
        let seconds = number(component, "failed_retry_wait_time_in_seconds", shared)?;
        Ok(Jobs {
            at: component.at.clone(),
            creation: Requester::open(&component.need("creation_requester")?, shared)?,
            polling: Requester::open(&component.need("polling_requester")?, shared)?,
            abort: requester(component, "abort_requester", shared)?,
            status: Extractor::open(&status, decoder, &shared.scope)?,
            statuses: StatusMap::open(&component.need("status_mapping")?)?,
            decoder: decoder.clone(),
            timeout: minutes.map_or(DEFAULT_TIMEOUT, |minutes| Duration::from_secs(60 * minutes)),
            rest: seconds.map(Duration::from_secs),
            shared: shared.clone(),
        })
    }

    /// Sees a job through; nothing where the source says there is nothing to download.
    pub async fn finish(&self, scope: &Scope) -> Result<Option<Box<Done>>, SourceError> {
        let _turn = self.shared.start_job().await;
        let mut attempt = 1;
        let mut wait = FIRST_WAIT;
        loop {
            let end = self.attempt(scope).await?;
            let rest = match &end {
                End::Failed => self.rest,
                _ => None,
            };
            match end {
                End::Completed(done) => return Ok(Some(done)),
                End::Skipped => return Ok(None),
                end if attempt == MOST_ATTEMPTS => return Err(self.given_up(end)),
                _ => {}
            }
            tracing::info!(at = self.at, attempt, "a job failed; trying again");
            tokio::time::sleep(rest.unwrap_or(wait)).await;
            wait = longer(wait);
            attempt += 1;
        }
    }

    async fn attempt(&self, scope: &Scope) -> Result<End, SourceError> {
        let started = Instant::now();
        let created = match self.create(scope).await {
            Ok(created) => created,
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => return Ok(End::NotCreated(error)),
        };
        let scope = self.created_scope(scope, &created)?;
        let mut wait = FIRST_WAIT;
        loop {
            if started.elapsed() > self.timeout {
                self.abort(&scope).await;
                return Ok(End::TimedOut);
            }
            let polled = self.polling.send(&scope, None, Vec::new()).await?;
            match self.status(&polled)? {
                Status::Running => {}
                Status::Completed => {
                    let at = self.at.clone();
                    return Ok(End::Completed(Box::new(Done {
                        at,
                        created,
                        polled,
                    })));
                }
                Status::Skipped => return Ok(End::Skipped),
                Status::Failed => return Ok(End::Failed),
                Status::TimedOut => {
                    self.abort(&scope).await;
                    return Ok(End::TimedOut);
                }
            }
            tokio::time::sleep(wait).await;
            wait = longer(wait);
        }
    }

    async fn create(&self, scope: &Scope) -> Result<Response, SourceError> {
        let created = self.creation.send(scope, None, Vec::new()).await?;
        match created.ok() {
            true => Ok(created),
            // An error that is ignored leaves no job to follow.
            false => Err(SourceError::Response {
                method: "creating a job at".to_owned(),
                url: self.shared.redactor.clean(&created.plain_url()),
                status: created.status,
                message: "there is no job to follow".to_owned(),
                fault: Fault::Source,
            }),
        }
    }

    fn created_scope(&self, scope: &Scope, created: &Response) -> Result<Scope, SourceError> {
        let created = shown_reply(created).map_err(|problem| SourceError::Config {
            at: format!("{}.creation_requester", self.at),
            problem: format!("the reply cannot be used in templates: {problem}"),
        })?;
        Ok(scope
            .clone()
            .with_extra_fields(&[("creation_response", created)]))
    }

    fn status(&self, polled: &Response) -> Result<Status, SourceError> {
        let words = self
            .status
            .records(&self.decoder, polled, &self.shared.scope);
        let word = words.and_then(|mut words| words.next().transpose());
        let word = word.map_err(|error| self.problem(error.to_string()))?;
        let word = python::text(&word.flatten().unwrap_or(Value::Null));
        self.statuses.get(&word).ok_or_else(|| {
            self.problem(format!(
                "the job's status is `{word}`, which `status_mapping` does not know"
            ))
        })
    }

    /// The source's copy of a job that was given up costs nothing here, so errors are only told.
    async fn abort(&self, scope: &Scope) {
        if let Some(abort) = &self.abort
            && let Err(error) = abort.send(scope, None, Vec::new()).await
        {
            tracing::warn!(at = self.at, %error, "a job could not be aborted");
        }
    }

    fn given_up(&self, end: End) -> SourceError {
        let how = match end {
            End::NotCreated(error) => return error,
            End::TimedOut => "timed out",
            _ => "failed",
        };
        self.problem(format!("the job {how} {MOST_ATTEMPTS} times"))
    }

    fn problem(&self, problem: String) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&problem),
        }
    }
}

impl Done {
    /// The slice with the reply that created the job.
    pub fn created_scope(&self, scope: &Scope) -> Result<Scope, SourceError> {
        let created = self.reply(&self.created)?;
        Ok(scope
            .clone()
            .with_extra_fields(&[("creation_response", created)]))
    }

    /// The slice with the replies that created the job and that ended it.
    pub fn replies(&self, scope: &Scope) -> Result<Scope, SourceError> {
        let polled = self.polled_reply()?;
        let scope = self.created_scope(scope)?;
        Ok(scope.with_extra_fields(&[("polling_response", polled)]))
    }

    pub fn polled_reply(&self) -> Result<Shown, SourceError> {
        self.reply(&self.polled)
    }

    fn reply(&self, reply: &Response) -> Result<Shown, SourceError> {
        shown_reply(reply).map_err(|problem| SourceError::Config {
            at: self.at.clone(),
            problem: format!("the job's reply cannot be used in templates: {problem}"),
        })
    }
}

fn longer(wait: Duration) -> Duration {
    (wait * 2).min(LONGEST_WAIT)
}

/// Whether no other attempt can do better.
fn is_final(error: &SourceError) -> bool {
    !matches!(
        error,
        SourceError::Response {
            fault: Fault::Source,
            ..
        }
    ) && !matches!(
        error,
        SourceError::Unreachable { .. } | SourceError::Decode { .. }
    )
}

/// A whole number that may be a template; 0 is none.
fn number(
    component: &Component<'_>,
    name: &str,
    shared: &Shared,
) -> Result<Option<u64>, SourceError> {
    let Some(written) = component.field(name).filter(|it| **it != 0) else {
        return Ok(None);
    };
    // The reference gives it no parameters.
    let bare = Component::new(&Json::Null, component.at.clone()).template_of(written)?;
    let text = bare
        .text(&shared.scope)
        .map_err(|error| component.error(error.to_string()))?;
    let number = text
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|number| *number >= 0.0);
    let number = number.ok_or_else(|| {
        component.error(format!("`{name}` is `{text}`, which is no whole number"))
    })?;
    Ok(Some(number as u64).filter(|number| *number > 0))
}
