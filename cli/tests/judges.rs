//! Judges we did not write: the language's reference reads our manifest, and
//! Google's clients use the local cloud's services for themselves.
// A test may panic, and says aloud what it skips.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use world::{THINGS, World, built, python};

const UNLIMITED: [&str; 4] = ["--calls-per-minute", "100000", "--calls-per-day", "1000000"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn succeeded(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

fn truth(xero: &str) -> BTreeMap<String, u64> {
    let get = async {
        reqwest::get(format!("{xero}/_sandbox/truth"))
            .await
            .unwrap()
            .json::<Value>()
            .await
            .unwrap()
    };
    let truth = tokio::runtime::Runtime::new().unwrap().block_on(get);
    let streams = truth["streams"].as_object().unwrap();
    streams
        .iter()
        .map(|(name, stream)| (name.clone(), stream["count"].as_u64().unwrap()))
        .collect()
}

#[test]
fn the_reference_reads_the_xero_manifest_to_the_sandboxs_own_counts() {
    let Some(python) = python() else { return };
    let mut world = World::new();
    let xero = world.sandbox(&UNLIMITED);
    let script = repository().join("tests/reference/xero.py");
    succeeded(&Command::new(python).arg(script).arg(xero).output().unwrap());
}

#[test]
fn our_runtime_reads_every_stream_to_the_sandboxs_own_counts() {
    let mut world = World::new();
    let xero = world.sandbox(&UNLIMITED);
    let config = world.write("config.json", &json!({
        "credentials": {"auth_type": "custom_connection", "client_id": "sandbox", "client_secret": "sandbox-secret"},
        "start_date": "2020-01-01", "api_url": xero, "identity_url": xero, "calls_per_minute": 100_000,
        "scopes": "accounting.transactions.read accounting.contacts.read accounting.settings.read accounting.journals.read",
    }).to_string());
    let manifest = repository().join("sources/xero.yaml");
    let output = Command::new(built("xetl-runtime"))
        .args(["read", "--output", "jsonl", "--source"])
        .arg(manifest)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    succeeded(&output);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["record"].is_object() && line.as_object().unwrap().len() == 2,
            "{line}"
        );
        *counts
            .entry(line["stream"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert_eq!(counts, truth(&xero));
}

/// Runs a script of Google's clients against a local cloud of its own.
fn conforms(script: &str) {
    let Some(python) = python() else { return };
    let world = World::new();
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let script = repository().join("local/tests").join(script);
    let endpoint = world.endpoint();
    succeeded(
        &Command::new(python)
            .arg(script)
            .arg(endpoint)
            .output()
            .unwrap(),
    );
}

#[test]
fn googles_python_clients_use_storage_and_secret_manager() {
    conforms("conformance_storage_secrets.py");
}

#[test]
fn googles_python_client_changes_copies_and_extracts_tables() {
    conforms("conformance_bigquery.py");
}

#[test]
fn googles_python_clients_make_run_schedule_and_log_a_job() {
    conforms("conformance_deploy.py");
}

/// Whether gcloud and bq are here: no package registry ships them.
fn has_gcloud() -> bool {
    let is_here = |name: &str| Command::new(name).arg("version").output().is_ok();
    let found = is_here("gcloud") && is_here("bq");
    if !found {
        eprintln!("SKIPPED: gcloud and bq are not here and did not judge the local cloud");
    }
    found
}

/// Has gcloud use some of the local cloud's services, side by side.
fn gcloud_uses(world: &World, services: &[&str], image: &str) {
    let Some(documents) = world::wire::documents() else {
        return;
    };
    let url = world.endpoint();
    let script = repository().join("local/tests/conformance_gcloud.sh");
    let use_it = |service: &str| {
        let mut command = Command::new(&script);
        command.args([&*url, service]).arg(&documents).arg(image);
        succeeded(&command.output().unwrap());
    };
    std::thread::scope(|scope| {
        for service in services {
            scope.spawn(|| use_it(service));
        }
    });
}

#[test]
fn gcloud_and_bq_make_change_and_remove_what_xetl_makes() {
    if !has_gcloud() {
        return;
    }
    let world = World::new();
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let services = [
        "services",
        "storage",
        "secrets",
        "repositories",
        "schedules",
        "bigquery",
    ];
    gcloud_uses(&world, &services, "");
    gcloud_uses(&world, &["accounts"], "");
}

/// gcloud leaves its marks on what it touches, and they are nobody's change.
#[test]
fn what_gcloud_touched_is_as_declared() {
    if !has_gcloud() {
        return;
    }
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", THINGS);
    world.write(
        "clients/acme.yaml",
        "client: acme\npipelines:\n  things: {source: things}\n",
    );
    world.ok(&["apply", "--client", "acme", "--yes"]);
    let api = world::api::Api::of(&world);
    let job = api.get("/v2/projects/local-project/locations/australia-southeast1/jobs/acme-things");
    let image = &job["template"]["template"]["containers"][0]["image"];
    gcloud_uses(&world, &["jobs"], image.as_str().unwrap());
    let plan = world.xetl(&["plan", "--client", "acme", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "{}{}", plan.stdout, plan.stderr);
}
