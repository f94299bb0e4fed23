//! How a command fails: a kind (the exit code), a sentence and a hint.
//!
//! Errors below are enums by meaning; here is the one place that turns them
//! into what a person reads.

use std::error::Error;
use std::io;

use crate::config::ConfigError;
use crate::target::TargetError;

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
    /// Stopped by Ctrl-C.
    Interrupted = 130,
}

/// What a command fails with.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub sentence: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Failure {
        Failure {
            kind,
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// The same failure, with what to do about it.
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure {
            hint: Some(hint.into()),
            ..self
        }
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

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::of(Kind::Failed, &error)
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

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Failure {
        Failure::of(Kind::Unreachable, &error).hint("start it with `xetl local up`")
    }
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
