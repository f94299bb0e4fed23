//! Sources, files and networks at their worst: what `xetl-runtime read` makes of them.
//!
//! The real binary against servers of a few lines. Each test asks for a clear end or a
//! clear error, in bounded memory.
#![allow(clippy::unwrap_used)] // A test may panic.

mod files;
mod pages;
mod replies;
mod run;
mod server;
mod size;
mod travels;
