//! Rights: one role of one account on one thing.

use std::fmt;

use serde::Serialize;

use super::{Address, Kind};

/// A role that an account has on something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Member {
    #[serde(skip)]
    pub on: Holder,
    #[serde(skip)]
    pub role: String,
    /// The account's email.
    #[serde(skip)]
    pub account: String,
}

/// What a role is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    Project,
    Bucket(String),
    Secret(String),
    Dataset(String),
    Job(String),
}

impl Holder {
    /// The resource it is; `None` for the project.
    pub fn address(&self) -> Option<Address> {
        let (kind, name) = match self {
            Holder::Project => return None,
            Holder::Bucket(name) => (Kind::Bucket, name),
            Holder::Secret(name) => (Kind::Secret, name),
            Holder::Dataset(name) => (Kind::Dataset, name),
            Holder::Job(name) => (Kind::Job, name),
        };
        Some(Address::new(kind, name))
    }
}

impl Member {
    pub fn address(&self) -> Address {
        let kind = match self.on {
            Holder::Job(_) => Kind::JobMember,
            _ => Kind::IamMember,
        };
        let account = self.account.split('@').next().unwrap_or(&self.account);
        Address::new(kind, format!("{} on {} for {account}", self.role, self.on))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Project => write!(f, "project"),
            Holder::Bucket(name) => write!(f, "bucket {name}"),
            Holder::Secret(name) => write!(f, "secret {name}"),
            Holder::Dataset(name) => write!(f, "dataset {name}"),
            Holder::Job(name) => write!(f, "job {name}"),
        }
    }
}
