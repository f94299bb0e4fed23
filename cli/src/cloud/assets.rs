//! What Cloud Asset Inventory tells of a whole project in a few pages: policies, datasets'
//! rights, secrets' newest versions and images, which no service's own list has.
//!
//! It follows the services by some minutes, so what differs from what is declared is read
//! again at its source before anybody believes it (`read`).

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join;
use google_cloud_iam_v1::model::Policy;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::datasets::{Found, dataset_of};
use super::members::read_policy;
use super::{Cloud, CloudError, last_part};
use crate::resource::Holder;

const WITH_POLICY: [&str; 3] = [
    "run.googleapis.com/Job",
    "secretmanager.googleapis.com/Secret",
    "storage.googleapis.com/Bucket",
];
const DATASET: &str = "bigquery.googleapis.com/Dataset";
const VERSION: &str = "secretmanager.googleapis.com/SecretVersion";
const IMAGE: &str = "artifactregistry.googleapis.com/DockerImage";

/// What the assets of a project tell; nothing where the API is off or not allowed.
#[derive(Debug, Default)]
pub(super) struct Assets {
    known: Option<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By what it is on, as the service names it: `projects/P/secrets/S`, a bucket's name.
    policies: BTreeMap<String, Policy>,
    datasets: BTreeMap<String, Found>,
    /// The newest version of each secret by number, and whether it can be read.
    versions: BTreeMap<String, (u64, bool)>,
    /// `R-docker.pkg.dev/P/REPOSITORY/IMAGE@sha256:...`
    images: BTreeSet<String>,
}

impl Assets {
    pub fn are_known(&self) -> bool {
        self.known.is_some()
    }

    pub fn policy(&self, on: &Holder, region: &str) -> Option<&Policy> {
        let key = match on {
            Holder::Bucket(name) => name.clone(),
            Holder::Secret(name) => format!("secrets/{name}"),
            Holder::Job(name) => format!("locations/{region}/jobs/{name}"),
            Holder::Project | Holder::Dataset(_) => return None,
        };
        self.known.as_ref()?.policies.get(&key)
    }

    pub fn dataset(&self, name: &str) -> Option<&Found> {
        self.known.as_ref()?.datasets.get(name)
    }

    /// Whether the secret's newest version can be read; `None` where that is not known.
    pub fn secret_has_value(&self, name: &str) -> Option<bool> {
        let (_, is_enabled) = self.known.as_ref()?.versions.get(name)?;
        Some(*is_enabled)
    }

    /// Whether this image was seen; one that was not may be there all the same.
    pub fn has_image(&self, image: &str) -> bool {
        let images = self.known.as_ref().map(|known| &known.images);
        images.is_some_and(|images| images.contains(image))
    }
}

impl Cloud {
    pub(super) async fn list_assets(&self) -> Result<Assets, CloudError> {
        let resources = [DATASET, VERSION, IMAGE];
        let listed = try_join(
            self.assets("IAM_POLICY", &WITH_POLICY),
            self.assets("RESOURCE", &resources),
        );
        let (policies, resources) = match listed.await {
            Ok(listed) => listed,
            // Each is then read at its source, which takes longer and needs no more rights.
            Err(error) if error.is_absent() || matches!(error, CloudError::Denied { .. }) => {
                return Ok(Assets::default());
            }
            Err(error) => return Err(error),
        };
        let mut known = Known::default();
        for asset in &policies {
            known.add_policy(asset)?;
        }
        for asset in &resources {
            known.add_resource(asset);
        }
        Ok(Assets { known: Some(known) })
    }

    async fn assets(&self, content: &str, types: &[&str]) -> Result<Vec<Value>, CloudError> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let types: String = types
            .iter()
            .map(|it| format!("&assetTypes={}", encode(it)))
            .collect();
        let path = format!(
            "/v1/projects/{}/assets?contentType={content}&pageSize=1000{types}",
            self.project
        );
        let what = format!("assets of project {}", self.project);
        let rest = self.rest().await?;
        rest.pages(&what, "cloudasset", &path, "assets").await
    }
}

impl Known {
    fn add_policy(&mut self, asset: &Value) -> Result<(), CloudError> {
        let name = asset["name"].as_str().unwrap_or_default();
        let Some(policy) = asset.get("iamPolicy").cloned() else {
            return Ok(());
        };
        let policy = read_policy(policy, name)?;
        self.policies.insert(key(name).to_owned(), policy);
        Ok(())
    }

    fn add_resource(&mut self, asset: &Value) {
        let name = asset["name"].as_str().unwrap_or_default();
        let data = &asset["resource"]["data"];
        match asset["assetType"].as_str() {
            Some(DATASET) => {
                self.datasets.insert(last_part(name), dataset_of(data));
            }
            Some(VERSION) => self.add_version(name, data),
            Some(IMAGE) => {
                let uri = data["uri"].as_str().map(str::to_owned);
                self.images.extend(uri);
            }
            _ => {}
        }
    }

    /// `//secretmanager.googleapis.com/projects/N/secrets/S/versions/V`
    fn add_version(&mut self, name: &str, data: &Value) {
        let mut parts = name.rsplit('/');
        let number = parts.next().and_then(|number| number.parse().ok());
        let (Some(number), Some(secret)) = (number, parts.nth(1)) else {
            return;
        };
        let is_enabled = data["state"] == "ENABLED";
        let newest = self.versions.entry(secret.to_owned()).or_default();
        *newest = (*newest).max((number, is_enabled));
    }
}

/// What a policy is on: the part of the full name that is the same by project id and number.
fn key(name: &str) -> &str {
    let rest = name
        .split_once(".googleapis.com/")
        .map_or(name, |(_, rest)| rest);
    let inside = rest
        .strip_prefix("projects/")
        .and_then(|it| it.split_once('/'));
    inside.map_or(rest, |(_, inside)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(resources: &[Value]) -> Assets {
        let mut known = Known::default();
        for asset in resources {
            known.add_resource(asset);
        }
        Assets { known: Some(known) }
    }

    fn version(number: u64, state: &str) -> Value {
        json!({
            "name": format!("//secretmanager.googleapis.com/projects/7/secrets/s/versions/{number}"),
            "assetType": VERSION,
            "resource": {"data": {"state": state}},
        })
    }

    #[test]
    fn the_newest_version_tells_whether_a_secret_holds_a_value() {
        let holds = |versions: &[Value]| known(versions).secret_has_value("s");
        assert_eq!(holds(&[]), None);
        assert_eq!(
            holds(&[version(9, "ENABLED"), version(10, "DESTROYED")]),
            Some(false)
        );
        assert_eq!(
            holds(&[version(10, "ENABLED"), version(9, "DISABLED")]),
            Some(true)
        );
    }

    #[test]
    fn a_policy_is_found_by_the_name_its_service_has_for_it() {
        let mut known = Known::default();
        for name in [
            "//run.googleapis.com/projects/p/locations/r/jobs/j",
            "//secretmanager.googleapis.com/projects/7/secrets/s",
            "//storage.googleapis.com/b",
        ] {
            let asset = json!({"name": name, "iamPolicy": {"bindings": []}});
            known.add_policy(&asset).unwrap();
        }
        let assets = Assets { known: Some(known) };
        for on in [
            Holder::Job("j".to_owned()),
            Holder::Secret("s".to_owned()),
            Holder::Bucket("b".to_owned()),
        ] {
            assert!(assets.policy(&on, "r").is_some(), "{on}");
        }
        assert!(
            assets
                .policy(&Holder::Job("j".to_owned()), "other")
                .is_none()
        );
    }
}
