//! Manifests and indexes as values: what they name, and whether they may be kept.

use serde::Deserialize;

use super::digest::Digest;
use super::error::RegistryError;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The distribution spec asks registries to take at least this much.
pub const MAX_BYTES: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    pub platform: Option<Platform>,
    /// Where a layer that is not distributed lives.
    #[serde(default)]
    pub urls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

/// A manifest of an image (`config`, `layers`) or an index of several (`manifests`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    pub artifact_type: Option<String>,
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    pub manifests: Option<Vec<Descriptor>>,
    pub subject: Option<Descriptor>,
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Manifest {
    /// Reads a manifest pushed as `content_type`.
    pub fn parse(bytes: &[u8], content_type: &str) -> Result<Manifest, RegistryError> {
        if bytes.len() > MAX_BYTES {
            return Err(RegistryError::too_large());
        }
        let mut manifest: Manifest = serde_json::from_slice(bytes)
            .map_err(|error| RegistryError::manifest_invalid(error.to_string()))?;
        if manifest.media_type.is_empty() {
            manifest.media_type = content_type.to_owned();
        }
        manifest.check(content_type)?;
        Ok(manifest)
    }

    fn check(&self, content_type: &str) -> Result<(), RegistryError> {
        let media_type = &self.media_type;
        if media_type != content_type {
            return Err(RegistryError::manifest_invalid(format!(
                "Content-Type is `{content_type}`, but mediaType is `{media_type}`"
            )));
        }
        let complete = match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => self.config.is_some() && self.manifests.is_none(),
            OCI_INDEX | DOCKER_LIST => self.manifests.is_some(),
            _ => {
                return Err(RegistryError::manifest_invalid(format!(
                    "`{media_type}` is no type of manifest this registry keeps"
                )));
            }
        };
        if self.schema_version != 2 || !complete {
            return Err(RegistryError::manifest_invalid(format!(
                "not a complete `{media_type}` of schemaVersion 2"
            )));
        }
        Ok(())
    }

    /// Blobs that must be there before the manifest may come.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let distributed = |layer: &&Descriptor| layer.urls.is_empty();
        self.config
            .iter()
            .chain(self.layers.iter().filter(distributed))
    }

    /// Manifests of an index, which must be there before it.
    pub fn children(&self) -> &[Descriptor] {
        self.manifests.as_deref().unwrap_or_default()
    }

    /// The child that Cloud Run picks from an index: linux on amd64.
    pub fn linux_amd64(&self) -> Option<&Descriptor> {
        self.children().iter().find(|child| {
            child
                .platform
                .as_ref()
                .is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
        })
    }

    /// What a referrer is: its artifact type, else its config's type.
    pub fn artifact_type(&self) -> Option<&str> {
        let config = self
            .config
            .as_ref()
            .map(|config| config.media_type.as_str());
        self.artifact_type.as_deref().or(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(bytes: &[u8]) -> serde_json::Value {
        json!({"mediaType": "x/y", "digest": Digest::of(bytes), "size": bytes.len()})
    }

    #[test]
    fn a_manifest_names_its_blobs() {
        let text = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(b"c"), "layers": [descriptor(b"l")]});
        let manifest = Manifest::parse(text.to_string().as_bytes(), OCI_MANIFEST).unwrap();
        let blobs: Vec<_> = manifest.blobs().map(|blob| blob.digest.clone()).collect();
        assert_eq!(blobs, [Digest::of(b"c"), Digest::of(b"l")]);
    }

    #[test]
    fn the_content_type_must_be_the_media_type() {
        let text = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(b"c"), "layers": []});
        let refused = Manifest::parse(text.to_string().as_bytes(), DOCKER_MANIFEST);
        assert_eq!(refused.unwrap_err().code, "MANIFEST_INVALID");
    }

    #[test]
    fn an_index_leads_to_linux_on_amd64() {
        let mut arm = descriptor(b"arm");
        arm["platform"] = json!({"os": "linux", "architecture": "arm64"});
        let mut amd = descriptor(b"amd");
        amd["platform"] = json!({"os": "linux", "architecture": "amd64"});
        let text = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [arm, amd]});
        let index = Manifest::parse(text.to_string().as_bytes(), OCI_INDEX).unwrap();
        assert_eq!(index.linux_amd64().unwrap().digest, Digest::of(b"amd"));
    }

    #[test]
    fn half_a_manifest_is_refused() {
        for text in [
            "{",
            r#"{"schemaVersion": 2, "layers": []}"#,
            r#"{"schemaVersion": 1}"#,
        ] {
            let refused = Manifest::parse(text.as_bytes(), OCI_MANIFEST);
            assert_eq!(refused.unwrap_err().code, "MANIFEST_INVALID", "{text}");
        }
    }
}
