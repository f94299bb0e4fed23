//! Resources: exactly the fields of Google's that xetl manages, as values.
//!
//! `shapes` has a struct a kind. What others own beside them is in none of these, so it never
//! shows as a change.

pub mod labels;
mod member;
mod owner;
mod shapes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use labels::Labels;
pub use member::{Holder, Member};
pub use owner::Owner;
pub use shapes::{
    Alert, Bucket, Channel, Condition, Dataset, Job, Metric, Replication, Repository, Schedule,
    Secret, ServiceAccount, Vpc,
};

/// What a client has or should have.
pub type Resources = BTreeMap<Address, Resource>;

/// Kinds in the order they are created; deletion runs it backwards.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Api,
    ServiceAccount,
    Bucket,
    Secret,
    Repository,
    Dataset,
    IamMember,
    Image,
    Bundle,
    Job,
    /// A right on a job, which has to be there first.
    JobMember,
    Schedule,
    Channel,
    Metric,
    Alert,
}

impl Kind {
    /// The word for it in plans and messages.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Api => "api",
            Kind::ServiceAccount => "account",
            Kind::Bucket => "bucket",
            Kind::Secret => "secret",
            Kind::Repository => "repository",
            Kind::Dataset => "dataset",
            Kind::IamMember | Kind::JobMember => "iam",
            Kind::Image => "image",
            Kind::Bundle => "bundle",
            Kind::Job => "job",
            Kind::Schedule => "schedule",
            Kind::Channel => "channel",
            Kind::Metric => "metric",
            Kind::Alert => "alert",
        }
    }

    /// Kinds whose deletion loses what cannot be made again.
    pub fn holds_data(self) -> bool {
        matches!(self, Kind::Bucket | Kind::Secret | Kind::Dataset)
    }
}

/// Names one resource of a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Address {
    pub kind: Kind,
    pub name: String,
}

impl Address {
    pub fn new(kind: Kind, name: impl Into<String>) -> Address {
        let name = name.into();
        Address { kind, name }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)
    }
}

/// A resource's managed fields; what has none of them is only there or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Resource {
    Api,
    ServiceAccount(ServiceAccount),
    Bucket(Box<Bucket>),
    Secret(Secret),
    Repository(Repository),
    Dataset(Box<Dataset>),
    Member(Member),
    Image,
    Bundle {
        #[serde(skip)]
        object: Object,
    },
    Job(Box<Job>),
    Schedule(Schedule),
    Channel(Channel),
    Metric(Metric),
    Alert(Alert),
}

/// A kind's struct is a resource; big ones stand in a box.
macro_rules! resource_from {
    ($($kind:ident $(in $boxed:ident)?),* $(,)?) => {$(
        impl From<$kind> for Resource {
            fn from(it: $kind) -> Resource {
                Resource::$kind($($boxed::new)?(it))
            }
        }
    )*};
}

resource_from!(
    ServiceAccount, Bucket in Box, Secret, Repository, Dataset in Box, Member, Job in Box, Schedule, Channel, Metric,
    Alert,
);

/// An object of the bucket, and its bytes where we are to write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub name: String,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// Not read back: the name is made from it.
    pub content: Content,
}

/// Bytes that do not count when objects are compared, as their name does.
#[derive(Debug, Clone, Default)]
pub struct Content(pub Arc<[u8]>);

impl PartialEq for Content {
    fn eq(&self, _: &Content) -> bool {
        true
    }
}

impl Eq for Content {}

impl Resource {
    /// Whose it is, where it can say so.
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Resource::ServiceAccount(account) => Some(&account.owner),
            Resource::Bucket(bucket) => Some(&bucket.owner),
            Resource::Secret(secret) => Some(&secret.owner),
            Resource::Repository(repository) => Some(&repository.owner),
            Resource::Dataset(dataset) => Some(&dataset.owner),
            Resource::Job(job) => Some(&job.owner),
            Resource::Schedule(schedule) => Some(&schedule.owner),
            Resource::Alert(alert) => Some(&alert.owner),
            Resource::Api
            | Resource::Member(_)
            | Resource::Image
            | Resource::Bundle { .. }
            | Resource::Channel(_)
            | Resource::Metric(_) => None,
        }
    }

    /// A job with the image of another; `None` where it has it already, or is no job.
    pub fn with_image_of(&self, other: &Resource) -> Option<Resource> {
        match (self, other) {
            (Resource::Job(job), Resource::Job(other)) if job.image != other.image => {
                let image = other.image.clone();
                let job = Job {
                    image,
                    ..Job::clone(job)
                };
                Some(Resource::Job(Box::new(job)))
            }
            _ => None,
        }
    }

    /// Where it is, for what can never move.
    pub fn location(&self) -> Option<&str> {
        match self {
            Resource::Bucket(bucket) => Some(&bucket.location),
            Resource::Dataset(dataset) => Some(&dataset.location),
            _ => None,
        }
    }

    /// A field that can never change, by its name.
    pub fn fixed(&self) -> Option<(&'static str, String)> {
        match self {
            Resource::Secret(secret) => Some(("replication", secret.replication.to_string())),
            Resource::Repository(repository) => {
                let key = repository.kms_key.as_deref();
                Some(("kms_key", key.unwrap_or("Google's").to_owned()))
            }
            other => Some(("location", other.location()?.to_owned())),
        }
    }

    /// The same without what `declared` leaves to others.
    pub fn beside(&self, declared: &Resource) -> Resource {
        match (self.clone(), declared) {
            (Resource::Dataset(mut dataset), Resource::Dataset(declared)) => {
                if declared.description.is_none() {
                    dataset.description = None;
                }
                Resource::Dataset(dataset)
            }
            (Resource::Job(mut job), Resource::Job(declared)) => {
                if let (Some(vpc), Some(declared)) = (&mut job.vpc, &declared.vpc) {
                    vpc.named_as(declared);
                }
                Resource::Job(job)
            }
            (Resource::Channel(mut channel), Resource::Channel(declared)) => {
                channel.is_shared = declared.is_shared;
                Resource::Channel(channel)
            }
            (Resource::Metric(mut metric), Resource::Metric(declared)) => {
                metric.is_shared = declared.is_shared;
                Resource::Metric(metric)
            }
            (resource, _) => resource,
        }
    }

    /// Its managed fields by dotted path, as a plan shows them.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        // Plain structs of strings and numbers always serialize.
        let value = serde_json::to_value(self).unwrap_or_default();
        flatten("", &value, &mut fields);
        fields
    }
}

fn flatten(at: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let at = match at {
                    "" | "owner" => key.clone(),
                    at => format!("{at}.{key}"),
                };
                flatten(&at, value, fields);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            fields.insert(at.to_owned(), text.clone());
        }
        other => {
            fields.insert(at.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_dotted_paths() {
        let bucket = Bucket {
            location: "r1".to_owned(),
            labels: Labels::from([("team".to_owned(), "data".to_owned())]),
            owner: Owner::client("acme"),
            ..Bucket::default()
        };
        let fields = Resource::Bucket(Box::new(bucket)).fields();
        assert_eq!(fields["location"], "r1");
        assert_eq!(fields["labels.team"], "data");
        assert_eq!(fields["xetl-client"], "acme");
        assert!(!fields.contains_key("kms_key"));
    }
}
