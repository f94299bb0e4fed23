//! The part of Google Cloud that xetl uses, in one process on loopback.
//!
//! Each service is a module that turns requests into replies over documents in
//! the `store`; none knows the others except through `Cloud`. What is not
//! served answers 501 and names the method: nothing here pretends.

pub mod cloud;
pub mod error;
pub mod router;
pub mod store;
