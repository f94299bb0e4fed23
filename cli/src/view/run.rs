//! How a run looks: its log on the way, its streams at the end.

use std::io;

use serde_json::json;
use xetl_runtime::progress::bars::Bars;
use xetl_runtime::progress::{Once, grouped, size, words};

use super::{BOLD, DIM, GREEN, RED, View, YELLOW};
use crate::execution::{Execution, LogLine, RunSummary, StreamSummary};

/// Shows what a run logs: how far it is in lines that change, the rest above them.
pub struct Following<'v> {
    view: &'v mut View,
    bars: Bars,
}

impl Following<'_> {
    pub fn line(&mut self, line: &LogLine) {
        if self.bars.hear(&line.message, &line.fields) {
            return;
        }
        let text = self.view.log_text(line);
        self.bars.above(|| self.view.note(text));
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.bars.clear();
    }
}

/// An execution, and what its run says of itself once it is over.
pub struct RunPicture<'a> {
    pub client: &'a str,
    pub pipeline: &'a str,
    pub execution: &'a Execution,
    pub summary: Option<&'a RunSummary>,
}

impl View {
    pub fn run(&mut self, picture: &RunPicture<'_>) -> io::Result<()> {
        if self.is_json() {
            return self.json(&json!({
                "client": picture.client,
                "pipeline": picture.pipeline,
                "execution": picture.execution,
                "summary": picture.summary,
            }));
        }
        let Some(summary) = picture.summary else {
            return Ok(());
        };
        self.streams(summary)?;
        self.line(format!("{BOLD}{}{BOLD:#}", sum(summary)))
    }

    /// A run's streams, a line each.
    pub(super) fn streams(&mut self, summary: &RunSummary) -> io::Result<()> {
        let header = [
            "stream", "outcome", "mode", "rows", "size", "seconds", "up to",
        ];
        let rows = summary.streams.iter().map(stream_row).collect();
        self.cells(&header, rows, &[3, 4, 5])?;
        for stream in &summary.streams {
            if let Some(error) = &stream.error {
                self.line(format!("{RED}{}{RED:#}: {error}", stream.stream))?;
            }
        }
        self.models(summary)
    }

    /// One line for the models that are built, and one for each that is not.
    fn models(&mut self, summary: &RunSummary) -> io::Result<()> {
        let built = summary.models.iter().filter(|model| model.error.is_none());
        let built: Vec<&str> = built.map(|model| model.model.as_str()).collect();
        if !built.is_empty() {
            self.line(format!("models: {}", built.join(", ")))?;
        }
        for model in &summary.models {
            if let Some(error) = &model.error {
                self.line(format!("{RED}model {}{RED:#}: {error}", model.model))?;
            }
        }
        Ok(())
    }

    /// The log of an execution while it is waited for.
    pub fn following(&mut self) -> Following<'_> {
        let bars = Bars::new(self.is_terminal());
        Following { view: self, bars }
    }

    fn log_text(&mut self, line: &LogLine) -> String {
        log_text(line, &mut self.once)
    }

    /// Entries of the log as the result; as JSON one document.
    pub fn logs(&mut self, lines: &[LogLine]) -> io::Result<()> {
        match self.is_json() {
            true => self.json(&lines),
            false => self.logs_on(lines),
        }
    }

    /// Entries of a log without end; as JSON a document a line.
    pub fn logs_on(&mut self, lines: &[LogLine]) -> io::Result<()> {
        for line in lines {
            let text = match self.is_json() {
                true => serde_json::to_string(line)?,
                false => self.log_text(line),
            };
            self.line(text)?;
        }
        Ok(())
    }
}

/// An entry without the fields that the one before had too.
fn log_text(line: &LogLine, once: &mut Once) -> String {
    let style = match line.severity.as_str() {
        "ERROR" | "CRITICAL" | "ALERT" | "EMERGENCY" => RED,
        "WARNING" => YELLOW,
        _ => DIM,
    };
    let time = line.time.get(11..19).unwrap_or(&line.time);
    let fields = words(&once.fresh(&line.fields));
    let severity = &line.severity;
    let text = format!(
        "{DIM}{time}{DIM:#} {style}{severity:<7}{style:#} {} {DIM}{}{DIM:#}",
        line.message, fields
    );
    text.trim_end().to_owned()
}

fn stream_row(stream: &StreamSummary) -> Vec<String> {
    let style = outcome_style(&stream.outcome);
    vec![
        stream.stream.clone(),
        format!("{style}{}{style:#}", stream.outcome),
        stream.mode.clone().unwrap_or_default(),
        grouped(stream.rows),
        size(stream.bytes),
        format!("{:.1}", stream.seconds),
        cursor(stream),
    ]
}

pub(super) fn outcome_style(outcome: &str) -> anstyle::Style {
    match outcome {
        "failed" | "cancelled" => RED,
        "parked" | "skipped" | "running" | "pending" => YELLOW,
        _ => GREEN,
    }
}

/// Where the next run goes on, where the state is one cursor.
fn cursor(stream: &StreamSummary) -> String {
    let mut values = stream
        .state
        .as_object()
        .into_iter()
        .flat_map(|state| state.values());
    match (values.next(), values.next()) {
        (Some(serde_json::Value::String(cursor)), None) => cursor.clone(),
        _ => String::new(),
    }
}

fn sum(summary: &RunSummary) -> String {
    let count = summary.streams.len();
    let took = seconds(&summary.started_at, &summary.finished_at)
        .map(|seconds| format!(" in {seconds:.1}s"))
        .unwrap_or_default();
    format!(
        "Run {}: {} rows of {count} streams, {}{took}.",
        summary.outcome,
        grouped(summary.rows),
        size(summary.bytes)
    )
}

/// Seconds between two times in RFC 3339.
pub(super) fn seconds(from: &str, to: &str) -> Option<f64> {
    let (from, to): (jiff::Timestamp, jiff::Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Some(to.duration_since(from).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_whose_it_is_once() {
        let line = |run: &str| {
            LogLine {
            time: "2026-11-21T04:05:06.7Z".to_owned(),
            severity: "INFO".to_owned(),
            message: "loaded".to_owned(),
            fields: json!({"client": "acme", "run": run, "rows": 3, "stream": "a", "summary_json": "{}"})
                .as_object()
                .unwrap()
                .clone(),
            id: "1".to_owned(),
        }
        };
        let mut once = Once::default();
        let mut text =
            |run: &str| anstream::adapter::strip_str(&log_text(&line(run), &mut once)).to_string();
        assert_eq!(
            text("r1"),
            "04:05:06 INFO    loaded client=acme run=r1 stream=a rows=3"
        );
        assert_eq!(text("r1"), "04:05:06 INFO    loaded stream=a rows=3");
        assert_eq!(text("r2"), "04:05:06 INFO    loaded run=r2 stream=a rows=3");
    }
}
