//! Who calls: application default credentials, or the target's fixed token.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use google_cloud_auth::credentials::{
    Builder, CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use google_cloud_auth::errors::CredentialsError;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::CloudError;
use crate::failure::{chain, root};
use crate::target::Target;

pub(super) fn of(target: &Target) -> Result<Credentials, CloudError> {
    match target.token() {
        Some(token) => Ok(Credentials::from(Fixed::new(token)?)),
        // A file that is no good fails whoever needs it, so that `doctor` can tell of it.
        None => Ok(Builder::default()
            .build()
            .unwrap_or_else(|error| Credentials::from(Broken(error.to_string())))),
    }
}

/// Where Google's libraries look for credentials.
pub(super) fn file() -> Option<PathBuf> {
    if let Some(path) = env::var_os("GOOGLE_APPLICATION_CREDENTIALS") {
        return Some(path.into());
    }
    let folder = env::var_os("CLOUDSDK_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".config/gcloud")));
    Some(folder?.join("application_default_credentials.json"))
}

/// The error of credentials that gave no token.
pub(super) fn failed(error: &(dyn Error + 'static)) -> CloudError {
    judged(error, file().is_some_and(|path| path.is_file()))
}

/// Without the network, credentials that are well fail too. Without a file of them it is the
/// metadata server that does not answer, and there are none.
fn judged(error: &(dyn Error + 'static), has_file: bool) -> CloudError {
    match is_passing(error) && has_file {
        true => CloudError::Unreachable {
            endpoint: "Google to sign in".to_owned(),
            problem: root(error),
        },
        false => CloudError::Credentials {
            problem: chain(error),
        },
    }
}

/// The bearer token itself, for what speaks HTTP without Google's crates (a registry).
pub async fn access_token(target: &Target) -> Result<SecretString, CloudError> {
    let headers = headers(&of(target)?).await?;
    let header = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    token
        .map(SecretString::from)
        .ok_or_else(|| CloudError::Credentials {
            problem: "they give no access token".to_owned(),
        })
}

/// Whether it, or what it comes of, may be another a moment later.
fn is_passing(error: &(dyn Error + 'static)) -> bool {
    let own = error.downcast_ref::<CredentialsError>();
    own.is_some_and(CredentialsError::is_transient) || error.source().is_some_and(is_passing)
}

/// The headers that sign a request, the quota project among them.
pub(super) async fn headers(credentials: &Credentials) -> Result<HeaderMap, CloudError> {
    match credentials.headers(http::Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => Ok(data),
        Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
        Err(error) => Err(failed(&error)),
    }
}

/// Credentials that cannot be read, and why.
#[derive(Debug)]
struct Broken(String);

impl CredentialsProvider for Broken {
    async fn headers(
        &self,
        _: http::Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        Err(CredentialsError::from_msg(false, self.0.clone()))
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

/// A token that never changes.
struct Fixed {
    header: HeaderValue,
    tag: EntityTag,
}

impl Fixed {
    fn new(token: &SecretString) -> Result<Fixed, CloudError> {
        let header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
        let mut header = header.map_err(|error| CloudError::Credentials {
            problem: error.to_string(),
        })?;
        header.set_sensitive(true);
        Ok(Fixed {
            header,
            tag: EntityTag::new(),
        })
    }
}

impl std::fmt::Debug for Fixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fixed")
    }
}

impl CredentialsProvider for Fixed {
    async fn headers(
        &self,
        _: http::Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        Ok(CacheableResource::New {
            entity_tag: self.tag.clone(),
            data: HeaderMap::from_iter([(AUTHORIZATION, self.header.clone())]),
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_network_nothing_is_said_against_credentials_that_are_there() {
        let error = |is_transient| CredentialsError::from_msg(is_transient, "refused");
        let wrapped = google_cloud_gax::error::Error::authentication(error(true));
        let unreachable = |error: &CloudError| matches!(error, CloudError::Unreachable { .. });
        assert!(unreachable(&judged(&error(true), true)));
        assert!(unreachable(&judged(&wrapped, true)));
        assert!(!unreachable(&judged(&error(true), false)));
        assert!(!unreachable(&judged(&error(false), true)));
    }

    #[tokio::test]
    async fn credentials_that_cannot_be_read_say_why() {
        let broken = Credentials::from(Broken("line 1".to_owned()));
        let error = headers(&broken).await.unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
