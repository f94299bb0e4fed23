//! Google's clients, each made when first needed.

use google_cloud_api_serviceusage_v1::client::ServiceUsage;
use google_cloud_artifactregistry_v1::client::ArtifactRegistry;
use google_cloud_auth::credentials::Credentials;
use google_cloud_bigquery_v2::client::{DatasetService, JobService, TableService};
use google_cloud_gax::client_builder::ClientBuilder;
use google_cloud_iam_admin_v1::client::Iam;
use google_cloud_logging_v2::client::LoggingServiceV2;
use google_cloud_resourcemanager_v3::client::Projects;
use google_cloud_run_v2::client::{Executions, Jobs};
use google_cloud_scheduler_v1::client::CloudScheduler;
use google_cloud_secretmanager_v1::client::SecretManagerService;
use tokio::sync::OnceCell;

use super::{Cloud, CloudError, retry};
use crate::patience::LONGEST_SILENCE;

#[derive(Default)]
pub(super) struct Clients {
    apis: OnceCell<ServiceUsage>,
    accounts: OnceCell<Iam>,
    secrets: OnceCell<SecretManagerService>,
    repositories: OnceCell<ArtifactRegistry>,
    datasets: OnceCell<DatasetService>,
    tables: OnceCell<TableService>,
    queries: OnceCell<JobService>,
    projects: OnceCell<Projects>,
    jobs: OnceCell<Jobs>,
    executions: OnceCell<Executions>,
    schedules: OnceCell<CloudScheduler>,
    logs: OnceCell<LoggingServiceV2>,
}

macro_rules! clients {
    ($($name:ident: $client:ident),* $(,)?) => {
        impl Cloud {
            $(pub(super) async fn $name(&self) -> Result<&$client, CloudError> {
                let make = || async {
                    let built = self.configured($client::builder()).build().await;
                    built.map_err(|error| CloudError::Credentials { problem: error.to_string() })
                };
                self.connection.clients.$name.get_or_try_init(make).await
            })*
        }
    };
}

clients! {
    apis: ServiceUsage,
    accounts: Iam,
    secrets: SecretManagerService,
    repositories: ArtifactRegistry,
    datasets: DatasetService,
    tables: TableService,
    queries: JobService,
    projects: Projects,
    jobs: Jobs,
    executions: Executions,
    schedules: CloudScheduler,
    logs: LoggingServiceV2,
}

impl Cloud {
    fn configured<F>(
        &self,
        builder: ClientBuilder<F, Credentials>,
    ) -> ClientBuilder<F, Credentials> {
        let patient = retry::Patient::default();
        let builder = builder
            .with_credentials(self.connection.credentials.clone())
            .with_retry_policy(patient.clone())
            .with_backoff_policy(patient)
            .with_retry_throttler(retry::unthrottled())
            .with_polling_backoff_policy(retry::polling())
            .with_attempt_timeout(LONGEST_SILENCE);
        match self.connection.target.endpoint() {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        }
    }

    /// A failed call that was about `what`.
    pub(super) fn failed(
        &self,
        what: &str,
    ) -> impl Fn(google_cloud_gax::error::Error) -> CloudError {
        let endpoint = self.connection.target.endpoint();
        move |error| CloudError::of(what, endpoint, error)
    }
}
