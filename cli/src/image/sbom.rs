//! What is in the image, as CycloneDX has it: the crates the program lists in itself, and the roots.
//!
//! No date and no serial number: the same image has the same list, byte for byte.

use bytes::Bytes;
use serde_json::{Value, json};
use xetl_runtime::components::Component;

use super::layer::{CA_FILE, PROGRAM};
use super::manifest::stable_json;
use super::provenance::Contents;
use super::{ImageError, digest};

pub const KIND: &str = "application/vnd.cyclonedx+json";

pub fn cyclonedx(contents: &Contents, components: &[Component]) -> Result<Bytes, ImageError> {
    let is_program = |component: &&Component| component.name == "xetl-runtime";
    let others = components.iter().filter(|it| !is_program(it));
    let mut parts: Vec<Value> = others.map(library).collect();
    parts.push(roots(contents));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": program(contents)},
        "components": parts,
    });
    stable_json(&document).map_err(ImageError::Describe)
}

fn program(contents: &Contents) -> Value {
    json!({
        "type": "application",
        "bom-ref": "xetl-runtime",
        "name": "xetl-runtime",
        "version": contents.version,
        "licenses": [{"expression": env!("CARGO_PKG_LICENSE")}],
        "hashes": hashes(&contents.binary),
        "properties": [{"name": "xetl:path", "value": PROGRAM}],
    })
}

fn roots(contents: &Contents) -> Value {
    json!({
        "type": "file",
        "bom-ref": CA_FILE,
        "name": CA_FILE,
        "description": "Mozilla's root certificates",
        "hashes": hashes(&contents.roots),
    })
}

fn library(component: &Component) -> Value {
    // The compiler's own library is no crate of the registry.
    let scheme = match component.name.as_str() {
        "rust" => "generic",
        _ => "cargo",
    };
    let purl = format!(
        "pkg:{scheme}/{}@{}",
        component.name,
        encoded(&component.version)
    );
    let mut part = json!({
        "type": "library",
        "bom-ref": purl,
        "name": component.name,
        "version": component.version,
        "purl": purl,
    });
    if let Some(licence) = &component.licence {
        part["licenses"] = json!([{"expression": expression(licence)}]);
    }
    if let Some(repository) = &component.repository {
        part["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    part
}

/// `MIT/Apache-2.0` is how older crates write `MIT OR Apache-2.0`.
fn expression(licence: &str) -> String {
    licence
        .split('/')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" OR ")
}

/// `+` means a space in some readers of URLs.
fn encoded(version: &str) -> String {
    version.replace('+', "%2B")
}

fn hashes(digest: &str) -> Value {
    json!([{"alg": "SHA-256", "content": digest.trim_start_matches("sha256:")}])
}

/// Of the roots every image holds.
pub fn roots_digest() -> String {
    digest(super::layer::ca_roots().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::elf::Machine;
    use super::*;

    #[test]
    fn a_component_has_its_name_for_scanners() {
        let contents = Contents {
            machine: Machine::Amd64,
            version: "0.1.0".to_owned(),
            binary: digest(b"binary"),
            roots: digest(b"roots"),
        };
        let crates = [
            ("rust", "1.95.0", None),
            ("xetl-runtime", "0.1.0", Some("MIT")),
            ("zstd-sys", "2.0.16+zstd.1.5.7", Some("MIT/Apache-2.0")),
        ]
        .map(|(name, version, licence)| Component {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.map(str::to_owned),
            repository: None,
        });
        let text = cyclonedx(&contents, &crates).unwrap();
        let document: Value = serde_json::from_slice(&text).unwrap();
        let purls = document["components"].as_array().unwrap().iter();
        let purls: Vec<_> = purls.map(|it| it["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(
            purls,
            [
                "pkg:generic/rust@1.95.0",
                "pkg:cargo/zstd-sys@2.0.16%2Bzstd.1.5.7",
                "/etc/ssl/certs/ca-certificates.crt"
            ]
        );
        let licences = &document["components"][1]["licenses"][0];
        assert_eq!(licences["expression"], "MIT OR Apache-2.0");
        assert_eq!(text, cyclonedx(&contents, &crates).unwrap());
    }
}
