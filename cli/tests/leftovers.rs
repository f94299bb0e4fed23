//! What is half gone or half made: names that are not free yet, accounts that were deleted and made
//! again, jobs that are there and do not run, values that nobody can read. A plan says it, an apply
//! mends it or waits.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use serde_json::{Value, json};
use world::api::Api;
use world::{SECRET_KEY, THINGS, World};

const BUCKET: &str = "/storage/v1/b/local-project-xetl-acme";
const DATASET: &str = "/bigquery/v2/projects/local-project/datasets/acme_things";
const SECRET_OF: &str = "/v1/projects/local-project/secrets/acme-things-key";
const JOB: &str = "/v2/projects/local-project/locations/australia-southeast1/jobs/acme-things";

fn declare(world: &World, more: &str) {
    let text = format!("client: acme\n{more}pipelines:\n  things: {{source: things}}\n");
    world.write("clients/acme.yaml", &text);
}

/// A client that is as it is declared.
fn workspace() -> (World, Api) {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", &format!("{THINGS}{SECRET_KEY}"));
    declare(&world, "");
    let first = world.xetl(&["apply", "--client", "acme", "--yes"]);
    assert_eq!(first.code, Some(4), "{}", first.stderr);
    world.set_secret("acme", "key", "k1");
    apply(&world);
    let api = Api::of(&world);
    (world, api)
}

/// Applies, which leaves nothing to do; gives what was said.
fn apply(world: &World) -> String {
    let done = world.xetl(&["apply", "--client", "acme", "--yes"]);
    assert_eq!(done.code, Some(0), "{}\n{}", done.stdout, done.stderr);
    assert_eq!(planned(world), Vec::<String>::new());
    done.stderr
}

/// `create job acme-things`
fn planned(world: &World) -> Vec<String> {
    let plan = world.json(&["plan", "--client", "acme"]);
    let steps = plan["steps"].as_array().unwrap().iter();
    let text = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
    steps
        .map(|step| {
            let [action, kind, name] = ["action", "kind", "name"].map(|key| text(step, key));
            format!("{action} {kind} {name}")
        })
        .collect()
}

#[test]
fn a_job_that_is_being_deleted_is_made_anew_once_its_name_is_free() {
    let (world, api) = workspace();
    api.post("/_local/lag", &json!({"of": "deletions", "looks": 6}));
    api.delete(JOB);
    assert!(api.get(JOB)["deleteTime"].is_string());
    assert_eq!(planned(&world), ["create job acme-things"]);
    // What holds the image is no drift, although no job runs one.
    let drift = world.refused(2, &["drift", "--client", "acme"]).stdout;
    assert!(
        drift.contains("1 to create, ") && !drift.contains("delete"),
        "{drift}"
    );
    let said = apply(&world);
    assert!(said.contains("still being deleted"), "{said}");
    let job = api.get(JOB);
    assert!(job.get("deleteTime").is_none(), "{job:#}");
}

#[test]
fn a_bucket_moves_although_its_name_is_not_free_at_once() {
    let (world, api) = workspace();
    api.post("/_local/lag", &json!({"of": "deletions", "looks": 3}));
    declare(
        &world,
        "bucket: {location: EU}\nwarehouse: {location: EU}\n",
    );
    apply(&world);
    assert_eq!(api.get(BUCKET)["location"], "EU");
}

#[test]
fn a_bucket_of_somebody_else_is_told_before_anything_is_done() {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", THINGS);
    declare(&world, "");
    world.ok(&["local", "up"]);
    let api = Api::of(&world);
    api.fault(&json!({"method": "GET", "path": BUCKET, "status": 403}));
    let plan = world.xetl(&["plan", "--client", "acme"]);
    assert_eq!(plan.code, Some(1), "{}", plan.stdout);
    assert!(plan.stderr.contains("the name is taken"), "{}", plan.stderr);

    // One that lets everybody look and write would get the client's data.
    let name = BUCKET.trim_start_matches("/storage/v1/b/");
    api.post("/storage/v1/b?project=elsewhere", &json!({"name": name}));
    let plan = world.xetl(&["plan", "--client", "acme"]);
    insta::assert_snapshot!(plan.stderr, @"error: bucket local-project-xetl-acme: is there, but not in project local-project: somebody else has the name, and would get the client's data; give the client another name");
}

#[test]
fn an_account_deleted_by_hand_is_made_again_with_all_its_rights() {
    let (world, api) = workspace();
    let email = "xetl-run-acme@local-project.iam.gserviceaccount.com";
    api.delete(&format!(
        "/v1/projects/local-project/serviceAccounts/{email}"
    ));
    let deleted = |api: &Api| {
        let secret = api.get(&format!("{SECRET_OF}:getIamPolicy"));
        let project = api.post("/v3/projects/local-project:getIamPolicy", &json!({}));
        let all = [&secret, &project, &api.get(DATASET)["access"]];
        all.map(|it| it.to_string().matches("deleted:serviceAccount").count())
    };
    assert_eq!(deleted(&api), [1, 1, 1]);
    let steps = planned(&world);
    assert_eq!(steps[0], "create service_account xetl-run-acme");
    let rights = steps
        .iter()
        .filter(|it| it.starts_with("create iam_member"));
    assert_eq!(rights.count(), 4, "{steps:?}");
    apply(&world);
    // Of the one that had the name before nothing is left: BigQuery would take no list with it.
    assert_eq!(deleted(&api), [0, 0, 0]);
}

#[test]
fn a_job_that_is_there_and_cannot_run_shows_and_is_mended() {
    let (world, api) = workspace();
    let policy = api.get(&format!("{SECRET_OF}:getIamPolicy"));
    let none = json!({"policy": {"etag": policy["etag"], "bindings": []}});
    api.post(&format!("{SECRET_OF}:setIamPolicy"), &none);
    // Taken and kept, and not ready: as where an apply broke off before the right worked.
    let job = api.get(JOB);
    api.patch(JOB, &job);
    assert_eq!(
        api.get(JOB)["terminalCondition"]["state"],
        "CONDITION_FAILED"
    );
    let plan = world.json(&["plan", "--client", "acme"]);
    let update = &plan["steps"].as_array().unwrap()[1];
    assert_eq!(update["action"], "update");
    assert_eq!(update["changes"][0]["field"], "fault");
    apply(&world);
    assert_eq!(
        api.get(JOB)["terminalCondition"]["state"],
        "CONDITION_SUCCEEDED"
    );
}

#[test]
fn a_value_that_is_disabled_is_as_good_as_none_and_said_so() {
    let (world, api) = workspace();
    api.post(&format!("{SECRET_OF}/versions/1:disable"), &json!({}));
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(plan["missing_secrets"][0]["path"], "key", "{plan:#}");
    world.refused(2, &["drift", "--client", "acme"]);
    world.set_secret("acme", "key", "k1");
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(
        plan["missing_secrets"].as_array().map_or(0, Vec::len),
        0,
        "{plan:#}"
    );
}

fn table() -> Value {
    json!({"tableReference": {"projectId": "local-project", "datasetId": "acme_things", "tableId": "t"},
        "schema": {"fields": [{"name": "a", "type": "INTEGER"}]}})
}

#[test]
fn a_pipeline_taken_out_of_the_file_leaves_what_holds_data() {
    let (world, api) = workspace();
    api.post(&format!("{DATASET}/tables"), &table());
    world.write("clients/acme.yaml", "client: acme\npipelines: {}\n");
    let steps = planned(&world);
    assert!(
        steps.contains(&"delete job acme-things".to_owned()),
        "{steps:?}"
    );
    let kept = ["keep dataset acme_things", "keep secret acme-things-key"];
    for kept in kept {
        assert!(steps.contains(&kept.to_owned()), "{steps:?}");
    }
    world.ok(&["apply", "--client", "acme", "--yes"]);
    assert_eq!(planned(&world), kept);
    world.refused(0, &["plan", "--client", "acme", "--detailed-exitcode"]);
    assert_eq!(api.get(&format!("{DATASET}/tables"))["totalItems"], 1);

    // What holds nothing goes.
    api.delete(&format!("{DATASET}/tables/t"));
    api.post(&format!("{SECRET_OF}/versions/1:destroy"), &json!({}));
    apply(&world);
}

#[test]
fn a_client_without_a_file_is_removed_from_its_own_region() {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", THINGS);
    declare(&world, "region: europe-west2\n");
    apply(&world);
    std::fs::remove_file(world.path().join("clients/acme.yaml")).unwrap();
    world.ok(&["destroy", "--client", "acme", "--yes"]);
    let jobs = "/v2/projects/local-project/locations/europe-west2/jobs";
    assert_eq!(Api::of(&world).get(jobs)["jobs"], Value::Null);
}

#[test]
fn a_client_does_not_move_away_from_its_jobs() {
    let (world, _) = workspace();
    let move_on = "region: europe-west2\n";
    let stay =
        "bucket: {location: australia-southeast1}\nwarehouse: {location: australia-southeast1}\n";
    for moved in [move_on.to_owned(), format!("{move_on}{stay}")] {
        declare(&world, &moved);
        let refused = world.refused(2, &["plan", "--client", "acme"]);
        let told = refused.stderr;
        assert!(told.contains("job acme-things"), "{told}");
        assert!(told.contains("`region: australia-southeast1`"), "{told}");
    }
    declare(&world, stay);
    world.ok(&["destroy", "--client", "acme", "--yes"]);
    declare(&world, &format!("{move_on}{stay}"));
    apply(&world);
}

#[test]
fn what_fills_up_between_the_plan_and_its_deletion_stays() {
    let (world, api) = workspace();
    world.write("clients/acme.yaml", "client: acme\npipelines: {}\n");
    assert!(planned(&world).contains(&"delete dataset acme_things".to_owned()));
    api.fault(&json!({"path": "/v2/", "method": "DELETE", "delay_ms": 3000}));
    let apply = ["apply", "--client", "acme", "--yes", "--events"];
    let begun = r#""event":"step_started","action":"delete","kind":"job""#;
    let done = world.xetl_and(&apply, begun, |_| {
        api.post(&format!("{DATASET}/tables"), &table());
    });
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    let told = "dataset acme_things: holds data by now, which would be lost; plan again";
    assert!(done.stderr.contains(told), "{}", done.stderr);
    assert_eq!(api.get(&format!("{DATASET}/tables"))["totalItems"], 1);
    assert!(planned(&world).contains(&"keep dataset acme_things".to_owned()));
    let destroy = [
        "destroy",
        "--client",
        "acme",
        "--yes",
        "--delete-data",
        "dataset,secrets",
    ];
    world.ok(&destroy);
    let datasets = api.get("/bigquery/v2/projects/local-project/datasets");
    assert_eq!(datasets["datasets"], json!([]), "{datasets}");
}

#[test]
fn a_bucket_without_its_rights_gets_them_back() {
    let (world, api) = workspace();
    let path = format!("{BUCKET}/iam");
    let mut policy = api.get(&path);
    let bindings = policy["bindings"].as_array_mut().unwrap();
    bindings.retain(|binding| binding["role"] != "roles/storage.objectUser");
    api.put(&path, &policy);
    let right = "create iam_member roles/storage.objectUser on bucket local-project-xetl-acme for xetl-run-acme";
    assert_eq!(planned(&world), [right]);
    apply(&world);
}
