//! From an empty folder to rows and back, with the real binaries: xetl, the
//! local cloud it starts, the image it pushes, and a sandbox Xero.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use std::process::Command;

use serde_json::{Value, json};
use world::{World, python};

const BY_STATUS: &str = "select status, count(*) n, sum(total) total \
                         from acme_xero.invoices_latest group by 1 order by 1";

fn onboard(world: &World, xero: &str) {
    let secret = world.write("client-secret", "sandbox-secret");
    let secret = format!("credentials.client_secret={}", secret.display());
    let api = format!("api_url={xero}");
    let identity = format!("identity_url={xero}");
    let arguments = [
        ["--client", "acme"],
        ["--source", "xero"],
        ["--schedule", "0 2 * * *"],
        ["--time-zone", "Pacific/Auckland"],
        ["--config", "credentials.auth_type=custom_connection"],
        ["--config", "credentials.client_id=sandbox"],
        ["--config", "start_date=2020-01-01"],
        ["--config", &api],
        ["--config", &identity],
        ["--config", "calls_per_minute=100000"],
        ["--secret-file", &secret],
    ];
    let mut arguments: Vec<&str> = arguments.iter().flatten().copied().collect();
    arguments.splice(0..0, ["onboard", "--yes"]);
    world.ok(&arguments);
}

/// Count and exact sum of the newest invoices by status, as the warehouse has them.
fn loaded(world: &World) -> Value {
    let rows = world.json(&["query", "--client", "acme", BY_STATUS]);
    by_status(rows.as_array().unwrap().iter().map(|row| {
        (
            row["status"].as_str().unwrap(),
            row["n"].clone(),
            decimal(&row["total"]),
        )
    }))
}

/// The same, as the source itself has them.
fn truth(xero: &str) -> Value {
    let truth = get(&format!("{xero}/_sandbox/truth"));
    let statuses = truth["invoices"]["by_status"].as_object().unwrap().clone();
    by_status(statuses.iter().map(|(status, sum)| {
        (
            status.as_str(),
            sum["count"].clone(),
            decimal(&sum["total"]),
        )
    }))
}

fn by_status<'a>(rows: impl Iterator<Item = (&'a str, Value, String)>) -> Value {
    rows.map(|(status, count, total)| (status.to_owned(), json!([count, total])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A decimal without trailing zeros, so that 1.50 and 1.5 are one number.
fn decimal(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn get(url: &str) -> Value {
    block(async { reqwest::get(url).await.unwrap().json().await.unwrap() })
}

fn post(url: &str, body: &Value) {
    let sent = async {
        reqwest::Client::new()
            .post(url)
            .json(body)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert!(block(sent).is_success(), "{url}");
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn plan(world: &World) -> Value {
    world.json(&["plan", "--client", "acme"])
}

#[test]
fn a_client_goes_from_nothing_to_rows_and_back() {
    let mut world = World::new();
    let xero = world.sandbox(&["--calls-per-minute", "100000", "--calls-per-day", "1000000"]);
    world.ok(&["init"]);
    onboard(&world, &xero);
    assert!(!world.read("clients/acme.yaml").contains("sandbox-secret"));

    assert_eq!(plan(&world)["empty"], true);
    let plan = world.ok(&["plan", "--client", "acme"]);
    assert!(plan.starts_with("No changes."), "{plan}");
    assert_eq!(loaded(&world), truth(&xero));

    // A second execution fetches what a day changed, and only that.
    post(&format!("{xero}/_sandbox/advance"), &json!({"days": 1}));
    let run = world.json(&["run", "--client", "acme", "--wait"]);
    assert_eq!(loaded(&world), truth(&xero));
    let streams = run["summary"]["streams"].as_array().unwrap();
    let invoices = streams
        .iter()
        .find(|stream| stream["stream"] == "invoices")
        .unwrap();
    let rows = invoices["rows"].as_u64().unwrap();
    assert!(
        (1..1000).contains(&rows),
        "{rows} of 9,000 invoices were fetched again"
    );

    judged_by_googles_clients(&world);

    world.ok(&["destroy", "--client", "acme", "--yes"]);
    let left = world.json(&["destroy", "--client", "acme", "--yes"]);
    assert_eq!(left["applied"], 0);
    let kept: Vec<&str> = left["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kept, ["dataset", "secret", "bucket"]);
    world.ok(&[
        "destroy",
        "--client",
        "acme",
        "--yes",
        "--delete-data",
        "dataset",
        "--delete-data",
        "secrets",
        "--delete-data",
        "bucket",
    ]);
    let gone = world.json(&["destroy", "--client", "acme", "--yes"]);
    assert_eq!(gone["steps"], json!([]));
}

/// What xetl made, read back by clients we did not write.
fn judged_by_googles_clients(world: &World) {
    let Some(python) = python() else { return };
    let endpoint = world.endpoint();
    let client = world.json(&["status", "--client", "acme"]);
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/conformance/read_back.py"
    );
    let (project, region) = (
        client["project"].as_str().unwrap(),
        client["region"].as_str().unwrap(),
    );
    let output = Command::new(python)
        .args([script, &endpoint, project, region, "acme", "xero"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(found["bucket"]["labels"]["managed-by"], "xetl");
    assert_eq!(found["bucket"]["bundle_client"], "acme");
    assert!(found["bucket"]["parquet_parts"].as_u64().unwrap() > 0);
    assert_eq!(
        found["secrets"],
        json!({"acme-xero-credentials-client-secret": 1})
    );
    assert_eq!(found["job"]["pinned"], true);
    assert_eq!(
        found["job"]["secret_env"],
        json!(["XETL_SECRET_CREDENTIALS_CLIENT_SECRET"])
    );
    assert_eq!(found["job"]["executions"], json!([1, 1]));
    assert_eq!(
        found["schedule"],
        json!({"cron": "0 2 * * *", "state": "ENABLED", "runs_the_job": true})
    );
    assert_eq!(found["warehouse"]["total_type"], "NUMERIC");
    assert_eq!(found["warehouse"]["line_items_mode"], "REPEATED");
    let ours = loaded(world);
    for (status, row) in found["warehouse"]["invoices"].as_object().unwrap() {
        assert_eq!(json!([row[0], decimal(&row[1])]), ours[status], "{status}");
    }
}
