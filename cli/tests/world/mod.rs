//! A workspace of its own with the real binaries: xetl, the local cloud it
//! starts, and a sandbox source. All of it ends with the test, and what went over
//! the wire to the local cloud is judged then.

// Each test uses its own part of it, and says aloud what it skips.
#![allow(dead_code, clippy::print_stderr, clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub mod api;
pub mod wire;

/// Longer than any of these steps takes on a slow machine; a hang fails here.
const PATIENCE: Duration = Duration::from_secs(300);

/// A source that no test runs: it has one stream and asks nobody.
pub const THINGS: &str = include_str!("things.yaml");
/// The end of it where it is to need a secret.
pub const SECRET_KEY: &str = include_str!("secret.yaml");

pub struct World {
    folder: tempfile::TempDir,
    sandbox: Option<Child>,
    /// The service account xetl runs as; the local cloud's owner where there is none.
    key: Option<PathBuf>,
    tolerated: Vec<&'static str>,
}

/// What one command did.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
            sandbox: None,
            key: None,
            tolerated: Vec::new(),
        }
    }

    /// From now on xetl runs as the service account of this key.
    pub fn sign_in(&mut self, key: &Value) {
        self.key = Some(self.write("key.json", &key.to_string()));
    }

    /// Findings on the wire with this text are another's doing, and known.
    pub fn tolerate(&mut self, finding: &'static str) {
        self.tolerated.push(finding);
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the local cloud was asked and answered.
    fn record(&self) -> PathBuf {
        self.path().join("wire.jsonl")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xetl"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env("XETL_LOCAL_BIN", built("xetl-local"))
            .env("XETL_RUNTIME_BIN", built("xetl-runtime"))
            .env(wire::RECORD, self.record())
            .env("NO_COLOR", "1")
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .stdin(Stdio::null());
        if let Some(key) = &self.key {
            command.env("GOOGLE_APPLICATION_CREDENTIALS", key);
        }
        command
    }

    /// Runs xetl to its end, without a terminal.
    pub fn xetl(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments), arguments)
    }

    /// Runs xetl to its end, and does something to its process or the world once it has said `at`.
    pub fn xetl_and(&self, arguments: &[&str], at: &str, meanwhile: impl FnOnce(u32)) -> Done {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut stderr = String::new();
        for line in lines.by_ref() {
            stderr += &(line.unwrap() + "\n");
            if stderr.contains(at) {
                break;
            }
        }
        meanwhile(child.id());
        let rest: Vec<_> = lines.map(Result::unwrap).collect();
        let output = child.wait_with_output().unwrap();
        Done {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: stderr + &rest.join("\n"),
        }
    }

    /// Runs xetl, which has to succeed; returns stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let done = self.xetl(arguments);
        assert_eq!(
            done.code,
            Some(0),
            "xetl {arguments:?}\n{}\n{}",
            done.stdout,
            done.stderr
        );
        done.stdout
    }

    /// Runs xetl with `--format json`; returns what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--format", "json"]);
        let stdout = self.ok(&arguments);
        serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{stdout}"))
    }

    /// Starts a sandbox Xero; returns its URL.
    pub fn sandbox(&mut self, options: &[&str]) -> String {
        self.sandbox_of("xero", options)
    }

    /// Starts a sandbox of a source; returns its URL.
    pub fn sandbox_of(&mut self, source: &str, options: &[&str]) -> String {
        let folder = self.path().join("sandbox");
        std::fs::create_dir_all(&folder).unwrap();
        let child = Command::new(built("xetl-local"))
            .args(["sandbox", source, "--dir"])
            .arg(&folder)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.sandbox = Some(child);
        let ready = folder.join("sandbox.json");
        wait_for("the sandbox", || {
            let document: Value = serde_json::from_slice(&std::fs::read(&ready).ok()?).ok()?;
            Some(document["url"].as_str()?.to_owned())
        })
    }

    /// Ends the sandbox: who asks it hears nothing.
    /// A command that has to fail with this exit code.
    pub fn refused(&self, code: i32, arguments: &[&str]) -> Done {
        let done = self.xetl(arguments);
        let Done { stdout, stderr, .. } = &done;
        assert_eq!(
            done.code,
            Some(code),
            "xetl {arguments:?}\n{stdout}\n{stderr}"
        );
        done
    }

    /// Stores the value of a client's secret field.
    pub fn set_secret(&self, client: &str, path: &str, value: &str) {
        let file = self.write("secret-value", value).display().to_string();
        let set = ["secrets", "set", "--client", client, path, "--from-file"];
        self.ok(&[&set[..], &[&file]].concat());
    }

    /// All is as the client's file declares.
    pub fn assert_as_declared(&self, client: &str) {
        let plan = self.json(&["plan", "--client", client]);
        assert_eq!(plan["empty"], true, "{:#}", plan["steps"]);
    }

    /// Where the local cloud answers, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        let status = self.json(&["local", "status"]);
        status["status"]["endpoint"].as_str().unwrap().to_owned()
    }

    pub fn stop_sandbox(&mut self) {
        if let Some(mut sandbox) = self.sandbox.take() {
            sandbox.kill().unwrap();
            sandbox.wait().unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.xetl(&["local", "down"]);
        if let Some(mut sandbox) = self.sandbox.take() {
            let _ = sandbox.kill();
            let _ = sandbox.wait();
        }
        if !std::thread::panicking() {
            wire::judge(&self.record(), &self.tolerated);
        }
    }
}

/// A binary of the workspace: the image's static runtime from `bin/`, the others from
/// beside the xetl under test, so that all are of one build.
pub fn built(name: &str) -> PathBuf {
    let folder = match name {
        "xetl-runtime" => Path::new(env!("CARGO_MANIFEST_DIR")).join("../bin"),
        _ => Path::new(env!("CARGO_BIN_EXE_xetl")).with_file_name(""),
    };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "`{}` is missing: `make test` makes it",
        path.display()
    );
    path
}

/// The Python of `.venv` with the judges in it; `None` (said aloud) where it is
/// not set up, which is a failure in CI.
pub fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "`.venv` is missing: tests/setup.sh makes it"
    );
    eprintln!(
        "SKIPPED: `.venv` is missing, Google's clients did not judge this run; tests/setup.sh makes it"
    );
    None
}

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no sign of {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn finish(mut command: Command, arguments: &[&str]) -> Done {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = reader(child.stdout.take().unwrap());
    let stderr = reader(child.stderr.take().unwrap());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("xetl {arguments:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Done {
        code: status.code(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

fn reader(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
