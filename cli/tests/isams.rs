//! The built-in source `isams` against its sandbox, read by the reference.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use world::{World, python};

#[test]
fn the_reference_reads_the_isams_manifest_to_the_sandboxs_own_truth() {
    let Some(python) = python() else { return };
    let mut world = World::new();
    let school = world.sandbox_of("isams", &["--students", "120", "--page-cap", "50"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/isams.py");
    let output = Command::new(python)
        .arg(script)
        .arg(school)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

fn school_config(world: &World, school: &str) -> (String, String) {
    let document = json!({
        "CLIENT_ID": "sandbox",
        "CLIENT_SECRET": "sandbox-secret",
        "TOKEN_URL": format!("{school}/auth/connect/token"),
        "API_BASE_URL": format!("{school}/"),
    });
    let document = world.write("document.json", &document.to_string());
    let secret = format!("credentials.document={}", document.display());
    ("credentials.auth_type=document".to_owned(), secret)
}

const SHAPED: &str = r"
    streams:
      year_groups: {}
      divisions: {}
      students:
        transformations:
          - rename: {forename: given_name}
          - hash: [surname]
          - mask: {fields: [dob]}
          - remove: [homeAddresses]
          - add: {adult: {value: '{{ false }}', type: BOOL}}
    models:
      crowded: SELECT name FROM year_group_sizes WHERE pupils > 0 AND divisions > 0
      year_group_sizes:
        as: table
        sql: |
          SELECT years.ncYear, years.name, COUNT(DISTINCT divisions.id) AS divisions,
            COUNT(DISTINCT students.schoolId) AS pupils
          FROM year_groups AS years
          LEFT JOIN divisions ON divisions.ncYear = years.ncYear
          LEFT JOIN students ON students.yearGroup = years.ncYear
          GROUP BY years.ncYear, years.name
";

/// A school with three of its streams shaped and joined.
fn onboarded(world: &World, school: &str) {
    world.ok(&["init"]);
    let (kind, secret) = school_config(world, school);
    let arguments = [
        "onboard", "--yes", "--no-run", "--client", "acme", "--source", "isams",
    ];
    let given = ["--config", &kind, "--secret-file", &secret];
    world.ok(&[&arguments[..], &given[..]].concat());
    let file = world.read("clients/acme.yaml");
    world.write("clients/acme.yaml", &format!("{}{SHAPED}", file.trim_end()));
    let key = world.write("key", "pepper");
    let key = key.display().to_string();
    world.ok(&[
        "secrets",
        "set",
        "--client",
        "acme",
        "hash_key",
        "--from-file",
        &key,
    ]);
    world.ok(&["apply", "--client", "acme", "--yes"]);
}

fn rows(world: &World, sql: &str) -> Vec<Value> {
    let rows = world.json(&["query", "--client", "acme", sql]);
    rows.as_array().unwrap().clone()
}

#[test]
fn records_are_shaped_on_their_way_and_models_join_what_is_loaded() {
    let mut world = World::new();
    let school = world.sandbox_of("isams", &["--students", "120", "--page-cap", "50"]);
    onboarded(&world, &school);
    let run = world.json(&["run", "--client", "acme", "--wait"]);
    assert_eq!(run["summary"]["outcome"], "done", "{run:#}");
    let models = run["summary"]["models"].as_array().unwrap();
    let built = models
        .iter()
        .map(|it| (it["model"].as_str(), it["outcome"].as_str()));
    assert_eq!(
        built.collect::<Vec<_>>(),
        [
            (Some("year_group_sizes"), Some("built")),
            (Some("crowded"), Some("built"))
        ]
    );

    let pupils = &rows(
        &world,
        "SELECT SUM(pupils) n FROM acme_isams.year_group_sizes",
    )[0]["n"];
    let students = &rows(&world, "SELECT COUNT(*) n FROM acme_isams.students")[0]["n"];
    assert_eq!(pupils, students);
    // The sandbox gives year y as many divisions as y modulo 3.
    let wrong =
        "SELECT ncYear FROM acme_isams.year_group_sizes WHERE divisions != MOD(ncYear + 6, 3)";
    assert_eq!(rows(&world, wrong), Vec::<Value>::new());
    assert_ne!(
        rows(&world, "SELECT * FROM acme_isams.crowded"),
        Vec::<Value>::new()
    );

    let seen = "SELECT COUNT(*) n FROM acme_isams.students WHERE dob = '****' \
        AND LENGTH(surname) = 64 AND given_name IS NOT NULL AND adult = FALSE";
    assert_eq!(&rows(&world, seen)[0]["n"], students);
    let again = world.json(&[
        "run",
        "--client",
        "acme",
        "--stream",
        "year_groups",
        "--wait",
    ]);
    assert_eq!(again["summary"]["models"].as_array().map(Vec::len), Some(2));
}
