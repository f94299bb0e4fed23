//! Keys of the customer's own (Cloud KMS): declared, refused until the services may use them,
//! used by a run, changed, and kept where they never change.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use world::World;
use world::api::Api;

const REGION: &str = "australia-southeast1";
const BUCKET: &str = "/storage/v1/b/local-project-xetl-acme";
const ROLE: &str = "roles/cloudkms.cryptoKeyEncrypterDecrypter";

fn source(url: &str) -> String {
    let key = "spec:
  type: Spec
  connection_specification:
    type: object
    required: [key]
    properties: {key: {type: string, airbyte_secret: true}}
streams:";
    let source = world::THINGS.replace("streams:", key);
    source.replace("http://127.0.0.1:1/things", url)
}

fn client(bucket: &str, secrets: &str) -> String {
    format!(
        "client: acme
bucket: {{kms_key: {bucket}}}
warehouse: {{kms_key: {0}}}
repository: {{kms_key: {0}}}
secret_manager: {{kms_key: {secrets}}}
pipelines:
  things: {{source: things}}
",
        key(REGION, "k")
    )
}

fn ring(location: &str) -> String {
    format!("projects/local-project/locations/{location}/keyRings/r")
}

fn key(location: &str, name: &str) -> String {
    format!("{}/cryptoKeys/{name}", ring(location))
}

fn make_key(api: &Api, location: &str, name: &str) {
    let path = format!("/v1/{}/cryptoKeys?cryptoKeyId={name}", ring(location));
    api.post(&path, &json!({"purpose": "ENCRYPT_DECRYPT"}));
}

fn make_ring(api: &Api, location: &str) {
    let rings = format!("/v1/projects/local-project/locations/{location}/keyRings");
    api.post(&format!("{rings}?keyRingId=r"), &json!({}));
}

/// Lets the services' own accounts use the keys of a ring.
fn grant(api: &Api, location: &str) {
    let project = api.get("/v1/projects/local-project");
    let number = project["projectNumber"].as_str().unwrap();
    let members = [
        format!("serviceAccount:service-{number}@gs-project-accounts.iam.gserviceaccount.com"),
        format!("serviceAccount:bq-{number}@bigquery-encryption.iam.gserviceaccount.com"),
        format!("serviceAccount:service-{number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"),
        format!("serviceAccount:service-{number}@gcp-sa-secretmanager.iam.gserviceaccount.com"),
    ];
    let policy = json!({"bindings": [{"role": ROLE, "members": members}]});
    let path = format!("/v1/{}:setIamPolicy", ring(location));
    api.post(&path, &json!({"policy": policy}));
}

/// Answers every request with two things, for as long as the test lives.
fn things() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/things", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"[{"id": 1}, {"id": 2}]"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let length = body.len();
            let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    url
}

/// A workspace whose client declares keys that are there and nobody may use.
fn workspace() -> (World, Api) {
    let world = World::new();
    world.ok(&["init"]);
    world.ok(&["local", "up"]);
    let api = Api::of(&world);
    for name in ["cloudkms", "cloudresourcemanager"] {
        let enable = format!("/v1/projects/local-project/services/{name}.googleapis.com:enable");
        api.post(&enable, &json!({}));
    }
    for location in [REGION, "global"] {
        make_ring(&api, location);
        make_key(&api, location, "k");
    }
    world.write("sources/things.yaml", &source(&things()));
    let declared = client(&key(REGION, "k"), &key("global", "k"));
    world.write("clients/acme.yaml", &declared);
    (world, api)
}

#[test]
fn a_client_with_its_own_keys_is_deployed_once_they_may_be_used_and_runs() {
    let (world, api) = workspace();
    let refused = world.refused(4, &["apply", "--client", "acme", "--yes"]);
    assert!(
        refused
            .stderr
            .contains("Permission denied on Cloud KMS key"),
        "{}",
        refused.stderr
    );

    assert!(refused.stderr.contains("gcloud storage service-agent"));

    grant(&api, REGION);
    grant(&api, "global");
    assert_eq!(
        world.xetl(&["apply", "--client", "acme", "--yes"]).code,
        Some(4)
    );
    world.set_secret("acme", "key", "k1");
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.assert_as_declared("acme");

    let run = world.json(&["run", "--client", "acme", "--wait"]);
    assert_eq!(run["execution"]["state"], "succeeded", "{run:#}");
    let objects = api.get(&format!("{BUCKET}/o"));
    let with = |object: &Value| {
        object["kmsKeyName"] == format!("{}/cryptoKeyVersions/1", key(REGION, "k"))
    };
    let objects = objects["items"].as_array().unwrap();
    assert!(
        !objects.is_empty() && objects.iter().all(with),
        "{objects:#?}"
    );
    let table = api.get("/bigquery/v2/projects/local-project/datasets/acme_things/tables/things");
    let used = &table["encryptionConfiguration"]["kmsKeyName"];
    assert_eq!(used, key(REGION, "k").as_str(), "{table:#}");
    a_key_changes_where_it_can(&world, &api);
}

fn a_key_changes_where_it_can(world: &World, api: &Api) {
    for location in [REGION, "global"] {
        make_key(api, location, "k2");
    }
    let (bucket, secrets) = (key(REGION, "k2"), key("global", "k2"));
    world.write("clients/acme.yaml", &client(&bucket, &secrets));
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(plan["summary"]["update"], 2, "{plan:#}");
    world.ok(&["apply", "--client", "acme", "--yes"]);
    world.assert_as_declared("acme");
    assert_eq!(
        api.get(BUCKET)["encryption"]["defaultKmsKeyName"],
        bucket.as_str()
    );
    let secret = api.get("/v1/projects/local-project/secrets/acme-things-key");
    let used = &secret["replication"]["automatic"]["customerManagedEncryption"]["kmsKeyName"];
    assert_eq!(used, secrets.as_str());

    let other = client(&bucket, &secrets).replace(
        &format!("repository: {{kms_key: {}}}", key(REGION, "k")),
        &format!("repository: {{kms_key: {}}}", key(REGION, "k2")),
    );
    world.write("clients/acme.yaml", &other);
    let plan = world.json(&["plan", "--client", "acme"]);
    assert_eq!(plan["summary"]["refuse"], 1, "{plan:#}");
}

#[test]
fn a_key_that_is_elsewhere_is_found_before_anything_is_made() {
    let world = World::new();
    world.ok(&["init"]);
    world.write("sources/things.yaml", &source("http://127.0.0.1:1"));
    world.write(
        "clients/acme.yaml",
        &client(&key("us", "k"), &key("global", "k")),
    );
    let done = world.xetl(&["plan", "--client", "acme"]);
    assert_ne!(done.code, Some(0));
    let said = "the key is in `us`, but has to be in `australia-southeast1`";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}
