//! The one place that knows where a target's APIs are and who signs in.
//!
//! Everything else is the same for Google and for the local cloud.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use crate::config::{TargetKind, Workspace};

/// Where the APIs are, and with which credentials they are called.
#[derive(Debug, Clone)]
pub struct Target {
    endpoint: Option<String>,
    token: Option<SecretString>,
}

/// Why the target cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("the local cloud is not running: no `{}`", path.display())]
    NotRunning { path: PathBuf },
    #[error("cannot read `{}`", path.display())]
    Read {
        path: PathBuf,
        source: serde_json::Error,
    },
}

/// What the local cloud writes to `endpoint.json` while it serves.
#[derive(Debug, Deserialize)]
struct Served {
    url: String,
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

    /// The workspace's target.
    pub async fn of(workspace: &Workspace) -> Result<Target, TargetError> {
        match workspace.file.target {
            TargetKind::Gcp => Ok(Target::google()),
            TargetKind::Local => running(workspace.local_state().join("endpoint.json")),
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

fn running(path: PathBuf) -> Result<Target, TargetError> {
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Err(TargetError::NotRunning { path });
    };
    let served: Served =
        serde_json::from_str(&text).map_err(|source| TargetError::Read { path, source })?;
    Ok(Target::local(&served.url))
}
