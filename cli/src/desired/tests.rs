use std::time::Duration;

use serde_json::json;
use xetl_runtime::bundle::{STATE_PASSWORD, SecretRef, Server, StateStore};

use super::bundle::bundle;
use super::*;
use crate::config::{BucketSettings, ClientSettings, Manifest, Schedule as Cron, State};

pub(crate) fn client() -> Client {
    let manifest = json!({"streams": [], "auth": {"refresh_token_updater": {}}});
    Client {
        name: "acme".to_owned(),
        project: "p1".to_owned(),
        region: "australia-southeast1".to_owned(),
        image: None,
        pin: None,
        state: State::Bucket,
        settings: ClientSettings {
            bucket: BucketSettings {
                storage_class: "STANDARD".to_owned(),
                ..BucketSettings::default()
            },
            ..ClientSettings::default()
        },
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
                retries: 1,
                min_backoff: Duration::from_secs(5),
                max_backoff: Duration::from_secs(3600),
                deadline: Duration::from_secs(180),
            }),
            dataset: "acme_xero".to_owned(),
            on_overlap: Default::default(),
            keep_raw: false,
            tasks: 1,
            cpu: 1,
            memory: "512Mi".to_owned(),
            timeout: Duration::from_secs(3600),
            missed_after: None,
            retries: 1,
            parallelism: 1,
            env: Default::default(),
            labels: Default::default(),
            vpc: None,
            warehouse: Default::default(),
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

/// A grant in the words of docs/permissions.md.
fn row(member: &Member) -> String {
    let account = member.account.split('@').next().unwrap();
    let account = account.replace("-acme", "-<client>");
    let on = match &member.on {
        Holder::Secret(_) if member.role.ends_with("VersionManager") => {
            "secret that the source renews".to_owned()
        }
        on => on.to_string().split(' ').next().unwrap().to_owned(),
    };
    format!("`{account}` | `{}` | {on}", member.role)
}

#[test]
fn the_grants_are_those_of_the_docs() {
    let docs = include_str!("../../../docs/permissions.md").lines();
    let rows = docs.filter_map(|line| line.strip_prefix("| `xetl-"));
    let documented: BTreeSet<String> = rows
        .map(|row| format!("`xetl-{}", row.rsplitn(2, " | ").last().unwrap()))
        .collect();
    let resources = resources(&client(), &built());
    let granted = resources.values().filter_map(|resource| match resource {
        Resource::Member(member) => Some(row(member)),
        _ => None,
    });
    assert_eq!(documented, granted.collect());
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
