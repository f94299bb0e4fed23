//! The one place that knows where a target's APIs are and who signs in.
//!
//! Everything else is the same for Google and for the local cloud.

use secrecy::SecretString;

use crate::config::{TargetKind, Workspace};
use crate::local::{self, LocalError};

/// What `GOOGLE_APPLICATION_CREDENTIALS` names, where it can be read.
fn key_file() -> Option<String> {
    let path = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS")?;
    std::fs::read_to_string(path).ok()
}

/// Whether a file of credentials is the key of an account that is only on this machine.
fn is_local_key(text: &str) -> bool {
    let key: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let token_uri = key["token_uri"].as_str().unwrap_or_default();
    key["type"] == "service_account" && token_uri.starts_with("http://127.0.0.1:")
}

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
            TargetKind::Local => {
                let target = Target::local(&local::ensure(workspace).await?.url);
                Ok(target.signed_in_with(key_file().as_deref()))
            }
        }
    }

    /// The same as the service account whose key this is, if a local cloud made the key: Google's
    /// own credentials never go there.
    fn signed_in_with(self, key: Option<&str>) -> Target {
        match key.is_some_and(is_local_key) {
            true => Target {
                token: None,
                ..self
            },
            false => self,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn token_with(key: &str) -> bool {
        let target = Target::local("http://127.0.0.1:1/");
        target.signed_in_with(Some(key)).token().is_some()
    }

    #[test]
    fn only_a_key_of_a_local_cloud_signs_in_there() {
        let local = r#"{"type": "service_account", "token_uri": "http://127.0.0.1:1/token"}"#;
        let googles =
            r#"{"type": "service_account", "token_uri": "https://oauth2.googleapis.com/token"}"#;
        assert!(!token_with(local));
        assert!(token_with(googles));
        assert!(token_with("not a key"));
        let target = Target::local("http://127.0.0.1:1/").signed_in_with(None);
        assert_eq!(target.endpoint(), Some("http://127.0.0.1:1"));
    }
}
