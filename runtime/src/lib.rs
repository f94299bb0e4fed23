//! Fetches what a source has and loads it into BigQuery.
//!
//! `stream` is the seam: what is before it (`source`) turns a manifest into
//! pages of records, what is after it turns pages into Parquet, loads and
//! checkpoints. Neither side knows the other.

pub mod batch;
pub mod bundle;
pub mod commit;
pub mod components;
pub mod fetch;
pub mod folder;
pub mod google;
pub mod layout;
pub mod lease;
pub mod load;
pub mod log;
pub mod merge;
pub mod models;
pub mod objects;
pub mod opening;
pub mod options;
pub mod parts;
pub mod pipeline;
pub mod progress;
pub mod range;
pub mod raw;
pub mod read;
pub mod reshape;
pub mod run;
pub mod scalar;
pub mod schema;
pub mod settings;
pub mod source;
pub mod state;
pub mod store;
pub mod stream;
pub mod tables;
pub mod tape;
pub mod task;
pub mod turns;
pub mod value;
pub mod view;
