//! The local cloud as a process: found running, started, asked, stopped.
//!
//! It is met over HTTP and as a program, never as a library. That only one
//! serves a folder is its own doing: of two that start at once one gives up.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::config::Workspace;
use crate::programs;

/// A start on a slow disk with much state takes seconds, not a minute.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(30);

/// Where the local cloud serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Endpoint {
    pub url: String,
    pub pid: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("there is no `xetl-local` beside xetl or in PATH")]
    NoProgram,
    #[error("cannot start `{}`", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("the local cloud did not start: {reason}")]
    Died { reason: String, log: PathBuf },
    #[error("the local cloud does not answer after {}s", START.as_secs())]
    Silent { log: PathBuf },
    #[error("the local cloud (process {pid}) does not end")]
    DoesNotEnd { pid: u32 },
    #[error("`{}`", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot reach the local cloud")]
    Http(#[from] reqwest::Error),
}

impl LocalError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            LocalError::NoProgram => {
                Some("build it with `make build`, or name it in XETL_LOCAL_BIN".to_owned())
            }
            LocalError::Died { log, .. } | LocalError::Silent { log } => {
                Some(format!("its log: {}", log.display()))
            }
            LocalError::DoesNotEnd { pid } => Some(format!("`kill -9 {pid}` ends it")),
            _ => None,
        }
    }
}

/// The local cloud of a workspace.
pub struct Local {
    folder: PathBuf,
    http: reqwest::Client,
}

/// The workspace's local cloud, started where it does not serve yet.
pub async fn ensure(workspace: &Workspace) -> Result<Endpoint, LocalError> {
    Local::of(workspace)?.ensure().await
}

impl Local {
    pub fn of(workspace: &Workspace) -> Result<Local, LocalError> {
        Ok(Local {
            folder: workspace.local_state(),
            // Loopback is never reached through a proxy.
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(5))
                .build()?,
        })
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Where it serves, if it does; what a killed one left behind does not count.
    pub async fn running(&self) -> Option<(Endpoint, Value)> {
        let endpoint = self.endpoint()?;
        let status = self.status(&endpoint).await?;
        Some((endpoint, status))
    }

    pub async fn ensure(&self) -> Result<Endpoint, LocalError> {
        if let Some((endpoint, _)) = self.running().await {
            return Ok(endpoint);
        }
        let mut child = self.spawn()?;
        let end = Instant::now() + START;
        let mut ours_died = None;
        while Instant::now() < end {
            if let Some((endpoint, _)) = self.running().await {
                return Ok(endpoint);
            }
            if let Ok(Some(_)) = child.try_wait() {
                // It may have given way to one that somebody else starts right now.
                let since = *ours_died.get_or_insert_with(Instant::now);
                if !self.is_taken() || since.elapsed() > Duration::from_secs(10) {
                    return Err(self.died());
                }
            }
            sleep(LOOK).await;
        }
        Err(LocalError::Silent { log: self.log() })
    }

    /// Ends it; `false` where it was not running.
    pub async fn stop(&self) -> Result<bool, LocalError> {
        let Some((endpoint, _)) = self.running().await else {
            return Ok(false);
        };
        let ended = Command::new("kill")
            .arg(endpoint.pid.to_string())
            .stderr(Stdio::null())
            .status();
        ended.map_err(file(Path::new("kill")))?;
        let end = Instant::now() + STOP;
        while self.is_taken() {
            if Instant::now() > end {
                return Err(LocalError::DoesNotEnd { pid: endpoint.pid });
            }
            sleep(LOOK).await;
        }
        Ok(true)
    }

    /// Ends it and forgets everything it kept.
    pub async fn reset(&self) -> Result<(), LocalError> {
        self.stop().await?;
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file(&self.folder)(error)),
            _ => Ok(()),
        }
    }

    fn endpoint(&self) -> Option<Endpoint> {
        let text = fs::read(self.folder.join("endpoint.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Its own words about itself; another program on the port has none for this folder.
    async fn status(&self, endpoint: &Endpoint) -> Option<Value> {
        let url = format!("{}/_local/status", endpoint.url);
        let reply = self.http.get(url).send().await.ok()?;
        let status: Value = reply.error_for_status().ok()?.json().await.ok()?;
        (status["pid"] == endpoint.pid).then_some(status)
    }

    /// Whether some process holds the folder's lock.
    fn is_taken(&self) -> bool {
        File::open(self.folder.join("lock"))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
    }

    /// Starts the server on its own: it outlives this command, and Ctrl-C does not reach it.
    fn spawn(&self) -> Result<Child, LocalError> {
        let program = program()?;
        let path = self.log();
        fs::create_dir_all(&self.folder).map_err(file(&self.folder))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(file(&path))?;
        let errors = log.try_clone().map_err(file(&path))?;
        Command::new(&program)
            .args(["serve", "--dir"])
            .arg(&self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| LocalError::Start {
                path: program,
                source,
            })
    }

    fn died(&self) -> LocalError {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        LocalError::Died {
            reason: last_words(&log).unwrap_or_else(|| "it said nothing".to_owned()),
            log: self.log(),
        }
    }
}

/// The message of the log's last line, which is JSON where all went well.
fn last_words(log: &str) -> Option<String> {
    let line = log.lines().rfind(|line| !line.trim().is_empty())?;
    let entry: Value = serde_json::from_str(line).unwrap_or_default();
    let message = entry["message"].as_str().unwrap_or(line);
    Some(message.to_owned())
}

fn program() -> Result<PathBuf, LocalError> {
    std::env::var_os("XETL_LOCAL_BIN")
        .map(PathBuf::from)
        .or_else(|| programs::find("xetl-local"))
        .ok_or(LocalError::NoProgram)
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> LocalError + use<> {
    let path = path.to_owned();
    move |source| LocalError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_message_of_the_last_line() {
        let log = "{\"message\":\"serving\"}\n{\"level\":\"ERROR\",\"message\":\"no disk\"}\n\n";
        assert_eq!(last_words(log).unwrap(), "no disk");
        assert_eq!(last_words("thread panicked\n").unwrap(), "thread panicked");
        assert_eq!(last_words(""), None);
    }

    #[tokio::test]
    async fn what_a_killed_server_left_behind_is_not_running() {
        let folder = tempfile::tempdir().unwrap();
        let stale = r#"{"url": "http://127.0.0.1:9", "pid": 1}"#;
        fs::write(folder.path().join("endpoint.json"), stale).unwrap();
        let local = Local {
            folder: folder.path().to_owned(),
            http: reqwest::Client::new(),
        };
        assert_eq!(local.endpoint().unwrap().pid, 1);
        assert!(local.running().await.is_none());
    }
}
