//! Pages kept as the source gave them, and loaded again from there.
//!
//! `pages` is the form of an object, `keep` writes objects while a slice is read, `play` gives
//! what is in them, and `choice` says which of the kept slices a replay takes. What a page
//! means is the source's business (`tape` is what it sees of all this).

pub mod choice;
mod keep;
mod pages;
mod play;

use serde::{Deserialize, Serialize};

use crate::google::ApiError;

pub use keep::keep;
pub use pages::Head;
pub use play::play;

/// An object with replies of a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawFile {
    pub name: String,
    pub replies: u64,
    pub bytes: u64,
    pub generation: i64,
}

/// Pages that cannot be kept or loaded again.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("cannot pack pages: {0}")]
    Pack(#[from] std::io::Error),
    #[error("{uri} is gone; the pages of its slice cannot be loaded again")]
    Gone { uri: String },
    #[error("{uri} is not what the run wrote there: {problem}")]
    Damaged { uri: String, problem: String },
    #[error("a step of keeping pages broke down: {0}")]
    Broken(String),
}
