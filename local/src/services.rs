//! Which APIs are on in a project: Service Usage v1.

use std::collections::BTreeSet;
use std::io;

use serde_json::json;

use crate::error::ApiError;
use crate::projects::Project;
use crate::store::{Collection, Store};

/// On in a new project.
const FROM_THE_START: [&str; 6] = [
    "bigquery.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
];

/// The APIs switched on, by project id.
pub struct Services {
    enabled: Collection<BTreeSet<String>>,
}

impl Services {
    pub fn open(store: &Store) -> io::Result<Services> {
        Ok(Services {
            enabled: store.collection("services")?,
        })
    }

    pub fn is_enabled(&self, project: &str, service: &str) -> bool {
        FROM_THE_START.contains(&service)
            || self
                .enabled
                .get(project)
                .is_some_and(|services| services.contains(service))
    }

    pub fn enable(&self, project: &str, service: &str) -> io::Result<()> {
        self.enabled.update(project, |services| {
            services.get_or_insert_default().insert(service.to_owned());
            Ok(())
        })
    }

    pub fn disable(&self, project: &str, service: &str) -> io::Result<()> {
        self.enabled.update(project, |services| {
            services.get_or_insert_default().remove(service);
            Ok(())
        })
    }

    /// # Errors
    /// `SERVICE_DISABLED`, as Google answers a call to an API that is off.
    pub fn check(&self, project: &Project, service: &str) -> Result<(), ApiError> {
        if self.is_enabled(&project.project_id, service) {
            return Ok(());
        }
        let number = &project.number;
        let mut error = ApiError::permission_denied(format!(
            "{service} has not been used in project {number} ({}) before or it is disabled. Enable \
             it, then retry. If you enabled this API recently, wait a few minutes for the action \
             to propagate to our systems and retry.",
            project.project_id
        ))
        .reason("accessNotConfigured");
        error.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"service": service, "consumer": format!("projects/{number}")},
        }));
        Err(error)
    }
}
