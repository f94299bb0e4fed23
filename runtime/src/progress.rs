//! How far a run is: values, and the lines people see of them.
//!
//! A run logs its `Progress`, a `Board` gathers what the tasks of a run have logged. Pure; `bars`
//! draws the lines on a terminal.

pub mod bars;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The message of a log entry that tells of progress.
pub const MESSAGE: &str = "progress";
/// The messages of those that end a stream.
pub const ENDS: [&str; 3] = ["stream done", "stream failed", "stream not finished"];

const BAR: usize = 16;

/// How far one task is with a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub stream: String,
    pub task: u64,
    pub rows: u64,
    /// Of the source's replies.
    pub bytes: u64,
    pub requests: u64,
    pub retries: u64,
    /// Slices this task has to read, and those it has read.
    pub slices: u64,
    pub slices_done: u64,
    /// Calls the source still allows, where it or the manifest says.
    pub calls_left: Option<u64>,
    pub eta_seconds: Option<u64>,
}

impl Progress {
    /// What a log entry tells; numbers may have become floating on their way.
    fn of(fields: &Map<String, Json>) -> Option<Progress> {
        let known = |name: &str| {
            let number = fields.get(name)?;
            number.as_u64().or_else(|| Some(number.as_f64()? as u64))
        };
        let number = |name| known(name).unwrap_or_default();
        Some(Progress {
            stream: fields.get("stream")?.as_str()?.to_owned(),
            task: number("task"),
            rows: number("rows"),
            bytes: number("bytes"),
            requests: number("requests"),
            retries: number("retries"),
            slices: number("slices"),
            slices_done: number("slices_done"),
            calls_left: known("calls_left"),
            eta_seconds: known("eta_seconds"),
        })
    }

    /// With what another task has done of the same stream.
    fn and(self, other: &Progress) -> Progress {
        Progress {
            stream: self.stream,
            task: self.task,
            rows: self.rows + other.rows,
            bytes: self.bytes + other.bytes,
            requests: self.requests + other.requests,
            retries: self.retries + other.retries,
            slices: self.slices + other.slices,
            slices_done: self.slices_done + other.slices_done,
            calls_left: self.calls_left.into_iter().chain(other.calls_left).min(),
            // The last task to end ends the stream.
            eta_seconds: self.eta_seconds.max(other.eta_seconds),
        }
    }

    /// Its line, the name filled up to `name`.
    fn line(&self, name: usize) -> String {
        let mut parts = vec![format!("{:<name$}", self.stream)];
        if self.slices > 1 {
            let (done, all) = (self.slices_done, self.slices);
            parts.push(bar(done, all));
            parts.push(format!("{}/{} slices", grouped(done), grouped(all)));
        }
        parts.push(format!("{} rows", grouped(self.rows)));
        if self.requests > 0 {
            parts.push(size(self.bytes));
            parts.push(many(self.requests, "request", "requests"));
        }
        if self.retries > 0 {
            parts.push(many(self.retries, "retry", "retries"));
        }
        if let Some(left) = self.calls_left {
            parts.push(format!("{} calls left", grouped(left)));
        }
        if let Some(eta) = self.eta_seconds {
            parts.push(format!("about {} to go", span(eta)));
        }
        parts.join("  ")
    }
}

fn many(number: u64, one: &str, more: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{} {more}", grouped(number)),
    }
}

fn bar(done: u64, all: u64) -> String {
    let filled = (done.min(all) * BAR as u64 / all.max(1)) as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled))
}

/// What the tasks of a run have told so far.
#[derive(Debug, Default)]
pub struct Board {
    streams: BTreeMap<String, BTreeMap<u64, Progress>>,
}

impl Board {
    /// Takes a log entry in; whether it only told of progress.
    pub fn hear(&mut self, message: &str, fields: &Map<String, Json>) -> bool {
        if message == MESSAGE
            && let Some(progress) = Progress::of(fields)
        {
            let tasks = self.streams.entry(progress.stream.clone()).or_default();
            tasks.insert(progress.task, progress);
            return true;
        }
        let stream = fields.get("stream").and_then(Json::as_str);
        if let Some(stream) = stream.filter(|_| ENDS.contains(&message)) {
            let task = fields.get("task").and_then(Json::as_u64);
            self.end(stream, task.unwrap_or_default());
        }
        false
    }

    /// A task is done with a stream; what it did stands until all are.
    fn end(&mut self, stream: &str, task: u64) {
        let Some(tasks) = self.streams.get_mut(stream) else {
            return;
        };
        if let Some(progress) = tasks.get_mut(&task) {
            progress.slices_done = progress.slices;
            progress.eta_seconds = None;
        }
        if tasks.values().all(|task| task.slices_done == task.slices) {
            self.streams.remove(stream);
        }
    }

    /// A line for each stream that is under way, none wider than `width`.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let name = self.streams.keys().map(|name| name.chars().count()).max();
        let name = name.unwrap_or_default();
        let streams = self.streams.values().filter_map(|tasks| {
            let mut tasks = tasks.values();
            let first = tasks.next()?.clone();
            Some(tasks.fold(first, Progress::and))
        });
        streams
            .map(|stream| stream.line(name).chars().take(width).collect())
            .collect()
    }
}

/// How long the slices that are left take, if they take as long as those that are done.
pub fn eta(done: u64, all: u64, elapsed: Duration) -> Option<Duration> {
    let left = all.checked_sub(done).filter(|left| *left > 0)?;
    if done == 0 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / done as f64 * left as f64).ok()
}

/// Until progress is told again: soon at first, once a minute in the end.
pub fn pause(elapsed: Duration) -> Duration {
    (elapsed / 5).clamp(Duration::from_secs(2), Duration::from_secs(60))
}

/// 1,234,567
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1.2 MB
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{value:.1} {unit}"),
    }
}

/// 1h 02m
fn span(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m {:02}s", seconds % 60),
        (hours, minutes) => format!("{hours}h {minutes:02}m"),
    }
}

/// Fields of a log that are the same on every line, and are shown once.
#[derive(Debug, Default)]
pub struct Once(Map<String, Json>);

impl Once {
    const NAMES: [&str; 3] = ["client", "pipeline", "run"];

    /// The fields without those that the line before had too.
    pub fn fresh(&mut self, fields: &Map<String, Json>) -> Map<String, Json> {
        let known = |name: &String, value: &Json| {
            Once::NAMES.contains(&name.as_str()) && self.0.get(name) == Some(value)
        };
        let fresh: Map<_, _> = fields
            .iter()
            .filter(|(name, value)| !known(name, value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for name in Once::NAMES {
            if let Some(value) = fields.get(name) {
                self.0.insert(name.to_owned(), value.clone());
            }
        }
        fresh
    }
}

/// Fields as words beside a message, whose they are first; documents are for machines.
pub fn words(fields: &Map<String, Json>) -> String {
    const FIRST: [&str; 4] = ["client", "pipeline", "run", "stream"];
    let first = FIRST.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields
        .iter()
        .filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let words = first.chain(others).filter_map(|(name, value)| {
        let text = match value {
            Json::Object(_) | Json::Array(_) | Json::Null => return None,
            _ if name.ends_with("_json") => return None,
            Json::String(text) => text.clone(),
            Json::Number(number) if number.is_f64() => short(number.as_f64()?),
            other => other.to_string(),
        };
        Some(format!("{name}={text}"))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// 5.2, and 5 for what is whole.
fn short(number: f64) -> String {
    match number.fract() == 0.0 {
        true => format!("{number}"),
        false => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(fields: Json) -> Map<String, Json> {
        fields.as_object().unwrap().clone()
    }

    fn shown(board: &Board, width: usize) -> String {
        board.lines(width).join("\n")
    }

    #[test]
    fn a_board_has_a_line_for_each_stream_that_is_under_way() {
        let mut board = Board::default();
        let invoices = json!({"stream": "invoices", "rows": 12345, "bytes": 3_400_000, "requests": 124,
            "retries": 1, "slices": 12, "slices_done": 7, "calls_left": 58, "eta_seconds": 95});
        let accounts = json!({"stream": "accounts", "rows": 80, "bytes": 999, "requests": 1, "slices": 1, "slices_done": 0});
        assert!(board.hear(MESSAGE, &told(invoices)));
        assert!(board.hear(MESSAGE, &told(accounts)));
        insta::assert_snapshot!(shown(&board, 200), @r"
        accounts  80 rows  999 B  1 request
        invoices  █████████░░░░░░░  7/12 slices  12,345 rows  3.4 MB  124 requests  1 retry  58 calls left  about 1m 35s to go
        ");
        insta::assert_snapshot!(shown(&board, 40), @r"
        accounts  80 rows  999 B  1 request
        invoices  █████████░░░░░░░  7/12 slices 
        ");
        assert!(!board.hear("stream done", &told(json!({"stream": "accounts"}))));
        assert!(!board.hear("merged", &told(json!({"stream": "invoices"}))));
        assert_eq!(board.lines(200).len(), 1);
    }

    #[test]
    fn tasks_of_a_stream_are_added_up_until_the_last_is_done() {
        let mut board = Board::default();
        for task in 0..2 {
            let progress = json!({"stream": "frames", "task": task, "rows": 100.0, "slices": 10,
                "slices_done": 4 + task, "eta_seconds": 7200 - 60 * task, "calls_left": 9 - task});
            board.hear(MESSAGE, &told(progress));
        }
        insta::assert_snapshot!(shown(&board, 200), @"frames  ███████░░░░░░░░░  9/20 slices  200 rows  8 calls left  about 2h 00m to go");
        board.hear("stream done", &told(json!({"stream": "frames", "task": 1})));
        insta::assert_snapshot!(shown(&board, 200), @"frames  ███████████░░░░░  14/20 slices  200 rows  8 calls left  about 2h 00m to go");
        board.hear("stream done", &told(json!({"stream": "frames", "task": 0})));
        assert_eq!(board.lines(200).len(), 0);
    }

    #[test]
    fn an_end_is_foreseen_from_what_is_done() {
        let seconds = Duration::from_secs;
        assert_eq!(eta(2, 6, seconds(10)), Some(seconds(20)));
        assert_eq!(eta(0, 6, seconds(10)), None);
        assert_eq!(eta(6, 6, seconds(10)), None);
        assert_eq!(pause(seconds(1)), seconds(2));
        assert_eq!(pause(seconds(50)), seconds(10));
        assert_eq!(pause(seconds(5000)), seconds(60));
    }

    #[test]
    fn what_every_line_has_is_shown_once() {
        let mut once = Once::default();
        let mut line = |run: &str| {
            let fields = json!({"seconds": 5.1775, "rows": 3, "run": run, "client": "acme",
                "summary_json": "{}", "a": []});
            words(&once.fresh(&told(fields)))
        };
        assert_eq!(line("r1"), "client=acme run=r1 seconds=5.2 rows=3");
        assert_eq!(line("r1"), "seconds=5.2 rows=3");
        assert_eq!(line("r2"), "run=r2 seconds=5.2 rows=3");
    }

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        assert_eq!([0, 123, 1234567].map(grouped), ["0", "123", "1,234,567"]);
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_250_000), "1.2 MB");
    }
}
