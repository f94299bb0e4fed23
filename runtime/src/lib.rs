//! Fetches what a source has and loads it into BigQuery.
//!
//! `stream` is the seam: what is before it (`source`) turns a manifest into
//! pages of records, what is after it turns pages into Parquet, loads and
//! checkpoints. Neither side knows the other.

pub mod bundle;
pub mod source;
pub mod stream;
pub mod value;
