//! A project that is not there, and one nobody pays for: told at once, with where it is declared
//! and what to do, before anything is changed.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use world::api::Api;
use world::{World, wait_for};

const CLIENT: &str = "client: NAME\npipelines:\n  things: {source: things}\n";

/// A workspace of two clients: `acme` in the workspace's project, `globex` in its own.
fn workspace() -> World {
    let world = World::new();
    world.write(
        "xetl.yaml",
        "target: local\nproject: acme-prodd\nregion: europe-west2\n",
    );
    world.write("sources/things.yaml", world::THINGS);
    world.write("clients/acme.yaml", &CLIENT.replace("NAME", "acme"));
    let globex = CLIENT.replace("NAME", "globex");
    let globex = globex.replace("pipelines", "project: globex-prod\npipelines");
    world.write("clients/globex.yaml", &globex);
    world.ok(&["local", "up"]);
    world
}

fn say(world: &World, of_projects: &Value) -> Api {
    let api = Api::of(world);
    api.post("/_local/projects", of_projects);
    api
}

/// What a command says that has to fail with this exit code.
fn refused(world: &World, code: i32, arguments: &[&str]) -> String {
    let done = world.refused(code, arguments);
    done.stdout + &done.stderr
}

fn must_be_empty(api: &Api) {
    let status = api.get("/_local/status");
    let counts = status["counts"].as_object().unwrap();
    assert!(counts.values().all(|count| *count == 0), "{counts:?}");
}

#[test]
fn a_project_that_is_not_there_is_named_with_its_place_before_anything_is_changed() {
    let world = workspace();
    let api = say(&world, &json!({"only": ["acme-prod"]}));
    insta::assert_snapshot!(refused(&world, 2, &["plan", "--client", "acme"]), @r"
    error: xetl.yaml:2: project `acme-prodd` does not exist, or you may not see it
    hint: `gcloud projects list` shows those you may see; correct `project` there, or have its owner give your account a role in it
    ");
    let said = refused(&world, 2, &["apply", "--client", "globex", "--yes"]);
    insta::assert_snapshot!(said.lines().next().unwrap(), @"error: clients/globex.yaml:2: project `globex-prod` does not exist, or you may not see it");
    let secret = world.write("secret", "sandbox-secret");
    let secret = format!("credentials.client_secret={}", secret.display());
    let onboard = [
        "onboard",
        "--yes",
        "--client",
        "initech",
        "--source",
        "xero",
        "--config",
        "credentials.auth_type=custom_connection",
        "--config",
        "credentials.client_id=sandbox",
        "--config",
        "start_date=2020-01-01",
        "--secret-file",
        &secret,
    ];
    let said = refused(&world, 2, &onboard);
    insta::assert_snapshot!(said, @r"
    Wrote clients/initech.yaml.
    error: xetl.yaml:2: project `acme-prodd` does not exist, or you may not see it
    hint: `gcloud projects list` shows those you may see; correct `project` there, or have its owner give your account a role in it
    ");
    let doctor = refused(
        &world,
        1,
        &["doctor", "--client", "globex", "--format", "json"],
    );
    let found: Value = serde_json::from_str(&doctor).unwrap();
    let problems: Vec<_> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["level"] == "problem")
        .map(|it| format!("{}: {} -> {}", it["check"], it["sentence"], it["mend"]))
        .collect();
    insta::assert_snapshot!(problems.join("\n"), @r#""project": "clients/globex.yaml:2: globex-prod does not exist, or you may not see it" -> "gcloud projects list""#);
    must_be_empty(&api);
}

#[test]
fn every_command_tells_a_missing_project_as_plan_does() {
    let world = workspace();
    say(&world, &json!({"only": ["acme-prod"]}));
    let secret = world.write("secret", "k1").display().to_string();
    let set = ["secrets", "set", "key", "--from-file", &secret];
    let commands: [&[&str]; 8] = [
        &["run"],
        &["status"],
        &["logs"],
        &["query", "select 1"],
        &["destroy", "--yes"],
        &["adopt"],
        &["secrets", "list"],
        &set,
    ];
    world.write(
        "sources/things.yaml",
        &format!("{}{}", world::THINGS, world::SECRET_KEY),
    );
    for command in commands {
        let client = match command[0] {
            "adopt" => "initech",
            _ => "acme",
        };
        let said = refused(&world, 2, &[command, &["--client", client]].concat());
        let first = said.lines().find(|line| line.starts_with("error:"));
        assert_eq!(
            first,
            Some("error: xetl.yaml:2: project `acme-prodd` does not exist, or you may not see it"),
            "{command:?}\n{said}"
        );
    }
    // A code of its own for errors stays.
    refused(
        &world,
        1,
        &["plan", "--client", "acme", "--detailed-exitcode"],
    );
    refused(&world, 1, &["drift", "--client", "acme"]);
}

#[test]
fn of_many_clients_only_those_of_the_missing_project_fail() {
    let world = workspace();
    say(&world, &json!({"only": ["globex-prod"]}));
    let said = refused(&world, 4, &["plan", "--all"]);
    assert!(
        said.contains("xetl.yaml:2: project `acme-prodd` does not exist"),
        "{said}"
    );
    assert!(!said.contains("globex.yaml:2"), "{said}");
    refused(&world, 4, &["apply", "--all", "--yes"]);
    let plan = world.ok(&["plan", "--client", "globex"]);
    assert!(plan.starts_with("No changes."), "{plan}");
}

#[test]
fn a_project_nobody_pays_for_gets_no_apis_and_the_doctor_knows_the_command() {
    let world = workspace();
    let api = say(&world, &json!({"unbilled": ["globex-prod"]}));
    let said = refused(&world, 4, &["apply", "--client", "globex", "--yes"]);
    let number = regex::Regex::new("[0-9]{12}").unwrap();
    let said = number.replace_all(&said, "NUMBER").into_owned();
    let said = said.split_once("error: ").unwrap().1;
    insta::assert_snapshot!(said, @r"
    enabling the project's APIs: Google answered 400: Billing account for project 'NUMBER' is not found. Billing must be enabled for activation of service(s) 'artifactregistry.googleapis.com,cloudscheduler.googleapis.com,run.googleapis.com,secretmanager.googleapis.com' to proceed.
    hint: the project needs a billing account; `xetl doctor` gives the command that links one
          0 steps are done, 16 are not; the same command goes on from here
    ");
    must_be_empty(&api);
    for name in ["cloudbilling", "cloudresourcemanager"] {
        let path = format!("/v1/projects/globex-prod/services/{name}.googleapis.com:enable");
        api.post(&path, &json!({}));
    }
    let doctor = refused(&world, 1, &["doctor", "--client", "globex"]);
    let command = "gcloud billing projects link globex-prod --billing-account=ACCOUNT";
    assert!(doctor.contains(command), "{doctor}");
}

#[test]
fn a_local_cloud_can_be_started_with_the_projects_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut cloud = Command::new(world::built("xetl-local"))
        .args(["serve", "--project", "acme-prod", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let url = wait_for("the local cloud", || {
        let text = std::fs::read(folder.path().join("endpoint.json")).ok()?;
        let endpoint: Value = serde_json::from_slice(&text).ok()?;
        Some(endpoint["url"].as_str()?.to_owned())
    });
    let said = Api::at(&url).get("/_local/projects");
    cloud.kill().unwrap();
    cloud.wait().unwrap();
    assert_eq!(said, json!({"only": ["acme-prod"], "unbilled": []}));
}
