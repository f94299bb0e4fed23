//! The resources a client takes. Pure: files in, values out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use xetl_runtime::bundle::BUNDLE_ENV;

use crate::config::{Client, Pipeline};
use crate::names;
use crate::resource::{
    Address, Bucket, Dataset, Holder, Job, Kind, Labels, Member, Owner, Repository, Resource,
    Resources, Schedule, Secret, ServiceAccount,
};

mod bundle;

#[cfg(test)]
mod tests;

use bundle::bundle_resource;

/// APIs a client needs. Disabling them is nobody's business but the project's.
const APIS: [&str; 10] = [
    "artifactregistry",
    "bigquery",
    "cloudresourcemanager",
    "cloudscheduler",
    "iam",
    "iamcredentials",
    "logging",
    "run",
    "secretmanager",
    "storage",
];

/// How long deleted objects can be brought back, as Google has it, too.
const SOFT_DELETE_SECONDS: u64 = 604_800;

/// The image jobs run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// Ours, pushed to the client's repository, with this digest (`sha256:...`).
    Built { digest: String },
    /// The user's own, by its full name.
    Given { name: String },
}

impl Image {
    /// What a file pins: a digest in the client's own repository, or a full name.
    pub fn of_pin(pin: &str) -> Image {
        match pin.starts_with("sha256:") {
            true => Image::Built {
                digest: pin.to_owned(),
            },
            false => Image::Given {
                name: pin.to_owned(),
            },
        }
    }

    /// What tells it apart: its digest, or its full name.
    pub fn digest(&self) -> &str {
        match self {
            Image::Built { digest } => digest,
            Image::Given { name } => name,
        }
    }
}

/// Everything the client's file asks for.
pub fn resources(client: &Client, image: &Image) -> Resources {
    let names = Names::of(client);
    let mut resources = Resources::new();
    for api in APIS {
        let name = format!("{api}.googleapis.com");
        resources.insert(Address::new(Kind::Api, name), Resource::Api);
    }
    shared(client, &names, &mut resources);
    let image = image_resource(client, image, &mut resources);
    for pipeline in &client.pipelines {
        let bundle = bundle_resource(client, &names, pipeline, &mut resources);
        warehouse(client, &names, pipeline, &mut resources);
        secrets(client, &names, pipeline, &mut resources);
        let job = job_resource(client, &names, pipeline, &image, bundle);
        let name = names::job(&client.name, &pipeline.name);
        resources.insert(Address::new(Kind::Job, name), job.into());
        schedule(client, &names, pipeline, &mut resources);
    }
    resources
}

/// Names that several of a client's resources need.
struct Names {
    bucket: String,
    job_email: String,
    trigger_email: String,
}

impl Names {
    fn of(client: &Client) -> Names {
        let email = |account: String| names::account_email(&account, &client.project);
        Names {
            bucket: names::bucket(&client.project, &client.name),
            job_email: email(names::job_account(&client.name)),
            trigger_email: email(names::trigger_account(&client.name)),
        }
    }
}

/// What a client has once, however many pipelines it has.
fn shared(client: &Client, names: &Names, resources: &mut Resources) {
    let owner = Owner::client(&client.name);
    let account = |name: String, resources: &mut Resources| {
        let owner = owner.clone();
        resources.insert(
            Address::new(Kind::ServiceAccount, name),
            ServiceAccount { owner }.into(),
        );
    };
    account(names::job_account(&client.name), resources);
    if client
        .pipelines
        .iter()
        .any(|pipeline| pipeline.schedule.is_some())
    {
        account(names::trigger_account(&client.name), resources);
    }
    resources.insert(
        Address::new(Kind::Bucket, &names.bucket),
        bucket(client).into(),
    );
    let bucket = Holder::Bucket(names.bucket.clone());
    grant(
        resources,
        bucket,
        "roles/storage.objectUser",
        &names.job_email,
    );
    // Jobs run in a project; BigQuery has no narrower place for this right.
    grant(
        resources,
        Holder::Project,
        "roles/bigquery.jobUser",
        &names.job_email,
    );
}

fn bucket(client: &Client) -> Bucket {
    Bucket {
        location: client.region.clone(),
        storage_class: "STANDARD".to_owned(),
        uniform_access: true,
        public_access_prevented: true,
        soft_delete_seconds: SOFT_DELETE_SECONDS,
        lifecycle: vec![abandoned_uploads()],
        kms_key: None,
        labels: Labels::new(),
        owner: Owner::client(&client.name),
    }
}

/// Parts of uploads that never ended belong to no object.
fn abandoned_uploads() -> Value {
    json!({"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}})
}

fn grant(resources: &mut Resources, on: Holder, role: &str, account: &str) {
    let member = Member {
        on,
        role: role.to_owned(),
        account: account.to_owned(),
    };
    resources.insert(member.address(), Resource::Member(member));
}

/// The repository and the image in it, where it is ours; gives the image's full name.
fn image_resource(client: &Client, image: &Image, resources: &mut Resources) -> String {
    let digest = match image {
        Image::Given { name } => return name.clone(),
        Image::Built { digest } => digest,
    };
    resources.insert(
        Address::new(Kind::Repository, names::repository(&client.name)),
        repository(client).into(),
    );
    let image = names::image(&client.project, &client.region, &client.name);
    let name = format!("{image}@{digest}");
    resources.insert(Address::new(Kind::Image, &name), Resource::Image);
    name
}

fn repository(client: &Client) -> Repository {
    Repository {
        cleanup: BTreeMap::new(),
        cleanup_dry_run: false,
        labels: Labels::new(),
        owner: Owner::client(&client.name),
    }
}

fn warehouse(client: &Client, names: &Names, pipeline: &Pipeline, resources: &mut Resources) {
    resources.insert(
        Address::new(Kind::Dataset, &pipeline.dataset),
        dataset(client, pipeline).into(),
    );
    let dataset = Holder::Dataset(pipeline.dataset.clone());
    grant(
        resources,
        dataset,
        "roles/bigquery.dataEditor",
        &names.job_email,
    );
}

fn dataset(client: &Client, pipeline: &Pipeline) -> Dataset {
    Dataset {
        location: client.region.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
        ..Dataset::default()
    }
}

/// The container of each of a pipeline's secrets.
pub fn secret(client: &Client, pipeline: &Pipeline) -> Secret {
    Secret {
        owner: Owner::pipeline(&client.name, &pipeline.name),
        ..Secret::default()
    }
}

fn secrets(client: &Client, names: &Names, pipeline: &Pipeline, resources: &mut Resources) {
    let rotating = rotating_fields(&pipeline.manifest.0);
    for path in &pipeline.secrets {
        let name = names::secret(&client.name, &pipeline.name, path);
        resources.insert(
            Address::new(Kind::Secret, &name),
            secret(client, pipeline).into(),
        );
        let on = Holder::Secret(name);
        let account = &names.job_email;
        grant(
            resources,
            on.clone(),
            "roles/secretmanager.secretAccessor",
            account,
        );
        if rotating.contains(path) {
            grant(
                resources,
                on,
                "roles/secretmanager.secretVersionManager",
                account,
            );
        }
    }
}

/// Dotted paths of the config that the source itself renews, as single-use refresh tokens are.
fn rotating_fields(manifest: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_rotating(manifest, &mut found);
    found
}

fn collect_rotating(value: &Value, found: &mut BTreeSet<String>) {
    if let Some(updater) = value.get("refresh_token_updater").filter(|u| u.is_object()) {
        let path = updater["refresh_token_config_path"].as_array();
        let path: Option<Vec<&str>> =
            path.map(|keys| keys.iter().filter_map(Value::as_str).collect());
        // The language's default.
        let path = path.unwrap_or_else(|| vec!["credentials", "refresh_token"]);
        found.insert(path.join("."));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|v| collect_rotating(v, found)),
        Value::Array(values) => values.iter().for_each(|v| collect_rotating(v, found)),
        _ => {}
    }
}

fn job_resource(
    client: &Client,
    names: &Names,
    pipeline: &Pipeline,
    image: &str,
    bundle: String,
) -> Job {
    let secret = |path: &String| {
        let name = names::secret(&client.name, &pipeline.name, path);
        (names::secret_env(path), name)
    };
    Job {
        image: image.to_owned(),
        args: vec!["run".to_owned()],
        account: names.job_email.clone(),
        env: BTreeMap::from([(BUNDLE_ENV.to_owned(), bundle)]),
        secrets: pipeline.secrets.iter().map(secret).collect(),
        tasks: pipeline.tasks,
        parallelism: pipeline.tasks,
        cpu: pipeline.cpu.to_string(),
        memory: pipeline.memory.clone(),
        timeout_seconds: pipeline.timeout.as_secs(),
        // A retried task goes on where the first stopped; more would only repeat a refusal.
        retries: 1,
        vpc: None,
        labels: Labels::new(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
    }
}

fn schedule(client: &Client, names: &Names, pipeline: &Pipeline, resources: &mut Resources) {
    let Some(schedule) = &pipeline.schedule else {
        return;
    };
    let name = names::job(&client.name, &pipeline.name);
    let job = Holder::Job(name.clone());
    grant(resources, job, "roles/run.invoker", &names.trigger_email);
    let (project, region) = (&client.project, &client.region);
    let schedule = Schedule {
        cron: schedule.cron.clone(),
        time_zone: schedule.time_zone.clone(),
        paused: schedule.paused,
        retries: 1,
        min_backoff_seconds: 5,
        max_backoff_seconds: 3600,
        deadline_seconds: 180,
        uri: format!(
            "https://run.googleapis.com/v2/projects/{project}/locations/{region}/jobs/{name}:run"
        ),
        account: names.trigger_email.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
    };
    resources.insert(Address::new(Kind::Schedule, name), schedule.into());
}
