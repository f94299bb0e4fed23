//! Plans: looked at, kept, carried out later or refused, and told to scripts by exit codes.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use serde_json::Value;
use world::{THINGS, World};

fn client(world: &World, cron: &str) {
    let text = format!(
        "client: acme\npipelines:\n  things:\n    source: things\n    schedule: {{cron: \"{cron}\", time_zone: Europe/London}}\n"
    );
    world.write("clients/acme.yaml", &text);
}

fn workspace() -> World {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", THINGS);
    client(&world, "0 2 * * *");
    world
}

#[test]
fn a_plan_is_kept_and_carried_out_only_while_it_stands() {
    let world = workspace();
    let keep = |name: &str| world.ok(&["plan", "--client", "acme", "--out", name]);
    keep("first.json");
    keep("again.json");
    assert_eq!(world.read("first.json"), world.read("again.json"));
    let applied = world.xetl(&["apply", "first.json", "--events"]);
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert_events(&applied.stderr);

    // Its steps are done: what the other one read is not what there is.
    let refused = world.xetl(&["apply", "again.json"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("what it read has changed since"));
    assert!(
        refused
            .stderr
            .contains("xetl plan --client acme --out again.json")
    );

    client(&world, "0 3 * * *");
    keep("later.json");
    client(&world, "0 4 * * *");
    let refused = world.xetl(&["apply", "later.json"]);
    insta::assert_snapshot!(refused.stderr, @"
    error: later.json cannot be applied: what is declared has changed since: schedule acme-things (cron)
    hint: `xetl plan --client acme --out later.json`, and look at it again
    ");
    client(&world, "0 3 * * *");
    world.ok(&["apply", "later.json"]);
    assert_eq!(world.json(&["plan", "--client", "acme"])["empty"], true);

    world.write("broken.json", "{}");
    let refused = world.xetl(&["apply", "broken.json"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}

#[test]
fn a_script_learns_from_the_exit_code_and_from_json_whether_there_is_something_to_do() {
    let world = workspace();
    let planned = |more: &[&str]| {
        let mut arguments = vec!["plan", "--client", "acme", "--detailed-exitcode"];
        arguments.extend(more);
        world.xetl(&arguments).code
    };
    assert_eq!(planned(&[]), Some(2));
    world.ok(&["apply", "--client", "acme", "--yes"]);
    assert_eq!(planned(&[]), Some(0));
    client(&world, "at noon");
    assert_eq!(planned(&[]), Some(1));
    client(&world, "0 5 * * *");
    let plan = world.json(&["plan", "--client", "acme"]);
    insta::assert_snapshot!(format!("{:#}", plan["steps"]), @r#"
    [
      {
        "action": "update",
        "kind": "schedule",
        "name": "acme-things",
        "changes": [
          {
            "field": "cron",
            "before": "0 2 * * *",
            "after": "0 5 * * *"
          }
        ],
        "why": "there, but 1 field is not as declared; starts pipeline `things` in time"
      }
    ]
    "#);
    assert_eq!(plan["summary"]["unchanged"], 22);
    assert_fits(&world.json(&["schema", "plan"]), &plan);
    insta::assert_snapshot!(world.ok(&["plan", "--client", "acme", "--why"]), @"
      ~ schedule   acme-things
                   there, but 1 field is not as declared; starts pipeline `things` in time
                   cron  0 2 * * * -> 0 5 * * *

    1 to change, 22 unchanged.
    ");
}

/// Each step begins and ends, between the beginning and the end of all.
fn assert_events(told: &str) {
    let events: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    let steps = usize::try_from(events[0]["steps"].as_u64().unwrap()).unwrap();
    assert!(steps > 10, "{told}");
    assert_eq!(count("step_started"), steps, "{told}");
    assert_eq!(count("step_finished"), steps, "{told}");
    assert_eq!(events.last().unwrap()["event"], "finished", "{told}");
}

/// The document is as its schema says.
fn assert_fits(schema: &Value, document: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let problems: Vec<String> = validator
        .iter_errors(document)
        .map(|it| it.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn a_region_that_may_be_new_is_taken_and_the_plan_says_so() {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", THINGS);
    let client = "client: acme\nregion: europe-west15\npipelines:\n  things: {source: things}\n";
    world.write("clients/acme.yaml", client);
    let plan = world.json(&["plan", "--client", "acme"]);
    let warnings = plan["warnings"].as_array().unwrap();
    let warning = warnings[0].as_str().unwrap();
    assert!(warning.contains("`europe-west15`"), "{warning}");
    world.ok(&["apply", "--client", "acme", "--yes"]);

    world.write("clients/acme.yaml", &client.replace("west15", "wset1"));
    let refused = world.xetl(&["plan", "--client", "acme"]);
    assert!(
        refused.stderr.contains("did you mean `europe-west1`?"),
        "{}",
        refused.stderr
    );
}
