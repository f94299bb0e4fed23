//! One run of the binary, watched: how it ended, what it said, and the memory it had.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

/// A run that takes longer is taken for one without an end.
const ENDLESS: Duration = Duration::from_secs(240);

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    /// Standard output.
    pub printed: String,
    pub log: String,
    /// What `--state-out` holds; null without it.
    pub state: Json,
    /// The most memory it had at once, in MiB.
    pub peak: u64,
}

impl Ran {
    pub fn records(&self) -> Vec<Json> {
        let lines = self.printed.lines();
        lines
            .map(|line| serde_json::from_str::<Json>(line).unwrap()["record"].take())
            .collect()
    }

    /// That this ended as an error whose log says all of `parts`.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.log);
        for part in parts {
            assert!(self.log.contains(part), "no `{part}` in:\n{}", self.log);
        }
        assert!(!self.log.contains("panicked"), "{}", self.log);
    }

    #[track_caller]
    pub fn succeeds(&self) {
        assert_eq!(self.code, 0, "{}", self.log);
    }
}

/// What is read: the files' text.
#[derive(Debug, Clone)]
pub struct Input {
    pub manifest: String,
    pub config: String,
    pub state: Option<String>,
    pub arguments: Vec<String>,
}

impl Input {
    pub fn new(manifest: impl ToString, config: impl ToString) -> Input {
        Input {
            manifest: manifest.to_string(),
            config: config.to_string(),
            state: None,
            arguments: Vec::new(),
        }
    }

    /// A stream of `url`'s pages.
    pub fn of(url: &str, stream: &Json) -> Input {
        Input::new(manifest(stream), json!({"url": url, "key": "s3cr3t-key"}))
    }

    #[must_use]
    pub fn with_state(mut self, state: &Json) -> Input {
        let stream = json!({"stream_descriptor": {"name": "things"}, "stream_state": state});
        self.state = Some(json!([{"type": "STREAM", "stream": stream}]).to_string());
        self
    }

    pub fn read(&self) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("manifest.yaml"), &self.manifest).unwrap();
        fs::write(path("config.json"), &self.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xetl-runtime"));
        command.current_dir(folder.path());
        command.args([
            "read",
            "--source",
            "manifest.yaml",
            "--config",
            "config.json",
        ]);
        command.args(["--state-out", "after.json"]);
        if let Some(state) = &self.state {
            fs::write(path("state.json"), state).unwrap();
            command.args(["--state", "state.json"]);
        }
        command.args(&self.arguments);
        command.env_remove("RUST_LOG");
        command.stdout(File::create(path("stdout")).unwrap());
        command.stderr(File::create(path("stderr")).unwrap());
        let mut child = command.spawn().unwrap();
        let (code, peak) = watched(&mut child);
        Ran {
            code,
            peak,
            printed: fs::read_to_string(path("stdout")).unwrap(),
            log: fs::read_to_string(path("stderr")).unwrap(),
            state: state(&path("after.json")),
        }
    }
}

/// Exit code and the most memory, in MiB.
fn watched(child: &mut Child) -> (i32, u64) {
    let started = Instant::now();
    let mut peak = 0;
    loop {
        peak = peak.max(memory(child.id()).unwrap_or(0) / 1024);
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code().unwrap_or(-1), peak);
        }
        if started.elapsed() > ENDLESS {
            child.kill().unwrap();
            child.wait().unwrap();
            return (-1, peak);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The most memory a process had so far, in KiB.
fn memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The state of the one stream.
fn state(path: &Path) -> Json {
    let Ok(text) = fs::read_to_string(path) else {
        return Json::Null;
    };
    let states: Json = serde_json::from_str(&text).unwrap();
    states[0]["stream"]["stream_state"].clone()
}

/// A manifest with one stream, `things`, of pages at `/things`; a request is sent once and not
/// again. The fields of `more` are put over those of the stream, however deep.
pub fn manifest(more: &Json) -> Json {
    let mut stream = json!({
        "type": "DeclarativeStream",
        "name": "things",
        "primary_key": "id",
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": "{{ config.url }}",
                "path": "/things",
                "error_handler": {"type": "DefaultErrorHandler", "max_retries": 0},
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
            },
        },
    });
    put(&mut stream, more);
    json!({
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["things"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {
            "type": "object",
            "properties": {"key": {"type": "string", "airbyte_secret": true}},
        }},
    })
}

fn put(under: &mut Json, over: &Json) {
    match (under, over) {
        (Json::Object(under), Json::Object(over)) => {
            for (name, value) in over {
                put(under.entry(name).or_insert(Json::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}
