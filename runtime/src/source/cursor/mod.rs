//! Cursors: what of a stream is new, which windows are read next, and the state after them.
//!
//! Pure but for the clock; nothing here requests.

mod book;
mod boundary;
mod clamp;
mod count;
mod datetime;
mod intervals;
mod partitioned;
mod progress;
mod settings;

pub use count::CountCursor;
pub use datetime::{DatetimeCursor, exact};
pub use partitioned::PartitionedCursor;
