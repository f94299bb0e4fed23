//! Manifests and indexes as any registry keeps them: bytes, and what they name.
//!
//! The bytes are never written anew, so a digest stays what it was.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a manifest says of something: its name, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where a layer that no registry keeps is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub media_type: String,
    pub digest: String,
    pub bytes: Bytes,
}

/// What is read of either.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parts {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads what a registry answered; the body's own `mediaType` goes before the header's.
    pub fn parse(bytes: Bytes, content_type: &str) -> Result<Document, String> {
        let parts: Parts = serde_json::from_slice(&bytes)
            .map_err(|error| format!("its manifest cannot be read: {error}"))?;
        if parts.schema_version != 2 {
            let version = parts.schema_version;
            return Err(format!(
                "its manifest has schema {version}, and xetl knows 2"
            ));
        }
        if parts.config.is_some() == parts.manifests.is_some() {
            return Err("its manifest is neither an image nor an index".to_owned());
        }
        let content_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = parts.media_type.unwrap_or_else(|| content_type.to_owned());
        Ok(Document::of(bytes, &media_type))
    }

    /// A document of our own making.
    pub(super) fn of(bytes: Bytes, media_type: &str) -> Document {
        Document {
            media_type: media_type.to_owned(),
            digest: digest(&bytes),
            bytes,
        }
    }

    fn parts(&self) -> Parts {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    pub fn is_index(&self) -> bool {
        self.parts().manifests.is_some()
    }

    /// The manifests of an index; none of an image.
    pub fn children(&self) -> Vec<Descriptor> {
        self.parts().manifests.unwrap_or_default()
    }

    /// The config of an image; none of an index.
    pub fn config(&self) -> Option<Descriptor> {
        self.parts().config
    }

    pub fn layers(&self) -> Vec<Descriptor> {
        self.parts().layers
    }

    /// The blobs of an image that a registry keeps, the config first; none of an index.
    pub fn blobs(&self) -> Vec<Descriptor> {
        let parts = self.parts();
        let kept = parts.layers.into_iter();
        let kept = kept.filter(|layer| layer.urls.is_empty());
        parts.config.into_iter().chain(kept).collect()
    }

    /// The manifest that Cloud Run takes of an index.
    pub fn linux_amd64(&self) -> Option<Descriptor> {
        self.children().into_iter().find(|child| {
            let platform = child.platform.as_ref();
            platform.is_some_and(|it| (&*it.os, &*it.architecture) == ("linux", "amd64"))
        })
    }

    /// Bytes of the blobs it names.
    pub fn size(&self) -> u64 {
        self.blobs().iter().map(|blob| blob.size).sum()
    }

    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }

    /// As it stands in a list of referrers: with what it is, and its annotations.
    pub fn as_referrer(&self) -> Descriptor {
        let parts = self.parts();
        let config = parts.config.map(|config| config.media_type);
        Descriptor {
            artifact_type: parts.artifact_type.or(config),
            annotations: parts.annotations,
            ..self.descriptor()
        }
    }

    /// The whole document, to be shown.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(byte: &str, platform: Option<(&str, &str)>) -> Value {
        let mut value = json!({"mediaType": OCI_MANIFEST, "size": 2,
            "digest": format!("sha256:{}", byte.repeat(64))});
        if let Some((os, architecture)) = platform {
            value["platform"] = json!({"os": os, "architecture": architecture});
        }
        value
    }

    fn parse(value: &Value) -> Result<Document, String> {
        Document::parse(value.to_string().into(), "application/json; charset=utf-8")
    }

    #[test]
    fn an_index_leads_to_linux_on_amd64_past_attestations() {
        let index = parse(
            &json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
                descriptor("a", Some(("unknown", "unknown"))),
                descriptor("b", Some(("linux", "arm64"))),
                descriptor("c", Some(("linux", "amd64"))),
            ]}),
        )
        .unwrap();
        assert!(index.linux_amd64().unwrap().digest.starts_with("sha256:cc"));
        assert_eq!(index.children().len(), 3);
        assert_eq!(index.blobs().len(), 0);
    }

    #[test]
    fn an_images_blobs_are_its_config_and_the_layers_a_registry_keeps() {
        let mut foreign = descriptor("c", None);
        foreign["urls"] = json!(["https://example.com/layer"]);
        let image = parse(&json!({"schemaVersion": 2, "config": descriptor("a", None),
            "layers": [descriptor("b", None), foreign]}))
        .unwrap();
        assert_eq!(image.media_type, "application/json");
        assert_eq!((image.blobs().len(), image.size()), (2, 4));
    }

    #[test]
    fn what_is_no_manifest_says_why() {
        for (value, problem) in [
            (json!({"schemaVersion": 1}), "schema 1"),
            (json!({"schemaVersion": 2}), "neither"),
            (json!({"errors": []}), "schema 0"),
            (json!("none"), "cannot be read"),
        ] {
            let error = parse(&value).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}
