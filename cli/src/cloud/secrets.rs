//! Secret Manager: containers, which are resources, and values, which are not.

use std::collections::BTreeSet;

use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_gax::paginator::ItemPaginator;
use google_cloud_secretmanager_v1::model::replication::user_managed::Replica;
use google_cloud_secretmanager_v1::model::replication::{Automatic, UserManaged};
use google_cloud_secretmanager_v1::model::secret_version::State;
use google_cloud_secretmanager_v1::model::{
    CustomerManagedEncryption, Replication as Model, Secret as SecretModel, SecretPayload,
};
use google_cloud_wkt::FieldMask;
use secrecy::{ExposeSecret, SecretString};

use super::{Cloud, CloudError, last_part, retry};
use crate::resource::{Labels, Owner, Replication, Resource, Secret, labels};

impl Cloud {
    /// The client's secrets by name.
    pub(super) async fn list_secrets(&self) -> Result<Vec<(String, Resource)>, CloudError> {
        let client = &self.client;
        let mut items = self
            .secrets()
            .await?
            .list_secrets()
            .set_parent(self.in_project(""))
            .set_filter(format!(
                "labels.managed-by=xetl AND labels.xetl-client={client}"
            ))
            .by_item();
        let mut found = Vec::new();
        while let Some(item) = items.next().await {
            match item.map_err(self.failed("the client's secrets")) {
                Ok(secret) => found.push((last_part(&secret.name), resource(&secret))),
                Err(error) if error.is_absent() => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        found.retain(|(_, secret)| {
            let owner = secret.owner();
            owner.is_some_and(|owner| owner.client.as_ref() == Some(client))
        });
        Ok(found)
    }

    pub(super) async fn find_secret(&self, name: &str) -> Result<Option<Resource>, CloudError> {
        let found = self.get_secret(name).await?;
        Ok(found.as_ref().map(resource))
    }

    async fn get_secret(&self, name: &str) -> Result<Option<SecretModel>, CloudError> {
        let found = self
            .secrets()
            .await?
            .get_secret()
            .set_name(self.secret_name(name))
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")));
        match found {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_secret(
        &self,
        name: &str,
        secret: &Secret,
    ) -> Result<(), CloudError> {
        self.secrets()
            .await?
            .create_secret()
            .set_parent(self.in_project(""))
            .set_secret_id(name)
            .set_secret(
                SecretModel::new()
                    .set_replication(replication(secret))
                    .set_labels(labels::written(&secret.owner, &secret.labels)),
            )
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")))?;
        Ok(())
    }

    pub(super) async fn update_secret(
        &self,
        name: &str,
        secret: &Secret,
    ) -> Result<(), CloudError> {
        let Some(before) = self.get_secret(name).await? else {
            return self.create_secret(name, secret).await;
        };
        let there: Labels = before.labels.clone().into_iter().collect();
        let after = labels::rewritten(&there, &secret.owner, &secret.labels);
        let mut changed = SecretModel::new()
            .set_name(self.secret_name(name))
            .set_labels(after);
        let mut mask = vec!["labels"];
        if before.replication.as_ref().map(keys).unwrap_or_default() != secret.kms_keys {
            changed = changed.set_replication(replication(secret));
            mask.push("replication");
        }
        let changed = changed.set_etag(before.etag);
        self.secrets()
            .await?
            .update_secret()
            .set_secret(changed)
            .set_update_mask(FieldMask::default().set_paths(mask))
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")))?;
        Ok(())
    }

    pub(super) async fn delete_secret(&self, name: &str) -> Result<(), CloudError> {
        self.secrets()
            .await?
            .delete_secret()
            .set_name(self.secret_name(name))
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")))
    }

    /// Whether the newest version can be read by a job.
    pub async fn secret_has_value(&self, name: &str) -> Result<bool, CloudError> {
        let found = self
            .secrets()
            .await?
            .get_secret_version()
            .set_name(format!("{}/versions/latest", self.secret_name(name)))
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")));
        match found {
            Ok(version) => Ok(version.state == State::Enabled),
            Err(error) if error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores a value as the newest version, unless it is that already.
    ///
    /// The container is made where there is none yet.
    pub async fn store_secret(
        &self,
        name: &str,
        secret: &Secret,
        value: &SecretString,
    ) -> Result<Stored, CloudError> {
        match self.find_secret(name).await? {
            None => match self.create_secret(name, secret).await {
                Err(error) if !error.already_exists() => return Err(error),
                _ => {}
            },
            Some(_) if self.secret_is(name, value).await? => return Ok(Stored::Unchanged),
            Some(_) => {}
        }
        self.add_version(name, value).await?;
        Ok(Stored::Added)
    }

    async fn secret_is(&self, name: &str, value: &SecretString) -> Result<bool, CloudError> {
        let found = self
            .secrets()
            .await?
            .access_secret_version()
            .set_name(format!("{}/versions/latest", self.secret_name(name)))
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")));
        match found {
            Ok(version) => Ok(version
                .payload
                .is_some_and(|payload| payload.data == value.expose_secret().as_bytes())),
            // None yet, or the newest is disabled, or we may write and not read.
            Err(
                CloudError::NotFound { .. }
                | CloudError::Refused { status: 400, .. }
                | CloudError::Denied { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn add_version(&self, name: &str, value: &SecretString) -> Result<(), CloudError> {
        let data = value.expose_secret().as_bytes().to_vec();
        let payload = SecretPayload::new()
            .set_data_crc32c(i64::from(crc32c::crc32c(&data)))
            .set_data(data);
        self.secrets()
            .await?
            .add_secret_version()
            .set_parent(self.secret_name(name))
            .set_payload(payload)
            // Sent twice, it would be two versions.
            .with_retry_policy(retry::Once)
            .send()
            .await
            .map_err(self.failed(&format!("secret {name}")))?;
        Ok(())
    }

    /// Destroys all but the newest `keep` versions: each costs, and may open an old door.
    pub async fn trim_secret(&self, name: &str, keep: u32) -> Result<usize, CloudError> {
        let versions = self.secret_versions(name).await?;
        let left: Vec<_> = versions.iter().filter(|it| !it.destroyed).collect();
        let old = left.iter().skip(keep as usize);
        for version in old.clone() {
            self.secrets()
                .await?
                .destroy_secret_version()
                .set_name(format!(
                    "{}/versions/{}",
                    self.secret_name(name),
                    version.number
                ))
                .send()
                .await
                .map_err(self.failed(&format!("version {} of secret {name}", version.number)))?;
        }
        Ok(old.count())
    }

    fn secret_name(&self, name: &str) -> String {
        self.in_project(&format!("secrets/{name}"))
    }
}

/// What storing a value did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Added,
    Unchanged,
}

/// The fields we manage of a secret that is there.
pub(super) fn resource(secret: &SecretModel) -> Resource {
    let all: Labels = secret.labels.clone().into_iter().collect();
    let replication = secret.replication.as_ref();
    let managed = replication.and_then(Model::user_managed);
    let secret = Secret {
        replication: match managed {
            Some(managed) => Replication::In(locations(managed)),
            None => Replication::Automatic,
        },
        kms_keys: replication.map(keys).unwrap_or_default(),
        labels: labels::own(&all),
        owner: Owner::of_labels(&all),
    };
    secret.into()
}

fn locations(managed: &UserManaged) -> BTreeSet<String> {
    let replicas = managed.replicas.iter();
    replicas.map(|replica| replica.location.clone()).collect()
}

/// The customer's keys in it.
fn keys(replication: &Model) -> BTreeSet<String> {
    let automatic = replication.automatic().into_iter();
    let automatic = automatic.filter_map(|it| it.customer_managed_encryption.as_ref());
    let managed = replication.user_managed().into_iter();
    let replicas = managed.flat_map(|managed| &managed.replicas);
    let replicas = replicas.filter_map(|it| it.customer_managed_encryption.as_ref());
    let keys = automatic.chain(replicas);
    keys.map(|encryption| encryption.kms_key_name.clone())
        .collect()
}

fn replication(secret: &Secret) -> Model {
    let encryption = |key: &String| CustomerManagedEncryption::new().set_kms_key_name(key);
    match &secret.replication {
        Replication::Automatic => {
            let key = secret.kms_keys.first().map(encryption);
            Model::new()
                .set_automatic(Automatic::new().set_or_clear_customer_managed_encryption(key))
        }
        Replication::In(locations) => {
            let replicas = locations.iter().map(|location| {
                let within = format!("/locations/{location}/");
                let key = secret.kms_keys.iter().find(|key| key.contains(&within));
                Replica::new()
                    .set_location(location)
                    .set_or_clear_customer_managed_encryption(key.map(encryption))
            });
            Model::new().set_user_managed(UserManaged::new().set_replicas(replicas))
        }
    }
}

/// A version of a secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SecretVersion {
    pub number: String,
    /// When it was stored, in RFC 3339.
    pub created: String,
    pub enabled: bool,
    pub destroyed: bool,
}

impl Cloud {
    /// A secret's versions, the newest first; none where there is no secret.
    pub async fn secret_versions(&self, name: &str) -> Result<Vec<SecretVersion>, CloudError> {
        let mut items = self
            .secrets()
            .await?
            .list_secret_versions()
            .set_parent(self.secret_name(name))
            .by_item();
        let mut versions = Vec::new();
        while let Some(item) = items.next().await {
            match item.map_err(self.failed(&format!("secret {name}"))) {
                Ok(version) => versions.push(SecretVersion {
                    number: last_part(&version.name),
                    created: version.create_time.map(String::from).unwrap_or_default(),
                    enabled: version.state == State::Enabled,
                    destroyed: version.state == State::Destroyed,
                }),
                Err(error) if error.is_absent() => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        Ok(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_as_it_was_written() {
        let places = Replication::In(["r1".to_owned(), "r2".to_owned()].into());
        let key = |place: &str| format!("projects/p/locations/{place}/keyRings/r/cryptoKeys/k");
        for (places, keys) in [
            (Replication::Automatic, vec![]),
            (Replication::Automatic, vec![key("global")]),
            (places.clone(), vec![]),
            (places, vec![key("r1"), key("r2")]),
        ] {
            let secret = Secret {
                replication: places,
                kms_keys: keys.into_iter().collect(),
                labels: Labels::from([("team".to_owned(), "data".to_owned())]),
                owner: Owner::pipeline("acme", "xero"),
            };
            let model = SecretModel::new()
                .set_replication(replication(&secret))
                .set_labels(labels::written(&secret.owner, &secret.labels));
            assert_eq!(resource(&model), secret.into());
        }
    }
}
