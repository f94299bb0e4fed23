//! The one place that knows where a target's APIs are and who signs in.
//!
//! Everything else is the same for Google and for the local cloud.

use secrecy::SecretString;

use crate::config::{TargetKind, Workspace};
use crate::local::{self, LocalError};

/// Where the APIs are, and with which credentials they are called.
#[derive(Debug, Clone)]
pub struct Target {
    endpoint: Option<String>,
    token: Option<SecretString>,
}

impl Target {
    /// Google itself, with application default credentials.
    pub fn google() -> Target {
        Target {
            endpoint: None,
            token: None,
        }
    }

    /// A local cloud at `http://127.0.0.1:PORT`.
    pub fn local(url: &str) -> Target {
        Target {
            endpoint: Some(url.trim_end_matches('/').to_owned()),
            token: Some("local-user".into()),
        }
    }

    /// The workspace's target; starts the local cloud where it is that.
    pub async fn of(workspace: &Workspace) -> Result<Target, LocalError> {
        match workspace.file.target {
            TargetKind::Gcp => Ok(Target::google()),
            TargetKind::Local => Ok(Target::local(&local::ensure(workspace).await?.url)),
        }
    }

    /// The endpoint that replaces Google's, without a slash at the end.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// `https://<service>.googleapis.com`, or what stands for it.
    pub fn api(&self, service: &str) -> String {
        self.endpoint
            .clone()
            .unwrap_or_else(|| format!("https://{service}.googleapis.com"))
    }

    /// `https://<location>-docker.pkg.dev`, or what stands for it.
    pub fn registry(&self, location: &str) -> String {
        self.endpoint
            .clone()
            .unwrap_or_else(|| format!("https://{location}-docker.pkg.dev"))
    }

    /// A fixed bearer token; `None` means application default credentials.
    pub fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }
}
