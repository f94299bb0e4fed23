//! Cloud Run's API v1, whose jobs are Knative objects: what `gcloud run jobs` speaks.
//!
//! A job is one thing with two faces: `read` turns a v1 body into one of v2,
//! `show` a v2 resource into one of v1, and `api` has the methods. What v2 refuses
//! is refused here too, in its words.

mod api;
mod read;
mod show;

pub use api::routes;

/// Of the annotations that are fields of their own in v2.
const CLIENT: &str = "run.googleapis.com/client-name";
const CLIENT_VERSION: &str = "run.googleapis.com/client-version";
const STAGE: &str = "run.googleapis.com/launch-stage";
const ENVIRONMENT: &str = "run.googleapis.com/execution-environment";
const LOCATION: &str = "cloud.googleapis.com/location";
/// A label of a job's.
const UPDATED: &str = "run.googleapis.com/lastUpdatedTime";
