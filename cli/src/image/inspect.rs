//! All a registry says of an image, gathered as a value.

use serde_json::{Value, json};

use super::document::{Descriptor, Document, Platform};
use super::registry::{Registry, RegistryError};

/// An image, or an index of several.
pub struct Inspection {
    pub document: Document,
    /// One a machine; the image itself where there is no index.
    pub images: Vec<InspectedImage>,
    /// What refers to the index, where there is one.
    pub referrers: Vec<Descriptor>,
}

pub struct InspectedImage {
    pub document: Document,
    pub platform: Option<Platform>,
    pub config: Value,
    pub referrers: Vec<Descriptor>,
}

pub async fn inspect(registry: &Registry, reference: &str) -> Result<Inspection, RegistryError> {
    let document = registry.manifest(reference).await?;
    if !document.is_index() {
        return Ok(Inspection {
            images: vec![image(registry, document.clone(), None).await?],
            document,
            referrers: Vec::new(),
        });
    }
    let mut images = Vec::new();
    for child in document.children() {
        let manifest = registry.manifest(&child.digest).await?;
        images.push(image(registry, manifest, child.platform).await?);
    }
    Ok(Inspection {
        referrers: registry.referrers(&document.digest).await?.manifests,
        document,
        images,
    })
}

async fn image(
    registry: &Registry,
    document: Document,
    platform: Option<Platform>,
) -> Result<InspectedImage, RegistryError> {
    let config = match document.config() {
        Some(config) => registry.small_blob(&config.digest).await?,
        None => "null".into(),
    };
    let config: Value = serde_json::from_slice(&config).unwrap_or_default();
    Ok(InspectedImage {
        referrers: registry.referrers(&document.digest).await?.manifests,
        platform: platform.or_else(|| of_config(&config)),
        document,
        config,
    })
}

fn of_config(config: &Value) -> Option<Platform> {
    serde_json::from_value(config.clone()).ok()
}

impl Inspection {
    /// Everything, for programs.
    pub fn json(&self, name: &str) -> Value {
        let images = self.images.iter().map(|image| {
            json!({
                "digest": image.document.digest,
                "platform": image.platform,
                "manifest": image.document.json(),
                "config": image.config,
                "referrers": image.referrers,
            })
        });
        json!({
            "image": format!("{name}@{}", self.document.digest),
            "digest": self.document.digest,
            "media_type": self.document.media_type,
            "manifest": self.document.json(),
            "images": images.collect::<Vec<_>>(),
            "referrers": self.referrers,
        })
    }
}
