//! The local cloud, and executions of a pipeline on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::proxy::{Death, Proxy, Writes};
use crate::source::{self, Row};
use crate::wire;

/// Longer than any of these steps takes on a slow machine; a hang fails here.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a task of Cloud Run has after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
pub const PROJECT: &str = "crash-project";
const BUCKET: &str = "crash";

pub struct Cloud {
    folder: tempfile::TempDir,
    server: Child,
    url: String,
    source: String,
    client: reqwest::Client,
}

/// How the processes of an execution ended, by task; `None` for a killed one.
pub struct Ended {
    pub codes: Vec<Option<i32>>,
    pub writes: usize,
    logs: Vec<PathBuf>,
}

impl Ended {
    pub fn is_killed(&self) -> bool {
        self.codes.contains(&None)
    }

    pub fn is_well(&self) -> bool {
        self.codes.iter().all(|code| *code == Some(0))
    }

    pub fn logs(&self) -> String {
        let logs = self
            .logs
            .iter()
            .map(|log| std::fs::read_to_string(log).unwrap());
        logs.collect::<Vec<_>>().join("\n---\n")
    }
}

/// An execution of a pipeline, or some of its tasks.
#[derive(Clone)]
pub struct Execution<'a> {
    pub name: &'a str,
    /// Those to start of so many.
    pub tasks: &'a [usize],
    pub of: usize,
    pub death: Option<Death>,
}

impl Cloud {
    pub async fn start() -> Arc<Cloud> {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("cloud");
        let server = Command::new(built("xetl-local"))
            .args(["serve", "--port", "0", "--dir"])
            .arg(&dir)
            .env("RUST_LOG", "warn")
            .env(wire::RECORD, folder.path().join("wire.jsonl"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = announced(&dir.join("endpoint.json")).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let source = source::serve().await;
        let cloud = Cloud {
            folder,
            server,
            url,
            source,
            client,
        };
        let path = format!("/storage/v1/b?project={PROJECT}");
        let location = "australia-southeast1";
        cloud
            .send(
                Method::POST,
                &path,
                json!({"name": BUCKET, "location": location}),
            )
            .await;
        Arc::new(cloud)
    }

    pub async fn send(&self, method: Method, path: &str, body: Json) -> Json {
        let request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .json(&body);
        let answer = request.send().await.unwrap();
        assert!(
            answer.status().is_success(),
            "{path}: {}",
            answer.text().await.unwrap()
        );
        answer.json().await.unwrap_or(Json::Null)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    pub async fn delete(&self, path: &str) {
        let answer = self
            .client
            .delete(format!("{}{path}", self.url))
            .send()
            .await;
        let answer = answer.unwrap();
        let status = answer.status();
        assert!(
            status.is_success(),
            "{path}: {}",
            answer.text().await.unwrap()
        );
    }

    pub async fn get(&self, path: &str) -> Option<Json> {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        match answer.status().as_u16() {
            404 => None,
            200 => Some(answer.json().await.unwrap()),
            status => panic!("{path}: {status} {}", answer.text().await.unwrap()),
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if !std::thread::panicking() {
            wire::judge(&self.folder.path().join("wire.jsonl"), &[]);
        }
    }
}

/// Where a pipeline's records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Api,
    /// A table of BigQuery, whose rows BigQuery moves itself.
    Gathered,
    /// A table of BigQuery, read in batches.
    Batches,
}

/// One pipeline with a dataset of its own.
pub struct Pipeline {
    pub cloud: Arc<Cloud>,
    pub from: From,
    name: String,
    mode: &'static str,
    phase: usize,
    is_stalled: bool,
}

impl Pipeline {
    pub async fn new(cloud: &Arc<Cloud>, mode: &'static str, name: String) -> Pipeline {
        Pipeline::of(cloud, From::Api, mode, name).await
    }

    pub async fn of(cloud: &Arc<Cloud>, from: From, mode: &'static str, name: String) -> Pipeline {
        let path = format!("/bigquery/v2/projects/{PROJECT}/datasets");
        for id in [dataset(&name), source_dataset(&name)] {
            let reference = json!({"projectId": PROJECT, "datasetId": id});
            let body = json!({"datasetReference": reference, "location": "australia-southeast1"});
            cloud.send(Method::POST, &path, body).await;
        }
        let pipeline = Pipeline {
            cloud: cloud.clone(),
            from,
            name,
            mode,
            phase: 0,
            is_stalled: false,
        };
        pipeline.write_source().await;
        pipeline.write_bundle();
        pipeline
    }

    /// The source changes.
    pub async fn advance(&mut self) {
        self.phase = 1;
        self.write_source().await;
        self.write_bundle();
    }

    /// The table it reads, where it reads one.
    async fn write_source(&self) {
        if self.from == From::Api {
            return;
        }
        let rows = source::newest(self.phase).into_iter();
        let rows = rows.map(|(id, at, amount)| {
            format!("SELECT '{id}' AS id, TIMESTAMP '{at}' AS at, {amount} AS amount")
        });
        let rows: Vec<String> = rows.collect();
        let table = format!("{PROJECT}.{}.things", source_dataset(&self.name));
        let query = format!(
            "CREATE OR REPLACE TABLE `{table}` AS {}",
            rows.join(" UNION ALL ")
        );
        let path = format!("/bigquery/v2/projects/{PROJECT}/queries");
        let body =
            json!({"query": query, "useLegacySql": false, "location": "australia-southeast1"});
        let answer = self.cloud.send(Method::POST, &path, body).await;
        assert_eq!(answer["jobComplete"], true, "{answer}");
    }

    /// The manifest and the config of its source.
    fn source(&self) -> (Json, Json) {
        let way = if self.is_stalled {
            "stalled"
        } else {
            "flowing"
        };
        let url = format!("{}/{way}/{}", self.cloud.source, self.phase);
        let table = format!("{PROJECT}.{}.things", source_dataset(&self.name));
        let stream = json!({"table": table, "cursor": "at"});
        match self.from {
            From::Api => (source::manifest(), json!({"url": url})),
            From::Gathered => (source::bigquery(), json!({"streams": {"things": stream}})),
            From::Batches => {
                let config =
                    json!({"streams": {"things": stream}, "extract": true, "batch_rows": 2});
                (source::bigquery(), config)
            }
        }
    }

    /// One part of the source does not answer any more.
    pub fn stall(&mut self) {
        self.is_stalled = true;
        self.write_bundle();
    }

    pub fn go_on(&mut self) {
        self.is_stalled = false;
        self.write_bundle();
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn bundle(&self) -> PathBuf {
        self.cloud.folder.path().join(format!("{}.json", self.name))
    }

    fn write_bundle(&self) {
        let (manifest, config) = self.source();
        let bundle = json!({
            "version": 1, "client": "acme", "pipeline": self.name, "project": PROJECT,
            "location": "australia-southeast1", "bucket": BUCKET, "dataset": dataset(&self.name),
            "manifest": manifest, "config": config, "secrets": {},
            "streams": {"things": {"mode": self.mode, "key": ["id"]}},
        });
        std::fs::write(self.bundle(), bundle.to_string()).unwrap();
    }

    /// Starts the tasks of an execution and sees all of them end.
    pub async fn run(&self, execution: Execution<'_>) -> Ended {
        self.launch(&execution).await.ended().await
    }

    /// Has the only task of an execution end, as Cloud Run does, once its first slice is finished.
    pub async fn run_until_told_to_end(&self, execution: Execution<'_>) -> Ended {
        let launched = self.launch(&execution).await;
        let run = format!("{}-{}", self.name, execution.name);
        let slice = format!("{}/things/run={run}/slice-0.json", self.name);
        let deadline = Instant::now() + PATIENCE;
        while self.object(&slice).await.is_none() {
            assert!(Instant::now() < deadline, "the first slice is not finished");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        launched.tell_to_end().await;
        launched.ended().await
    }

    async fn launch(&self, execution: &Execution<'_>) -> Launched {
        let writes = Writes::until(execution.death);
        let mut proxies = Vec::new();
        let mut logs = Vec::new();
        for task in execution.tasks {
            let proxy = Proxy::start(&self.cloud.url, &self.cloud.client, writes.clone()).await;
            let log = format!("{}-{}-{task}.log", self.name, execution.name);
            let log = self.cloud.folder.path().join(log);
            let mut process = proxy.process.lock().unwrap();
            *process = Some(self.start(execution, *task, &proxy.host, &log));
            drop(process);
            proxies.push(proxy);
            logs.push(log);
        }
        Launched {
            proxies,
            logs,
            writes,
        }
    }

    fn start(&self, execution: &Execution<'_>, task: usize, host: &str, log: &Path) -> Child {
        Command::new(built("xetl-runtime"))
            .arg("run")
            .env_clear()
            .env("HOME", self.cloud.folder.path())
            .env("XETL_BUNDLE", self.bundle())
            .env("XETL_ENDPOINT", format!("http://{host}"))
            .env("GCE_METADATA_HOST", host)
            .env(
                "CLOUD_RUN_EXECUTION",
                format!("{}-{}", self.name, execution.name),
            )
            .env("CLOUD_RUN_TASK_INDEX", task.to_string())
            .env("CLOUD_RUN_TASK_COUNT", execution.of.to_string())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Has the time of the lease pass.
    pub async fn let_lease_run_out(&self) {
        let name = format!("{}/lease.json", self.name);
        if let Some(mut lease) = self.object(&name).await {
            lease["deadline"] = "2024-01-01T00:00:00Z".into();
            let path = format!("/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={name}");
            self.cloud.send(Method::POST, &path, lease).await;
        }
    }

    /// A document in the pipeline's bucket.
    pub async fn object(&self, name: &str) -> Option<Json> {
        let name = name.replace('/', "%2F");
        self.cloud
            .get(&format!("/storage/v1/b/{BUCKET}/o/{name}?alt=media"))
            .await
    }

    pub async fn state(&self) -> Json {
        let state = self
            .object(&format!("{}/state/things.json", self.name))
            .await;
        state.expect("a state")
    }

    /// A commit that is under way.
    pub async fn pending(&self) -> Option<Json> {
        self.object(&format!("{}/pending/things.json", self.name))
            .await
    }

    pub async fn lease(&self) -> Option<Json> {
        self.object(&format!("{}/lease.json", self.name)).await
    }

    /// The rows of the stream's table.
    pub async fn rows(&self) -> Vec<Row> {
        let table = format!(
            "/bigquery/v2/projects/{PROJECT}/datasets/{}/tables/things",
            dataset(&self.name)
        );
        let names = self.cloud.get(&table).await.expect("a table");
        let names = names["schema"]["fields"].as_array().unwrap().iter();
        let names: Vec<String> = names
            .map(|field| field["name"].as_str().unwrap().to_owned())
            .collect();
        let data = self
            .cloud
            .get(&format!(
                "{table}/data?formatOptions.useInt64Timestamp=true"
            ))
            .await
            .unwrap();
        let rows = data["rows"].as_array().into_iter().flatten();
        source::sorted(rows.map(|row| {
            let text = |name: &str| {
                let place = names.iter().position(|column| column == name).unwrap();
                let value = row["f"][place]["v"].as_str();
                value.unwrap_or_else(|| panic!("no {name} in {row} of {names:?}"))
            };
            let at: i64 = text("at").parse().unwrap();
            let at = jiff::Timestamp::from_microsecond(at).unwrap();
            (
                text("id").to_owned(),
                at.to_string(),
                text("amount").parse().unwrap(),
            )
        }))
    }

    /// What the table is to have now.
    pub fn truth(&self) -> Vec<Row> {
        match self.mode {
            "append" => source::versions(self.phase),
            _ => source::newest(self.phase),
        }
    }

    pub fn phase(&self) -> usize {
        self.phase
    }
}

fn source_dataset(pipeline: &str) -> String {
    format!("source_of_{}", dataset(pipeline))
}

pub fn dataset(pipeline: &str) -> String {
    pipeline.replace('-', "_")
}

/// An execution under way.
struct Launched {
    proxies: Vec<Proxy>,
    logs: Vec<PathBuf>,
    writes: Arc<Writes>,
}

impl Launched {
    async fn ended(self) -> Ended {
        let mut codes = Vec::new();
        for proxy in &self.proxies {
            codes.push(ended(proxy).await);
        }
        Ended {
            codes,
            writes: self.writes.seen.load(Ordering::SeqCst),
            logs: self.logs,
        }
    }

    /// SIGTERM, and SIGKILL when the time Cloud Run gives is over.
    async fn tell_to_end(&self) {
        let pid = |proxy: &Proxy| proxy.process.lock().unwrap().as_ref().unwrap().id();
        for proxy in &self.proxies {
            let told = Command::new("kill").arg(pid(proxy).to_string()).status();
            assert!(told.unwrap().success());
        }
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && !self.proxies.iter().all(has_ended) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for proxy in &self.proxies {
            let _ = proxy.process.lock().unwrap().as_mut().unwrap().kill();
        }
    }
}

fn has_ended(proxy: &Proxy) -> bool {
    let mut process = proxy.process.lock().unwrap();
    process.as_mut().unwrap().try_wait().unwrap().is_some()
}

pub async fn ended(proxy: &Proxy) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = proxy
            .process
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .try_wait()
            .unwrap();
        if let Some(status) = status {
            return status.code();
        }
        assert!(Instant::now() < deadline, "the runtime hangs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn announced(file: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read(file).unwrap_or_default();
        if let Ok(document) = serde_json::from_slice::<Json>(&text) {
            return document["url"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "no sign of the local cloud");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A binary of the workspace, beside the xetl under test.
pub fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_xetl")).with_file_name(name);
    assert!(
        path.exists(),
        "`{}` is missing: `cargo build --workspace` makes it",
        path.display()
    );
    path
}
