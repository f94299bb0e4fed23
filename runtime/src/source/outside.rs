//! What a source reaches besides its API: a place for rotated secrets, and objects in buckets.
//!
//! Whose buckets these are, and how one signs in to them, is not known here.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::config::SecretSink;
use crate::task::Task;

/// An object that can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Whole, such as `gs://bucket/folder/object`.
    pub uri: String,
    pub size: u64,
}

/// Why an object could not be read; a sentence for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ObjectsError(pub String);

/// Objects by their address.
pub trait Objects: Send + Sync {
    /// All objects whose addresses begin so, by name.
    fn list<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Vec<Found>, ObjectsError>>;

    fn read<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Bytes, ObjectsError>>;
}

/// What a source is given of the world.
#[derive(Clone)]
pub struct Outside {
    pub secrets: Arc<dyn SecretSink>,
    pub objects: Arc<dyn Objects>,
    /// Who reads: what the source allows is divided among a run's tasks.
    pub task: Task,
}

impl<S: SecretSink + 'static> From<Arc<S>> for Outside {
    fn from(secrets: Arc<S>) -> Outside {
        Outside {
            secrets,
            objects: Arc::new(NoObjects),
            task: Task::ALONE,
        }
    }
}

/// Where nobody gave a way to read objects.
pub struct NoObjects;

impl Objects for NoObjects {
    fn list<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Vec<Found>, ObjectsError>> {
        async move { Err(unreadable(uri)) }.boxed()
    }

    fn read<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Bytes, ObjectsError>> {
        async move { Err(unreadable(uri)) }.boxed()
    }
}

fn unreadable(uri: &str) -> ObjectsError {
    ObjectsError(format!("`{uri}` cannot be read from here"))
}
