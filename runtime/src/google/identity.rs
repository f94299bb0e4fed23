//! Other identities than the process's own: a service account's key, or impersonation.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag, service_account,
};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;

use super::api::{Api, Request};
use super::{ApiError, Google};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// A token is replaced this long before it runs out.
const EARLY: Duration = Duration::from_secs(300);

/// As whom Google is met.
#[derive(Debug, Clone, Default)]
pub enum Identity {
    /// The process's own account.
    #[default]
    Own,
    /// A service account by its key, the JSON file that Google hands out.
    Key(SecretString),
    /// A service account that the process's own account may impersonate.
    Account(String),
}

impl Google {
    /// The same endpoints, met as another.
    pub fn acting_as(&self, identity: &Identity) -> Result<Google, ApiError> {
        let credentials = match identity {
            Identity::Own => self.credentials.clone(),
            Identity::Key(key) => of_key(key)?,
            Identity::Account(account) => Credentials::from(Impersonated::of(self, account)),
        };
        Ok(Google {
            endpoints: self.endpoints.clone(),
            credentials,
        })
    }
}

/// The account and the project a key belongs to.
pub fn named_by(key: &SecretString) -> Result<(String, String), ApiError> {
    let key = parsed(key)?;
    let field = |name: &str| key[name].as_str().map(str::to_owned);
    field("client_email")
        .zip(field("project_id"))
        .ok_or_else(not_a_key)
}

fn of_key(key: &SecretString) -> Result<Credentials, ApiError> {
    service_account::Builder::new(parsed(key)?)
        .build()
        // The cause may quote the key.
        .map_err(|_| not_a_key())
}

fn parsed(key: &SecretString) -> Result<Json, ApiError> {
    let key: Json = serde_json::from_str(key.expose_secret()).map_err(|_| not_a_key())?;
    match key["type"].as_str() {
        Some("service_account") => Ok(key),
        _ => Err(not_a_key()),
    }
}

fn not_a_key() -> ApiError {
    ApiError::Credentials(
        "the key is not the JSON file of a service account's key (`\"type\": \"service_account\"`)"
            .to_owned(),
    )
}

/// Tokens of an account, asked for with those of another.
#[derive(Debug, Clone)]
struct Impersonated {
    api: Api,
    url: String,
    token: Arc<Mutex<Option<Token>>>,
}

#[derive(Clone)]
struct Token {
    value: SecretString,
    expires: Timestamp,
    tag: EntityTag,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_token: SecretString,
    expire_time: Timestamp,
}

impl Impersonated {
    fn of(google: &Google, account: &str) -> Impersonated {
        Impersonated {
            api: Api::new(google.credentials.clone()),
            url: format!(
                "{}/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
                google.endpoints.iam_credentials
            ),
            token: Arc::default(),
        }
    }

    async fn token(&self) -> Result<Token, ApiError> {
        let mut held = self.token.lock().await;
        let early = SignedDuration::try_from(EARLY).unwrap_or_default();
        if let Some(token) = held.as_ref()
            && Timestamp::now() + early < token.expires
        {
            return Ok(token.clone());
        }
        let request = Request::new(Method::POST, &self.url);
        let body = json!({"scope": [SCOPE], "lifetime": "3600s"});
        let answer: Answer = self.api.json(&request.json(&body)).await?;
        let token = Token {
            value: answer.access_token,
            expires: answer.expire_time,
            tag: EntityTag::new(),
        };
        *held = Some(token.clone());
        Ok(token)
    }
}

impl CredentialsProvider for Impersonated {
    async fn headers(
        &self,
        extensions: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let token = self
            .token()
            .await
            .map_err(|error| CredentialsError::new(false, error.to_string(), error))?;
        if extensions.get::<EntityTag>() == Some(&token.tag) {
            return Ok(CacheableResource::NotModified);
        }
        let text = format!("Bearer {}", token.value.expose_secret());
        let mut value = HeaderValue::from_str(&text)
            .map_err(|error| CredentialsError::from_source(false, error))?;
        value.set_sensitive(true);
        Ok(CacheableResource::New {
            entity_tag: token.tag,
            data: HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]),
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
    fn a_key_that_is_none_is_refused_without_being_shown() {
        let key = SecretString::from(r#"{"type": "user", "private_key": "hush"}"#);
        let error = named_by(&key).unwrap_err();
        insta::assert_snapshot!(error, @r#"cannot get Google credentials: the key is not the JSON file of a service account's key (`"type": "service_account"`)"#);
    }

    #[test]
    fn a_key_names_its_account_and_project() {
        let key = json!({"type": "service_account", "client_email": "a@p", "project_id": "p"});
        let named = named_by(&SecretString::from(key.to_string())).unwrap();
        assert_eq!(named, ("a@p".to_owned(), "p".to_owned()));
    }
}
