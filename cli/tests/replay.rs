//! Kept pages loaded again while the source is gone: what the tables have is what it said.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use world::World;

const START: &str = "2024-10-01";
const LONG_AGO: &str = "2020-01-01";

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn rows(world: &World, sql: &str) -> Vec<Value> {
    let rows = world.json(&["query", "--client", "acme", sql]);
    rows.as_array().unwrap().clone()
}

/// Two columns of a table; a key that is there twice fails.
fn pairs(world: &World, key: &str, value: &str, table: &str) -> BTreeMap<String, String> {
    let sql = format!("select {key} k, {value} v from {table} limit 1000000");
    let mut pairs = BTreeMap::new();
    for row in rows(world, &sql) {
        let before = pairs.insert(row["k"].to_string(), row["v"].to_string());
        assert_eq!(before, None, "{row} is there twice");
    }
    pairs
}

fn run(world: &World, arguments: &[&str]) -> Value {
    let mut all = vec!["run", "--client", "acme", "--wait"];
    all.extend(arguments);
    let run = world.json(&all);
    assert_eq!(run["summary"]["outcome"], "done", "{run:#}");
    run["summary"].clone()
}

fn replay<'a>(stream: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["replay", "--client", "acme", "--stream", stream, "--wait"];
    all.extend(["--from", LONG_AGO]);
    all.extend(more);
    all
}

fn replayed(world: &World, stream: &str, more: &[&str]) -> Value {
    let run = world.json(&replay(stream, more));
    assert_eq!(run["summary"]["outcome"], "done", "{run:#}");
    run["summary"]["streams"][0].clone()
}

/// The client file with these streams, applied.
fn with_streams(world: &World, before: &str, streams: &str) {
    world.write("clients/acme.yaml", &format!("{before}\n{streams}"));
    world.ok(&["apply", "--client", "acme", "--yes"]);
}

#[test]
fn a_school_is_shaped_otherwise_when_its_api_is_gone() {
    let mut world = World::new();
    let school = world.sandbox_of("isams", &["--students", "120", "--page-cap", "50"]);
    world.ok(&["init"]);
    let document = json!({
        "CLIENT_ID": "sandbox",
        "CLIENT_SECRET": "sandbox-secret",
        "TOKEN_URL": format!("{school}/auth/connect/token"),
        "API_BASE_URL": format!("{school}/"),
    });
    let document = world.write("document.json", &document.to_string());
    let secret = format!("credentials.document={}", document.display());
    let arguments = [
        "onboard", "--yes", "--no-run", "--client", "acme", "--source", "isams",
    ];
    let kind = "credentials.auth_type=document";
    let given = ["--config", kind, "--secret-file", &secret];
    world.ok(&[&arguments[..], &given[..]].concat());
    let file = format!(
        "{}\n    keep_raw: true",
        world.read("clients/acme.yaml").trim_end()
    );
    with_streams(
        &world,
        &file,
        "    streams:\n      year_groups: {mode: merge}\n      students: {}\n      divisions: {keep_raw: false}\n",
    );
    run(&world, &[]);
    let table = "acme_isams.students";
    let names = pairs(&world, "schoolId", "forename", table);
    let years = pairs(&world, "ncYear", "name", "acme_isams.year_groups");
    assert_eq!(names.len(), 120);

    world.stop_sandbox();
    with_streams(
        &world,
        &file,
        "    streams:
      year_groups: {mode: merge, transformations: [{add: {label: \"year {{ record['name'] }}\"}}]}
      students: {transformations: [{rename: {forename: given_name}}, {mask: {fields: [surname]}}]}
      divisions: {keep_raw: false}\n",
    );
    let done = replayed(&world, "students", &[]);
    assert_eq!(done["rows"], 120, "{done:#}");
    assert_eq!(pairs(&world, "schoolId", "given_name", table), names);
    let masked = "select count(*) n from acme_isams.students where surname = '****'";
    assert_eq!(
        rows(&world, masked)[0]["n"].to_string().trim_matches('"'),
        "120"
    );
    replayed(&world, "year_groups", &["--tasks", "2"]);
    let labels: BTreeMap<String, String> = years
        .iter()
        .map(|(id, name)| (id.clone(), format!("\"year {}\"", name.trim_matches('"'))))
        .collect();
    assert_eq!(
        pairs(&world, "ncYear", "label", "acme_isams.year_groups"),
        labels
    );

    let refused = |stream: &str, more: &[&str]| {
        let done = world.xetl(&replay(stream, more));
        assert_eq!(done.code, Some(6), "{}", done.stderr);
        done.stdout
    };
    assert!(refused("divisions", &[]).contains("no pages of this stream are kept"));
    let early = refused("students", &["--to", "2020-01-02"]);
    assert!(
        early.contains("no run between 2020-01-01T00:00:00Z and 2020-01-02T23:59:59.999999Z"),
        "{early}"
    );
}

fn advance(close: &str, days: u32) {
    let url = format!("{close}/_sandbox/advance");
    let sent = reqwest::Client::new()
        .post(url)
        .json(&json!({"days": days}));
    assert!(block(async { sent.send().await.unwrap().status() }).is_success());
}

#[test]
fn what_several_runs_read_is_merged_and_appended_again() {
    let mut world = World::new();
    let close = world.sandbox_of("close", &["--calls", "1000000", "--leads", "60"]);
    world.ok(&["init"]);
    let key = world.write("api-key", "api_sandbox");
    let key = format!("api_key={}", key.display());
    let (api, start) = (format!("api_url={close}"), format!("start_date={START}"));
    let mut onboard = vec!["onboard", "--yes", "--client", "acme", "--source", "close"];
    onboard.extend(["--config", &api, "--config", &start, "--secret-file", &key]);
    onboard.push("--no-run");
    world.ok(&onboard);
    let file = format!(
        "{}\n    keep_raw: true",
        world.read("clients/acme.yaml").trim_end()
    );
    with_streams(
        &world,
        &file,
        "    streams:\n      leads: {mode: merge}\n      contacts: {mode: append}\n",
    );
    run(&world, &[]);
    advance(&close, 4);
    let before = run(&world, &[]);
    let updated = "format_timestamp('%Y-%m-%dT%H:%M:%E6S', date_updated)";
    let tables = ["acme_close.leads", "acme_close.contacts_latest"];
    let loaded = tables.map(|table| pairs(&world, "id", updated, table));
    assert!(loaded.iter().all(|table| !table.is_empty()));

    world.stop_sandbox();
    let mark = "transformations: [{add: {mark: \"seen {{ record['id'] }}\"}}]";
    with_streams(
        &world,
        &file,
        &format!(
            "    streams:\n      leads: {{mode: merge, {mark}}}\n      contacts: {{mode: append, {mark}}}\n"
        ),
    );
    let again = ["leads", "contacts"].map(|stream| replayed(&world, stream, &[]));
    for (index, table) in tables.iter().enumerate() {
        assert_eq!(pairs(&world, "id", updated, table), loaded[index]);
        let unmarked =
            format!("select id from {table} where mark is null or mark != concat('seen ', id)");
        assert_eq!(rows(&world, &unmarked), Vec::<Value>::new());
        let name = &again[index]["stream"];
        let state = before["streams"].as_array().unwrap().iter();
        let state = state
            .filter(|it| &it["stream"] == name)
            .map(|it| &it["state"]);
        assert_eq!(state.collect::<Vec<_>>(), [&again[index]["state"]]);
    }
}
