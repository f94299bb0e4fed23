//! Whoever runs xetl, as a service account with exactly the roles docs/permissions.md names: all
//! works with them, and without any one of them exactly one thing fails, with the permission's
//! name, the role and how to grant it.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use world::api::Api;
use world::{Done, World};

const PROJECT: &str = "local-project";
const DEPLOYER: &str = "deployer@local-project.iam.gserviceaccount.com";
const WORKSPACE: &str = "target: local
project: local-project
region: australia-southeast1
defaults:
  alerts: {email: [ops@example.com]}
";

/// What shows that a role is missing.
#[derive(Clone, Copy)]
enum Fails {
    /// A plan of the client that is there.
    Plan,
    /// The first apply of another client.
    NewClient,
    /// An apply that finds an API switched off.
    ApiOff,
    /// An apply that finds the metric of runs gone.
    MetricGone,
    Query,
    Logs,
}

/// Each role of docs/permissions.md, what fails without it, and the permission that is named.
const NEEDED: [(&str, Fails, &str); 15] = [
    (
        "roles/serviceusage.serviceUsageAdmin",
        Fails::ApiOff,
        "serviceusage.services.enable",
    ),
    (
        "roles/resourcemanager.projectIamAdmin",
        Fails::Plan,
        "resourcemanager.projects.getIamPolicy",
    ),
    (
        "roles/iam.serviceAccountAdmin",
        Fails::NewClient,
        "iam.serviceAccounts.create",
    ),
    ("roles/storage.admin", Fails::Plan, "storage.buckets.get"),
    (
        "roles/secretmanager.admin",
        Fails::Plan,
        "secretmanager.secrets.list",
    ),
    (
        "roles/artifactregistry.admin",
        Fails::Plan,
        "artifactregistry.repositories.get",
    ),
    (
        "roles/bigquery.dataOwner",
        Fails::NewClient,
        "bigquery.datasets.create",
    ),
    (
        "roles/bigquery.jobUser",
        Fails::Query,
        "bigquery.jobs.create",
    ),
    // Last of those that make the new client, as all before the job is made then.
    (
        "roles/iam.serviceAccountUser",
        Fails::NewClient,
        "iam.serviceaccounts.actAs",
    ),
    ("roles/run.admin", Fails::Plan, "run.jobs.list"),
    (
        "roles/cloudscheduler.admin",
        Fails::Plan,
        "cloudscheduler.jobs.list",
    ),
    (
        "roles/monitoring.alertPolicyEditor",
        Fails::Plan,
        "monitoring.alertPolicies.list",
    ),
    (
        "roles/monitoring.notificationChannelEditor",
        Fails::Plan,
        "monitoring.notificationChannels.list",
    ),
    (
        "roles/logging.viewer",
        Fails::Logs,
        "logging.logEntries.list",
    ),
    (
        "roles/logging.configWriter",
        Fails::MetricGone,
        "logging.logMetrics.update",
    ),
];

impl Fails {
    /// As docs/permissions.md has it.
    fn documented(self) -> &'static str {
        match self {
            Fails::Plan => "`xetl plan`",
            Fails::NewClient => "`xetl apply` of a new client",
            Fails::ApiOff => "`xetl apply` where an API is off",
            Fails::MetricGone => "`xetl apply` of the first client with alerts",
            Fails::Query => "`xetl query`",
            Fails::Logs => "`xetl logs`",
        }
    }

    fn happens(self, world: &World, api: &Api) -> Done {
        match self {
            Fails::Plan => world.xetl(&["plan", "--client", "acme"]),
            Fails::NewClient => world.xetl(&["apply", "--client", "twin", "--yes"]),
            Fails::ApiOff => {
                api.post(&service("run.googleapis.com:disable"), &json!({}));
                let done = world.xetl(&["apply", "--client", "acme", "--yes"]);
                api.post(&service("run.googleapis.com:enable"), &json!({}));
                done
            }
            Fails::MetricGone => {
                api.delete(&metric());
                world.xetl(&["apply", "--client", "acme", "--yes"])
            }
            Fails::Query => world.xetl(&["query", "--client", "acme", "select 1"]),
            Fails::Logs => world.xetl(&["logs", "--client", "acme"]),
        }
    }
}

fn service(rest: &str) -> String {
    format!("/v1/projects/{PROJECT}/services/{rest}")
}

fn metric() -> String {
    format!("/v2/projects/{PROJECT}/metrics/xetl-runs")
}

/// The project's owner makes the account, a key of it, and switches on what that takes.
fn deployer(api: &Api) -> Value {
    for name in ["cloudresourcemanager", "iam"] {
        let path = service(&format!("{name}.googleapis.com:enable"));
        api.post(&path, &json!({}));
    }
    let accounts = format!("/v1/projects/{PROJECT}/serviceAccounts");
    api.post(&accounts, &json!({"accountId": "deployer"}));
    let key = api.post(&format!("{accounts}/{DEPLOYER}/keys"), &json!({}));
    let key = STANDARD.decode(key["privateKeyData"].as_str().unwrap());
    serde_json::from_slice(&key.unwrap()).unwrap()
}

/// Gives the account these roles on the project and no others.
fn grant<'a>(api: &Api, roles: impl Iterator<Item = &'a str>) {
    let path = format!("/v3/projects/{PROJECT}");
    let member = format!("serviceAccount:{DEPLOYER}");
    let mut policy = api.post(&format!("{path}:getIamPolicy"), &json!({}));
    let mut bindings: Vec<Value> = policy["bindings"].as_array().cloned().unwrap_or_default();
    for binding in &mut bindings {
        let members = binding["members"].as_array_mut().unwrap();
        members.retain(|it| *it != member);
    }
    bindings.extend(roles.map(|role| json!({"role": role, "members": [member]})));
    policy["bindings"] = bindings.into();
    api.post(&format!("{path}:setIamPolicy"), &json!({"policy": policy}));
}

fn all_roles() -> impl Iterator<Item = &'static str> {
    NEEDED.into_iter().map(|(role, _, _)| role)
}

/// Once a day, as only what runs often is watched, and not while this test runs.
fn daily() -> String {
    let hour = jiff::Timestamp::now().as_second() / 3600;
    format!("0 {} * * *", (hour + 12) % 24)
}

fn onboard(world: &World, xero: &str) {
    let secret = world.write("client-secret", "sandbox-secret");
    let secret = format!("credentials.client_secret={}", secret.display());
    let config = [
        "credentials.auth_type=custom_connection".to_owned(),
        "credentials.client_id=sandbox".to_owned(),
        format!("api_url={xero}"),
        format!("identity_url={xero}"),
        "start_date=2020-01-01".to_owned(),
        "calls_per_minute=100000".to_owned(),
    ];
    let mut arguments = vec!["onboard", "--yes", "--client", "acme", "--source", "xero"];
    let cron = daily();
    arguments.extend(["--schedule", &cron, "--time-zone", "UTC"]);
    arguments.extend(["--secret-file", &secret]);
    for value in &config {
        arguments.extend(["--config", value]);
    }
    world.ok(&arguments);
}

/// What a person does with a client, from plan to query.
fn work(world: &World) {
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(plan["steps"].as_array().unwrap().len(), 0, "{plan:#}");
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.ok(&["run", "--client", "acme", "--wait"]);
    world.ok(&["run", "--client", "acme", "--wait", "--full-refresh"]);
    world.ok(&["status", "--client", "acme"]);
    world.ok(&["logs", "--client", "acme"]);
    let sql = "select count(*) as n from acme_xero.invoices_latest";
    world.ok(&["query", "--client", "acme", sql]);
    world.ok(&["secrets", "list", "--client", "acme"]);
    world.ok(&["doctor", "--client", "acme"]);
    world.ok(&["plan", "--all"]);
    world.ok(&["status", "--all"]);
    world.ok(&["image", "list", "--client", "acme"]);
    world.ok(&["image", "inspect", "--client", "acme"]);
    world.ok(&["upgrade", "--all", "--yes"]);
    let file = world.read("clients/acme.yaml");
    std::fs::remove_file(world.path().join("clients/acme.yaml")).unwrap();
    world.ok(&["adopt", "--client", "acme"]);
    world.write("clients/acme.yaml", &file);
    world.ok(&["destroy", "--client", "acme", "--pause", "--yes"]);
    world.ok(&["apply", "--client", "acme", "--yes"]);
    let drift = world.xetl(&["drift", "--client", "acme"]);
    assert!(matches!(drift.code, Some(0 | 2)), "{}", drift.stderr);
}

/// Changes what can be changed of a client, here and behind xetl's back.
fn change(world: &World, api: &Api) {
    world.write(
        "xetl.yaml",
        &format!("{WORKSPACE}  labels: {{team: data}}\n"),
    );
    let file = world.read("clients/acme.yaml");
    let later = file.replace(&daily(), &daily().replacen('0', "15", 1));
    assert_ne!(later, file);
    world.write("clients/acme.yaml", &later);
    for kind in ["alertPolicies", "notificationChannels"] {
        let all = api.get(&format!("/v3/projects/{PROJECT}/{kind}"));
        let name = all[kind][0]["name"].as_str().unwrap();
        let path = format!("/v3/{name}?updateMask=enabled");
        api.patch(&path, &json!({"enabled": false}));
    }
    let mut runs = api.get(&metric());
    runs["description"] = json!("runs");
    api.put(&metric(), &runs);
    world.ok(&["apply", "--client", "acme", "--yes"]);
}

fn sees_the_lack(world: &World, api: &Api, role: &str, fails: Fails, permission: &str) {
    let done = fails.happens(world, api);
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(
        matches!(done.code, Some(1 | 4)),
        "{role}: {:?}\n{said}",
        done.code
    );
    for words in [permission, PROJECT, &format!("--role={role}")] {
        assert!(said.contains(words), "{role}: no {words} in\n{said}");
    }
    let doctor = world.xetl(&["doctor", "--client", "acme", "--format", "json"]);
    let found: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let lack = found["findings"].as_array().unwrap().iter().find(|it| {
        let sentence = it["sentence"].as_str().unwrap().to_lowercase();
        it["check"] == "permissions" && sentence.contains(&permission.to_lowercase())
    });
    let mend = lack.unwrap_or_else(|| panic!("{role}: {found:#}"))["mend"].to_string();
    assert!(mend.contains(role) && mend.contains(DEPLOYER), "{mend}");
}

/// What xetl was asked for is what `xetl doctor` looks at, no more and no less.
fn doctor_asks_for_what_was_needed(api: &Api) {
    let needed = api.get("/_local/permissions");
    let needed: BTreeSet<String> = serde_json::from_value(needed[DEPLOYER].clone()).unwrap();
    let asked: BTreeSet<String> = xetl::doctor::asked().into_iter().collect();
    let optional = [
        "cloudasset.assets.listIamPolicy",
        "cloudasset.assets.listResource",
    ];
    let unasked: Vec<_> = needed
        .difference(&asked)
        .filter(|it| !optional.contains(&it.as_str()))
        .collect();
    let unneeded: Vec<_> = asked.difference(&needed).collect();
    assert!(unasked.is_empty(), "needed and not asked for: {unasked:#?}");
    assert!(
        unneeded.is_empty(),
        "asked for and not needed: {unneeded:#?}"
    );
}

#[test]
fn whoever_runs_xetl_needs_the_documented_roles_and_each_of_them() {
    let mut world = World::new();
    world.write("xetl.yaml", WORKSPACE);
    let few = ["--documents", "20", "--calls-per-minute", "100000"];
    let xero = world.sandbox(&few);
    world.ok(&["local", "up"]);
    let api = Api::of(&world);
    let key = deployer(&api);
    world.sign_in(&key);
    grant(&api, all_roles());
    onboard(&world, &xero);
    work(&world);
    change(&world, &api);
    world.write("sources/things.yaml", world::THINGS);
    world.write(
        "clients/twin.yaml",
        "client: twin\npipelines:\n  things: {source: things}\n",
    );
    for (role, fails, permission) in NEEDED {
        grant(&api, all_roles().filter(|it| *it != role));
        sees_the_lack(&world, &api, role, fails, permission);
    }
    grant(&api, all_roles());
    world.ok(&["apply", "--client", "acme", "--yes"]);
    let data = ["--delete-data", "bucket,dataset,secrets"];
    world.ok(&[&["destroy", "--client", "acme", "--yes"][..], &data].concat());
    doctor_asks_for_what_was_needed(&api);
}

/// The rows of the table under a heading, by their cells.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document.split_once(heading).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').split(" | ");
        inner.map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

#[test]
fn the_documented_table_is_the_tested_one() {
    let document = include_str!("../../docs/permissions.md");
    let rows = table(document, "## Whoever runs xetl");
    let documented: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row[0].as_str(), row[2].as_str()))
        .collect();
    let tested: Vec<(String, String)> = NEEDED
        .iter()
        .map(|(role, fails, permission)| {
            let without = format!("{}: `{permission}`", fails.documented());
            (format!("`{role}`"), without)
        })
        .collect();
    let tested: Vec<(&str, &str)> = tested.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(documented, tested);
}
