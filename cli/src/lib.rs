//! Provisions, deploys and onboards the ETL of many clients on Google Cloud.
//!
//! `config` says what a client declares, `desired` which resources that takes,
//! `cloud` what exists, `plan` what would change, `apply` changes it. Only
//! `cloud` calls Google, only `view` prints, `failure` turns errors into exits.

pub mod adopt;
pub mod apply;
pub mod cloud;
pub mod commands;
pub mod config;
pub mod context;
pub mod desired;
pub mod doctor;
pub mod execution;
pub mod failure;
pub mod files;
pub mod fleet;
pub mod grants;
pub mod image;
pub mod images;
pub mod interrupt;
pub mod local;
pub mod names;
pub mod patience;
pub mod plan;
pub mod programs;
pub mod questions;
pub mod receipt;
pub mod resource;
pub mod session;
pub mod table;
pub mod target;
pub mod view;
