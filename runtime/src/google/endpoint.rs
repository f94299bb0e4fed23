//! Where Google's APIs are: the one place that knows of a local cloud.

/// Names the one address that serves all APIs, where it is not Google.
pub const ENDPOINT_ENV: &str = "XETL_ENDPOINT";

/// Base URLs, without a slash at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoints {
    pub storage: String,
    pub bigquery: String,
    pub secret_manager: String,
    pub iam_credentials: String,
}

impl Endpoints {
    pub fn from_environment() -> Endpoints {
        match std::env::var(ENDPOINT_ENV) {
            Ok(url) if !url.is_empty() => Endpoints::all_at(&url),
            _ => Endpoints::google(),
        }
    }

    /// All APIs at one address.
    pub fn all_at(url: &str) -> Endpoints {
        let url = url.trim_end_matches('/').to_owned();
        Endpoints {
            storage: url.clone(),
            bigquery: url.clone(),
            secret_manager: url.clone(),
            iam_credentials: url,
        }
    }

    fn google() -> Endpoints {
        Endpoints {
            storage: "https://storage.googleapis.com".to_owned(),
            bigquery: "https://bigquery.googleapis.com".to_owned(),
            secret_manager: "https://secretmanager.googleapis.com".to_owned(),
            iam_credentials: "https://iamcredentials.googleapis.com".to_owned(),
        }
    }
}
