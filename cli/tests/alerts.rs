//! Who is told of what: a run that failed, a start that was refused, a run that never began. The
//! local cloud looks at the alerts as Cloud Monitoring would, at any time a test asks about.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use world::api::Api;
use world::{THINGS, World, wait_for};

const PROJECT: &str = "local-project";
const REGION: &str = "australia-southeast1";
const DAILY: &str = "0 2 * * *";

/// A workspace whose source is the local cloud itself, which is always there.
fn workspace() -> (World, Api) {
    let world = World::new();
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let api = Api::of(&world);
    let source = THINGS
        .replace(
            "http://127.0.0.1:1/things",
            &format!("{}/_local/status", api.url),
        )
        .replace("field_path: []", "field_path: [counts]");
    world.write("sources/things.yaml", &source);
    (world, api)
}

fn declare(world: &World, client: &str, alerts: &str, cron: &str) {
    let text = format!(
        "client: {client}\nalerts: {{{alerts}}}\npipelines:\n  things:\n    source: things\n    schedule: {{cron: {cron}, time_zone: Europe/London}}\n"
    );
    world.write(&format!("clients/{client}.yaml"), &text);
}

fn apply(world: &World, client: &str) {
    world.ok(&["apply", "--client", client, "--yes"]);
    let plan = world.json(&["plan", "--client", client]);
    assert_eq!(plan["empty"], true, "{:#}", plan["steps"]);
}

/// Names of the alerts that would tell in so many hours, and whom.
fn told(api: &Api, hours: i64) -> Vec<String> {
    let at = Timestamp::now() + SignedDuration::from_hours(hours);
    let incidents = api.get(&format!("/_local/incidents?at={at}"));
    let incidents = incidents["incidents"].as_array().unwrap().clone();
    let mut told: Vec<_> = incidents
        .iter()
        .map(|it| format!("{}: {}", it["displayName"].as_str().unwrap(), it["tells"]))
        .collect();
    told.sort();
    told
}

/// What there is of alerts in the project.
fn there(api: &Api) -> (usize, usize, usize) {
    let count = |path: &str, key: &str| {
        let all = api.get(path);
        all[key].as_array().map_or(0, Vec::len)
    };
    let monitoring = format!("/v3/projects/{PROJECT}");
    (
        count(
            &format!("{monitoring}/notificationChannels"),
            "notificationChannels",
        ),
        count(&format!("/v2/projects/{PROJECT}/metrics"), "metrics"),
        count(&format!("{monitoring}/alertPolicies"), "alertPolicies"),
    )
}

#[test]
fn a_run_that_never_began_and_a_start_that_was_refused_are_told() {
    let (world, api) = workspace();
    declare(&world, "acme", "email: [ops@example.com]", DAILY);
    apply(&world, "acme");
    assert_eq!(there(&api), (1, 1, 2));
    world.ok(&["run", "--client", "acme", "--wait"]);
    // A day, the hour a run may take, an hour for clocks that change and one of patience.
    assert_eq!(told(&api, 0), Vec::<String>::new());
    assert_eq!(told(&api, 26), Vec::<String>::new());
    let missed = r#"xetl: acme things missed a run: ["ops@example.com"]"#;
    assert_eq!(told(&api, 28), [missed]);
    world.ok(&["run", "--client", "acme", "--wait"]);
    assert_eq!(told(&api, 26), Vec::<String>::new());

    let job = format!("/v2/projects/{PROJECT}/locations/{REGION}/jobs/acme-things");
    api.post(
        &format!("{job}:setIamPolicy"),
        &json!({"policy": {"bindings": []}}),
    );
    let schedule = format!("/v1/projects/{PROJECT}/locations/{REGION}/jobs/acme-things");
    api.post(&format!("{schedule}:run"), &json!({}));
    let failed = r#"xetl: acme things failed: ["ops@example.com"]"#;
    wait_for("the refused start", || {
        (told(&api, 0) == [failed]).then_some(())
    });
}

#[test]
fn a_run_that_failed_is_told_and_is_no_run() {
    let (world, api) = workspace();
    // Storage knows no such bucket, and says so for good.
    let nowhere = format!("{}/storage/v1/b/nowhere", api.url);
    let source = THINGS.replace("http://127.0.0.1:1/things", &nowhere);
    world.write("sources/things.yaml", &source);
    declare(
        &world,
        "acme",
        "email: [ops@example.com], missed_after: 30h",
        DAILY,
    );
    apply(&world, "acme");
    let run = world.xetl(&["run", "--client", "acme", "--wait"]);
    assert_ne!(run.code, Some(0), "{}", run.stdout);
    let failed = r#"xetl: acme things failed: ["ops@example.com"]"#;
    assert_eq!(told(&api, 0), [failed]);
    let missed = r#"xetl: acme things missed a run: ["ops@example.com"]"#;
    assert_eq!(told(&api, 31), [missed]);
}

#[test]
fn what_runs_too_rarely_to_be_watched_is_said_and_what_is_paused_misses_nothing() {
    let (world, api) = workspace();
    declare(&world, "acme", "email: [ops@example.com]", "0 2 * * 1");
    let plan = world.json(&["plan", "--client", "acme"]);
    insta::assert_snapshot!(plan["warnings"][0].as_str().unwrap(), @"no alert tells when a run of acme-things never began: Cloud Monitoring cannot watch runs more than 48h apart; a start that is refused does tell");
    let many = world.json(&["plan", "--all"]);
    assert_eq!(many["warnings"], plan["warnings"]);
    apply(&world, "acme");
    assert_eq!(there(&api), (1, 0, 1));

    declare(
        &world,
        "acme",
        "email: [ops@example.com]",
        "0 2 * * *, paused: true",
    );
    apply(&world, "acme");
    assert_eq!(there(&api), (1, 0, 1));

    declare(
        &world,
        "acme",
        "email: [ops@example.com], missed_after: 3d",
        DAILY,
    );
    let refused = world.xetl(&["plan", "--client", "acme"]);
    insta::assert_snapshot!(refused.stderr, @"error: clients/acme.yaml: alerts.missed_after: `3d` is longer than Cloud Monitoring can watch, which is 48h at most");
    declare(
        &world,
        "acme",
        "email: [ops@example.com], missed_after: 20h",
        DAILY,
    );
    let refused = world.xetl(&["plan", "--client", "acme"]);
    insta::assert_snapshot!(refused.stderr, @"error: clients/acme.yaml: pipelines.things: alerts.missed_after is 20h, but two of its runs are up to 24h apart: it would tell all the time");
}

#[test]
fn a_metric_is_waited_for_and_goes_with_its_last_user() {
    let (world, api) = workspace();
    api.post("/_local/lag", &json!({"of": "metrics", "looks": 2}));
    declare(&world, "acme", "email: [ops@example.com]", DAILY);
    let first = world.xetl(&["apply", "--client", "acme", "--yes"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    declare(&world, "twin", "email: [ops@example.com]", DAILY);
    apply(&world, "twin");
    assert_eq!(there(&api), (1, 1, 4));

    // Who made channel and metric leaves; who uses them still does not lose them.
    let destroy = [
        "destroy",
        "--yes",
        "--delete-data",
        "bucket,dataset,secrets",
    ];
    let destroy = |client| {
        let mut arguments = destroy.to_vec();
        arguments.extend(["--client", client]);
        world.ok(&arguments);
    };
    destroy("acme");
    assert_eq!(there(&api), (1, 1, 2));
    destroy("twin");
    assert_eq!(there(&api), (0, 0, 0));
}

#[test]
fn a_fleet_shares_them_too() {
    let (world, api) = workspace();
    for client in ["acme", "globex", "initech"] {
        declare(&world, client, "email: [ops@example.com]", DAILY);
    }
    world.ok(&["apply", "--all", "--yes"]);
    assert_eq!(there(&api), (1, 1, 6));
    let plan: Value = world.json(&["plan", "--all"]);
    assert_eq!(plan["summary"]["create"], 0, "{plan:#}");
    assert_eq!(plan["summary"]["update"], 0, "{plan:#}");

    // Whom they tell is found again where the file is lost.
    std::fs::remove_file(world.path().join("clients/acme.yaml")).unwrap();
    world.ok(&["adopt", "--client", "acme"]);
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(plan["empty"], true, "{:#}", plan["steps"]);
}
