//! Artifact Registry: what a repository holds.

use google_cloud_gax::paginator::ItemPaginator;

use super::{Cloud, CloudError};

/// An image, an index or an artifact in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    pub digest: String,
    pub tags: Vec<String>,
    /// Bytes of its blobs.
    pub size: u64,
    /// RFC 3339, where the registry says it.
    pub uploaded: Option<String>,
    pub media_type: String,
    /// What an artifact is; of an image the type of its config, or nothing.
    pub artifact_type: String,
}

impl Cloud {
    /// The images under a name without a digest, the newest first.
    pub async fn stored_images(&self, name: &str) -> Result<Vec<StoredImage>, CloudError> {
        let repository = name.rsplit('/').nth(1).unwrap_or_default();
        let parent = self.in_region(&format!("repositories/{repository}"));
        let list = self.repositories().await?.list_docker_images();
        let mut items = list.set_parent(parent).by_item();
        let mut images = Vec::new();
        while let Some(item) = items.next().await {
            let image = item.map_err(self.failed(&format!("repository {repository}")))?;
            let Some((at, digest)) = image.uri.split_once('@') else {
                continue;
            };
            if at != name {
                continue;
            }
            images.push(StoredImage {
                digest: digest.to_owned(),
                size: u64::try_from(image.image_size_bytes).unwrap_or(0),
                uploaded: image.upload_time.map(String::from),
                media_type: image.media_type,
                artifact_type: image.artifact_type,
                tags: image.tags,
            });
        }
        images.sort_by(|one, other| other.uploaded.cmp(&one.uploaded));
        Ok(images)
    }
}
