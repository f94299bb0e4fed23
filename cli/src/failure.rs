//! How a command fails: a kind (the exit code), a sentence and a hint.
//!
//! Errors below are enums by meaning; here is the one place that turns them
//! into what a person reads.

use std::error::Error;
use std::io;

use crate::apply::ApplyError;
use crate::cloud::CloudError;
use crate::config::ConfigError;
use crate::fleet::guard::TooMuch;
use crate::grants;
use crate::image::ImageError;
use crate::image::credentials::CredentialsError;
use crate::image::registry::RegistryError;
use crate::local::LocalError;
use crate::plan::Refusal;
use crate::questions::AnswerError;

/// What went wrong, by what a script may want to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Something failed.
    Failed = 1,
    /// The arguments or the workspace's files are wrong (clap's code, too).
    Usage = 2,
    /// The target cannot be reached, or refuses who is calling.
    Unreachable = 3,
    /// Some steps are done and some are not; the same command goes on.
    Incomplete = 4,
    /// It needs a yes, and there is nobody to ask.
    Unconfirmed = 5,
    /// The pipeline's execution failed.
    RunFailed = 6,
    /// The source's limit is spent: the run goes on later.
    Parked = 75,
    /// Stopped by Ctrl-C, or asked to end.
    Interrupted = 130,
}

/// What a command fails with.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: Kind,
    pub sentence: String,
    pub hint: Option<String>,
    /// What a service said that refused: perhaps the project is not there.
    pub refusal: Option<String>,
}

impl Failure {
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Failure {
        Failure {
            kind,
            sentence: sentence.into(),
            hint: None,
            refusal: None,
        }
    }

    /// The same failure, with what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Google does not tell a project that is not there from one the caller may not see.
    pub fn no_project(project: &str, place: &str) -> Failure {
        let sentence =
            format!("{place}: project `{project}` does not exist, or you may not see it");
        Failure::new(Kind::Usage, sentence).hint(
            "`gcloud projects list` shows those you may see; correct `project` there, or have its \
             owner give your account a role in it",
        )
    }

    /// The failure an error is, with what caused it.
    pub fn of(kind: Kind, error: &dyn Error) -> Failure {
        Failure::new(kind, chain(error))
    }
}

/// An error and its causes in one sentence, a cause that is already told left out.
pub fn chain(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = error.source();
    }
    sentence
}

/// What is at the bottom of an error, where the layers above it say the same.
pub fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::Interrupted => Failure::new(Kind::Interrupted, "interrupted"),
            _ => Failure::of(Kind::Failed, &error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let hint = error.hint();
        Failure {
            hint,
            ..Failure::of(Kind::Usage, &error)
        }
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Failure {
        Failure {
            hint: error.hint(),
            ..Failure::of(Kind::Unreachable, &error)
        }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Failure {
        Failure::of(Kind::Failed, &error)
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Failure {
        Failure::of(Kind::Unreachable, &error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        let kind = match error {
            RegistryError::Unreachable { .. } => Kind::Unreachable,
            _ => Kind::Failed,
        };
        Failure {
            hint: error.hint(),
            ..Failure::of(kind, &error)
        }
    }
}

impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Failure {
        Failure {
            hint: error.hint(),
            ..Failure::of(Kind::Usage, &error)
        }
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Failure {
        let kind = match &error {
            CloudError::Unreachable { .. } | CloudError::Credentials { .. } => Kind::Unreachable,
            _ => Kind::Failed,
        };
        Failure {
            hint: cloud_hint(&error),
            refusal: error.refusal().map(str::to_owned),
            ..Failure::of(kind, &error)
        }
    }
}

fn cloud_hint(error: &CloudError) -> Option<String> {
    let hint = match error {
        CloudError::Unreachable { endpoint, .. } if endpoint.contains("127.0.0.1") => {
            "is the local cloud running? `xetl local status` tells, `xetl local up` starts it"
        }
        CloudError::Unreachable { .. } => "check the network and any proxy, then try again",
        CloudError::Credentials { .. } => {
            "sign in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        }
        CloudError::Disabled { api, .. } => {
            return Some(format!(
                "`xetl apply` enables it, or `gcloud services enable {api}`"
            ));
        }
        CloudError::Leaving { .. } => {
            "what had the name was deleted, and Google has not let go of it; apply again in some minutes"
        }
        CloudError::Conflict { .. } => "somebody else changed it at the same time; try again",
        CloudError::Denied { message, .. } | CloudError::Refused { message, .. }
            if message.to_lowercase().contains("billing") =>
        {
            "the project needs a billing account; `xetl doctor` gives the command that links one"
        }
        CloudError::Denied { message, .. } if grants::advice(message).is_some() => {
            return grants::advice(message);
        }
        CloudError::Denied { .. } => "your account lacks a role for this in the project",
        _ => return None,
    };
    Some(hint.to_owned())
}

impl From<TooMuch> for Failure {
    fn from(error: TooMuch) -> Failure {
        Failure::of(Kind::Failed, &error).hint(format!(
            "nothing was changed; if they are to go, say so with `--allow-deletions {}`",
            error.losing
        ))
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Failure {
        match error {
            ApplyError::Cloud(error) => error.into(),
            ApplyError::Steps { failed, done, left } => incomplete(failed, done, left),
            ApplyError::Interrupted { done, left } => {
                Failure::new(Kind::Interrupted, "interrupted").hint(how_far(done, left))
            }
            ApplyError::MissingValues { .. } => Failure::of(Kind::Incomplete, &error),
            ApplyError::Refused { ref reason, .. } => {
                Failure::of(Kind::Failed, &error).hint(refused(reason))
            }
            error => Failure::of(Kind::Failed, &error),
        }
    }
}

fn refused(reason: &Refusal) -> &'static str {
    match reason {
        Refusal::Fixed { .. } => {
            "nothing was changed; declare it as it is, or copy what it holds and delete it yourself"
        }
        Refusal::Foreign { .. } => "nothing was changed; give one of the two another name",
    }
}

/// A kind that failed: its errors, the first one's hint, and how far it got.
fn incomplete(failed: Vec<ApplyError>, done: usize, left: usize) -> Failure {
    let failures: Vec<Failure> = failed.into_iter().map(Failure::from).collect();
    let sentences: Vec<&str> = failures.iter().map(|it| it.sentence.as_str()).collect();
    let hint = failures.iter().find_map(|it| it.hint.clone());
    let again = how_far(done, left);
    Failure::new(Kind::Incomplete, sentences.join("\n       ")).hint(match hint {
        Some(hint) => format!("{hint}\n      {again}"),
        None => again,
    })
}

fn how_far(done: usize, left: usize) -> String {
    format!("{done} steps are done, {left} are not; the same command goes on from here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `a`")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_failure_tells_the_causes_of_its_error() {
        let error = Outer(io::Error::other("no such disk"));
        assert_eq!(chain(&error), "cannot read `a`: no such disk");
    }
}
