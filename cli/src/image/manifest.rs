//! The JSON documents that describe the image, put several together, or refer to one.

use std::collections::HashMap;
use std::str::FromStr;

use bytes::Bytes;
use oci_spec::OciSpecError;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, HistoryBuilder, ImageConfigurationBuilder,
    ImageManifestBuilder, MediaType, Os, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::{Descriptor as Named, Document, OCI_INDEX, OCI_MANIFEST, Platform};
use super::elf::Machine;
use super::layer::{CA_FILE, Layer, PROGRAM};
use super::{BlobInfo, BuiltImage, ImageError, digest};

/// An image of 1970 has the same digest whenever it is packed.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// "nonroot", by number as the image has no /etc/passwd.
const USER: &str = "65532:65532";

/// The config of a manifest that has none to say (OCI's guidance for artifacts).
pub const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// The config and the manifest of the image with this layer, byte for byte.
pub fn describe(
    layer: &Layer,
    machine: Machine,
    version: &str,
) -> Result<(Bytes, Bytes), ImageError> {
    let describe = || {
        let config = config(&layer.diff_id, machine, version)?;
        let manifest = manifest(&BlobInfo::of(&config), &layer.info, version)?;
        Ok((config, manifest))
    };
    describe().map_err(ImageError::Describe)
}

/// A statement on an image, kept in a manifest that names the image as its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What the statement is: the manifest's `artifactType`.
    pub kind: String,
    pub statement: String,
    pub manifest: String,
}

impl Attachment {
    pub fn to(
        image: &[u8],
        kind: &str,
        statement: &Bytes,
        annotations: &Value,
    ) -> Result<Attachment, ImageError> {
        let name = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
        let mut layer = name(kind, statement);
        layer["annotations"] = annotations.clone();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": kind,
            "config": name(EMPTY_TYPE, EMPTY),
            "layers": [layer],
            "subject": name(OCI_MANIFEST, image),
            "annotations": annotations,
        });
        let manifest = stable_json(&manifest).map_err(ImageError::Describe)?;
        Ok(Attachment {
            kind: kind.to_owned(),
            statement: String::from_utf8_lossy(statement).into_owned(),
            manifest: String::from_utf8_lossy(&manifest).into_owned(),
        })
    }

    pub fn document(&self) -> Document {
        Document::of(self.manifest.clone().into(), OCI_MANIFEST)
    }
}

/// The index of the images of several machines.
pub fn platforms(images: &[BuiltImage]) -> Result<Document, ImageError> {
    let manifests: Vec<Named> = images
        .iter()
        .map(|image| Named {
            platform: Some(Platform {
                architecture: image.machine.name().to_owned(),
                os: "linux".to_owned(),
                variant: None,
            }),
            ..image.document().descriptor()
        })
        .collect();
    index_of(&manifests)
}

pub fn index_of(manifests: &[Named]) -> Result<Document, ImageError> {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    let bytes = stable_json(&index).map_err(ImageError::Describe)?;
    Ok(Document::of(bytes, OCI_INDEX))
}

fn config(diff_id: &str, machine: Machine, version: &str) -> Result<Bytes, OciSpecError> {
    let process = ConfigBuilder::default()
        .user(USER)
        .entrypoint([PROGRAM.to_owned()])
        .env([
            "PATH=/app".to_owned(),
            format!("SSL_CERT_FILE={CA_FILE}"),
            // The allocator gives memory back at once: what it holds counts to the job's limit.
            "MIMALLOC_PURGE_DELAY=0".to_owned(),
            "MIMALLOC_ARENA_EAGER_COMMIT=0".to_owned(),
        ])
        .working_dir("/")
        .labels(labels(version))
        .build()?;
    let rootfs = RootFsBuilder::default()
        .typ("layers")
        .diff_ids([diff_id.to_owned()])
        .build()?;
    let history = HistoryBuilder::default()
        .created(CREATED)
        .created_by("xetl image")
        .build()?;
    let config = ImageConfigurationBuilder::default()
        .created(CREATED)
        .architecture(Arch::from(machine.name()))
        .os(Os::Linux)
        .config(process)
        .rootfs(rootfs)
        .history([history])
        .build()?;
    stable_json(&config)
}

fn manifest(config: &BlobInfo, layer: &BlobInfo, version: &str) -> Result<Bytes, OciSpecError> {
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, config)?)
        .layers([descriptor(MediaType::ImageLayerGzip, layer)?])
        .annotations(labels(version))
        .build()?;
    stable_json(&manifest)
}

pub fn descriptor(kind: MediaType, blob: &BlobInfo) -> Result<Descriptor, OciSpecError> {
    let hex = blob.digest.trim_start_matches("sha256:");
    DescriptorBuilder::default()
        .media_type(kind)
        .digest(Sha256Digest::from_str(hex)?)
        .size(blob.size)
        .build()
}

/// Said twice, as some tools read the config's labels and some the manifest's annotations.
fn labels(version: &str) -> HashMap<String, String> {
    [
        ("created", CREATED),
        (
            "description",
            "Fetches what a source has and loads it into BigQuery",
        ),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("title", "xetl-runtime"),
        ("vendor", "xetl"),
        ("version", version),
    ]
    .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
    .into()
}

/// JSON with sorted keys: the types hold maps of random order, and digests are of bytes.
pub fn stable_json(document: &impl Serialize) -> Result<Bytes, OciSpecError> {
    let mut document = serde_json::to_value(document)?;
    document.sort_all_objects();
    Ok(serde_json::to_vec(&document)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_say_what_cloud_run_needs() {
        let layer = Layer {
            gzip: Vec::new(),
            info: BlobInfo {
                digest: format!("sha256:{}", "a".repeat(64)),
                size: 7,
            },
            diff_id: format!("sha256:{}", "b".repeat(64)),
        };
        let (config, manifest) = describe(&layer, Machine::Amd64, "0.1.0").unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        insta::assert_json_snapshot!(config, @r#"
        {
          "architecture": "amd64",
          "config": {
            "Entrypoint": [
              "/app/xetl-runtime"
            ],
            "Env": [
              "PATH=/app",
              "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
              "MIMALLOC_PURGE_DELAY=0",
              "MIMALLOC_ARENA_EAGER_COMMIT=0"
            ],
            "Labels": {
              "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
              "org.opencontainers.image.description": "Fetches what a source has and loads it into BigQuery",
              "org.opencontainers.image.licenses": "MIT",
              "org.opencontainers.image.title": "xetl-runtime",
              "org.opencontainers.image.vendor": "xetl",
              "org.opencontainers.image.version": "0.1.0"
            },
            "User": "65532:65532",
            "WorkingDir": "/"
          },
          "created": "1970-01-01T00:00:00Z",
          "history": [
            {
              "created": "1970-01-01T00:00:00Z",
              "created_by": "xetl image"
            }
          ],
          "os": "linux",
          "rootfs": {
            "diff_ids": [
              "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
            ],
            "type": "layers"
          }
        }
        "#);
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        insta::assert_json_snapshot!(manifest, @r#"
        {
          "annotations": {
            "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
            "org.opencontainers.image.description": "Fetches what a source has and loads it into BigQuery",
            "org.opencontainers.image.licenses": "MIT",
            "org.opencontainers.image.title": "xetl-runtime",
            "org.opencontainers.image.vendor": "xetl",
            "org.opencontainers.image.version": "0.1.0"
          },
          "config": {
            "digest": "sha256:102a2cebcebc47ad976cb117babf83fbb56440e68bbb91f25dd4b73cae956e8f",
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "size": 806
          },
          "layers": [
            {
              "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": 7
            }
          ],
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "schemaVersion": 2
        }
        "#);
    }
}
