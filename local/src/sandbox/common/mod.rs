//! What every sandbox has: a process on a port, time that is moved, faults on request, a log of calls.
//!
//! Knows no API. A sandbox is a `World`, which a folder beside this one describes, and the routes to it.

pub mod clock;
mod control;
pub mod draw;
pub mod faults;
mod folder;
pub mod server;
pub mod shared;
pub mod window;

pub use server::{Opening, Running, SandboxError, ServerArgs};
pub use shared::{Sandbox, Shared, World};
