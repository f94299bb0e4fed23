//! Who calls: application default credentials, or the target's fixed token.

use google_cloud_auth::credentials::{
    Builder, CacheableResource, Credentials, CredentialsProvider, EntityTag,
};
use google_cloud_auth::errors::CredentialsError;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::CloudError;
use crate::target::Target;

pub(super) fn of(target: &Target) -> Result<Credentials, CloudError> {
    match target.token() {
        Some(token) => Ok(Credentials::from(Fixed::new(token)?)),
        None => Builder::default()
            .build()
            .map_err(|error| CloudError::Credentials {
                problem: error.to_string(),
            }),
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

/// The headers that sign a request, the quota project among them.
pub(super) async fn headers(credentials: &Credentials) -> Result<HeaderMap, CloudError> {
    match credentials.headers(http::Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => Ok(data),
        Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
        Err(error) => Err(CloudError::Credentials {
            problem: error.to_string(),
        }),
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
