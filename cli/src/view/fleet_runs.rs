//! How the runs of many clients look.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::fleet::{counted, failures};
use super::run::outcome_style;
use super::{DIM, View};
use crate::execution::{ExecutionState, LatestRun, Started};
use crate::failure::Failure;
use crate::fleet::Outcome;
use crate::names::first_few;
use xetl_runtime::progress::grouped;

/// How many clients are doing.
pub struct FleetStatus<'a> {
    pub clients: usize,
    pub runs: &'a [PipelineRun],
    /// Clients whose files are wrong.
    pub broken: &'a [(String, Failure)],
}

/// The last run of one pipeline.
pub struct PipelineRun {
    pub client: String,
    pub pipeline: String,
    /// Whether its job is there; an error where its project could not be listed.
    pub is_there: Result<bool, String>,
    pub latest: Option<LatestRun>,
}

impl PipelineRun {
    /// One word for it, as it is counted.
    fn word(&self) -> &'static str {
        match (&self.is_there, &self.latest) {
            (Err(_), _) => "unknown",
            (Ok(false), _) => "not applied",
            (Ok(true), None) => "never ran",
            (Ok(true), Some(run)) => run.state.word(),
        }
    }

    fn needs_a_look(&self) -> bool {
        let state = self.latest.as_ref().map(|run| run.state);
        self.is_there != Ok(true)
            || matches!(
                state,
                Some(ExecutionState::Failed | ExecutionState::Cancelled)
            )
    }

    fn row(&self) -> Vec<String> {
        let word = self.word();
        let style = outcome_style(word);
        let run = self.latest.as_ref();
        let at = run.and_then(|run| run.created.as_deref()).unwrap_or("");
        vec![
            self.client.clone(),
            self.pipeline.clone(),
            format!("{style}{word}{style:#}"),
            at.get(..19).unwrap_or(at).replace('T', " "),
            run.map(|run| run.name.clone()).unwrap_or_default(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "client": self.client,
            "pipeline": self.pipeline,
            "state": self.word(),
            "latest": self.latest,
            "error": self.is_there.as_ref().err(),
        })
    }
}

/// The words in the order they are counted in.
const WORDS: [&str; 8] = [
    "succeeded",
    "running",
    "pending",
    "failed",
    "cancelled",
    "never ran",
    "not applied",
    "unknown",
];
/// Rows of what needs a look; more are only counted.
const MOST_ROWS: usize = 15;

impl View {
    /// What needs a look, and how many of each sort there are.
    pub fn fleet_status(&mut self, status: &FleetStatus<'_>) -> io::Result<()> {
        if self.is_json() {
            let pipelines: Vec<Value> = status.runs.iter().map(PipelineRun::json).collect();
            return self.json(&json!({"version": 1, "pipelines": pipelines}));
        }
        let troubled: Vec<&PipelineRun> = status
            .runs
            .iter()
            .filter(|run| run.needs_a_look())
            .collect();
        if !troubled.is_empty() {
            let rows = troubled
                .iter()
                .take(MOST_ROWS)
                .map(|run| run.row())
                .collect();
            let head = ["client", "pipeline", "state", "started", "execution"];
            self.cells(&head, rows, &[])?;
            if troubled.len() > MOST_ROWS {
                let more = troubled.len() - MOST_ROWS;
                self.line(format!(
                    "{DIM}and {more} others; --format json has them{DIM:#}"
                ))?;
            }
            self.line(String::new())?;
        }
        for (client, failure) in status.broken {
            self.line(format!("{client}: {}", failure.sentence))?;
        }
        for reason in unknown(status.runs) {
            self.line(reason)?;
        }
        let counts: Vec<String> = WORDS
            .iter()
            .map(|word| {
                (
                    word,
                    status.runs.iter().filter(|run| run.word() == *word).count(),
                )
            })
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        self.line(format!(
            "{} pipelines of {}: {}.",
            status.runs.len(),
            counted(status.clients),
            counts.join(", ")
        ))
    }

    /// What was started, or what became of it.
    pub fn fleet_runs(&mut self, outcomes: &[Outcome<Vec<Started>>]) -> io::Result<()> {
        if self.is_json() {
            let clients: Vec<Value> = outcomes.iter().map(outcome_json).collect();
            return self.json(&json!({"version": 1, "clients": clients}));
        }
        for line in failures(outcomes) {
            self.line(line)?;
        }
        let started = outcomes.iter().filter_map(|it| it.result.as_ref().ok());
        let started: Vec<&Started> = started.flatten().collect();
        let ended = started.iter().filter_map(|it| it.summary.as_ref());
        let rows: u64 = ended.clone().map(|summary| summary.rows).sum();
        self.line(match ended.count() {
            0 => format!("{} executions started.", started.len()),
            count => format!("{count} executions done, {} rows.", grouped(rows)),
        })
    }
}

/// Why nothing is known of some, each reason once.
fn unknown(runs: &[PipelineRun]) -> impl Iterator<Item = String> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for run in runs {
        if let Err(reason) = &run.is_there {
            // The place of a client's own file stands before what is alike for all.
            let reason = reason
                .split_once(": ")
                .map_or(&**reason, |(_, reason)| reason);
            let clients = reasons.entry(reason).or_default();
            if clients.last() != Some(&run.client) {
                clients.push(run.client.clone());
            }
        }
    }
    let reasons = reasons.into_iter();
    reasons.map(|(reason, clients)| format!("{}: {reason}", first_few(&clients)))
}

fn outcome_json(outcome: &Outcome<Vec<Started>>) -> Value {
    let client = &outcome.client;
    match &outcome.result {
        Ok(started) => {
            json!({"client": client, "runs": started})
        }
        Err(failure) => {
            json!({"client": client, "error": failure.sentence, "hint": failure.hint})
        }
    }
}
