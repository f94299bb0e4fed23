//! The resources a client takes. Pure: files in, values out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use xetl_runtime::bundle::{
    BUNDLE_ENV, Bundle, HASH_KEY, STATE_PASSWORD, SecretRef, Server, StateStore,
};

use crate::config::{Client, Pipeline, State};
use crate::names;
use crate::resource::{
    Address, Content, Holder, Job, Kind, Member, Object, Owner, Resource, Resources, Schedule,
};

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
        resources.insert(Address::new(Kind::Job, name), Resource::Job(Box::new(job)));
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
            Resource::ServiceAccount { owner },
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
        Resource::Bucket {
            location: client.region.clone(),
            owner: owner.clone(),
        },
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
    let owner = Owner::client(&client.name);
    resources.insert(
        Address::new(Kind::Repository, names::repository(&client.name)),
        Resource::Repository { owner },
    );
    let image = names::image(&client.project, &client.region, &client.name);
    let name = format!("{image}@{digest}");
    resources.insert(Address::new(Kind::Image, &name), Resource::Image);
    name
}

/// The bundle's object; gives its `gs://` name.
fn bundle_resource(
    client: &Client,
    names: &Names,
    pipeline: &Pipeline,
    resources: &mut Resources,
) -> String {
    // The bundle is made of strings, maps and JSON, which always serialize.
    let content = serde_json::to_vec(&bundle(client, names, pipeline)).unwrap_or_default();
    let object = names::bundle_object(&pipeline.name, &content);
    let uri = format!("gs://{}/{object}", names.bucket);
    let object = Object {
        bucket: names.bucket.clone(),
        name: object,
        pipeline: pipeline.name.clone(),
        content: Content(content.into()),
    };
    resources.insert(
        Address::new(Kind::Bundle, &uri),
        Resource::Bundle { object },
    );
    uri
}

fn bundle(client: &Client, names: &Names, pipeline: &Pipeline) -> Bundle {
    let secret = |path: &String| (path.clone(), secret_ref(client, pipeline, path));
    let mut secrets: BTreeMap<_, _> = pipeline.secrets.iter().map(secret).collect();
    secrets.remove(STATE_PASSWORD);
    Bundle {
        version: 1,
        client: client.name.clone(),
        pipeline: pipeline.name.clone(),
        project: client.project.clone(),
        location: client.region.clone(),
        bucket: names.bucket.clone(),
        dataset: pipeline.dataset.clone(),
        manifest: Value::clone(&pipeline.manifest.0),
        config: pipeline.config.clone(),
        hash_key: secrets.remove(HASH_KEY),
        on_overlap: pipeline.on_overlap,
        keep_raw: pipeline.keep_raw,
        secrets,
        streams: pipeline.streams.clone(),
        models: pipeline.models.clone(),
        state: state_store(client, pipeline),
    }
}

/// Where the runtime keeps checkpoints, with the secret of the password.
fn state_store(client: &Client, pipeline: &Pipeline) -> StateStore {
    let server = |url: &String| Server {
        url: url.clone(),
        password: secret_ref(client, pipeline, STATE_PASSWORD),
    };
    match &client.state {
        State::Bucket => StateStore::Bucket,
        State::Sqlite { path } => StateStore::Sqlite { path: path.clone() },
        State::Postgres { url } => StateStore::Postgres(server(url)),
        State::Mysql { url } => StateStore::Mysql(server(url)),
    }
}

fn secret_ref(client: &Client, pipeline: &Pipeline, path: &str) -> SecretRef {
    let name = names::secret(&client.name, &pipeline.name, path);
    SecretRef {
        env: names::secret_env(path),
        secret: format!("projects/{}/secrets/{name}", client.project),
    }
}

fn warehouse(client: &Client, names: &Names, pipeline: &Pipeline, resources: &mut Resources) {
    resources.insert(
        Address::new(Kind::Dataset, &pipeline.dataset),
        Resource::Dataset {
            location: client.region.clone(),
            owner: Owner::pipeline(&client.name, &pipeline.name),
        },
    );
    let dataset = Holder::Dataset(pipeline.dataset.clone());
    grant(
        resources,
        dataset,
        "roles/bigquery.dataEditor",
        &names.job_email,
    );
}

fn secrets(client: &Client, names: &Names, pipeline: &Pipeline, resources: &mut Resources) {
    let rotating = rotating_fields(&pipeline.manifest.0);
    for path in &pipeline.secrets {
        let name = names::secret(&client.name, &pipeline.name, path);
        let owner = Owner::pipeline(&client.name, &pipeline.name);
        resources.insert(
            Address::new(Kind::Secret, &name),
            Resource::Secret { owner },
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
        cpu: pipeline.cpu.to_string(),
        memory: pipeline.memory.clone(),
        timeout_seconds: pipeline.timeout.as_secs(),
        // A retried task goes on where the first stopped; more would only repeat a refusal.
        retries: 1,
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
        uri: format!(
            "https://run.googleapis.com/v2/projects/{project}/locations/{region}/jobs/{name}:run"
        ),
        account: names.trigger_email.clone(),
        owner: Owner::pipeline(&client.name, &pipeline.name),
    };
    resources.insert(
        Address::new(Kind::Schedule, name),
        Resource::Schedule(schedule),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Manifest, Schedule as Cron};
    use serde_json::json;
    use std::time::Duration;

    pub(crate) fn client() -> Client {
        let manifest = json!({"streams": [], "auth": {"refresh_token_updater": {}}});
        Client {
            name: "acme".to_owned(),
            project: "p1".to_owned(),
            region: "australia-southeast1".to_owned(),
            image: None,
            pin: None,
            state: State::Bucket,
            pipelines: vec![Pipeline {
                name: "xero".to_owned(),
                source: "xero".to_owned(),
                manifest: Manifest(manifest.into()),
                config: Default::default(),
                secrets: vec!["credentials.refresh_token".to_owned(), "key".to_owned()],
                schedule: Some(Cron {
                    cron: "0 2 * * *".to_owned(),
                    time_zone: "UTC".to_owned(),
                    paused: false,
                }),
                dataset: "acme_xero".to_owned(),
                on_overlap: Default::default(),
                keep_raw: false,
                tasks: 1,
                cpu: 1,
                memory: "512Mi".to_owned(),
                timeout: Duration::from_secs(3600),
                streams: Default::default(),
                models: Vec::new(),
                specification: json!({}),
            }],
        }
    }

    fn built() -> Image {
        Image::Built {
            digest: "sha256:0".to_owned(),
        }
    }

    fn listed(resources: &Resources) -> String {
        let lines = resources.keys().filter(|address| address.kind != Kind::Api);
        lines.map(|address| format!("{address}\n")).collect()
    }

    #[test]
    fn a_pipeline_takes_these_resources_in_this_order() {
        insta::assert_snapshot!(listed(&resources(&client(), &built())), @r"
        account xetl-cron-acme
        account xetl-run-acme
        bucket p1-xetl-acme
        secret acme-xero-credentials-refresh-token
        secret acme-xero-key
        repository xetl-acme
        dataset acme_xero
        iam roles/bigquery.dataEditor on dataset acme_xero for xetl-run-acme
        iam roles/bigquery.jobUser on project for xetl-run-acme
        iam roles/secretmanager.secretAccessor on secret acme-xero-credentials-refresh-token for xetl-run-acme
        iam roles/secretmanager.secretAccessor on secret acme-xero-key for xetl-run-acme
        iam roles/secretmanager.secretVersionManager on secret acme-xero-credentials-refresh-token for xetl-run-acme
        iam roles/storage.objectUser on bucket p1-xetl-acme for xetl-run-acme
        image australia-southeast1-docker.pkg.dev/p1/xetl-acme/runtime@sha256:0
        bundle gs://p1-xetl-acme/xero/bundle/f54d4c0d4e12a121.json
        job acme-xero
        iam roles/run.invoker on job acme-xero for xetl-cron-acme
        schedule acme-xero
        ");
    }

    #[test]
    fn the_schedule_calls_its_job_as_the_trigger_account() {
        let resources = resources(&client(), &built());
        let Resource::Schedule(schedule) = &resources[&Address::new(Kind::Schedule, "acme-xero")]
        else {
            panic!("a schedule");
        };
        assert_eq!(
            schedule.uri,
            "https://run.googleapis.com/v2/projects/p1/locations/australia-southeast1/jobs/acme-xero:run"
        );
        assert_eq!(
            schedule.account,
            "xetl-cron-acme@p1.iam.gserviceaccount.com"
        );
    }

    #[test]
    fn a_client_without_schedule_has_no_trigger() {
        let mut client = client();
        client.pipelines[0].schedule = None;
        let resources = resources(&client, &built());
        assert!(!listed(&resources).contains("cron"));
    }

    #[test]
    fn a_state_database_adds_its_password_and_no_field_of_the_config() {
        let mut client = client();
        let url = "postgres://u@h/d".to_owned();
        client.state = State::Postgres { url: url.clone() };
        let pipeline = &mut client.pipelines[0];
        pipeline.secrets.push(STATE_PASSWORD.to_owned());
        let bundle = bundle(&client, &Names::of(&client), &client.pipelines[0]);
        assert!(!bundle.secrets.contains_key(STATE_PASSWORD));
        let password = SecretRef {
            env: "XETL_SECRET_STATE_PASSWORD".to_owned(),
            secret: "projects/p1/secrets/acme-xero-state-password".to_owned(),
        };
        assert_eq!(bundle.state, StateStore::Postgres(Server { url, password }));
        let resources = resources(&client, &built());
        let Resource::Job(job) = &resources[&Address::new(Kind::Job, "acme-xero")] else {
            panic!("a job");
        };
        assert_eq!(
            job.secrets["XETL_SECRET_STATE_PASSWORD"],
            "acme-xero-state-password"
        );
    }

    #[test]
    fn an_image_of_the_users_own_needs_no_repository() {
        let name = "r/i@sha256:1".to_owned();
        let resources = resources(&client(), &Image::Given { name });
        assert!(!listed(&resources).contains("repository"));
    }

    #[test]
    fn a_changed_config_is_another_bundle() {
        let mut other = client();
        other.pipelines[0]
            .config
            .insert("start_date".to_owned(), json!("2024-01-01"));
        let bundle = |client: &Client| {
            let resources = resources(client, &built());
            let mut keys = resources
                .keys()
                .filter(|address| address.kind == Kind::Bundle);
            keys.next().unwrap().clone()
        };
        assert_ne!(bundle(&client()), bundle(&other));
        assert_eq!(bundle(&client()), bundle(&client()));
    }
}
