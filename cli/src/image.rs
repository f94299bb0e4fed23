//! The runtime's image: a static binary, CA roots, a user who is not root.
//!
//! The same binary gives the same bytes, and so the same digest, on every
//! machine. Nothing here knows clients, Google or the terminal; `registry`
//! sends what the other parts made, `credentials` asks Docker's config who signs in.

pub mod auth;
mod cache;
pub mod credentials;
pub mod document;
mod elf;
pub mod inspect;
mod layer;
mod layout;
mod manifest;
mod provenance;
pub mod registry;
mod rootfs;
mod sbom;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use cache::local_image;
use document::{Document, OCI_MANIFEST};
pub use elf::{Machine, NotRunnable};
pub use manifest::Attachment;

/// What a job pins: one image, or an index of one a machine.
#[derive(Debug, Clone)]
pub struct Package {
    /// `sha256:...` of the index where there is one, else of the one image's manifest.
    pub digest: String,
    /// For Cloud Run's machine first.
    pub images: Vec<BuiltImage>,
    pub index: Option<Document>,
}

/// An image that is packed, or known from an earlier packing of the same binary.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    pub machine: Machine,
    /// `sha256:...` of the manifest.
    pub digest: String,
    pub manifest: Bytes,
    pub config: Bytes,
    /// The one layer, still to be read by `layer_bytes`.
    pub layer: BlobInfo,
    /// What is said of it in manifests of their own: components, provenance.
    pub attachments: Vec<Attachment>,
    binary: PathBuf,
    cached_layer: PathBuf,
}

/// A blob's name and size, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobInfo {
    pub digest: String,
    pub size: u64,
}

impl BlobInfo {
    fn of(bytes: &[u8]) -> BlobInfo {
        BlobInfo {
            digest: digest(bytes),
            size: bytes.len() as u64,
        }
    }
}

/// The image of the runtime at `binary`, with the one for arm64 beside it where there is a binary.
pub fn local_package(
    binary: &Path,
    arm64: Option<&Path>,
    cache: &Path,
) -> Result<Package, ImageError> {
    let mut images = vec![local_image(binary, Machine::Amd64, cache)?];
    if let Some(arm64) = arm64 {
        images.push(local_image(arm64, Machine::Arm64, cache)?);
    }
    Package::of(images)
}

impl Package {
    fn of(images: Vec<BuiltImage>) -> Result<Package, ImageError> {
        let index = match images.len() {
            1 => None,
            _ => Some(manifest::platforms(&images)?),
        };
        let digest = match &index {
            Some(index) => index.digest.clone(),
            None => images[0].digest.clone(),
        };
        Ok(Package {
            digest,
            images,
            index,
        })
    }

    /// What the digest names.
    pub fn root(&self) -> Document {
        match &self.index {
            Some(index) => index.clone(),
            None => self.images[0].document(),
        }
    }

    /// Bytes of all blobs and manifests, but not of what is attached.
    pub fn size(&self) -> u64 {
        let index = self.index.as_ref().map_or(0, |index| index.bytes.len());
        self.images.iter().map(BuiltImage::size).sum::<u64>() + index as u64
    }

    /// Writes the image as an OCI layout, which skopeo, crane and podman read.
    pub fn write_layout(&self, folder: &Path) -> Result<(), ImageError> {
        layout::write(self, folder)
    }
}

impl BuiltImage {
    pub fn config_info(&self) -> BlobInfo {
        BlobInfo::of(&self.config)
    }

    pub fn document(&self) -> Document {
        Document::of(self.manifest.clone(), OCI_MANIFEST)
    }

    fn size(&self) -> u64 {
        self.layer.size + (self.config.len() + self.manifest.len()) as u64
    }

    /// The compressed layer: from the cache, else packed again.
    pub fn layer_bytes(&self) -> Result<Bytes, ImageError> {
        if let Ok(bytes) = std::fs::read(&self.cached_layer)
            && digest(&bytes) == self.layer.digest
        {
            return Ok(bytes.into());
        }
        let layer = layer::pack(&cache::read_binary(&self.binary, self.machine)?)?;
        if layer.info.digest != self.layer.digest {
            return Err(ImageError::Changed(self.binary.clone()));
        }
        Ok(layer.gzip.into())
    }

    /// Writes the files of the image, with their modes.
    pub fn write_rootfs(&self, folder: &Path) -> Result<(), ImageError> {
        let binary = cache::read_binary(&self.binary, self.machine)?;
        rootfs::write(&binary, folder).map_err(ImageError::file(folder))
    }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("there is no runtime binary at `{}`; build it with `make runtime`", .0.display())]
    NoBinary(PathBuf),
    #[error("`{}` cannot be the image's program: {reason}; build it with `make runtime`", path.display())]
    NotRunnable { path: PathBuf, reason: NotRunnable },
    #[error("`{}` changed while its image was pushed; run the command again", .0.display())]
    Changed(PathBuf),
    #[error("cannot pack the image")]
    Pack(#[source] io::Error),
    #[error("cannot describe the image")]
    Describe(#[source] oci_spec::OciSpecError),
    #[error("`{}`", path.display())]
    File { path: PathBuf, source: io::Error },
}

impl ImageError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> ImageError + use<> {
        let path = path.to_owned();
        move |source| ImageError::File { path, source }
    }
}

/// `sha256:` and the hex of the bytes' hash, as registries name blobs.
fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Replaces a file whole: a reader sees the old bytes or the new.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        io::Write::write_all(&mut file, bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(ImageError::file(path))
}
