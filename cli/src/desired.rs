//! The resources a client takes. Pure: files in, values out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use xetl_runtime::bundle::BUNDLE_ENV;

use crate::config::{Client, Lifecycle, Pipeline, VpcSettings};
use crate::names;
use crate::resource::{
    Address, Bucket, Dataset, Holder, Job, Kind, Member, Owner, Replication, Repository, Resource,
    Resources, Schedule, Secret, ServiceAccount, Vpc,
};

mod alerts;
mod bundle;

#[cfg(test)]
mod tests;

pub use alerts::{not_watched, unwatched};
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
    alerts::alerts(client, &mut resources);
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
    let settings = &client.settings.bucket;
    let mut lifecycle: Vec<Value> = settings.lifecycle.iter().map(rule).collect();
    lifecycle.push(abandoned_uploads());
    lifecycle.sort_by_cached_key(Value::to_string);
    Bucket {
        location: place(settings.location.as_ref(), client),
        storage_class: settings.storage_class.clone(),
        uniform_access: true,
        public_access_prevented: true,
        soft_delete_seconds: settings.soft_delete.as_secs(),
        lifecycle,
        kms_key: settings.kms_key.clone(),
        labels: client.settings.labels.clone(),
        owner: Owner::client(&client.name),
    }
}

/// In lower case, as locations are compared.
fn place(location: Option<&String>, client: &Client) -> String {
    location.unwrap_or(&client.region).to_lowercase()
}

fn rule(rule: &Lifecycle) -> Value {
    let action = match &rule.storage_class {
        None => json!({"type": "Delete"}),
        Some(class) => json!({"type": "SetStorageClass", "storageClass": class}),
    };
    json!({"action": action, "condition": {"age": rule.days, "matchesPrefix": rule.prefixes}})
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
        cleanup: client.settings.keep_images.map(cleanup).unwrap_or_default(),
        cleanup_dry_run: false,
        kms_key: client.settings.repository_kms_key.clone(),
        labels: client.settings.labels.clone(),
        owner: Owner::client(&client.name),
    }
}

/// Keeping wins over deleting: by count alone, so that what a job runs is not lost to its age.
fn cleanup(keep: u32) -> BTreeMap<String, Value> {
    let keep = json!({"action": "KEEP", "mostRecentVersions": {"keepCount": keep}});
    let delete = json!({"tagState": "ANY", "olderThan": "2592000s"});
    BTreeMap::from([
        ("xetl-keep".to_owned(), keep),
        (
            "xetl-delete".to_owned(),
            json!({"action": "DELETE", "condition": delete}),
        ),
    ])
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
    let settings = &pipeline.warehouse;
    // Within bounds that were checked.
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Dataset {
        location: place(settings.location.as_ref(), client),
        description: settings.description.clone(),
        table_expiry_ms: settings.table_expiry.map(ms),
        partition_expiry_ms: settings.partition_expiry.map(ms),
        kms_key: settings.kms_key.clone(),
        readers: settings.readers.clone(),
        labels: pipeline.labels.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
    }
}

/// The container of each of a pipeline's secrets.
pub fn secret(client: &Client, pipeline: &Pipeline) -> Secret {
    let locations = &client.settings.secret_locations;
    Secret {
        replication: match locations.is_empty() {
            true => Replication::Automatic,
            false => Replication::In(locations.clone()),
        },
        kms_keys: client.settings.secret_kms_keys.clone(),
        labels: pipeline.labels.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
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
        env: with_bundle(&pipeline.env, bundle),
        secrets: pipeline.secrets.iter().map(secret).collect(),
        tasks: pipeline.tasks,
        parallelism: pipeline.parallelism,
        cpu: pipeline.cpu.to_string(),
        memory: pipeline.memory.clone(),
        timeout_seconds: pipeline.timeout.as_secs(),
        retries: pipeline.retries,
        vpc: pipeline.vpc.as_ref().map(vpc),
        fault: None,
        labels: pipeline.labels.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
    }
}

fn with_bundle(env: &BTreeMap<String, String>, bundle: String) -> BTreeMap<String, String> {
    let mut env = env.clone();
    env.insert(BUNDLE_ENV.to_owned(), bundle);
    env
}

fn vpc(settings: &VpcSettings) -> Vpc {
    let egress = match settings.all_traffic {
        true => "ALL_TRAFFIC",
        false => "PRIVATE_RANGES_ONLY",
    };
    Vpc {
        network: settings.network.clone(),
        subnetwork: settings.subnetwork.clone(),
        tags: settings.tags.clone(),
        connector: settings.connector.clone(),
        egress: egress.to_owned(),
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
        retries: schedule.retries,
        min_backoff_seconds: schedule.min_backoff.as_secs(),
        max_backoff_seconds: schedule.max_backoff.as_secs(),
        deadline_seconds: schedule.deadline.as_secs(),
        uri: format!(
            "https://run.googleapis.com/v2/projects/{project}/locations/{region}/jobs/{name}:run"
        ),
        account: names.trigger_email.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
    };
    resources.insert(Address::new(Kind::Schedule, name), schedule.into());
}
