//! The local cloud at its worst while a client is made: slow, busy, cut off, late to learn of what
//! was done, and killed. An apply ends well or says what went wrong, and the next one mends it.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use world::api::Api;
use world::{THINGS, World};

/// Exit code of what Google, here the local cloud, refused.
const CLOUD: i32 = 4;
/// Random faults that are tried each time; one that fails is repeated by its number.
const SEEDS: u64 = 4;

/// A workspace with its local cloud up; the packed image is made once for all.
fn workspace() -> World {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", THINGS);
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packed-images");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::create_dir_all(world.path().join(".xetl")).unwrap();
    std::os::unix::fs::symlink(cache, world.path().join(".xetl/cache")).unwrap();
    world.ok(&["local", "up"]);
    world
}

fn declare(world: &World, client: &str) {
    let schedule = "schedule: {cron: 0 2 * * *, time_zone: Europe/London}";
    let text = format!("client: {client}\npipelines:\n  one: {{source: things, {schedule}}}\n");
    world.write(&format!("clients/{client}.yaml"), &text);
}

fn apply(world: &World, client: &str) -> world::Done {
    world.xetl(&["apply", "--client", client, "--yes"])
}

fn assert_applied(world: &World, client: &str, case: &str) {
    let done = apply(world, client);
    assert_eq!(
        done.code,
        Some(0),
        "{case}\n{}\n{}",
        done.stdout,
        done.stderr
    );
    assert_as_declared(world, client, case);
}

fn assert_as_declared(world: &World, client: &str, case: &str) {
    let plan = world.xetl(&["plan", "--client", client, "--detailed-exitcode"]);
    assert_eq!(
        plan.code,
        Some(0),
        "{case}\n{}\n{}",
        plan.stdout,
        plan.stderr
    );
}

/// Each call that an apply makes, of whatever API, meets it the first time it is made.
#[test]
fn trouble_at_the_first_call_of_every_route_is_overcome() {
    let world = workspace();
    let api = Api::of(&world);
    let cruelties = [
        ("busy", json!({"status": 503})),
        ("busylost", json!({"status": 503, "at": "after"})),
        ("broken", json!({"status": 500})),
        ("often", json!({"status": 429, "retry_after": 1})),
        ("cut", json!({})),
        ("cutlost", json!({"at": "after"})),
        ("slow", json!({"delay_ms": 200})),
        ("drops", json!({"dribble_ms": 20})),
    ];
    for (client, mut fault) in cruelties {
        declare(&world, client);
        fault["path"] = "/".into();
        fault["each"] = true.into();
        api.fault(&fault);
        let case = format!("{client}: {fault}");
        assert_applied(&world, client, &case);
        api.delete("/_local/faults");
    }
}

#[test]
fn what_google_learns_late_is_waited_for() {
    let world = workspace();
    let api = Api::of(&world);
    for of in ["accounts", "apis", "grants"] {
        api.post(
            "/_local/lag",
            &json!({"of": of, "looks": 3, "seconds": 0.2}),
        );
    }
    declare(&world, "late");
    let done = world.xetl(&["apply", "--client", "late", "--yes", "--events"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let waits = done.stderr.lines().filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == "step_waits").then(|| event["why"].as_str().unwrap().to_owned())
    });
    let waits: std::collections::BTreeSet<String> = waits.collect();
    let waits: Vec<String> = waits.into_iter().collect();
    // A new account is looked at until it is seen, before its step is done.
    assert_eq!(waits, ["the API was just enabled"]);
    assert_as_declared(&world, "late", "late");
}

#[test]
fn apis_that_somebody_else_is_enabling_are_waited_for() {
    let world = workspace();
    let api = Api::of(&world);
    declare(&world, "second");
    let message = "Another activation or deactivation is in progress for this consumer.";
    api.fault(&json!({
        "path": "/v1/projects/", "contains": ":batchEnable", "times": 2,
        "status": 400, "reason": "FAILED_PRECONDITION", "message": message,
    }));
    let done = world.xetl(&["apply", "--client", "second", "--yes", "--events"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(
        done.stderr.contains("somebody else is enabling"),
        "{}",
        done.stderr
    );
    assert_as_declared(&world, "second", "second");
}

/// A write of each route is refused for good: the step says so, and nothing else is in the way.
#[test]
fn a_refusal_names_its_step_and_the_next_apply_goes_on() {
    let world = workspace();
    let api = Api::of(&world);
    let project = "/v1/projects/local-project";
    let at = "locations/australia-southeast1";
    let routes = [
        ("POST", "/v1/projects/".to_owned(), ":batchEnable", "api"),
        (
            "POST",
            format!("{project}/serviceAccounts"),
            "",
            "account xetl-",
        ),
        (
            "POST",
            "/storage/v1/b".to_owned(),
            "",
            "bucket local-project-xetl-",
        ),
        (
            "PUT",
            "/storage/v1/b/".to_owned(),
            "/iam",
            "bucket local-project-xetl-",
        ),
        (
            "POST",
            format!("{project}/{at}/repositories"),
            "",
            "repository xetl-",
        ),
        ("POST", "/bigquery/v2/".to_owned(), "datasets", "dataset "),
        ("PATCH", "/bigquery/v2/".to_owned(), "datasets", "dataset "),
        (
            "POST",
            "/v3/projects/".to_owned(),
            ":setIamPolicy",
            "project",
        ),
        (
            "POST|PUT|PATCH",
            "/v2/local-project/".to_owned(),
            "",
            "image",
        ),
        (
            "POST",
            "/upload/storage/".to_owned(),
            "bundle",
            "bundle gs://",
        ),
        ("POST", "/v2/projects/".to_owned(), "jobs?jobId", "job "),
        ("POST", "/v2/projects/".to_owned(), ":setIamPolicy", "job "),
        ("POST", format!("{project}/{at}/jobs"), "", "schedule "),
    ];
    for (number, (method, path, contains, named)) in routes.iter().enumerate() {
        let client = format!("refused{number}");
        declare(&world, &client);
        let refusal = json!({
            "method": method, "path": path, "contains": contains, "status": 403,
            "message": "not today", "times": 1000,
        });
        api.fault(&refusal);
        let refused = apply(&world, &client);
        let left = api.get("/_local/faults");
        api.delete("/_local/faults");
        // APIs are on once the first client is there.
        let is_met = left["faults"][0]["times"] != 1000;
        assert!(is_met || *named == "api", "{refusal} met nothing");
        if is_met {
            assert_eq!(refused.code, Some(CLOUD), "{refusal}\n{}", refused.stderr);
            for words in [*named, "not today"] {
                let said = &refused.stderr;
                assert!(said.contains(words), "{refusal}: no `{words}` in\n{said}");
            }
        }
        assert_applied(&world, &client, &refusal.to_string());
    }
}

/// Runs xetl and interrupts it once it has said this; gives its exit code and all it said.
fn interrupted(world: &World, arguments: &[&str], at: &str, signal: &str) -> (Option<i32>, String) {
    let done = world.xetl_and(arguments, at, |process| {
        let kill = ["-s", signal, &process.to_string()].map(str::to_owned);
        assert!(Command::new("kill").args(kill).status().unwrap().success());
    });
    (done.code, done.stderr)
}

#[test]
fn an_interrupted_apply_ends_what_is_under_way_and_the_next_one_goes_on() {
    let world = workspace();
    declare(&world, "acme");
    let api = Api::of(&world);
    let slow = |method: &str| {
        let fault =
            json!({"path": "/storage/v1/b", "method": method, "each": true, "delay_ms": 3000});
        api.fault(&fault);
    };
    let event = |event: &str, action: &str, kind: &str| {
        format!(r#""event":"{event}","action":"{action}","kind":"{kind}""#)
    };
    slow("POST");
    let apply = ["apply", "--client", "acme", "--yes", "--events"];
    let begun = event("step_started", "create", "bucket");
    let (code, said) = interrupted(&world, &apply, &begun, "INT");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains(r#""event":"stopping""#), "{said}");
    assert!(
        said.contains(&event("step_finished", "create", "bucket")),
        "{said}"
    );
    assert!(!said.contains(r#""kind":"job""#), "{said}");
    assert!(
        said.contains("are not; the same command goes on from here"),
        "{said}"
    );
    assert_applied(&world, "acme", "after an interruption");

    slow("DELETE");
    let destroy = ["destroy", "--client", "acme", "--yes", "--events"];
    let begun = event("step_started", "delete", "bucket");
    let (code, said) = interrupted(&world, &destroy, &begun, "TERM");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("Receipt: "), "{said}");
    assert!(!said.contains(r#""kind":"service_account""#), "{said}");
    world.ok(&destroy);
}

#[test]
fn a_wait_that_nobody_waits_for_is_a_refusal() {
    let world = workspace();
    let api = Api::of(&world);
    declare(&world, "hour");
    let fault = json!({"method": "POST", "path": "/storage/v1/b", "status": 429, "retry_after": 3600, "times": 9});
    api.fault(&fault);
    let refused = apply(&world, "hour");
    assert_eq!(refused.code, Some(CLOUD), "{}", refused.stderr);
    let left = api.get("/_local/faults");
    assert_eq!(left["faults"][0]["times"], 8, "it was asked once: {left}");
    api.delete("/_local/faults");
    assert_applied(&world, "hour", "hour");
}

/// The cloud's process dies right after its n-th write, for every n: what it kept is whole.
#[test]
fn the_local_cloud_killed_at_any_of_its_writes_has_its_state() {
    let world = workspace();
    declare(&world, "first");
    assert_applied(&world, "first", "undisturbed");
    let mut deaths = 0;
    for skip in 0.. {
        let client = format!("dies{skip}");
        declare(&world, &client);
        world.ok(&["local", "up"]);
        let kill = json!({
            "method": "POST|PUT|PATCH|DELETE", "path": "/", "kill": true, "at": "after", "skip": skip,
        });
        Api::of(&world).fault(&kill);
        let died = apply(&world, &client);
        if died.code == Some(0) {
            Api::of(&world).delete("/_local/faults");
            break;
        }
        deaths += 1;
        assert!(
            died.stderr.contains("cannot reach"),
            "{skip}\n{}",
            died.stderr
        );
        // It starts the cloud again, which reads all it kept.
        assert_applied(&world, &client, &format!("after the death at write {skip}"));
    }
    assert!(deaths >= 10, "only {deaths} writes");
    assert_as_declared(&world, "first", "after all deaths");
}

/// A fault that xetl is to overcome or to name, chosen by chance.
fn any_fault(chance: &mut fastrand::Rng) -> Value {
    let routes = [
        "/",
        "/v1/projects/",
        "/v2/",
        "/v3/projects/",
        "/storage/v1/b",
        "/upload/storage/",
        "/bigquery/v2/",
    ];
    let mut fault = match chance.usize(0..8) {
        0 => json!({"status": 409, "reason": "ABORTED", "message": "somebody else changes it"}),
        1 => json!({"status": 429, "retry_after": 1}),
        2 => json!({"status": 500}),
        3 => json!({"status": 503}),
        4 => json!({"delay_ms": 300}),
        5 => json!({"dribble_ms": 20}),
        6 => json!({"method": "POST|PUT|PATCH|DELETE", "kill": true}),
        _ => json!({}),
    };
    fault["path"] = (*chance.choice(&routes).unwrap()).into();
    fault["at"] = (*chance.choice(&["before", "after"]).unwrap()).into();
    fault["skip"] = chance.usize(0..12).into();
    fault["times"] = chance.usize(1..4).into();
    fault["each"] = chance.bool().into();
    fault
}

/// Has a command meet some faults; a failure has to say what to do, and it is done again without.
fn through_faults(world: &World, chance: &mut fastrand::Rng, command: &[&str]) -> world::Done {
    world.ok(&["local", "up"]);
    let faults: Vec<_> = (0..chance.usize(1..5)).map(|_| any_fault(chance)).collect();
    let api = Api::of(world);
    faults.iter().for_each(|fault| api.fault(fault));
    let met = world.xetl(command);
    let case = format!("{command:?} {faults:?}\n{}\n{}", met.stdout, met.stderr);
    assert!(matches!(met.code, Some(0 | 1 | 3 | 4)), "{case}");
    assert!(!met.stderr.contains("panicked"), "{case}");
    if met.code != Some(0) {
        assert!(met.stderr.contains("error: "), "{case}");
    }
    // What is left of the faults is forgotten, where a death did not see to it.
    world.ok(&["local", "up"]);
    Api::of(world).delete("/_local/faults");
    let again = world.xetl(command);
    assert_eq!(
        again.code,
        Some(0),
        "{case}\nagain:\n{}\n{}",
        again.stdout,
        again.stderr
    );
    met
}

#[test]
fn whatever_faults_come_together_the_same_command_ends_well_without_them() {
    for seed in 0..SEEDS {
        let world = workspace();
        let mut chance = fastrand::Rng::with_seed(seed);
        let client = format!("seed{seed}");
        declare(&world, &client);
        let apply = ["apply", "--client", &client, "--yes"];
        through_faults(&world, &mut chance, &apply);
        assert_as_declared(&world, &client, &format!("seed {seed}"));
        let changed = "schedule: {cron: 0 3 * * *, time_zone: Europe/London}";
        let text = format!(
            "client: {client}\nlabels: {{team: night}}\npipelines:\n  one: {{source: things, {changed}}}\n"
        );
        world.write(&format!("clients/{client}.yaml"), &text);
        through_faults(&world, &mut chance, &apply);
        assert_as_declared(&world, &client, &format!("seed {seed}, changed"));
        let destroy = ["destroy", "--client", &client, "--yes"];
        let all = ["--delete-data", "bucket,dataset,secrets"];
        let destroy = [&destroy[..], &all].concat();
        through_faults(&world, &mut chance, &destroy);
        let left = world.xetl(&["plan", "--client", &client]);
        assert!(
            !left.stdout.contains("  ~ "),
            "seed {seed}\n{}",
            left.stdout
        );
    }
}
