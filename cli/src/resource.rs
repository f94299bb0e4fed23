//! Resources: exactly the fields of Google's that xetl manages, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// Whose a resource is: its labels, or its description where it can have no labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// `None`: not made by xetl.
    #[serde(rename = "xetl-client")]
    pub client: Option<String>,
    #[serde(rename = "xetl-pipeline", skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
}

const MANAGED_BY: &str = "managed-by";
const CLIENT: &str = "xetl-client";
const PIPELINE: &str = "xetl-pipeline";

impl Owner {
    pub fn client(client: &str) -> Owner {
        Owner {
            client: Some(client.to_owned()),
            pipeline: None,
        }
    }

    pub fn pipeline(client: &str, pipeline: &str) -> Owner {
        Owner {
            client: Some(client.to_owned()),
            pipeline: Some(pipeline.to_owned()),
        }
    }

    /// The labels that say so.
    pub fn labels(&self) -> impl Iterator<Item = (String, String)> {
        let managed = self.client.as_ref().map(|_| (MANAGED_BY, "xetl"));
        let client = self.client.as_deref().map(|client| (CLIENT, client));
        let pipeline = self.pipeline.as_deref().map(|name| (PIPELINE, name));
        [managed, client, pipeline]
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
    }

    /// Whose labels these are.
    pub fn of_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Owner {
        Owner::of_pairs(
            labels
                .into_iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        )
    }

    /// `managed-by=xetl xetl-client=acme`
    pub fn description(&self) -> String {
        let words: Vec<_> = self.labels().map(|(k, v)| format!("{k}={v}")).collect();
        words.join(" ")
    }

    /// Whose description this is.
    pub fn of_description(text: &str) -> Owner {
        Owner::of_pairs(
            text.split_whitespace()
                .filter_map(|word| word.split_once('=')),
        )
    }

    fn of_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Owner {
        let pairs: BTreeMap<_, _> = pairs.collect();
        if pairs.get(MANAGED_BY) != Some(&"xetl") {
            return Owner::default();
        }
        Owner {
            client: pairs.get(CLIENT).map(|&client| client.to_owned()),
            pipeline: pairs.get(PIPELINE).map(|&pipeline| pipeline.to_owned()),
        }
    }
}

/// A resource's managed fields; what has none of them is only there or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Resource {
    Api,
    ServiceAccount {
        owner: Owner,
    },
    Bucket {
        location: String,
        owner: Owner,
    },
    Secret {
        owner: Owner,
    },
    Repository {
        owner: Owner,
    },
    Dataset {
        location: String,
        owner: Owner,
    },
    Member(Member),
    Image,
    Bundle {
        #[serde(skip)]
        object: Object,
    },
    Job(Box<Job>),
    Schedule(Schedule),
}

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

/// A Cloud Run job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    pub image: String,
    pub args: Vec<String>,
    pub account: String,
    pub env: BTreeMap<String, String>,
    /// Secrets by the environment variable that gets their newest version.
    pub secrets: BTreeMap<String, String>,
    pub tasks: u32,
    pub cpu: String,
    pub memory: String,
    /// Of one attempt of a task.
    pub timeout_seconds: u64,
    pub retries: u32,
    pub owner: Owner,
}

/// A Cloud Scheduler job that starts a Cloud Run job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    pub cron: String,
    pub time_zone: String,
    pub paused: bool,
    /// What it calls.
    pub uri: String,
    pub account: String,
    pub owner: Owner,
}

impl Resource {
    /// Whose it is, where it can say so.
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Resource::ServiceAccount { owner }
            | Resource::Bucket { owner, .. }
            | Resource::Secret { owner }
            | Resource::Repository { owner }
            | Resource::Dataset { owner, .. } => Some(owner),
            Resource::Job(job) => Some(&job.owner),
            Resource::Schedule(schedule) => Some(&schedule.owner),
            _ => None,
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
            Resource::Bucket { location, .. } | Resource::Dataset { location, .. } => {
                Some(location)
            }
            _ => None,
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
    fn an_owner_is_read_back_from_labels_and_description() {
        for owner in [Owner::client("acme"), Owner::pipeline("acme", "xero")] {
            let labels: BTreeMap<_, _> = owner.labels().collect();
            assert_eq!(Owner::of_labels(&labels), owner);
            assert_eq!(Owner::of_description(&owner.description()), owner);
        }
        assert_eq!(Owner::of_description("xetl-client=acme"), Owner::default());
    }

    #[test]
    fn fields_are_dotted_paths() {
        let bucket = Resource::Bucket {
            location: "r1".to_owned(),
            owner: Owner::client("acme"),
        };
        let fields = bucket.fields();
        assert_eq!(fields["location"], "r1");
        assert_eq!(fields["xetl-client"], "acme");
    }
}
