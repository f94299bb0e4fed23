//! Judges we did not write: the language's reference reads our manifest, and
//! Google's clients use the local cloud's services for themselves.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use world::{World, built, python};

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
    let status = world.json(&["local", "status"]);
    let script = repository().join("local/tests").join(script);
    let endpoint = status["status"]["endpoint"].as_str().unwrap();
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
