//! The one place that calls Google: reads what a client has, and carries out one step.
//!
//! A file an API. What the target's endpoints and credentials are was decided
//! before; what is to be done, too. Nothing here looks at a client's files.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use google_cloud_auth::credentials::Credentials;
use tokio::sync::OnceCell;

use crate::target::Target;

mod accounts;
mod alerts;
mod apis;
mod assets;
mod buckets;
mod clients;
mod credentials;
mod datasets;
mod error;
mod executions;
mod health;
mod images;
mod inventory;
mod jobs;
mod logs;
mod members;
mod objects;
mod queries;
mod read;
mod repositories;
mod rest;
mod retry;
mod schedules;
mod secrets;
mod step;

pub use credentials::access_token;
pub use error::{CloudError, Lag};
pub use health::{clock_ahead, sign_in};
pub use images::StoredImage;
pub use inventory::{Inventory, Sighting};
pub use jobs::ListedJob;
pub use read::Actual;
pub use secrets::{SecretVersion, Stored};

use clients::Clients;
use rest::Rest;

/// A target's APIs, shared by all who call them.
pub struct Connection {
    target: Target,
    credentials: Credentials,
    clients: Clients,
    rest: OnceCell<Rest>,
    /// One at a time may read, change and write a policy.
    policies: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Connection {
    /// Nothing is called yet.
    pub fn new(target: Target) -> Result<Arc<Connection>, CloudError> {
        Ok(Arc::new(Connection {
            credentials: credentials::of(&target)?,
            target,
            clients: Clients::default(),
            rest: OnceCell::new(),
            policies: Mutex::default(),
        }))
    }
}

/// Google's APIs for one client of ours: its project and region.
pub struct Cloud {
    /// Name of the client whose resources these are.
    pub client: String,
    pub project: String,
    pub region: String,
    connection: Arc<Connection>,
}

impl Cloud {
    /// The client's part of the cloud.
    pub fn new(connection: Arc<Connection>, client: &str, project: &str, region: &str) -> Cloud {
        Cloud {
            client: client.to_owned(),
            project: project.to_owned(),
            region: region.to_owned(),
            connection,
        }
    }

    /// `projects/P`
    fn in_project(&self, rest: &str) -> String {
        match rest {
            "" => format!("projects/{}", self.project),
            rest => format!("projects/{}/{rest}", self.project),
        }
    }

    /// `projects/P/locations/R/...`
    fn in_region(&self, rest: &str) -> String {
        match rest {
            "" => format!("projects/{}/locations/{}", self.project, self.region),
            rest => format!("projects/{}/locations/{}/{rest}", self.project, self.region),
        }
    }

    async fn rest(&self) -> Result<&Rest, CloudError> {
        let Connection {
            target,
            credentials,
            rest,
            ..
        } = &*self.connection;
        let make = || async { Rest::new(target.clone(), credentials.clone()) };
        rest.get_or_try_init(make).await
    }
}

/// The last part of a resource name.
fn last_part(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// What of `declared` is not in `found`.
fn missing<'a>(declared: impl Iterator<Item = &'a str>, found: &BTreeSet<String>) -> Vec<&'a str> {
    declared.filter(|name| !found.contains(*name)).collect()
}
