//! How the image came to be, as SLSA has it: what went in, and what put it together.
//!
//! The statement is not signed: it says what the packer did, to who trusts the registry.

use bytes::Bytes;
use serde_json::{Value, json};
use xetl_runtime::components::Component;

use super::elf::Machine;
use super::layer::{CA_FILE, PROGRAM};
use super::manifest::{Attachment, stable_json};
use super::{ImageError, digest, sbom};

const KIND: &str = "application/vnd.in-toto+json";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// What went into an image.
pub struct Contents {
    pub machine: Machine,
    /// Of the runtime.
    pub version: String,
    /// Digest of the program.
    pub binary: String,
    /// Digest of the CA roots.
    pub roots: String,
}

/// What is said of the image with this manifest. The list of components is there where the
/// program carries one.
pub fn attachments(
    manifest: &[u8],
    contents: &Contents,
    components: Option<&[Component]>,
) -> Result<Vec<Attachment>, ImageError> {
    let mut attachments = Vec::new();
    if let Some(components) = components {
        let statement = sbom::cyclonedx(contents, components)?;
        attachments.push(Attachment::to(
            manifest,
            sbom::KIND,
            &statement,
            &json!({}),
        )?);
    }
    let statement = provenance(manifest, contents)?;
    let annotations = json!({"in-toto.io/predicate-type": PREDICATE});
    attachments.push(Attachment::to(manifest, KIND, &statement, &annotations)?);
    Ok(attachments)
}

fn provenance(manifest: &[u8], contents: &Contents) -> Result<Bytes, ImageError> {
    let packer = concat!("pkg:generic/xetl@", env!("CARGO_PKG_VERSION"));
    let platform = format!("linux/{}", contents.machine.name());
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "xetl-runtime", "digest": sha256(&digest(manifest))}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{packer}#image"),
                "externalParameters": {"platform": platform, "version": contents.version},
                "resolvedDependencies": [
                    {"name": PROGRAM, "digest": sha256(&contents.binary)},
                    {"name": CA_FILE, "digest": sha256(&contents.roots)},
                ],
            },
            "runDetails": {"builder": {"id": packer}},
        },
    });
    stable_json(&statement).map_err(ImageError::Describe)
}

fn sha256(digest: &str) -> Value {
    json!({"sha256": digest.trim_start_matches("sha256:")})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        Contents {
            machine: Machine::Amd64,
            version: "0.1.0".to_owned(),
            binary: digest(b"binary"),
            roots: digest(b"roots"),
        }
    }

    #[test]
    fn the_statement_names_what_went_in_and_what_came_out() {
        let attachments = attachments(b"{}", &contents(), None).unwrap();
        let statement: Value = serde_json::from_str(&attachments[0].statement).unwrap();
        insta::assert_json_snapshot!(statement, @r#"
        {
          "_type": "https://in-toto.io/Statement/v1",
          "predicate": {
            "buildDefinition": {
              "buildType": "pkg:generic/xetl@0.1.0#image",
              "externalParameters": {
                "platform": "linux/amd64",
                "version": "0.1.0"
              },
              "resolvedDependencies": [
                {
                  "digest": {
                    "sha256": "9a3a45d01531a20e89ac6ae10b0b0beb0492acd7216a368aa062d1a5fecaf9cd"
                  },
                  "name": "/app/xetl-runtime"
                },
                {
                  "digest": {
                    "sha256": "a4e3c20a327766600f2e45b9b0735d26e2f809088dd323d7a5ad5d71d757dc69"
                  },
                  "name": "/etc/ssl/certs/ca-certificates.crt"
                }
              ]
            },
            "runDetails": {
              "builder": {
                "id": "pkg:generic/xetl@0.1.0"
              }
            }
          },
          "predicateType": "https://slsa.dev/provenance/v1",
          "subject": [
            {
              "digest": {
                "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
              },
              "name": "xetl-runtime"
            }
          ]
        }
        "#);
        let manifest = attachments[0].document().json();
        insta::assert_json_snapshot!(manifest, @r#"
        {
          "annotations": {
            "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"
          },
          "artifactType": "application/vnd.in-toto+json",
          "config": {
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "mediaType": "application/vnd.oci.empty.v1+json",
            "size": 2
          },
          "layers": [
            {
              "annotations": {
                "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"
              },
              "digest": "sha256:b08f09c3cda2b74b0564304927f9713697c6d7aad5877930bd2eeaf85214840f",
              "mediaType": "application/vnd.in-toto+json",
              "size": 689
            }
          ],
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "schemaVersion": 2,
          "subject": {
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": 2
          }
        }
        "#);
    }

    #[test]
    fn a_program_that_lists_nothing_gets_no_list() {
        let kinds = |components: Option<&[Component]>| -> Vec<String> {
            let attachments = attachments(b"{}", &contents(), components).unwrap();
            attachments.into_iter().map(|it| it.kind).collect()
        };
        assert_eq!(kinds(None), [KIND]);
        assert_eq!(kinds(Some(&[])), [sbom::KIND, KIND]);
    }
}
