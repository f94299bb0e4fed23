//! The modes of a load, from the command line to the rows: what the sandbox has is what the
//! tables have.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use world::World;

const START: &str = "2024-10-01";

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// The ids of a stream's records and when each was last changed, as the sandbox has them.
fn truth(close: &str, stream: &str) -> BTreeMap<String, String> {
    let url = format!("{close}/_sandbox/truth?stream={stream}");
    let truth: Value = block(async { reqwest::get(url).await.unwrap().json().await.unwrap() });
    let records = truth["records"].as_object().unwrap().iter();
    records
        .map(|(id, dates)| {
            (
                id.clone(),
                dates["updated"].as_str().unwrap()[..19].to_owned(),
            )
        })
        .filter(|(_, updated)| updated.as_str() >= START)
        .collect()
}

fn advance(close: &str, days: u32) {
    let url = format!("{close}/_sandbox/advance");
    let sent = reqwest::Client::new()
        .post(url)
        .json(&json!({"days": days}));
    assert!(block(async { sent.send().await.unwrap().status() }).is_success());
}

fn rows(world: &World, sql: &str) -> Vec<Value> {
    let rows = world.json(&["query", "--client", "acme", sql]);
    rows.as_array().unwrap().clone()
}

/// The same of a table; an id that is there twice fails.
fn loaded(world: &World, table: &str) -> BTreeMap<String, String> {
    let sql = format!(
        "select id, format_timestamp('%Y-%m-%dT%H:%M:%S', date_updated) updated from acme_close.{table} limit 1000000"
    );
    let mut loaded = BTreeMap::new();
    for row in rows(world, &sql) {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        let before = loaded.insert(text("id"), text("updated"));
        assert_eq!(before, None, "{row} is there twice");
    }
    loaded
}

/// That each record the source has is there in its newest version; those deleted in the
/// source since stay, as these streams do not tell of them.
fn has_all(loaded: &BTreeMap<String, String>, truth: &BTreeMap<String, String>) {
    for (id, updated) in truth {
        assert_eq!(loaded.get(id), Some(updated), "{id}");
    }
}

fn onboarded(streams: &str) -> (World, String) {
    let mut world = World::new();
    let close = world.sandbox_of("close", &["--calls", "1000000", "--leads", "60"]);
    world.ok(&["init"]);
    let key = world.write("api-key", "api_sandbox");
    let (key, api) = (
        format!("api_key={}", key.display()),
        format!("api_url={close}"),
    );
    let start = format!("start_date={START}");
    let mut onboard = vec!["onboard", "--yes", "--client", "acme", "--source", "close"];
    onboard.extend(["--config", &api, "--config", &start, "--secret-file", &key]);
    onboard.push("--no-run");
    world.ok(&onboard);
    let file = world.read("clients/acme.yaml");
    let file = format!("{}\n    streams:\n{streams}", file.trim_end());
    world.write("clients/acme.yaml", &file);
    world.ok(&["apply", "--yes", "--client", "acme"]);
    (world, close)
}

fn run(world: &World, arguments: &[&str]) -> Value {
    let mut all = vec!["run", "--client", "acme", "--wait"];
    all.extend(arguments);
    world.json(&all)["summary"].clone()
}

#[test]
fn a_merged_table_has_what_the_source_has() {
    let (world, close) = onboarded(
        "      leads: {mode: merge, partition: {by: date_created, granularity: month, immutable: true}, cluster: [status_id]}\n      contacts: {mode: merge}\n",
    );
    run(&world, &[]);
    for stream in ["leads", "contacts"] {
        assert_eq!(loaded(&world, stream), truth(&close, stream), "{stream}");
    }
    for _ in 0..2 {
        advance(&close, 4);
        let summary = run(&world, &[]);
        assert_eq!(summary["outcome"], "done", "{summary}");
        for stream in ["leads", "contacts"] {
            has_all(&loaded(&world, stream), &truth(&close, stream));
        }
    }
    let staged = "select table_name from acme_close.INFORMATION_SCHEMA.TABLES where table_name like '%staging%'";
    assert_eq!(rows(&world, staged), Vec::<Value>::new());

    // Older rows come again, and change nothing.
    let mut backfill = vec!["backfill", "--client", "acme", "--from", START];
    backfill.extend(["--to", "2025-01-31", "--tasks", "2", "--wait"]);
    let before = loaded(&world, "leads");
    world.ok(&backfill);
    assert_eq!(loaded(&world, "leads"), before);

    // Only a refresh hears of what is deleted.
    let summary = run(&world, &["--full-refresh", "--stream", "leads"]);
    assert_eq!(summary["streams"][0]["mode"], "merge", "{summary}");
    assert_eq!(loaded(&world, "leads"), truth(&close, "leads"));
}

#[test]
fn an_external_table_has_what_the_source_has() {
    let (world, close) = onboarded(
        "      leads: {mode: overwrite, load: external}\n      contacts: {mode: append, load: external}\n",
    );
    for days in [0, 4] {
        advance(&close, days);
        let summary = run(&world, &[]);
        assert_eq!(summary["outcome"], "done", "{summary}");
        assert_eq!(loaded(&world, "leads"), truth(&close, "leads"));
        has_all(
            &loaded(&world, "contacts_latest"),
            &truth(&close, "contacts"),
        );
    }
}
