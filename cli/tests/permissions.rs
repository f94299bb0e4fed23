//! Least privilege, proven: without any one of its grants a deployed client fails at exactly the
//! step that needs it, with the permission's name, and `apply` puts it back.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use serde_json::{Value, json};
use world::api::Api;
use world::{World, wait_for};

const PROJECT: &str = "local-project";
const REGION: &str = "australia-southeast1";

/// A client whose source renews its own refresh token, with a schedule.
fn onboard(world: &World, xero: &str, tenant: &str, token: &str) {
    let secret = world.write("client-secret", "sandbox-secret");
    let token = world.write("refresh-token", token);
    let [secret, token] = [("client_secret", secret), ("refresh_token", token)]
        .map(|(field, file)| format!("credentials.{field}={}", file.display()));
    let config = [
        "credentials.auth_type=refresh_token".to_owned(),
        "credentials.client_id=sandbox".to_owned(),
        format!("credentials.tenant_id={tenant}"),
        format!("api_url={xero}"),
        format!("identity_url={xero}"),
        "start_date=2020-01-01".to_owned(),
        "calls_per_minute=100000".to_owned(),
    ];
    let mut arguments = vec!["onboard", "--yes", "--client", "acme", "--source", "xero"];
    arguments.extend(["--schedule", "0 2 1 1 *", "--time-zone", "Pacific/Auckland"]);
    arguments.extend(["--secret-file", &secret, "--secret-file", &token]);
    for value in &config {
        arguments.extend(["--config", value]);
    }
    world.ok(&arguments);
}

/// The grants of the client, as the plan of one that is declared as it is and not there yet names them.
fn grants(world: &World) -> Vec<String> {
    let other = world.read("clients/acme.yaml").replace("acme", "twin");
    world.write("clients/twin.yaml", &other);
    let plan = world.json(&["plan", "--client", "twin"]);
    let steps = plan["steps"].as_array().unwrap().iter();
    let grants = steps.filter(|step| step["kind"].as_str().unwrap().ends_with("_member"));
    grants
        .map(|step| step["name"].as_str().unwrap().replace("twin", "acme"))
        .collect()
}

/// `ROLE on KIND NAME for ACCOUNT`.
struct Grant<'a> {
    role: &'a str,
    kind: &'a str,
    name: &'a str,
    member: String,
}

impl<'a> Grant<'a> {
    fn read(text: &'a str) -> Grant<'a> {
        let (role, rest) = text.split_once(" on ").unwrap();
        let (on, account) = rest.split_once(" for ").unwrap();
        let (kind, name) = on.split_once(' ').unwrap_or((on, ""));
        let member = format!("serviceAccount:{account}@{PROJECT}.iam.gserviceaccount.com");
        Grant {
            role,
            kind,
            name,
            member,
        }
    }

    fn remove(&self, api: &Api) {
        match self.kind {
            "dataset" => self.remove_access(api),
            "bucket" => {
                let path = format!("/storage/v1/b/{}/iam", self.name);
                let policy = self.without(api.get(&path));
                api.put(&path, &policy);
            }
            _ => {
                let path = self.holder();
                let read = match self.kind {
                    "project" => api.post(&format!("{path}:getIamPolicy"), &json!({})),
                    _ => api.get(&format!("{path}:getIamPolicy")),
                };
                let policy = json!({"policy": self.without(read)});
                api.post(&format!("{path}:setIamPolicy"), &policy);
            }
        }
    }

    fn holder(&self) -> String {
        let name = self.name;
        match self.kind {
            "project" => format!("/v3/projects/{PROJECT}"),
            "secret" => format!("/v1/projects/{PROJECT}/secrets/{name}"),
            "job" => format!("/v2/projects/{PROJECT}/locations/{REGION}/jobs/{name}"),
            kind => panic!("grants on a {kind}"),
        }
    }

    fn without(&self, mut policy: Value) -> Value {
        let bindings = policy["bindings"].as_array_mut().unwrap();
        let mut removed = 0;
        for binding in bindings.iter_mut().filter(|it| it["role"] == self.role) {
            let members = binding["members"].as_array_mut().unwrap();
            members.retain(|member| *member != self.member);
            removed += 1;
        }
        assert_eq!(removed, 1, "{} is not in {policy}", self.role);
        policy
    }

    fn remove_access(&self, api: &Api) {
        let path = format!("/bigquery/v2/projects/{PROJECT}/datasets/{}", self.name);
        let dataset = api.get(&path);
        let mut access = dataset["access"].as_array().unwrap().clone();
        let email = self.member.strip_prefix("serviceAccount:").unwrap();
        access.retain(|entry| entry["userByEmail"] != email);
        api.patch(&path, &json!({"access": access}));
    }

    /// The permission whose lack is to be named.
    fn permission(&self) -> &'static str {
        match self.role {
            "roles/storage.objectUser" => "storage.objects.get",
            "roles/bigquery.jobUser" => "bigquery.jobs.create",
            "roles/bigquery.dataEditor" => "bigquery.tables.get",
            "roles/secretmanager.secretAccessor" => "secretmanager.versions.access",
            "roles/secretmanager.secretVersionManager" => "secretmanager.versions.add",
            "roles/run.invoker" => "run.jobs.run",
            role => panic!("`{role}` is granted and nobody says what for"),
        }
    }
}

/// Runs the pipeline as its schedule does; gives what the schedule says of it where it was refused.
fn fire(api: &Api) -> Option<String> {
    let path = format!("/v1/projects/{PROJECT}/locations/{REGION}/jobs/acme-xero");
    let before = api.get(&path)["lastAttemptTime"].clone();
    api.post(&format!("{path}:run"), &json!({}));
    let after = wait_for("an attempt of the schedule", || {
        Some(api.get(&path)).filter(|job| job["lastAttemptTime"] != before)
    });
    after["status"]["message"].as_str().map(str::to_owned)
}

/// What a run says that may not do something it must.
fn refused(world: &World, api: &Api, grant: &Grant<'_>) -> String {
    if grant.kind == "job" {
        return fire(api).expect("the schedule is refused");
    }
    // Access tokens last longer than a run: each signs in anew, as a nightly one does.
    let done = world.xetl(&["run", "--client", "acme", "--wait", "--full-refresh"]);
    assert_ne!(done.code, Some(0), "{} is not needed", grant.role);
    format!("{}{}", done.stdout, done.stderr)
}

#[test]
fn a_grant_less_and_exactly_its_step_fails() {
    let mut world = World::new();
    let few = ["--documents", "100", "--calls-per-minute", "100000"];
    let xero = world.sandbox(&few);
    let sandbox: Value = serde_json::from_str(&world.read("sandbox/sandbox.json")).unwrap();
    let text = |name: &str| sandbox[name].as_str().unwrap().to_owned();
    world.ok(&["init"]);
    onboard(&world, &xero, &text("tenant_id"), &text("refresh_token"));
    let api = Api::of(&world);
    let grants = grants(&world);
    assert_eq!(grants.len(), 7, "{grants:?}");
    for text in &grants {
        let grant = Grant::read(text);
        grant.remove(&api);
        let said = refused(&world, &api, &grant);
        let permission = grant.permission();
        assert!(
            said.contains(permission),
            "{text}: no {permission} in\n{said}"
        );
        let plan = world.json(&["plan", "--client", "acme"]);
        let steps = plan["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 1, "{text}: {plan:#}");
        assert_eq!(steps[0]["name"], text.as_str(), "{plan:#}");
        world.ok(&["apply", "--client", "acme", "--yes"]);
        world.ok(&["run", "--client", "acme", "--wait", "--full-refresh"]);
    }
    assert_eq!(fire(&api), None);
}
