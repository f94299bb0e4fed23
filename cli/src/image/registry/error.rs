//! Why a registry did not do what it was asked, and what to do about it.

use std::time::Duration;

use crate::image::ImageError;
use crate::image::auth::TokenError;
use crate::patience::LONGEST_ASKED;

/// A port that is closed, or a name nobody knows, is not asked for longer than this.
const LONGEST_UNREACHED: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot reach the registry at {host}")]
    Unreachable {
        host: String,
        source: reqwest::Error,
    },
    #[error("the registry at {host} refused {repository} ({status}): {message}")]
    Refused {
        host: String,
        repository: String,
        status: u16,
        message: String,
        /// Whether it was asked to take something, not only to give.
        pushing: bool,
    },
    #[error("the registry at {host} answered {status} to {step}: {message}")]
    Answer {
        host: String,
        step: &'static str,
        status: u16,
        message: String,
        /// How long it asks to be left alone.
        after: Option<Duration>,
    },
    #[error("the registry at {host} has no {what}")]
    Absent { host: String, what: String },
    #[error("the registry at {host} asks for credentials in a way xetl does not know")]
    Challenge { host: String },
    #[error("the registry at {host} wants the credentials sent to {realm}, which is not safe")]
    Realm { host: String, realm: String },
    #[error("cannot get a token for the registry")]
    Token(#[source] TokenError),
    /// The request could not be sent twice, and has to be made again with the new token.
    #[error("the registry at {host} wants a new token in the middle of {step}")]
    SignedInAnew { host: String, step: &'static str },
    #[error("the registry at {host} answered {step} without saying {what}")]
    Incomplete {
        host: String,
        step: &'static str,
        what: &'static str,
    },
    #[error("the registry at {host} keeps the manifest as {found}, not as {expected}")]
    OtherDigest {
        host: String,
        expected: String,
        found: String,
    },
    #[error("the registry at {host} sent bytes with the digest {found} for {expected}")]
    Damaged {
        host: String,
        expected: String,
        found: String,
    },
    #[error("the registry at {host} put {digest} together wrongly, twice: {message}")]
    Garbled {
        host: String,
        digest: String,
        message: String,
    },
    #[error("{name} is no image xetl can read: {problem}")]
    NoImage { name: String, problem: String },
    #[error("cannot keep a blob on this machine on its way")]
    Keep(#[source] std::io::Error),
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl RegistryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            RegistryError::Refused {
                host, status: 401, ..
            } if !host.ends_with("-docker.pkg.dev") => {
                return Some(format!(
                    "sign in with `docker login {host}`, or set XETL_REGISTRY_USER and \
                     XETL_REGISTRY_PASSWORD (of a copy's source XETL_SOURCE_USER and XETL_SOURCE_PASSWORD)"
                ));
            }
            RegistryError::Answer {
                after: Some(after), ..
            } if *after > LONGEST_ASKED => {
                return Some(format!(
                    "it asks to be left alone for {} s; the same command goes on then",
                    after.as_secs()
                ));
            }
            // A missing repository, a disabled API and a missing role look alike from here.
            RegistryError::Refused { pushing: true, .. } => {
                "does the repository exist, and may you push to it (roles/artifactregistry.writer)?"
            }
            RegistryError::Refused { pushing: false, .. } => {
                "does it exist, and may you read it (roles/artifactregistry.reader, or `docker login`)?"
            }
            RegistryError::Absent { .. } => {
                "look at its name and tag; `xetl image list REF` shows what is there"
            }
            RegistryError::Garbled { .. } => {
                "the bytes that left had this digest: look at the registry's storage, and at a proxy before it"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether the same request may go through a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            RegistryError::Unreachable { .. } | RegistryError::SignedInAnew { .. } => true,
            RegistryError::Answer { status, .. } => {
                matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
            }
            _ => false,
        }
    }

    /// How long to wait before the same request, when `wait` would be next; `None` to give up.
    pub(super) fn patience(&self, wait: Option<Duration>) -> Option<Duration> {
        let wait = wait?;
        match self {
            RegistryError::Answer { after, .. } => {
                let wait = wait.max(after.unwrap_or_default());
                (wait <= LONGEST_ASKED).then_some(wait)
            }
            RegistryError::Unreachable { source, .. } if source.is_connect() => {
                (wait <= LONGEST_UNREACHED).then_some(wait)
            }
            _ => Some(wait),
        }
    }

    /// Whether it is about who asks, and not about what is asked.
    pub(super) fn refuses_caller(&self) -> bool {
        matches!(
            self,
            RegistryError::Refused { .. } | RegistryError::Challenge { .. }
        )
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            RegistryError::Answer { status, .. } | RegistryError::Refused { status, .. } => {
                Some(*status)
            }
            _ => None,
        }
    }

    /// Whether there is none of what was asked for, as far as the registry tells.
    pub fn is_absent(&self) -> bool {
        matches!(
            self,
            RegistryError::Absent { .. } | RegistryError::Refused { status: 404, .. }
        )
    }
}
