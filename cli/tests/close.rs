//! The built-in source `close` against its sandbox: read by the reference and by
//! our runtime, and loaded by ranges from the command line.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use world::{World, built, python};

const UNLIMITED: [&str; 4] = ["--calls", "1000000", "--leads", "120"];
const START: &str = "2024-10-01";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn truth(close: &str, query: &str) -> Value {
    let url = format!("{close}/_sandbox/truth{query}");
    block(async { reqwest::get(url).await.unwrap().json().await.unwrap() })
}

fn advance(close: &str, days: u32) {
    let url = format!("{close}/_sandbox/advance");
    let sent = reqwest::Client::new()
        .post(url)
        .json(&json!({"days": days}));
    assert!(block(async { sent.send().await.unwrap().status() }).is_success());
}

/// A record's stream and id, and when it was last changed.
type Versions = BTreeMap<(String, String), String>;

/// What `xetl-runtime read` prints, newest versions; the state goes on from the last read.
fn read(world: &World, close: &str) -> Versions {
    let config = json!({"api_key": "api_sandbox", "api_url": close, "start_date": START});
    let config = world.write("config.json", &config.to_string());
    let state = world.path().join("state.json");
    let mut command = Command::new(built("xetl-runtime"));
    command
        .args(["read", "--source"])
        .arg(repository().join("sources/close.yaml"));
    command
        .arg("--config")
        .arg(config)
        .arg("--state-out")
        .arg(&state);
    if state.exists() {
        command.arg("--state").arg(&state);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut versions = Versions::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let key = (text(&line["stream"]), text(&line["record"]["id"]));
        let updated = text(&line["record"]["date_updated"]);
        assert_eq!(
            versions.insert(key.clone(), updated),
            None,
            "{key:?} came twice"
        );
    }
    versions
}

fn counts(versions: &Versions) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (stream, _) in versions.keys() {
        *counts.entry(stream.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn the_reference_reads_the_close_manifest_to_the_sandboxs_own_truth() {
    let Some(python) = python() else { return };
    let mut world = World::new();
    let close = world.sandbox_of("close", &UNLIMITED);
    let script = repository().join("tests/reference/close.py");
    let output = Command::new(python)
        .arg(script)
        .arg(close)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn our_runtime_reads_all_and_then_what_changed() {
    let mut world = World::new();
    let close = world.sandbox_of("close", &UNLIMITED);
    let first = read(&world, &close);
    let streams = truth(&close, "")["streams"].as_object().unwrap().clone();
    let wanted: BTreeMap<String, u64> = streams
        .into_iter()
        // The organisation's plan does not have it.
        .filter(|(name, _)| name != "send_as")
        .map(|(name, of)| (name, of["count"].as_u64().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect();
    // Some of what there is lies before the start.
    for (stream, count) in &wanted {
        let read = counts(&first).get(stream).copied().unwrap_or_default();
        assert!(read <= *count && read > 0, "{stream}: {read} of {count}");
    }

    advance(&close, 3);
    let mut all = first.clone();
    let second = read(&world, &close);
    assert!(counts(&second)["activity_email"] < counts(&first)["activity_email"] / 2);
    all.extend(second);
    for stream in ["leads", "contacts", "opportunities", "tasks"] {
        let records = truth(&close, &format!("?stream={stream}"))["records"].clone();
        for (id, dates) in records.as_object().unwrap() {
            let updated = dates["updated"].as_str().unwrap();
            if updated >= START {
                let known = all.get(&(stream.to_owned(), id.clone()));
                assert_eq!(known.map(String::as_str), Some(updated), "{stream} {id}");
            }
        }
    }
}

/// Ids of notes made from one day to another, as the sandbox has them.
fn notes_made(close: &str, from: &str, to: &str) -> BTreeSet<String> {
    let records = truth(close, "?stream=activity_note")["records"].clone();
    let made = |dates: &Value| (from..=to).contains(&&dates["created"].as_str().unwrap()[..10]);
    let records = records.as_object().unwrap().iter();
    records
        .filter(|(_, dates)| made(dates))
        .map(|(id, _)| id.clone())
        .collect()
}

fn query(world: &World, sql: &str) -> Vec<Value> {
    let rows = world.json(&["query", "--client", "acme", sql]);
    rows.as_array().unwrap().clone()
}

fn state(world: &World, stream: &str) -> Value {
    let run = world.json(&["run", "--client", "acme", "--stream", stream, "--wait"]);
    let streams = run["summary"]["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1);
    streams[0]["state"].clone()
}

#[test]
fn a_range_is_loaded_beside_the_state() {
    let mut world = World::new();
    let close = world.sandbox_of("close", &UNLIMITED);
    world.ok(&["init"]);
    let key = world.write("api-key", "api_sandbox");
    let (key, api) = (
        format!("api_key={}", key.display()),
        format!("api_url={close}"),
    );
    let start = format!("start_date={START}");
    world.ok(&[
        "onboard",
        "--yes",
        "--client",
        "acme",
        "--source",
        "close",
        "--config",
        &api,
        "--config",
        &start,
        "--secret-file",
        &key,
    ]);
    let before = state(&world, "activity_note");
    let count = |table: &str| {
        query(
            &world,
            &format!("select count(*) n from acme_close.{table}"),
        )[0]["n"]
            .clone()
    };
    let (rows, notes) = (count("activity_note"), count("activity_note_latest"));

    let (from, to) = ("2025-05-02", "2025-06-10");
    let run = world.json(&[
        "run",
        "--client",
        "acme",
        "--stream",
        "activity_note",
        "--from",
        from,
        "--to",
        to,
        "--wait",
    ]);
    let made = notes_made(&close, from, to);
    assert!(!made.is_empty());
    let streams = &run["summary"]["streams"];
    assert_eq!(streams.as_array().unwrap().len(), 1);
    assert_eq!(streams[0]["rows"], json!(made.len()));
    assert_eq!(streams[0]["state"], before);
    let again = query(
        &world,
        "select id from acme_close.activity_note group by id having count(distinct _xetl_run_id) > 2",
    );
    let again: BTreeSet<String> = again
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(again.is_subset(&made));
    let number = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.as_u64().unwrap(), |text| text.parse().unwrap())
    };
    assert_eq!(
        number(&count("activity_note")),
        number(&rows) + made.len() as u64
    );
    assert_eq!(count("activity_note_latest"), notes);
    // The next run goes on as if there had been none.
    assert_eq!(state(&world, "activity_note"), before);

    for (arguments, sentence) in [
        (
            ["--stream", "users", "--from", "2025-06-01"],
            "has no cursor over time",
        ),
        (
            ["--stream", "unknown", "--from", "2025-06-01"],
            "has no stream `unknown`",
        ),
        (
            ["--stream", "lead", "--from", "1 June"],
            "--from is `1 June`",
        ),
    ] {
        let mut command = vec!["run", "--client", "acme"];
        command.extend(arguments);
        let done = world.xetl(&command);
        assert_eq!(done.code, Some(2), "{arguments:?}");
        assert!(done.stderr.contains(sentence), "{}", done.stderr);
    }
}
