//! The one place that talks to Google: storage, tables, jobs and secrets.
//!
//! Nothing here knows a source, a run or a commit.

pub mod api;
pub mod bigquery;
pub mod endpoint;
pub mod identity;
pub mod retry;
pub mod secrets;
pub mod storage;

use google_cloud_auth::credentials::{Builder, Credentials};

pub use api::ApiError;
pub use endpoint::Endpoints;
pub use identity::Identity;

/// Where the APIs are and who we are to them.
#[derive(Debug, Clone)]
pub struct Google {
    pub endpoints: Endpoints,
    pub credentials: Credentials,
}

impl Google {
    /// Application default credentials: on Cloud Run the metadata server's.
    pub fn from_environment() -> Result<Google, ApiError> {
        let credentials = Builder::default()
            .with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
            .build()
            .map_err(|error| ApiError::Credentials(error.to_string()))?;
        Ok(Google {
            endpoints: Endpoints::from_environment(),
            credentials,
        })
    }

    pub fn storage(&self) -> storage::Storage {
        storage::Storage::new(
            api::Api::new(self.credentials.clone()),
            &self.endpoints.storage,
        )
    }
}
