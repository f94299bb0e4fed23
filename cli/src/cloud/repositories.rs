//! Artifact Registry: the client's repository, and whether an image is in it.

use std::collections::HashMap;

use google_cloud_artifactregistry_v1::model::Repository;
use google_cloud_artifactregistry_v1::model::repository::{Format, Mode};
use google_cloud_lro::Poller;
use google_cloud_wkt::FieldMask;

use super::{Cloud, CloudError, last_part};
use crate::resource::{Owner, Resource};

impl Cloud {
    pub(super) async fn find_repository(&self, name: &str) -> Result<Option<Resource>, CloudError> {
        let found = self.get_repository(name).await?;
        Ok(found.as_ref().map(repository_of))
    }

    async fn get_repository(&self, name: &str) -> Result<Option<Repository>, CloudError> {
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
        owner: &Owner,
    ) -> Result<(), CloudError> {
        let repository = Repository::new()
            .set_format(Format::Docker)
            .set_mode(Mode::StandardRepository)
            .set_labels(owner.labels());
        self.repositories()
            .await?
            .create_repository()
            .set_parent(self.in_region(""))
            .set_repository_id(name)
            .set_repository(repository)
            .poller()
            .until_done()
            .await
            .map_err(self.failed(&format!("repository {name}")))?;
        Ok(())
    }

    pub(super) async fn update_repository(
        &self,
        name: &str,
        owner: &Owner,
    ) -> Result<(), CloudError> {
        let Some(repository) = self.get_repository(name).await? else {
            return self.create_repository(name, owner).await;
        };
        let mut labels: HashMap<_, _> = repository.labels.clone();
        labels.extend(owner.labels());
        self.repositories()
            .await?
            .update_repository()
            .set_repository(repository.set_labels(labels))
            .set_update_mask(FieldMask::default().set_paths(["labels"]))
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

/// What we manage of a repository that is there.
pub(super) fn repository_of(repository: &Repository) -> Resource {
    Resource::Repository {
        owner: Owner::of_labels(&repository.labels),
    }
}
