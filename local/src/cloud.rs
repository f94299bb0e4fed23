//! What all services share: the store and where the cloud is reached.

use std::io;
use std::sync::Arc;

use axum::http::HeaderMap;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::bigquery::BigQuery;
use crate::error::ApiError;
use crate::faults::Faults;
use crate::identity::{Caller, Identity};
use crate::kms::Keys;
use crate::lag::Lag;
use crate::logging::Logs;
use crate::monitoring::Monitoring;
use crate::operations::Operations;
use crate::policy::Policies;
use crate::projects::Projects;
use crate::registry::Registry;
use crate::run::Runs;
use crate::scheduler::Scheduler;
use crate::secrets::Secrets;
use crate::services::Services;
use crate::storage::Storage;
use crate::store::Store;

/// The cloud's shared state.
pub struct Cloud {
    pub store: Store,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub endpoint: String,
    /// Cancelled when the process is asked to end; long work must watch it.
    pub shutdown: CancellationToken,
    pub accounts: Arc<Accounts>,
    pub bigquery: BigQuery,
    /// Names of what was deleted, until they are free.
    pub deletions: Lag,
    pub faults: Faults,
    pub identity: Identity,
    pub kms: Keys,
    pub logs: Logs,
    pub monitoring: Monitoring,
    pub operations: Operations,
    pub policies: Policies,
    pub projects: Arc<Projects>,
    pub registry: Registry,
    pub run: Runs,
    pub scheduler: Scheduler,
    pub secrets: Secrets,
    pub services: Services,
    pub storage: Storage,
}

impl Cloud {
    /// Who sent these headers.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let value = headers.get("authorization").and_then(|it| it.to_str().ok());
        let bearer = value.and_then(|value| value.strip_prefix("Bearer "));
        match bearer.and_then(|token| self.signer(token)) {
            Some(caller) => Ok(caller),
            None => self.identity.caller(headers),
        }
    }

    /// Who holds this bearer token, unless it is unknown or has expired.
    pub fn bearer(&self, token: &str) -> Option<Caller> {
        self.signer(token).or_else(|| self.identity.bearer(token))
    }

    /// An assertion that an account's key signed is as good as a token.
    fn signer(&self, token: &str) -> Option<Caller> {
        self.accounts.signer(token).map(Caller::ServiceAccount)
    }

    pub fn open(store: Store, endpoint: String) -> io::Result<Cloud> {
        let accounts = Arc::new(Accounts::open(&store)?);
        let projects = Arc::new(Projects::open(&store)?);
        Ok(Cloud {
            shutdown: CancellationToken::new(),
            logs: Logs::open(&store)?,
            monitoring: Monitoring::open(&store)?,
            operations: Operations::open(&store)?,
            registry: Registry::open(&store)?,
            run: Runs::open(&store)?,
            identity: Identity::open(&store, &endpoint)?,
            kms: Keys::open(&store)?,
            policies: Policies::open(&store, accounts.clone())?,
            scheduler: Scheduler::open(&store)?,
            secrets: Secrets::open(&store, projects.clone())?,
            bigquery: BigQuery::open(&store)?,
            deletions: Lag::default(),
            faults: Faults::default(),
            services: Services::open(&store)?,
            storage: Storage::open(&store)?,
            accounts,
            projects,
            endpoint,
            store,
        })
    }
}
