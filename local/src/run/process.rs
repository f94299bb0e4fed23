//! One attempt of a task: a process in a group of its own, its output line by line, its end.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::command::Command;
use super::execution::ProcessId;

/// Between SIGTERM and SIGKILL (Cloud Run, task timeout).
const GRACE: Duration = Duration::from_secs(10);

/// Longest line that stays one log entry (Cloud Logging quotas).
const LONGEST_LINE: usize = 256 * 1024;

/// How long output that a dead process left behind is waited for.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
    TimedOut,
    Cancelled,
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> End {
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Exit(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        }
    }
}

/// A started process.
pub struct Process {
    child: Child,
    group: Option<Pid>,
}

impl Process {
    pub fn start(command: &Command) -> std::io::Result<Process> {
        let child = tokio::process::Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(&command.env)
            .current_dir(&command.folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(group_of);
        Ok(Process { child, group })
    }

    /// What finds the process again after a restart of this server.
    pub fn id(&self) -> Option<ProcessId> {
        let pid = self.child.id()?;
        let started = start_time(pid);
        Some(ProcessId { pid, started })
    }

    /// Runs to the end, the timeout or the cancellation, and hands each line of output to `line`.
    pub async fn run(
        mut self,
        timeout: Duration,
        cancel: &CancellationToken,
        line: impl Fn(Output, String) + Clone,
    ) -> std::io::Result<End> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let output = async {
            tokio::join!(
                read_lines(stdout, |text| line(Output::Stdout, text)),
                read_lines(stderr, |text| line(Output::Stderr, text)),
            )
        };
        tokio::pin!(output);
        let mut read = false;
        let end = {
            let ended = self.ended(timeout, cancel);
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    end = &mut ended => break end?,
                    _ = &mut output, if !read => read = true,
                }
            }
        };
        // What the process started ends with it, as a container ends with its first process.
        self.signal(Signal::KILL);
        if !read {
            // A process that left the group may hold the pipes open for ever.
            let _ = tokio::time::timeout(DRAIN, output).await;
        }
        Ok(end)
    }

    async fn ended(
        &mut self,
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> std::io::Result<End> {
        let why = tokio::select! {
            status = self.child.wait() => return Ok(status?.into()),
            () = tokio::time::sleep(timeout) => End::TimedOut,
            () = cancel.cancelled() => End::Cancelled,
        };
        self.signal(Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
            self.child.wait().await?;
        }
        Ok(why)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The only error is that the group is gone, which is what was wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

fn group_of(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Kills the group of a process that an earlier server left, if it is still that process.
pub fn kill_orphan(process: &ProcessId) {
    let same = process.started.is_some() && start_time(process.pid) == process.started;
    if let (true, Some(group)) = (same, group_of(process.pid)) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// When the process started, in ticks since boot: with the pid it names one process for good.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

async fn read_lines(output: Option<impl AsyncRead + Unpin>, line: impl Fn(String)) {
    let Some(output) = output else { return };
    let mut reader = BufReader::new(output);
    let mut text = Vec::new();
    // A pipe that breaks has ended.
    while let Ok(bytes) = reader.fill_buf().await {
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let room = LONGEST_LINE - text.len();
        let taken = end.unwrap_or(bytes.len()).min(room);
        text.extend_from_slice(&bytes[..taken]);
        let is_end = end == Some(taken);
        reader.consume(taken + usize::from(is_end));
        if is_end || text.len() == LONGEST_LINE {
            flush(&mut text, &line);
        }
    }
    flush(&mut text, &line);
}

fn flush(text: &mut Vec<u8>, line: &impl Fn(String)) {
    if !text.is_empty() {
        line(String::from_utf8_lossy(text).into_owned());
        text.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn shell(script: &str) -> Command {
        Command {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            folder: "/".into(),
            env: BTreeMap::from([("ONLY".to_owned(), "this".to_owned())]),
        }
    }

    async fn run(
        script: &str,
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> (End, Vec<String>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let line =
            move |output, text: String| kept.lock().unwrap().push(format!("{output:?} {text}"));
        let process = Process::start(&shell(script)).unwrap();
        let end = process.run(timeout, cancel, line).await.unwrap();
        let lines = lines.lock().unwrap().clone();
        (end, lines)
    }

    #[tokio::test]
    async fn output_comes_by_lines_and_the_exit_code_is_kept() {
        let script = "echo a; echo b; printf c; exit 3";
        let (end, lines) = run(script, LONG, &CancellationToken::new()).await;
        assert_eq!(end, End::Exit(3));
        assert_eq!(lines, ["Stdout a", "Stdout b", "Stdout c"]);
    }

    #[tokio::test]
    async fn the_environment_is_only_what_was_given() {
        let (_, lines) = run(
            "echo $ONLY $HOME $USER >&2",
            LONG,
            &CancellationToken::new(),
        )
        .await;
        assert_eq!(lines, ["Stderr this"]);
    }

    #[tokio::test]
    async fn a_timeout_ends_the_process_with_sigterm() {
        let script = "trap 'echo asked; exit 0' TERM; echo ready; sleep 1000 & wait";
        let (end, lines) = run(
            script,
            Duration::from_millis(300),
            &CancellationToken::new(),
        )
        .await;
        assert_eq!(end, End::TimedOut);
        assert!(lines.contains(&"Stdout asked".to_owned()), "{lines:?}");
    }

    #[tokio::test]
    async fn cancelling_ends_the_process() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let (end, _) = run("exec sleep 1000", LONG, &cancel).await;
        assert_eq!(end, End::Cancelled);
    }

    #[tokio::test]
    async fn a_signal_is_told_from_an_exit() {
        let (end, _) = run("kill -9 $$", LONG, &CancellationToken::new()).await;
        assert_eq!(end, End::Signal(9));
    }

    #[tokio::test]
    async fn what_the_process_started_ends_with_it() {
        let (end, lines) = run("sleep 1000 & echo $!", LONG, &CancellationToken::new()).await;
        assert_eq!(end, End::Exit(0));
        let pid: u32 = lines[0].strip_prefix("Stdout ").unwrap().parse().unwrap();
        // The kernel delivers SIGKILL in its own time, and whoever inherits the process reaps it.
        let gone = async {
            while lives(pid) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(30), gone).await;
        gone.expect("still runs");
    }

    fn lives(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(" Z "))
    }

    #[tokio::test]
    async fn an_orphan_is_killed_only_if_it_is_the_same_process() {
        let mut process = Process::start(&shell("exec sleep 1000")).unwrap();
        let id = process.id().unwrap();
        let other = ProcessId {
            started: Some(1),
            ..id.clone()
        };
        kill_orphan(&other);
        assert!(process.child.try_wait().unwrap().is_none());
        kill_orphan(&id);
        assert_eq!(
            End::from(process.child.wait().await.unwrap()),
            End::Signal(9)
        );
    }
}
