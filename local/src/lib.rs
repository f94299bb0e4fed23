//! The part of Google Cloud that xetl uses, in one process on loopback.
//!
//! Each service is a module that turns requests into replies over documents in
//! the `store`; none knows the others except through `Cloud`. What is not
//! served answers 405 or 501 and names the method: nothing here pretends.

pub mod accounts;
pub mod assets;
pub mod bigquery;
pub mod billing;
pub mod clock;
pub mod cloud;
pub mod error;
pub mod faults;
pub mod forms;
pub mod identity;
mod kms;
pub mod lag;
pub mod logging;
pub mod metadata;
pub mod monitoring;
pub mod operations;
pub mod paging;
pub mod policy;
pub mod premises;
pub mod projects;
pub mod record;
pub mod registry;
pub mod roles;
pub mod router;
pub mod run;
pub mod sandbox;
pub mod scheduler;
pub mod secrets;
pub mod server;
pub mod services;
pub mod status;
pub mod storage;
pub mod store;
