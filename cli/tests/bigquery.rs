//! The source `bigquery`, from the command line to the rows: another project's tables, read
//! by the real runtime on the local cloud.
#![allow(clippy::unwrap_used)] // A test may panic.

mod world;

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
        let status = world.json(&["local", "status"]);
        let endpoint = status["status"]["endpoint"].as_str().unwrap().to_owned();
        let source = Source { world, endpoint };
        let path = format!("/bigquery/v2/projects/{OTHER}/datasets");
        let dataset = json!({"datasetReference": {"datasetId": "billing"}, "location": "EU"});
        source.post(&path, &dataset);
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

    /// Changes something on the other side.
    fn there(&self, sql: &str) {
        let body = json!({"query": sql, "useLegacySql": false, "location": "EU", "timeoutMs": 60000});
        self.post(&format!("/bigquery/v2/projects/{OTHER}/queries"), &body);
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
        .map(|id| row(id, "1.100000001", &format!("2025-06-01 10:00:0{id}.000001+00:00")))
        .collect();
    source.there(&insert(&first.join(", ")));
    source.client(CONFIG, STREAMS);

    let summary = source.run(&[]);
    assert_eq!(summary["outcome"], "done", "{summary:#}");
    let costs = stream(&summary, "costs");
    assert_eq!(costs["rows"], 5);
    assert_eq!(costs["state"], json!({"export_time": "2025-06-01T10:00:05.000001Z"}));

    // Exactly what the source has.
    let columns = "id, service, cost, exact, export_time, labels, project, day, at, raw";
    let here = format!("SELECT {columns} FROM acme_billing.costs ORDER BY id");
    let there = "SELECT * EXCEPT (extra) FROM `other-org.billing.costs` ORDER BY id";
    let truth = |sql: &str| {
        let body = json!({"query": sql, "useLegacySql": false, "location": "EU"});
        source.post(&format!("/bigquery/v2/projects/{OTHER}/queries"), &body)["rows"].clone()
    };
    let truth = truth(there);
    assert_eq!(source.rows(&here).len(), 5);
    assert_eq!(truth.as_array().unwrap().len(), 5);

    // A rerun finds nothing new; a changed row and a new one come alone.
    let again = source.run(&[]);
    assert_eq!(stream(&again, "costs")["rows"], 0, "{again:#}");
    source.there("UPDATE `other-org.billing.costs` SET cost = NUMERIC '7', export_time = TIMESTAMP '2025-06-02 00:00:00+00:00' WHERE id = 2");
    source.there(&insert(&row(6, "2", "2025-06-02 00:00:01+00:00")));
    let next = source.run(&[]);
    assert_eq!(stream(&next, "costs")["rows"], 2, "{next:#}");
    let all = source.rows("SELECT COUNT(*) n, COUNT(DISTINCT id) ids, SUM(cost) cost FROM acme_billing.costs");
    assert_eq!(all, [json!({"n": 6, "ids": 6, "cost": "13.400000004"})], "{all:?}");
    let grouped = source.rows("SELECT service, n, cost FROM acme_billing.services");
    assert_eq!(grouped, [json!({"service": "run", "n": 6, "cost": "13.400000004"})]);

    // A range is read whatever was read before, and leaves the state.
    let backfill = ["backfill", "--client", "acme", "--stream", "costs", "--from", "2025-06-01", "--to", "2025-06-01", "--wait"];
    let filled = source.world.json(&backfill)["summary"].clone();
    assert_eq!(stream(&filled, "costs")["rows"], 4, "{filled:#}");
    assert_eq!(stream(&source.run(&[]), "costs")["rows"], 0);
}
