//! The source `bigquery`, from the command line to the rows: another project's tables, read
//! by the real runtime on the local cloud.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use world::World;

const OTHER: &str = "other-org";

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// The local cloud with a source in another project, in a location of its own.
struct Source {
    world: World,
    endpoint: String,
}

impl Source {
    fn new() -> Source {
        let world = World::new();
        world.ok(&["init"]);
        world.ok(&["local", "up"]);
        let endpoint = world.endpoint();
        let source = Source { world, endpoint };
        source.place("billing", "EU");
        source
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = reqwest::Client::new()
            .post(format!("{}{path}", self.endpoint))
            .bearer_auth("local-user")
            .json(body);
        block(async {
            let reply = request.send().await.unwrap();
            let status = reply.status();
            let text = reply.text().await.unwrap();
            assert!(status.is_success(), "{path}: {status} {text}");
            serde_json::from_str(&text).unwrap_or_default()
        })
    }

    fn place(&self, dataset: &str, location: &str) {
        let path = format!("/bigquery/v2/projects/{OTHER}/datasets");
        // What the other side gives the pipeline's own account.
        let account = format!("xetl-run-acme@{}.iam.gserviceaccount.com", project_of(self));
        let access = json!([{"role": "READER", "userByEmail": account}]);
        let dataset = json!({"datasetReference": {"datasetId": dataset}, "location": location, "access": access});
        self.post(&path, &dataset);
    }

    /// Where the client's own things are.
    fn region(&self) -> String {
        let file = self.world.read("xetl.yaml");
        let line = file.lines().find_map(|line| line.strip_prefix("region: "));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    }

    /// Changes something on the other side.
    fn there(&self, sql: &str) {
        self.there_in("EU", sql);
    }

    fn there_in(&self, location: &str, sql: &str) {
        self.ask(location, sql);
    }

    /// The API's reply to a query.
    fn ask(&self, location: &str, sql: &str) -> Value {
        let body =
            json!({"query": sql, "useLegacySql": false, "location": location, "timeoutMs": 60000});
        self.post(&format!("/bigquery/v2/projects/{OTHER}/queries"), &body)
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        let rows = self.world.json(&["query", "--client", "acme", sql]);
        rows.as_array().unwrap().clone()
    }

    fn client(&self, config: &str, streams: &str) {
        let file = format!(
            "client: acme\npipelines:\n  billing:\n    source: bigquery\n    config:\n{config}\n    streams:\n{streams}\n"
        );
        self.world.write("clients/acme.yaml", &file);
        self.world.ok(&["apply", "--client", "acme", "--yes"]);
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["run", "--client", "acme", "--wait"];
        all.extend(arguments);
        self.world.json(&all)["summary"].clone()
    }
}

fn stream<'s>(summary: &'s Value, name: &str) -> &'s Value {
    let streams = summary["streams"].as_array().unwrap();
    let found = streams.iter().find(|stream| stream["stream"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {summary:#}"))
}

const COSTS: &str = "CREATE TABLE `other-org.billing.costs` (
    id INT64, service STRING, cost NUMERIC, exact BIGNUMERIC, export_time TIMESTAMP,
    labels ARRAY<STRUCT<key STRING, value STRING>>, project STRUCT<id STRING, number INT64>,
    day DATE, at DATETIME, raw BYTES, extra JSON)";

fn insert(rows: &str) -> String {
    format!(
        "INSERT INTO `other-org.billing.costs`
        (id, service, cost, exact, export_time, labels, project, day, at, raw, extra) VALUES {rows}"
    )
}

fn row(id: u32, cost: &str, export_time: &str) -> String {
    format!(
        "({id}, 'run', NUMERIC '{cost}', BIGNUMERIC '0.00000000000000000000000000000000000001',
        TIMESTAMP '{export_time}', [STRUCT('env' AS key, 'p{id}' AS value)],
        STRUCT('acme' AS id, {id} AS number), DATE '2025-06-01', DATETIME '2025-06-01T10:00:00.5',
        b'\\x00\\xff', JSON '{{\"a\": 1}}')"
    )
}

const CONFIG: &str = "      credentials: {method: job}
      batch_rows: 2
      streams:
        costs: {table: other-org.billing.costs, cursor: export_time}
        services: {query: 'SELECT service, COUNT(*) AS n, SUM(cost) AS cost FROM `other-org.billing.costs` GROUP BY service'}";

const STREAMS: &str = "      costs: {mode: merge, key: [id], cluster: [service]}
      services: {mode: overwrite}";

#[test]
fn tables_and_queries_of_another_project_are_loaded_and_gone_on_with() {
    let source = Source::new();
    source.there(COSTS);
    let first: Vec<String> = (1..=5)
        .map(|id| {
            row(
                id,
                "1.100000001",
                &format!("2025-06-01 10:00:0{id}.000001+00:00"),
            )
        })
        .collect();
    source.there(&insert(&first.join(", ")));
    source.client(CONFIG, STREAMS);

    let summary = source.run(&[]);
    assert_eq!(summary["outcome"], "done", "{summary:#}");
    let costs = stream(&summary, "costs");
    assert_eq!(costs["rows"], 5);
    assert_eq!(
        costs["state"],
        json!({"export_time": "2025-06-01T10:00:05.000001Z"})
    );

    // Exactly what the source has, cell by cell.
    let columns = "id, service, cost, exact, export_time, labels, project, day, at, raw";
    let all = |location: &str, table: &str| {
        let sql = format!("SELECT {columns} FROM `{table}` ORDER BY id");
        source.ask(location, &sql)["rows"].clone()
    };
    let loaded = format!("{}.acme_billing.costs", project_of(&source));
    let here = all(&source.region(), &loaded);
    assert_eq!(here.as_array().map(Vec::len), Some(5));
    assert_eq!(here, all("EU", "other-org.billing.costs"));

    // A rerun finds nothing new; a changed row and a new one come alone.
    let again = source.run(&[]);
    assert_eq!(stream(&again, "costs")["rows"], 0, "{again:#}");
    source.there("UPDATE `other-org.billing.costs` SET cost = NUMERIC '7', export_time = TIMESTAMP '2025-06-02 00:00:00+00:00' WHERE id = 2");
    source.there(&insert(&row(6, "2", "2025-06-02 00:00:01+00:00")));
    let next = source.run(&[]);
    assert_eq!(stream(&next, "costs")["rows"], 2, "{next:#}");
    let all = source
        .rows("SELECT COUNT(*) n, COUNT(DISTINCT id) ids, SUM(cost) cost FROM acme_billing.costs");
    assert_eq!(
        all,
        [json!({"n": 6, "ids": 6, "cost": "13.400000004"})],
        "{all:?}"
    );
    let grouped = source.rows("SELECT service, n, cost FROM acme_billing.services");
    assert_eq!(
        grouped,
        [json!({"service": "run", "n": 6, "cost": "13.400000004"})]
    );

    // A range is read whatever was read before, and leaves the state.
    let backfill = [
        "backfill",
        "--client",
        "acme",
        "--stream",
        "costs",
        "--from",
        "2025-06-01",
        "--to",
        "2025-06-01",
        "--wait",
    ];
    let filled = source.world.json(&backfill)["summary"].clone();
    assert_eq!(stream(&filled, "costs")["rows"], 4, "{filled:#}");
    assert_eq!(stream(&source.run(&[]), "costs")["rows"], 0);
}

/// The ids of the queries that read the source in a project.
fn reads(source: &Source, project: &str) -> Vec<String> {
    let url = format!("{}/bigquery/v2/projects/{project}/jobs", source.endpoint);
    let request = reqwest::Client::new().get(url).bearer_auth("local-user");
    let jobs: Value = block(async { request.send().await.unwrap().json().await.unwrap() });
    let jobs = jobs["jobs"].as_array().cloned().unwrap_or_default();
    let ids = jobs
        .iter()
        .filter_map(|job| job["jobReference"]["jobId"].as_str());
    let reads = ids.filter(|id| id.starts_with("xetl-read-"));
    reads.map(str::to_owned).collect()
}

fn five(source: &Source) {
    source.there(COSTS);
    let rows = (1..=5).map(|id| row(id, "1", &format!("2025-06-01 10:00:0{id}+00:00")));
    source.there(&insert(&rows.collect::<Vec<_>>().join(", ")));
}

#[test]
fn a_batch_that_fails_is_read_again_alone() {
    let source = Source::new();
    five(&source);
    let config = CONFIG.split("        services").next().unwrap().trim_end();
    source.client(config, "      costs: {mode: append}");
    // The page of the last batch is refused once: the task fails, and Cloud Run retries it.
    let project = project_of(&source);
    let fault = json!({"method": "GET", "path": format!("/bigquery/v2/projects/{project}/queries/"),
        "contains": "startIndex=4&", "status": 400, "reason": "invalid"});
    source.post("/_local/faults", &fault);
    let summary = source.run(&[]);
    assert_eq!(summary["outcome"], "done", "{summary:#}");
    let ids = source.rows("SELECT COUNT(*) n, COUNT(DISTINCT id) ids FROM acme_billing.costs");
    assert_eq!(ids, [json!({"n": 5, "ids": 5})]);
    // The retry read the result of the query that was there.
    assert_eq!(reads(&source, &project).len(), 1);
}

fn project_of(source: &Source) -> String {
    let file = source.world.read("xetl.yaml");
    let line = file.lines().find_map(|line| line.strip_prefix("project: "));
    line.unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Gives an account roles on the other side's project.
fn grant(source: &Source, email: &str, roles: &[&str]) {
    let services = json!({"serviceIds": ["cloudresourcemanager.googleapis.com"]});
    source.post(
        &format!("/v1/projects/{OTHER}/services:batchEnable"),
        &services,
    );
    let member = format!("serviceAccount:{email}");
    let bindings = roles
        .iter()
        .map(|role| json!({"role": role, "members": [member]}));
    let policy = json!({"policy": {"bindings": bindings.collect::<Vec<_>>()}});
    source.post(&format!("/v3/projects/{OTHER}:setIamPolicy"), &policy);
}

/// A service account of the other side that may read and query there, and its key.
fn account(source: &Source, name: &str) -> (String, String) {
    let services = format!("/v1/projects/{OTHER}/services:batchEnable");
    source.post(&services, &json!({"serviceIds": ["iam.googleapis.com"]}));
    let accounts = format!("/v1/projects/{OTHER}/serviceAccounts");
    let made = source.post(&accounts, &json!({"accountId": name}));
    let email = made["email"].as_str().unwrap().to_owned();
    grant(
        source,
        &email,
        &["roles/bigquery.jobUser", "roles/bigquery.dataViewer"],
    );
    let key = source.post(&format!("{accounts}/{email}/keys"), &json!({}));
    let key = STANDARD.decode(key["privateKeyData"].as_str().unwrap());
    (email, String::from_utf8(key.unwrap()).unwrap())
}

const ONE: &str = "      streams:
        costs: {table: other-org.billing.costs, cursor: export_time}";

#[test]
fn a_key_and_an_impersonated_account_read_in_their_own_project() {
    let source = Source::new();
    five(&source);
    let (email, key) = account(&source, "reader");
    let key = source.world.write("key.json", &key);
    let secret = format!("credentials.key={}", key.display());
    let streams =
        r#"streams={"costs": {"table": "other-org.billing.costs", "cursor": "export_time"}}"#;
    source.world.ok(&[
        "onboard",
        "--yes",
        "--no-run",
        "--client",
        "acme",
        "--source",
        "bigquery",
        "--config",
        "credentials.method=key",
        "--config",
        streams,
        "--secret-file",
        &secret,
    ]);
    assert_eq!(stream(&source.run(&[]), "costs")["rows"], 5);
    assert_eq!(reads(&source, OTHER).len(), 1);

    let impersonate =
        format!("      credentials: {{method: impersonate, account: {email}}}\n{ONE}");
    source.client(&impersonate, "      costs: {}");
    let refused = source.world.xetl(&["run", "--client", "acme", "--wait"]);
    assert_ne!(refused.code, Some(0));
    assert!(
        refused.stderr.contains("getAccessToken"),
        "{}",
        refused.stderr
    );
    let runner = format!(
        "xetl-run-acme@{}.iam.gserviceaccount.com",
        project_of(&source)
    );
    let policy = json!({"policy": {"bindings": [{"role": "roles/iam.serviceAccountTokenCreator",
        "members": [format!("serviceAccount:{runner}")]}]}});
    let path = format!("/v1/projects/{OTHER}/serviceAccounts/{email}:setIamPolicy");
    source.post(&path, &policy);
    assert_eq!(stream(&source.run(&[]), "costs")["rows"], 5);
}

#[test]
fn what_the_job_can_read_beside_its_table_is_moved_by_bigquery() {
    let source = Source::new();
    source.place("near", &source.region());
    let costs = COSTS
        .replace("billing.costs", "near.costs")
        .replace(", extra JSON", "");
    source.there_in(&source.region(), &costs);
    let insert = |rows: &str| {
        let sql = format!(
            "INSERT INTO `other-org.near.costs` (id, service, cost, export_time, day) VALUES {rows}"
        );
        source.there_in(&source.region(), &sql);
    };
    insert(
        "(1, 'run', 1.5, TIMESTAMP '2025-06-01 00:00:00+00:00', DATE '2025-06-01'), (2, 'sql', 2, TIMESTAMP '2025-06-02 00:00:00+00:00', DATE '2025-06-02')",
    );
    let config = "      credentials: {method: job}
      streams:
        merged: {table: other-org.near.costs, cursor: export_time}
        added: {table: other-org.near.costs, cursor: export_time}
        whole: {table: other-org.near.costs}";
    let streams = "      merged: {mode: merge, key: [id]}
      added: {mode: append, partition: {by: day}, cluster: [service]}
      whole: {mode: overwrite, partition: {by: export_time, granularity: month}}";
    source.client(config, streams);
    let summary = source.run(&[]);
    assert_eq!(summary["outcome"], "done", "{summary:#}");
    for name in ["merged", "added", "whole"] {
        assert_eq!(stream(&summary, name)["rows"], 2, "{summary:#}");
        // Nothing went through the runtime.
        assert_eq!(stream(&summary, name)["bytes"], 0, "{summary:#}");
    }
    let again = source.run(&[]);
    assert_eq!(stream(&again, "added")["rows"], 0, "{again:#}");
    source.there_in(&source.region(), "UPDATE `other-org.near.costs` SET cost = 9, export_time = TIMESTAMP '2025-06-03 00:00:00+00:00' WHERE id = 1");
    insert("(3, 'run', 3, TIMESTAMP '2025-06-03 00:00:01+00:00', DATE '2025-06-03')");
    let next = source.run(&[]);
    assert_eq!(next["outcome"], "done", "{next:#}");
    let sums = |table: &str| {
        let sql = format!(
            "SELECT COUNT(*) n, SUM(cost) cost, COUNT(_xetl_run_id) runs FROM acme_billing.{table}"
        );
        source.rows(&sql)[0].clone()
    };
    assert_eq!(sums("merged"), json!({"n": 3, "cost": "14", "runs": 3}));
    assert_eq!(sums("added"), json!({"n": 4, "cost": "15.5", "runs": 4}));
    assert_eq!(sums("whole"), json!({"n": 3, "cost": "14", "runs": 3}));
    let left = "SELECT table_name FROM acme_billing.INFORMATION_SCHEMA.TABLES WHERE table_name LIKE 'xetl_%'";
    assert_eq!(source.rows(left), Vec::<Value>::new());
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let source = Source::new();
    five(&source);
    let config = "      batch_rows: 2
      streams:
        gone: {table: other-org.billing.nothing}
        denied: {table: other-org.billing.hidden}
        column: {table: other-org.billing.costs, cursor: made_up}
        unordered: {table: other-org.billing.costs, cursor: labels}
        script: {query: 'SELECT 1 AS a; SELECT 2 AS b'}
        fine: {table: other-org.billing.costs}";
    let hidden = format!("/bigquery/v2/projects/{OTHER}/datasets/billing/tables/hidden");
    let fault = json!({"path": hidden, "status": 403, "reason": "accessDenied", "times": 100});
    source.post("/_local/faults", &fault);
    let file = format!(
        "client: acme\npipelines:\n  billing:\n    source: bigquery\n    config:\n{config}\n"
    );
    source.world.write("clients/acme.yaml", &file);
    source.world.ok(&["apply", "--client", "acme", "--yes"]);
    let done = source
        .world
        .xetl(&["run", "--client", "acme", "--wait", "--format", "json"]);
    assert_ne!(done.code, Some(0));
    let said = format!("{}{}", done.stdout, done.stderr);
    for words in [
        "table `other-org.billing.nothing` is not there",
        "the pipeline's own account may not read table `other-org.billing.hidden`: grant it roles/bigquery.dataViewer on dataset `other-org.billing`",
        "there is no column `made_up`; there are: id, service",
        "have no order to go on by",
        "`query` is to be one SELECT, and this is SCRIPT",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    // The others are not held up.
    let fine = source.rows("SELECT COUNT(*) n FROM acme_billing.fine");
    assert_eq!(fine, [json!({"n": 5})]);
}

#[test]
fn the_source_is_tried_by_hand() {
    let source = Source::new();
    five(&source);
    let (_, key) = account(&source, "reader");
    let config = json!({
        "credentials": {"method": "key", "key": key},
        "streams": {"costs": {"table": "other-org.billing.costs", "cursor": "export_time"}},
    });
    let config = source.world.write("config.json", &config.to_string());
    let config = config.display().to_string();
    let by_hand = |command: &str, more: &[&str]| {
        let mut all = vec!["source", command, "bigquery", "--config", &config];
        all.extend(more);
        let mut command = source.world.command(&all);
        let output = command
            .env("XETL_ENDPOINT", &source.endpoint)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(
        source
            .world
            .ok(&["source", "show", "bigquery"])
            .contains("credentials.key")
    );
    source.world.ok(&["source", "lint", "bigquery", "--strict"]);
    assert!(by_hand("check", &[]).contains("work"));
    let fields = by_hand("discover", &["--stream", "costs"]);
    assert!(
        fields.contains("export_time") && fields.contains("labels"),
        "{fields}"
    );
    let read = by_hand(
        "read",
        &["--stream", "costs", "--limit", "2", "--format", "json"],
    );
    let read: Value = serde_json::from_str(&read).unwrap();
    let records = read[0]["records"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["labels"], json!([{"key": "env", "value": "p1"}]));
    assert!(!read.to_string().contains("PRIVATE KEY"));
}
