//! Artifact Registry: repositories by Google's API, images by the registry protocol.
//!
//! Knows nothing of who runs the images: `image` hands out paths to layers.

mod api;
mod auth;
mod blobs;
mod call;
mod digest;
mod error;
mod image;
mod images;
mod inventory;
mod manifest;
mod protocol;
mod repository;

use std::io;

pub use api::routes;
pub use call::Name;
pub use digest::Digest;
pub use image::{Image, ImageConfig, ImageError, Layer};
pub use inventory::assets;
pub use protocol::protocol_routes;

use blobs::Blobs;
use images::Images;
use repository::Repositories;

use crate::store::Store;

/// The registry's state.
pub struct Registry {
    pub(crate) repositories: Repositories,
    images: Images,
    blobs: Blobs,
}

impl Registry {
    pub fn open(store: &Store) -> io::Result<Registry> {
        Ok(Registry {
            repositories: Repositories::open(store)?,
            images: Images::open(store)?,
            blobs: Blobs::open(&store.folder("registry")?)?,
        })
    }
}
