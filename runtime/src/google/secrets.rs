//! Secret Manager: values read, and rotated ones stored.

use bytes::Bytes;
use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use google_cloud_secretmanager_v1::model::SecretPayload;
use google_cloud_secretmanager_v1::model::secret_version::State;
use secrecy::{ExposeSecret, SecretString};

use super::retry::{api_error, policy};
use super::{ApiError, Google};

/// Secrets by their full names, `projects/P/secrets/S`.
#[derive(Debug, Clone)]
pub struct Secrets {
    service: SecretManagerService,
}

impl Secrets {
    pub async fn connect(google: &Google) -> Result<Secrets, ApiError> {
        let service = SecretManagerService::builder()
            .with_endpoint(&google.endpoints.secret_manager)
            .with_credentials(google.credentials.clone())
            .with_retry_policy(policy())
            .build()
            .await
            .map_err(|error| ApiError::Credentials(error.to_string()))?;
        Ok(Secrets { service })
    }

    /// The newest version's number and value.
    pub async fn newest(&self, secret: &str) -> Result<(u64, SecretString), ApiError> {
        let call = format!("secretmanager access {secret}");
        let answer = self
            .service
            .access_secret_version()
            .set_name(format!("{secret}/versions/latest"))
            .send()
            .await
            .map_err(|error| api_error(&call, error))?;
        let payload = answer.payload.unwrap_or_default();
        let sum = i64::from(crc32c::crc32c(&payload.data));
        if payload.data_crc32c.is_some_and(|expected| expected != sum) {
            return Err(decode(call, "its checksum does not match"));
        }
        let text = String::from_utf8(payload.data.to_vec());
        let value = text.map_err(|_| decode(call, "the value is no UTF-8 text"))?;
        Ok((version_number(&answer.name), SecretString::from(value)))
    }

    /// Stores a new value, reads it back, and only then gives up the older ones.
    ///
    /// The version before the new one is kept: if this value turns out to be bad
    /// (Xero takes a used refresh token for another 30 minutes) a person can go
    /// back. What is older is destroyed, as each version costs.
    pub async fn replace(&self, secret: &str, value: &SecretString) -> Result<(), ApiError> {
        let number = self.add(secret, value).await?;
        let (newest, stored) = self.newest(secret).await?;
        if newest < number || (newest == number && stored.expose_secret() != value.expose_secret())
        {
            return Err(decode(
                format!("secretmanager {secret}"),
                "the new version reads back otherwise",
            ));
        }
        if let Err(error) = self.destroy_before(secret, number.saturating_sub(1)).await {
            tracing::warn!(%secret, %error, "old versions of the secret could not be destroyed");
        }
        Ok(())
    }

    /// Adds a version. Sent again only after a look: a second version would be one too many.
    async fn add(&self, secret: &str, value: &SecretString) -> Result<u64, ApiError> {
        let data = Bytes::copy_from_slice(value.expose_secret().as_bytes());
        let sum = i64::from(crc32c::crc32c(&data));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let added = self
                .service
                .add_secret_version()
                .set_parent(secret)
                .set_payload(
                    SecretPayload::new()
                        .set_data(data.clone())
                        .set_data_crc32c(sum),
                )
                .with_idempotency(false)
                .with_retry_policy(google_cloud_gax::retry_policy::NeverRetry)
                .send()
                .await
                .map_err(|error| {
                    api_error(&format!("secretmanager add version to {secret}"), error)
                });
            match added {
                Ok(version) => return Ok(version_number(&version.name)),
                Err(error) if !error.is_transient() || attempt >= 6 => return Err(error),
                Err(_) => {
                    tokio::time::sleep(std::time::Duration::from_millis(500 << attempt)).await
                }
            }
            let (newest, stored) = self.newest(secret).await?;
            if stored.expose_secret() == value.expose_secret() {
                return Ok(newest);
            }
        }
    }

    async fn destroy_before(&self, secret: &str, number: u64) -> Result<(), ApiError> {
        let mut versions = self
            .service
            .list_secret_versions()
            .set_parent(secret)
            .set_filter("state:ENABLED")
            .by_item();
        while let Some(version) = versions.next().await {
            let version =
                version.map_err(|error| api_error("secretmanager list versions", error))?;
            if version.state != State::Enabled || version_number(&version.name) >= number {
                continue;
            }
            self.service
                .destroy_secret_version()
                .set_name(version.name)
                .send()
                .await
                .map_err(|error| api_error("secretmanager destroy version", error))?;
        }
        Ok(())
    }
}

fn version_number(name: &str) -> u64 {
    name.rsplit('/')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn decode(call: String, problem: &str) -> ApiError {
    ApiError::Decode {
        call,
        problem: problem.to_owned(),
    }
}
