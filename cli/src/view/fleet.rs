//! How the plans of many clients look: a line for those that are alike, so that a thousand
//! stay on a screen.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstream::AutoStream;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::events::{fails, of_step, timed, waits};
use super::plan::{counts, warnings};
use super::progress::style;
use super::{BOLD, DIM, GREEN, RED, View};
use crate::apply::{ApplyError, Observer};
use crate::failure::Failure;
use crate::fleet::{Outcome, Planned, Shape};
use crate::names::first_few;
use crate::plan::document::PlanDocument;
use crate::plan::{Step, Summary};

/// What many clients need.
pub struct FleetPicture<'a> {
    pub projects: usize,
    pub outcomes: &'a [Outcome<Planned>],
    /// Limits of Google's that all together would go beyond.
    pub warnings: Vec<String>,
}

/// Lines of changes, and of failures; the rest is counted.
const MOST_LINES: usize = 15;

impl View {
    pub fn fleet_plan(&mut self, picture: &FleetPicture<'_>) -> io::Result<()> {
        if self.is_json() {
            return self.json(&document(picture));
        }
        for line in lines(picture) {
            self.line(line)?;
        }
        Ok(())
    }

    /// What became of each client.
    pub fn fleet_applied(&mut self, outcomes: &[Outcome<usize>]) -> io::Result<()> {
        if self.is_json() {
            let clients: Vec<Value> = outcomes.iter().map(applied_json).collect();
            return self.json(&json!({"version": 1, "clients": clients}));
        }
        for line in failures(outcomes) {
            self.line(line)?;
        }
        let done = outcomes.iter().filter_map(|it| it.result.as_ref().ok());
        let (clients, steps) = done
            .filter(|steps| **steps > 0)
            .fold((0, 0), |(clients, all), steps| (clients + 1, all + steps));
        self.line(match clients {
            0 => "Nothing was left to do for the others.".to_owned(),
            _ if steps == 1 => "Done: 1 step for 1 client.".to_owned(),
            _ => format!("Done: {steps} steps for {}.", counted(clients)),
        })
    }
}

fn applied_json(outcome: &Outcome<usize>) -> Value {
    let client = &outcome.client;
    match &outcome.result {
        Ok(steps) => json!({"client": client, "applied": steps}),
        Err(failure) => json!({"client": client, "error": failure.sentence, "hint": failure.hint}),
    }
}

fn document(picture: &FleetPicture<'_>) -> Value {
    let plans = picture
        .outcomes
        .iter()
        .map(|outcome| match &outcome.result {
            Ok(Planned { proposal, .. }) => {
                json!(PlanDocument::of(
                    &proposal.client,
                    &proposal.plan,
                    &proposal.missing
                ))
            }
            Err(failure) => {
                json!({"client": outcome.client, "error": failure.sentence, "hint": failure.hint})
            }
        });
    json!({
        "version": 1,
        "projects": picture.projects,
        "summary": sum(picture.outcomes),
        "warnings": picture.warnings,
        "clients": plans.collect::<Vec<_>>(),
    })
}

fn sum(outcomes: &[Outcome<Planned>]) -> Summary {
    let plans = outcomes.iter().filter_map(|it| it.result.as_ref().ok());
    plans.map(|it| it.proposal.plan.summary()).sum()
}

fn lines(picture: &FleetPicture<'_>) -> Vec<String> {
    let outcomes = picture.outcomes;
    let mut alike: BTreeMap<Shape, Vec<String>> = BTreeMap::new();
    let mut without_value = Vec::new();
    for outcome in outcomes {
        let Ok(Planned { proposal, .. }) = &outcome.result else {
            continue;
        };
        if let Some(shape) = Shape::of(&proposal.plan) {
            alike.entry(shape).or_default().push(outcome.client.clone());
        }
        if !proposal.missing.is_empty() {
            without_value.push(outcome.client.clone());
        }
    }
    let mut alike: Vec<(Shape, Vec<String>)> = alike.into_iter().collect();
    alike.sort_by_key(|(_, clients)| std::cmp::Reverse(clients.len()));
    let mut lines: Vec<String> = alike
        .iter()
        .take(MOST_LINES)
        .map(|(shape, clients)| {
            format!(
                "  {}: {shape}  {DIM}{}{DIM:#}",
                counted(clients.len()),
                first_few(clients)
            )
        })
        .collect();
    if let Some(more) = alike.len().checked_sub(MOST_LINES + 1) {
        lines.push(format!(
            "  {DIM}and {} other changes; --format json has them{DIM:#}",
            more + 1
        ));
    }
    if !without_value.is_empty() {
        lines.push(format!(
            "  {}: secrets without a value  {DIM}{}{DIM:#}",
            counted(without_value.len()),
            first_few(&without_value)
        ));
    }
    lines.extend(warnings(&picture.warnings).map(|line| format!("  {line}")));
    lines.extend(failures(outcomes));
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(format!(
        "{BOLD}{}{BOLD:#}",
        summed(picture, alike.iter().map(|(_, it)| it.len()).sum())
    ));
    lines
}

fn summed(picture: &FleetPicture<'_>, changing: usize) -> String {
    let all = counted(picture.outcomes.len());
    let projects = match picture.projects {
        1 => "1 project".to_owned(),
        projects => format!("{projects} projects"),
    };
    let summary = sum(picture.outcomes);
    match changing {
        0 => format!(
            "No changes for {all} in {projects}. {} unchanged.",
            summary.unchanged
        ),
        _ => format!(
            "{changing} of {all} in {projects} change: {}.",
            counts(&summary)
        ),
    }
}

pub(super) fn failures<T>(outcomes: &[Outcome<T>]) -> Vec<String> {
    let failed: Vec<(&str, &Failure)> = outcomes
        .iter()
        .filter_map(|it| Some((it.client.as_str(), it.result.as_ref().err()?)))
        .collect();
    let told = failed.iter().take(MOST_LINES);
    let mut lines: Vec<String> = told
        .map(|(client, failure)| format!("  {RED}!{RED:#} {client}: {}", failure.sentence))
        .collect();
    if failed.len() > MOST_LINES {
        lines.push(format!(
            "  {DIM}and {} others{DIM:#}",
            failed.len() - MOST_LINES
        ));
    }
    lines
}

pub(super) fn counted(clients: usize) -> String {
    match clients {
        1 => "1 client".to_owned(),
        clients => format!("{clients} clients"),
    }
}

/// Shows how many clients are done.
pub struct FleetProgress {
    bar: ProgressBar,
    events: bool,
}

impl View {
    pub fn fleet_progress(&mut self, clients: usize, events: bool) -> FleetProgress {
        let bar = match self.is_terminal() && !events {
            true => ProgressBar::new(clients as u64),
            false => ProgressBar::hidden(),
        };
        bar.set_style(style());
        FleetProgress { bar, events }
    }
}

impl FleetProgress {
    /// A client is done, or failed.
    pub fn told<T>(&self, client: &str, result: &Result<T, Failure>) {
        let result = result.as_ref().map(|_| 0).map_err(Clone::clone);
        self.observer(client).ended(&result);
    }

    /// Hears what the apply of one client does.
    pub fn observer(&self, client: &str) -> ClientObserver {
        ClientObserver {
            client: client.to_owned(),
            bar: self.bar.clone(),
            events: self.events,
        }
    }

    pub fn finished(&self) {
        self.bar.finish_and_clear();
    }
}

/// One client of many.
pub struct ClientObserver {
    client: String,
    bar: ProgressBar,
    events: bool,
}

impl ClientObserver {
    /// The client is done, or failed.
    pub fn ended(&self, result: &Result<usize, Failure>) {
        self.bar.inc(1);
        match result {
            _ if self.events => {}
            Ok(0) => {}
            Ok(steps) => self.tell(format!(
                "{GREEN}  done{GREEN:#} {}, {steps} steps",
                self.client
            )),
            Err(_) => self.tell(format!("{RED}failed{RED:#} {}", self.client)),
        }
    }

    fn event(&self, mut event: Value) {
        if self.events {
            event["client"] = self.client.clone().into();
            self.tell(timed(event).to_string());
        }
    }

    fn tell(&self, line: String) {
        let mut err = AutoStream::auto(io::stderr());
        // A remark nobody can read is no reason to fail.
        self.bar.suspend(|| _ = writeln!(err, "{line}"));
    }
}

impl Observer for ClientObserver {
    fn started(&mut self, steps: usize) {
        self.event(json!({"event": "started", "steps": steps}));
    }

    fn step_started(&mut self, step: &Step) {
        self.bar
            .set_message(format!("{}: {}", self.client, step.address));
        self.event(of_step("step_started", step));
    }

    fn step_waits(&mut self, step: &Step, why: &str) {
        self.event(waits(step, why));
    }

    fn step_finished(&mut self, step: &Step) {
        self.event(of_step("step_finished", step));
    }

    fn step_failed(&mut self, step: &Step, error: &ApplyError) {
        self.event(fails(step, error));
    }

    fn stopping(&mut self) {
        self.event(json!({"event": "stopping"}));
    }

    fn finished(&mut self) {
        self.event(json!({"event": "finished"}));
    }
}
