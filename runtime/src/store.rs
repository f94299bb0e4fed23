//! Where checkpoints and the records of runs are kept: the bucket, or a database.
//!
//! What a run stages stays in the bucket whatever is chosen: parts, plans, slices,
//! pending commits and the lease. One place at a time has the say over a stream's
//! checkpoint. A database takes it over from the bucket in one step: the bucket's object
//! is replaced by a marker that names the database and carries the checkpoint along, with
//! its generation as the version, so that a commit begun before is ended after.

pub mod address;
mod database;
mod error;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::bundle::StateStore;
use crate::google::storage::{Bucket, Precondition};
use crate::state::{self, Checkpoint, Layout, Pending, StoreError, Stored};

use address::AddressError;
use database::{Address, Database, Engine, Of};
pub use error::DatabaseError;

/// How a stream's part in a run stands, in a team's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Success,
    Failed,
    Parked,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Success => "SUCCESS",
            Status::Failed => "FAILED",
            Status::Parked => "PARKED",
        }
    }
}

/// What a commit brought to a stream of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunRow<'a> {
    pub run: &'a str,
    pub stream: &'a str,
    pub rows: u64,
    pub bytes: u64,
}

/// What the bucket has in place of a checkpoint that a database has taken over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    moved_to: MovedTo,
    /// What the database is to take over; gone once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Carried>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MovedTo {
    /// The database's own id, whatever its address.
    database: String,
    at: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    generation: i64,
    document: Checkpoint,
}

/// What the bucket has under a checkpoint's name.
#[derive(Debug, Clone)]
enum Held {
    Marker(Marker),
    Checkpoint(Checkpoint),
}

impl Held {
    fn of(document: Json) -> serde_json::Result<Held> {
        match document.get("moved_to") {
            Some(_) => serde_json::from_value(document).map(Held::Marker),
            None => serde_json::from_value(document).map(Held::Checkpoint),
        }
    }
}

/// The store of one pipeline.
#[derive(Debug, Clone)]
pub struct Store {
    bucket: Bucket,
    layout: Layout,
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    InBucket,
    InDatabase {
        database: Database,
        /// Streams the bucket has handed over, as this process has seen.
        ours: Arc<Mutex<HashSet<String>>>,
    },
}

impl Store {
    /// Keeps everything in the bucket.
    pub fn in_bucket(bucket: Bucket, layout: Layout) -> Store {
        Store {
            bucket,
            layout,
            kept: Kept::InBucket,
        }
    }

    /// The store that `options` name, connected and with its tables.
    pub async fn open(
        options: &StateStore,
        password: &SecretString,
        client: &str,
        bucket: Bucket,
        layout: Layout,
    ) -> Result<Store, StoreError> {
        let Some(address) = address(options, password)? else {
            return Ok(Store::in_bucket(bucket, layout));
        };
        let of = Of {
            client: client.to_owned(),
            pipeline: layout.pipeline.clone(),
        };
        let database = Database::open(address, of).await?;
        Ok(Store {
            bucket,
            layout,
            kept: Kept::InDatabase {
                database,
                ours: Arc::default(),
            },
        })
    }

    /// The stream's checkpoint, if it has one.
    pub async fn checkpoint(&self, stream: &str) -> Result<Option<Stored<Checkpoint>>, StoreError> {
        match &self.kept {
            Kept::InBucket => match self.held(stream).await? {
                None => Ok(None),
                Some(Stored { value, generation }) => match value {
                    Held::Checkpoint(value) => Ok(Some(Stored { value, generation })),
                    Held::Marker(marker) => Err(self.moved(stream, &marker)),
                },
            },
            Kept::InDatabase { database, ours } => {
                let is_ours = ours.lock().is_ok_and(|ours| ours.contains(stream));
                if !is_ours {
                    self.take_over(database, stream).await?;
                    if let Ok(mut ours) = ours.lock() {
                        ours.insert(stream.to_owned());
                    }
                }
                self.row(database, stream).await
            }
        }
    }

    /// Writes the checkpoint of a commit whose rows are in the table; `false` if another
    /// was written meanwhile.
    pub async fn record(&self, pending: &Pending) -> Result<bool, StoreError> {
        let stream = &pending.next.stream;
        let name = self.layout.state(stream);
        match &self.kept {
            Kept::InBucket => {
                let precondition = match pending.replaces {
                    0 => Precondition::Absent,
                    generation => Precondition::Generation(generation),
                };
                let written =
                    state::write(&self.bucket, &name, &pending.next, precondition).await?;
                Ok(written.is_some())
            }
            Kept::InDatabase { database, .. } => {
                let counted = RunRow {
                    run: &pending.next.run,
                    stream,
                    rows: pending.rows,
                    bytes: pending.bytes,
                };
                let document = self.text(stream, &pending.next)?;
                let replaces = pending.replaces;
                Ok(database
                    .replace(stream, &document, replaces, &counted)
                    .await?)
            }
        }
    }

    /// Notes that a run begins, and that no other of the pipeline's goes on.
    pub async fn run_begins(&self, run: &str, streams: &[&str]) -> Result<(), StoreError> {
        let Kept::InDatabase { database, .. } = &self.kept else {
            return Ok(());
        };
        let buried = database.bury(run).await?;
        if buried > 0 {
            tracing::warn!(streams = buried, "an earlier run ended without a word");
        }
        for stream in streams {
            database.begin(run, stream).await?;
        }
        Ok(())
    }

    /// Notes how a stream's part in a run ended.
    pub async fn stream_ends(
        &self,
        run: &str,
        stream: &str,
        status: Status,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        match &self.kept {
            Kept::InBucket => Ok(()),
            Kept::InDatabase { database, .. } => {
                Ok(database.end(run, stream, status, error).await?)
            }
        }
    }

    /// Where a stream's checkpoint is, for people.
    pub fn place(&self, stream: &str) -> String {
        match &self.kept {
            Kept::InBucket => self.bucket.uri(&self.layout.state(stream)),
            Kept::InDatabase { database, .. } => {
                format!("in xetl_checkpoints of {}", database.at)
            }
        }
    }

    async fn held(&self, stream: &str) -> Result<Option<Stored<Held>>, StoreError> {
        let name = self.layout.state(stream);
        let Some(Stored { value, generation }) = state::read(&self.bucket, &name).await? else {
            return Ok(None);
        };
        let value = Held::of(value).map_err(|error| StoreError::Damaged {
            uri: self.bucket.uri(&name),
            problem: error.to_string(),
        })?;
        Ok(Some(Stored { value, generation }))
    }

    async fn row(
        &self,
        database: &Database,
        stream: &str,
    ) -> Result<Option<Stored<Checkpoint>>, StoreError> {
        let Some((document, generation)) = database.checkpoint(stream).await? else {
            return Ok(None);
        };
        let value = serde_json::from_str(&document).map_err(|error| StoreError::Damaged {
            uri: format!("the checkpoint of stream `{stream}` {}", self.place(stream)),
            problem: error.to_string(),
        })?;
        Ok(Some(Stored { value, generation }))
    }

    /// Sees to it that the database has the say over the stream's checkpoint. A crash
    /// between any two steps is gone on from; of two tasks both end well.
    async fn take_over(&self, database: &Database, stream: &str) -> Result<(), StoreError> {
        loop {
            let Some(Stored { value, generation }) = self.held(stream).await? else {
                self.mark(database, stream, None, 0).await?;
                continue;
            };
            match value {
                Held::Checkpoint(document) => {
                    self.only_one(database, stream, generation).await?;
                    let carried = Carried {
                        generation,
                        document,
                    };
                    self.mark(database, stream, Some(carried), generation)
                        .await?;
                }
                Held::Marker(marker) if marker.moved_to.database != database.id => {
                    return Err(self.moved(stream, &marker));
                }
                Held::Marker(Marker {
                    checkpoint: Some(carried),
                    ..
                }) => {
                    let document = self.text(stream, &carried.document)?;
                    database.add(stream, &document, carried.generation).await?;
                    self.mark(database, stream, None, generation).await?;
                }
                Held::Marker(_) => return Ok(()),
            }
        }
    }

    /// Refuses to choose between a checkpoint in the bucket and one in the database,
    /// unless another task has just settled it.
    async fn only_one(
        &self,
        database: &Database,
        stream: &str,
        generation: i64,
    ) -> Result<(), StoreError> {
        let is_there = database.checkpoint(stream).await?.is_some();
        let held = self.held(stream).await?;
        if !is_there || held.is_none_or(|held| held.generation != generation) {
            return Ok(());
        }
        Err(StoreError::TwoCheckpoints {
            stream: stream.to_owned(),
            bucket: self.bucket.uri(&self.layout.state(stream)),
            database: self.place(stream),
        })
    }

    /// Puts the marker in place of what was read; another's comes first.
    async fn mark(
        &self,
        database: &Database,
        stream: &str,
        checkpoint: Option<Carried>,
        generation: i64,
    ) -> Result<(), StoreError> {
        let marker = Marker {
            moved_to: MovedTo {
                database: database.id.clone(),
                at: database.at.clone(),
            },
            checkpoint,
        };
        let precondition = match generation {
            0 => Precondition::Absent,
            generation => Precondition::Generation(generation),
        };
        let name = self.layout.state(stream);
        state::write(&self.bucket, &name, &marker, precondition).await?;
        Ok(())
    }

    fn moved(&self, stream: &str, marker: &Marker) -> StoreError {
        StoreError::Moved {
            stream: stream.to_owned(),
            to: marker.moved_to.at.clone(),
            uri: self.bucket.uri(&self.layout.state(stream)),
        }
    }

    fn text(&self, stream: &str, checkpoint: &Checkpoint) -> Result<String, StoreError> {
        serde_json::to_string(checkpoint).map_err(|error| StoreError::Damaged {
            uri: self.place(stream),
            problem: error.to_string(),
        })
    }
}

/// The address of a database; `None` for the bucket.
fn address(options: &StateStore, password: &SecretString) -> Result<Option<Address>, AddressError> {
    let (engine, lock) = match options {
        StateStore::Bucket => return Ok(None),
        StateStore::Sqlite { path } => (Engine::Sqlite, Some(format!("{path}.lock").into())),
        StateStore::Postgres(_) => (Engine::Postgres, None),
        StateStore::Mysql(_) => (Engine::Mysql, None),
    };
    let url = address::connection(options, password)?;
    Ok(url.map(|url| Address {
        engine,
        url,
        shown: address::shown(options),
        lock,
    }))
}

impl From<AddressError> for StoreError {
    fn from(error: AddressError) -> StoreError {
        StoreError::Address(error.to_string())
    }
}
