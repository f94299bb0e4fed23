//! Every field xetl manages: what others own beside it never shows, what is changed by hand
//! shows and is put back, and what never changes is made anew only where nothing is lost.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use world::World;
use world::api::Api;

const SOURCE: &str = r#"version: 7.39.1
type: DeclarativeSource
check: {type: CheckStream, stream_names: [things]}
spec:
  type: Spec
  connection_specification:
    type: object
    required: [key]
    properties: {key: {type: string, airbyte_secret: true}}
streams:
  - type: DeclarativeStream
    name: things
    retriever:
      type: SimpleRetriever
      requester: {type: HttpRequester, url: "http://127.0.0.1:1/things"}
      record_selector:
        type: RecordSelector
        extractor: {type: DpathExtractor, field_path: []}
"#;

const CLIENT: &str = "client: acme
labels: {team: data}
vpc: {network: default, subnetwork: jobs, tags: [xetl], egress: all}
bucket:
  soft_delete: 14d
  lifecycle:
    - {prefixes: [things/things/run=], delete_after: 90d}
secret_manager: {locations: [australia-southeast1, australia-southeast2]}
repository: {keep_images: 20}
alerts: {email: [ops@example.com]}
warehouse:
  description: Things of Acme
  table_expiry: 400d
  partition_expiry: 90d
  readers: ['group:analysts@example.com']
pipelines:
  things:
    source: things
    tasks: 4
    parallelism: 2
    cpu: 2
    memory: 1Gi
    timeout: 30m
    retries: 3
    env: {LOG_STYLE: plain}
    schedule: {cron: '0 2 * * *', time_zone: Europe/London, retries: 2, min_backoff: 10s, max_backoff: 10m, deadline: 2m}
";

const BUCKET: &str = "/storage/v1/b/local-project-xetl-acme";
const DATASET: &str = "/bigquery/v2/projects/local-project/datasets/acme_things";
const SECRET: &str = "/v1/projects/local-project/secrets/acme-things-key";
const METRIC: &str = "/v2/projects/local-project/metrics/xetl-runs";
const REGION: &str = "projects/local-project/locations/australia-southeast1";

fn workspace(client: &str) -> (World, Api) {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", SOURCE);
    world.write("clients/acme.yaml", client);
    // Enables the APIs, and stops before the job, which needs the secret's value.
    assert_eq!(
        world.xetl(&["apply", "--client", "acme", "--yes"]).code,
        Some(4)
    );
    world.set_secret("acme", "key", "k1");
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.assert_as_declared("acme");
    let api = Api::of(&world);
    (world, api)
}

/// Fields that cannot be changed by hand, or whose change is another's matter.
const ELSEWHERE: [(&str, &str); 7] = [
    ("bucket", "location"),
    ("dataset", "location"),
    ("secret", "replication"),
    // Refused where no such image is.
    ("job", "image"),
    // Accounts have nothing but whose they are.
    ("account", "xetl-client"),
    ("*", "xetl-client"),
    // By its pipeline an alert is found; another one would be another alert.
    ("alert", "xetl-pipeline"),
];

#[test]
fn what_others_own_is_no_change_and_each_managed_field_is_put_back() {
    let (world, api) = workspace(CLIENT);
    touch_what_others_own(&api);
    world.assert_as_declared("acme");

    let managed = managed_fields(&world);
    assert!(managed.len() > 45, "{managed:?}");
    change_by_hand(&api);
    let plan = world.json(&["plan", "--client", "acme"]);
    let shown = changed_fields(&plan);
    let hidden: Vec<_> = managed.difference(&shown).collect();
    assert!(
        hidden.is_empty(),
        "changed by hand, but not in the plan: {hidden:?}"
    );
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.assert_as_declared("acme");
    assert_eq!(api.get(BUCKET)["labels"]["theirs"], "x");
}

/// Kind and field of all that is declared, in the words of a plan.
fn managed_fields(world: &World) -> BTreeSet<(String, String)> {
    world.ok(&["plan", "--client", "acme", "--out", "kept.json"]);
    let kept: Value = serde_json::from_str(&world.read("kept.json")).unwrap();
    let resources = kept["declared"].as_object().unwrap().iter();
    let fields = resources.flat_map(|(name, fields)| {
        let kind = name.split(' ').next().unwrap().to_owned();
        let fields = fields.as_object().unwrap().keys();
        fields.map(move |field| (kind.clone(), field.clone()))
    });
    let elsewhere = |kind: &str, field: &str| {
        ELSEWHERE
            .iter()
            .any(|(of, named)| (*of == kind || *of == "*") && *named == field)
    };
    fields
        .filter(|(kind, field)| !elsewhere(kind, field))
        .collect()
}

fn changed_fields(plan: &Value) -> BTreeSet<(String, String)> {
    let steps = plan["steps"].as_array().unwrap().iter();
    let changes = steps.flat_map(|step| {
        let kind = step["kind"].as_str().unwrap();
        let changes = step["changes"].as_array().into_iter().flatten();
        changes.map(move |it| (kind.to_owned(), it["field"].as_str().unwrap().to_owned()))
    });
    changes.collect()
}

fn touch_what_others_own(api: &Api) {
    let theirs = json!({"labels": {"theirs": "x"}});
    api.patch(BUCKET, &theirs);
    api.patch(DATASET, &theirs);
    api.patch(&format!("{SECRET}?updateMask=labels.theirs"), &theirs);
    let mut access = api.get(DATASET)["access"].clone();
    access
        .as_array_mut()
        .unwrap()
        .push(json!({"role": "READER", "userByEmail": "other@example.com"}));
    api.patch(DATASET, &json!({"access": access}));
    let job = format!("/v2/{REGION}/jobs/acme-things");
    let mut body = api.get(&job);
    body["client"] = json!("gcloud");
    body["clientVersion"] = json!("500.0.0");
    body["labels"]["theirs"] = json!("x");
    body["annotations"] = json!({"example.com/note": "x"});
    let container = &mut body["template"]["template"]["containers"][0];
    container["env"].as_array_mut().unwrap().reverse();
    api.patch(&job, &body);
}

fn change_by_hand(api: &Api) {
    let other = json!({"team": "other", "xetl-pipeline": "other"});
    api.patch(
        BUCKET,
        &json!({
            "storageClass": "NEARLINE",
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": false}, "publicAccessPrevention": "inherited"},
            "softDeletePolicy": {"retentionDurationSeconds": "0"},
            "lifecycle": null,
            "labels": {"team": "other"},
        }),
    );
    api.patch(
        DATASET,
        &json!({
            "description": "other",
            "defaultTableExpirationMs": "3600000",
            "defaultPartitionExpirationMs": null,
            "access": without_readers(&api.get(DATASET)["access"]),
            "labels": other,
        }),
    );
    let mask = "labels.team,labels.xetl-pipeline";
    api.patch(
        &format!("{SECRET}?updateMask={mask}"),
        &json!({"labels": other}),
    );
    let repository = format!("/v1/{REGION}/repositories/xetl-acme");
    let mut body = api.get(&repository);
    body["labels"]["team"] = json!("other");
    body["cleanupPolicies"] = json!({"theirs": {"id": "theirs", "action": "KEEP", "mostRecentVersions": {"keepCount": 1}}});
    body["cleanupPolicyDryRun"] = json!(true);
    let mask = "labels,cleanupPolicies,cleanupPolicyDryRun";
    api.patch(&format!("{repository}?updateMask={mask}"), &body);
    change_job(api);
    change_schedule(api);
    change_alert(api);
}

fn change_alert(api: &Api) {
    let all = api.get("/v3/projects/local-project/notificationChannels");
    let channel = all["notificationChannels"][0]["name"].as_str().unwrap();
    api.patch(
        &format!("/v3/{channel}?updateMask=enabled"),
        &json!({"enabled": false}),
    );
    let mut metric = api.get(METRIC);
    metric["filter"] = json!("severity=EMERGENCY");
    metric["disabled"] = json!(true);
    api.put(METRIC, &metric);
    let all = api.get("/v3/projects/local-project/alertPolicies");
    let all = all["alertPolicies"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    for policy in all {
        let mut policy = policy.clone();
        policy["displayName"] = json!("other");
        policy["enabled"] = json!(false);
        policy["notificationChannels"] = json!([]);
        policy["alertStrategy"]["autoClose"] = json!("1800s");
        let condition = &mut policy["conditions"][0];
        match condition.get_mut("conditionThreshold") {
            Some(threshold) => {
                threshold["filter"] = json!(
                    "resource.type=\"cloud_run_job\" AND metric.type=\"logging.googleapis.com/user/xetl-runs\""
                );
                threshold["thresholdValue"] = json!(2);
                threshold["duration"] = json!("60s");
                threshold["evaluationMissingData"] = json!("EVALUATION_MISSING_DATA_NO_OP");
                threshold["aggregations"][0]["alignmentPeriod"] = json!("60s");
            }
            None => {
                condition["conditionMatchedLog"]["filter"] = json!("severity=EMERGENCY");
                policy["alertStrategy"]["notificationRateLimit"] = json!({"period": "300s"});
            }
        }
        let name = format!("/v3/{}", policy["name"].as_str().unwrap());
        api.patch(&name, &policy);
    }
}

#[test]
fn alerts_go_with_what_declared_them_and_a_channel_with_its_last_user() {
    let client =
        |alerts: &str| format!("client: acme\n{alerts}pipelines:\n  things: {{source: things}}\n");
    let (world, api) = workspace(&client("alerts: {email: [ops@example.com]}\n"));
    let twin = client("alerts: {email: [ops@example.com]}\n").replace("acme", "twin");
    world.write("clients/twin.yaml", &twin);
    // Stops before the job, whose secret has no value; the channel is there already.
    let counts = || {
        let count = |kind: &str| {
            let all = api.get(&format!("/v3/projects/local-project/{kind}"));
            all[kind].as_array().map_or(0, Vec::len)
        };
        (count("notificationChannels"), count("alertPolicies"))
    };
    assert_eq!(
        world.xetl(&["apply", "--client", "twin", "--yes"]).code,
        Some(4)
    );
    let key = world.write("key", "k1").display().to_string();
    world.ok(&[
        "secrets",
        "set",
        "--client",
        "twin",
        "key",
        "--from-file",
        &key,
    ]);
    world.ok(&["apply", "--client", "twin", "--yes"]);
    assert_eq!(counts(), (1, 2));

    world.write("clients/acme.yaml", &client(""));
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.assert_as_declared("acme");
    assert_eq!(counts(), (1, 1));
    world.write("clients/twin.yaml", &client("").replace("acme", "twin"));
    world.ok(&["apply", "--client", "twin", "--yes"]);
    assert_eq!(counts(), (0, 0));
}

fn without_readers(access: &Value) -> Value {
    let mut access = access.clone();
    access
        .as_array_mut()
        .unwrap()
        .retain(|entry| entry.get("groupByEmail").is_none());
    access
}

fn change_job(api: &Api) {
    let job = format!("/v2/{REGION}/jobs/acme-things");
    let mut body = api.get(&job);
    body["labels"]["team"] = json!("other");
    body["labels"]["xetl-pipeline"] = json!("other");
    body["template"]["taskCount"] = json!(5);
    body["template"]["parallelism"] = json!(1);
    let task = &mut body["template"]["template"];
    task["maxRetries"] = json!(0);
    task["timeout"] = json!("60s");
    task["serviceAccount"] = json!("xetl-cron-acme@local-project.iam.gserviceaccount.com");
    task["vpcAccess"] = json!({"connector": "projects/local-project/locations/australia-southeast1/connectors/c", "egress": "PRIVATE_RANGES_ONLY"});
    let container = &mut task["containers"][0];
    container["args"] = json!(["other"]);
    container["env"] = json!([{"name": "THEIRS", "value": "x"}]);
    container["resources"]["limits"] = json!({"cpu": "1", "memory": "512Mi"});
    api.patch(&job, &body);
}

fn change_schedule(api: &Api) {
    let schedule = format!("/v1/{REGION}/jobs/acme-things");
    let mut body = api.get(&schedule);
    body["description"] = json!("managed-by=xetl xetl-client=acme xetl-pipeline=other");
    body["schedule"] = json!("0 3 * * *");
    body["timeZone"] = json!("Etc/UTC");
    body["attemptDeadline"] = json!("60s");
    body["retryConfig"] =
        json!({"retryCount": 5, "minBackoffDuration": "1s", "maxBackoffDuration": "2s"});
    body["httpTarget"]["uri"] = json!("https://run.googleapis.com/v2/other:run");
    body["httpTarget"]["oauthToken"]["serviceAccountEmail"] =
        json!("xetl-run-acme@local-project.iam.gserviceaccount.com");
    let mask = "description,schedule,timeZone,attemptDeadline,retryConfig,httpTarget";
    api.patch(&format!("{schedule}?updateMask={mask}"), &body);
    api.post(&format!("{schedule}:pause"), &json!({}));
}

#[test]
fn a_client_with_every_field_is_adopted_as_it_is() {
    let (world, _api) = workspace(CLIENT);
    for lost in ["clients/acme.yaml", "sources/things.yaml"] {
        std::fs::remove_file(world.path().join(lost)).unwrap();
    }
    world.ok(&["adopt", "--client", "acme"]);
    world.assert_as_declared("acme");
    let file = world.read("clients/acme.yaml");
    for key in [
        "soft_delete: 14d",
        "keep_images: 20",
        "subnetwork: jobs",
        "max_backoff: 10m",
    ] {
        assert!(file.contains(key), "{key}\n{file}");
    }
}

#[test]
fn of_a_secrets_versions_the_newest_stay() {
    let client = "client: acme\nsecret_manager: {keep_versions: 2}\npipelines:\n  things: {source: things}\n";
    let (world, api) = workspace(client);
    for value in ["k2", "k3", "k3"] {
        world.set_secret("acme", "key", value);
    }
    let versions = api.get(&format!("{SECRET}/versions"));
    let states: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ENABLED", "ENABLED", "DESTROYED"]);
}

#[test]
fn what_never_changes_is_made_anew_while_it_is_empty_and_refused_once_it_holds_data() {
    let there = "client: acme\npipelines:\n  things: {source: things}\n";
    let elsewhere = |place: &str| {
        format!(
            "client: acme\nbucket: {{location: {place}}}\nwarehouse: {{location: {place}}}\npipelines:\n  things: {{source: things}}\n"
        )
    };
    let (world, api) = workspace(there);
    world.write("clients/acme.yaml", &elsewhere("EU"));
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(plan["summary"]["replace"], 2, "{plan:#}");
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.assert_as_declared("acme");
    assert_eq!(api.get(BUCKET)["location"], "EU");

    let upload = "/upload/storage/v1/b/local-project-xetl-acme/o?uploadType=media&name=things/state/things.json";
    api.post(upload, &json!({}));
    world.write("clients/acme.yaml", &elsewhere("US"));
    let plan = world.json(&["plan", "--client", "acme"]);
    let summary = (&plan["summary"]["replace"], &plan["summary"]["refuse"]);
    assert_eq!(summary, (&json!(1), &json!(1)), "{plan:#}");
    let refused = world.refused(1, &["apply", "--client", "acme", "--yes"]);
    insta::assert_snapshot!(refused.stderr, @"
    error: bucket local-project-xetl-acme: its location is eu and never changes to us; made anew, it would lose its data
    hint: nothing was changed; declare it as it is, or copy what it holds and delete it yourself
    ");
    assert_eq!(api.get(BUCKET)["location"], "EU");
}
