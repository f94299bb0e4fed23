//! Remembers the image of a binary, as packing and hashing 30 MB is too slow for a plan.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xetl_runtime::components::{self, Component};

use super::manifest::Attachment;
use super::provenance::{Contents, attachments};
use super::{
    BlobInfo, BuiltImage, ImageError, Machine, digest, elf, layer, manifest, replace, sbom,
};

/// What was packed from which binary. One file a path: a new binary replaces the old one's.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    stamp: Stamp,
    manifest: String,
    config: String,
    layer: BlobInfo,
    attachments: Vec<Attachment>,
}

/// A binary with the same stamp has the same image.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    binary: PathBuf,
    machine: Machine,
    size: u64,
    modified_nanos: u128,
    /// What the image holds beside the binary, and the program that packs it.
    packer: String,
}

/// The image of the runtime at `binary`; packs it only when the file is another than last time.
pub fn local_image(
    binary: &Path,
    machine: Machine,
    cache: &Path,
) -> Result<BuiltImage, ImageError> {
    let stamp = stamp(binary, machine)?;
    let name = digest(stamp.binary.as_os_str().as_encoded_bytes());
    let note = cache.join(format!("{}.json", &name["sha256:".len()..][..16]));
    let layer_file = note.with_extension("tar.gz");
    if let Some(known) = remembered(&note).filter(|known| known.stamp == stamp) {
        return Ok(known.image(layer_file));
    }
    let (known, gzip) = packed(stamp, &read_binary(binary, machine)?)?;
    replace(&layer_file, &gzip)?;
    let note_text = serde_json::to_vec(&known).map_err(|error| ImageError::Pack(error.into()))?;
    replace(&note, &note_text)?;
    Ok(known.image(layer_file))
}

fn packed(stamp: Stamp, binary: &[u8]) -> Result<(Remembered, Vec<u8>), ImageError> {
    let layer = layer::pack(binary)?;
    let components = components::find(binary);
    let contents = Contents {
        machine: stamp.machine,
        version: version(components.as_deref()),
        binary: digest(binary),
        roots: sbom::roots_digest(),
    };
    let (config, manifest) = manifest::describe(&layer, stamp.machine, &contents.version)?;
    let known = Remembered {
        attachments: attachments(&manifest, &contents, components.as_deref())?,
        manifest: String::from_utf8_lossy(&manifest).into_owned(),
        config: String::from_utf8_lossy(&config).into_owned(),
        layer: layer.info,
        stamp,
    };
    Ok((known, layer.gzip))
}

/// The program's own version, where it tells it.
fn version(components: Option<&[Component]>) -> String {
    let mut components = components.unwrap_or_default().iter();
    let own = components.find(|component| component.name == "xetl-runtime");
    own.map_or(env!("CARGO_PKG_VERSION"), |own| &own.version)
        .to_owned()
}

/// The binary's bytes, checked.
pub fn read_binary(path: &Path, machine: Machine) -> Result<Vec<u8>, ImageError> {
    let bytes = fs::read(path).map_err(|source| missing(path, source))?;
    elf::check(&bytes, machine).map_err(|reason| ImageError::NotRunnable {
        path: path.to_owned(),
        reason,
    })?;
    Ok(bytes)
}

/// An unreadable note is one not written.
fn remembered(note: &Path) -> Option<Remembered> {
    serde_json::from_slice(&fs::read(note).ok()?).ok()
}

impl Remembered {
    fn image(self, cached_layer: PathBuf) -> BuiltImage {
        BuiltImage {
            machine: self.stamp.machine,
            digest: digest(self.manifest.as_bytes()),
            manifest: Bytes::from(self.manifest),
            config: Bytes::from(self.config),
            layer: self.layer,
            attachments: self.attachments,
            binary: self.stamp.binary,
            cached_layer,
        }
    }
}

fn stamp(binary: &Path, machine: Machine) -> Result<Stamp, ImageError> {
    let read = || {
        let path = fs::canonicalize(binary)?;
        let metadata = fs::metadata(&path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        Ok(Stamp {
            binary: path,
            machine,
            size: metadata.len(),
            modified_nanos: modified.unwrap_or_default().as_nanos(),
            packer: packer(),
        })
    };
    read().map_err(|source| missing(binary, source))
}

/// Counts changes of what is packed and said of it, within a version.
const FORM: u32 = 2;

fn packer() -> String {
    let (version, roots) = (env!("CARGO_PKG_VERSION"), sbom::roots_digest());
    format!("xetl {version} form {FORM} roots {roots}")
}

fn missing(path: &Path, source: io::Error) -> ImageError {
    match source.kind() {
        io::ErrorKind::NotFound => ImageError::NoBinary(path.to_owned()),
        _ => ImageError::file(path)(source),
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::executable;
    use super::*;

    #[test]
    fn an_unchanged_binary_is_not_packed_again() {
        let folder = tempfile::tempdir().unwrap();
        let (binary, cache) = (folder.path().join("runtime"), folder.path().join("cache"));
        fs::write(&binary, executable(&[])).unwrap();
        let first = local_image(&binary, Machine::Amd64, &cache).unwrap();

        // The same size and time stand for the same bytes, though these are no binary.
        let modified = fs::metadata(&binary).unwrap().modified().unwrap();
        fs::write(&binary, vec![0; executable(&[]).len()]).unwrap();
        let file = fs::File::options().write(true).open(&binary).unwrap();
        file.set_modified(modified).unwrap();
        let again = local_image(&binary, Machine::Amd64, &cache).unwrap();
        assert_eq!(again.digest, first.digest);
        assert_eq!(digest(&again.layer_bytes().unwrap()), first.layer.digest);
    }

    #[test]
    fn another_binary_is_another_image() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("runtime");
        fs::write(&binary, executable(&[])).unwrap();
        let first = local_image(&binary, Machine::Amd64, folder.path()).unwrap();
        fs::write(&binary, executable(&[(1, b"code")])).unwrap();
        let second = local_image(&binary, Machine::Amd64, folder.path()).unwrap();
        assert_ne!(first.digest, second.digest);
        assert!(matches!(first.layer_bytes(), Err(ImageError::Changed(_))));
    }

    #[test]
    fn a_damaged_cache_is_packed_again() {
        let folder = tempfile::tempdir().unwrap();
        let (binary, cache) = (folder.path().join("runtime"), folder.path().join("cache"));
        fs::write(&binary, executable(&[])).unwrap();
        let image = local_image(&binary, Machine::Amd64, &cache).unwrap();
        for entry in fs::read_dir(&cache).unwrap() {
            fs::write(entry.unwrap().path(), "half").unwrap();
        }
        assert_eq!(digest(&image.layer_bytes().unwrap()), image.layer.digest);
        assert_eq!(
            local_image(&binary, Machine::Amd64, &cache).unwrap().digest,
            image.digest
        );
    }

    #[test]
    fn a_missing_or_dynamic_binary_says_how_to_build_it() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        for path in [absent, script] {
            let error = local_image(&path, Machine::Amd64, folder.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains("build it with `make runtime`"), "{error}");
        }
    }
}
