//! The runtime's image: a static binary, CA roots, a user who is not root.
//!
//! The same binary gives the same bytes, and so the same digest, on every
//! machine. Nothing here knows clients, Google or the terminal; `registry`
//! sends what the other parts made.

pub mod auth;
mod cache;
mod elf;
mod layer;
mod layout;
mod manifest;
pub mod registry;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use cache::local_image;
pub use elf::NotRunnable;

/// An image that is packed, or known from an earlier packing of the same binary.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// `sha256:...` of the manifest: what a job pins.
    pub digest: String,
    pub manifest: Bytes,
    pub config: Bytes,
    /// The one layer, still to be read by `layer_bytes`.
    pub layer: BlobInfo,
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

impl BuiltImage {
    pub fn config_info(&self) -> BlobInfo {
        BlobInfo::of(&self.config)
    }

    /// Bytes of all the image's blobs, the manifest included.
    pub fn size(&self) -> u64 {
        self.layer.size + (self.config.len() + self.manifest.len()) as u64
    }

    /// The compressed layer: from the cache, else packed again.
    pub fn layer_bytes(&self) -> Result<Bytes, ImageError> {
        if let Ok(bytes) = std::fs::read(&self.cached_layer)
            && digest(&bytes) == self.layer.digest
        {
            return Ok(bytes.into());
        }
        let layer = layer::pack(&cache::read_binary(&self.binary)?)?;
        if layer.info.digest != self.layer.digest {
            return Err(ImageError::Changed(self.binary.clone()));
        }
        Ok(layer.gzip.into())
    }

    /// Writes the image as an OCI layout, which skopeo, crane and podman read.
    pub fn write_layout(&self, folder: &Path) -> Result<(), ImageError> {
        layout::write(self, folder)
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
