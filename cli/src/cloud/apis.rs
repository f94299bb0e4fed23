//! Service Usage: which APIs are on. Turning them off is not ours.

use google_cloud_api_serviceusage_v1::model::State;
use google_cloud_lro::Poller;

use super::{Cloud, CloudError, last_part};
use crate::resource::{Address, Kind, Resource, Resources};

/// As many as one call takes.
const AT_ONCE: usize = 20;

impl Cloud {
    pub(super) async fn read_apis(&self, names: &[&str]) -> Result<Resources, CloudError> {
        if names.is_empty() {
            return Ok(Resources::new());
        }
        let project = self.in_project("");
        let full = |name: &&str| format!("{project}/services/{name}");
        let reply = self
            .apis()
            .await?
            .batch_get_services()
            .set_parent(&project)
            .set_names(names.iter().map(full))
            .send()
            .await
            .map_err(self.failed("the project's APIs"))?;
        Ok(reply
            .services
            .into_iter()
            .filter(|service| service.state == State::Enabled)
            .map(|service| {
                (
                    Address::new(Kind::Api, last_part(&service.name)),
                    Resource::Api,
                )
            })
            .collect())
    }

    /// Enables these APIs: all of a call or none.
    pub async fn enable_apis(&self, names: &[String]) -> Result<(), CloudError> {
        for names in names.chunks(AT_ONCE) {
            self.apis()
                .await?
                .batch_enable_services()
                .set_parent(self.in_project(""))
                .set_service_ids(names)
                .poller()
                .until_done()
                .await
                .map_err(self.failed("enabling the project's APIs"))?;
        }
        Ok(())
    }
}
