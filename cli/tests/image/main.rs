//! `xetl image`, judged by programs that are not ours: Debian's docker-registry keeps the image,
//! skopeo reads and copies it, umoci unpacks it and runc runs it.
//!
//! Without those programs a test says so and passes; with CI=true it fails.

// A test that cannot go on ends; one that is skipped says so.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod copy;
mod dockerfile;
mod judge;
mod local;
mod pack;
mod push;
mod run;
#[path = "../world/mod.rs"]
mod world;
