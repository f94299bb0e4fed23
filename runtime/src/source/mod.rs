//! Sources described in Airbyte's declarative language, run natively.

mod auth;
mod backoff;
mod budget;
mod component;
mod config;
mod error_handler;
mod isoparse;
mod json;
mod literal;
mod manifest;
mod moment;
mod python;
mod request;
mod requester;
mod response;
mod retries;
mod shared;
mod strptime;
mod template;
