//! Service Usage: which APIs are on. Turning them off is not ours.

use std::collections::BTreeSet;

use google_cloud_api_serviceusage_v1::model::State;
use google_cloud_gax::paginator::ItemPaginator;
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

    /// The names of all APIs that are on.
    pub(super) async fn list_apis(&self) -> Result<BTreeSet<String>, CloudError> {
        let list = self.apis().await?.list_services();
        let list = list.set_parent(self.in_project(""));
        let mut items = list
            .set_filter("state:ENABLED")
            .set_page_size(200)
            .by_item();
        let next = async || items.next().await;
        let found = self.listed("APIs", next, |service| (last_part(&service.name), ()));
        Ok(found.await?.into_keys().collect())
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
