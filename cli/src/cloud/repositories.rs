//! Artifact Registry: the client's repository, and whether an image is in it.

use std::collections::HashMap;

use google_cloud_artifactregistry_v1::model::repository::{Format, Mode};
use google_cloud_artifactregistry_v1::model::{CleanupPolicy, Repository as Model};
use google_cloud_lro::Poller;
use google_cloud_wkt::FieldMask;

use serde_json::Value;

use super::{Cloud, CloudError, last_part};
use crate::resource::{Labels, Owner, Repository, Resource, labels};

/// What of a repository is ours.
const FIELDS: [&str; 3] = ["labels", "cleanup_policies", "cleanup_policy_dry_run"];

impl Cloud {
    pub(super) async fn find_repository(&self, name: &str) -> Result<Option<Resource>, CloudError> {
        let found = self.get_repository(name).await?;
        Ok(found.as_ref().map(repository_of))
    }

    async fn get_repository(&self, name: &str) -> Result<Option<Model>, CloudError> {
        let found = self
            .repositories()
            .await?
            .get_repository()
            .set_name(self.repository_name(name))
            .send()
            .await
            .map_err(self.failed(&format!("repository {name}")));
        match found {
            Ok(repository) => Ok(Some(repository)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_repository(
        &self,
        name: &str,
        repository: &Repository,
    ) -> Result<(), CloudError> {
        let model = Model::new()
            .set_format(Format::Docker)
            .set_mode(Mode::StandardRepository)
            .set_labels(labels::written(&repository.owner, &repository.labels))
            .set_cleanup_policies(policies(repository)?)
            .set_cleanup_policy_dry_run(repository.cleanup_dry_run)
            .set_kms_key_name(repository.kms_key.clone().unwrap_or_default());
        self.repositories()
            .await?
            .create_repository()
            .set_parent(self.in_region(""))
            .set_repository_id(name)
            .set_repository(model)
            .poller()
            .until_done()
            .await
            .map_err(self.failed(&format!("repository {name}")))?;
        Ok(())
    }

    pub(super) async fn update_repository(
        &self,
        name: &str,
        repository: &Repository,
    ) -> Result<(), CloudError> {
        let Some(before) = self.get_repository(name).await? else {
            return self.create_repository(name, repository).await;
        };
        let there: Labels = before.labels.clone().into_iter().collect();
        let after = labels::rewritten(&there, &repository.owner, &repository.labels);
        let model = Model::new()
            .set_name(before.name)
            .set_labels(after)
            .set_cleanup_policies(policies(repository)?)
            .set_cleanup_policy_dry_run(repository.cleanup_dry_run);
        self.repositories()
            .await?
            .update_repository()
            .set_repository(model)
            .set_update_mask(FieldMask::default().set_paths(FIELDS))
            .send()
            .await
            .map_err(self.failed(&format!("repository {name}")))?;
        Ok(())
    }

    /// Deletes a repository and the images in it.
    pub(super) async fn delete_repository(&self, name: &str) -> Result<(), CloudError> {
        self.repositories()
            .await?
            .delete_repository()
            .set_name(self.repository_name(name))
            .poller()
            .until_done()
            .await
            .map_err(self.failed(&format!("repository {name}")))
    }

    /// Whether the image `L-docker.pkg.dev/P/REPOSITORY/IMAGE@sha256:...` is there.
    pub(super) async fn has_image(&self, image: &str) -> Result<bool, CloudError> {
        let mut parts = image.rsplitn(3, '/');
        let (package, repository) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let repository = self.repository_name(&last_part(repository));
        let found = self
            .repositories()
            .await?
            .get_docker_image()
            .set_name(format!("{repository}/dockerImages/{package}"))
            .send()
            .await
            .map_err(self.failed(&format!("image {image}")));
        match found {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn repository_name(&self, name: &str) -> String {
        self.in_region(&format!("repositories/{name}"))
    }
}

/// The fields we manage of a repository that is there.
pub(super) fn repository_of(model: &Model) -> Resource {
    let all: Labels = model.labels.clone().into_iter().collect();
    let policies = model.cleanup_policies.iter();
    let repository = Repository {
        cleanup: policies
            .map(|(id, policy)| (id.clone(), policy_of(policy)))
            .collect(),
        cleanup_dry_run: model.cleanup_policy_dry_run,
        kms_key: Some(model.kms_key_name.clone()).filter(|key| !key.is_empty()),
        labels: labels::own(&all),
        owner: Owner::of_labels(&all),
    };
    repository.into()
}

/// A policy as the API's JSON has it, enums by their names.
fn policy_of(policy: &CleanupPolicy) -> Value {
    // A model is what JSON was read into.
    let mut json = serde_json::to_value(policy).unwrap_or_default();
    if let Some(fields) = json.as_object_mut() {
        fields.remove("id");
    }
    json["action"] = policy.action.name().into();
    let state = policy.condition().and_then(|it| it.tag_state.as_ref());
    if let Some(name) = state.and_then(|state| state.name()) {
        json["condition"]["tagState"] = name.into();
    }
    json
}

fn policies(repository: &Repository) -> Result<HashMap<String, CleanupPolicy>, CloudError> {
    let policies = repository.cleanup.iter().map(|(id, json)| {
        let policy: CleanupPolicy =
            serde_json::from_value(json.clone()).map_err(|error| CloudError::Unusable {
                what: format!("cleanup policy {id}"),
                problem: error.to_string(),
            })?;
        Ok((id.clone(), policy.set_id(id)))
    });
    policies.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn a_repository_is_read_back_as_it_was_written() {
        let repository = Repository {
            cleanup: BTreeMap::from([
                (
                    "keep".to_owned(),
                    json!({"action": "KEEP", "mostRecentVersions": {"keepCount": 10}}),
                ),
                (
                    "old".to_owned(),
                    json!({"action": "DELETE", "condition": {"tagState": "ANY", "olderThan": "86400s"}}),
                ),
            ]),
            cleanup_dry_run: false,
            kms_key: Some("k".to_owned()),
            labels: Labels::from([("team".to_owned(), "data".to_owned())]),
            owner: Owner::client("acme"),
        };
        let labels = labels::written(&repository.owner, &repository.labels);
        let policies = policies(&repository).unwrap();
        let model = Model::new()
            .set_labels(labels)
            .set_kms_key_name("k")
            .set_cleanup_policies(policies);
        assert_eq!(repository_of(&model), repository.into());
    }
}
