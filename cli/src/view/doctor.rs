//! How findings look: a line each, below it what mends it.

use std::collections::BTreeSet;
use std::io;

use serde_json::{Value, json};

use super::fleet::failures;
use super::{BOLD, DIM, GREEN, RED, View, YELLOW};
use crate::doctor::{Alike, Finding, Level, Place, alike, count};
use crate::fleet::Outcome;
use crate::names::first_few;

/// Findings told of many clients; the rest is counted.
const MOST_LINES: usize = 10;

impl View {
    pub fn findings(
        &mut self,
        client: &str,
        project: &str,
        findings: &[Finding],
    ) -> io::Result<()> {
        let (problems, warnings) = (
            count(findings, Level::Problem),
            count(findings, Level::Warning),
        );
        if self.is_json() {
            return self.json(&json!({"version": 1, "client": client, "project": project,
                "problems": problems, "warnings": warnings, "findings": findings}));
        }
        self.line(format!("{BOLD}{client}{BOLD:#}  {DIM}{project}{DIM:#}"))?;
        for finding in findings {
            self.finding_line(finding)?;
        }
        self.line(summed(problems, warnings))
    }

    /// What was found for many: what is alike once, what is well not at all.
    pub fn places(&mut self, places: &[Place], broken: &[Outcome<()>]) -> io::Result<()> {
        let counted_as = |level| -> usize {
            let each = places.iter().map(|it| count(&it.findings, level));
            each.sum()
        };
        let problems = counted_as(Level::Problem) + broken.len();
        let warnings = counted_as(Level::Warning);
        if self.is_json() {
            return self.json(
                &json!({"version": 1, "problems": problems, "warnings": warnings,
                "places": places.iter().map(place_json).collect::<Vec<_>>(),
                "broken": broken.iter().filter_map(broken_json).collect::<Vec<_>>()}),
            );
        }
        let alike = alike(places);
        for Alike { finding, projects } in alike.iter().take(MOST_LINES) {
            self.finding_line(finding)?;
            self.line(format!("{:24}{DIM}{}{DIM:#}", "", first_few(projects)))?;
        }
        if alike.len() > MOST_LINES {
            let more = alike.len() - MOST_LINES;
            self.line(format!(
                "  {DIM}and {more} others; --format json has them{DIM:#}"
            ))?;
        }
        for line in failures(broken) {
            self.line(line)?;
        }
        let clients: usize = places.iter().map(|it| it.clients.len()).sum();
        let projects: BTreeSet<&str> = places.iter().map(|it| it.project.as_str()).collect();
        self.line(format!(
            "{BOLD}{} in {}.{BOLD:#} {}",
            counted(clients + broken.len(), "client"),
            counted(projects.len(), "project"),
            summed(problems, warnings)
        ))
    }

    fn finding_line(&mut self, finding: &Finding) -> io::Result<()> {
        let Finding {
            check,
            level,
            sentence,
            mend,
            ..
        } = finding;
        let (style, word) = match level {
            Level::Ok => (GREEN, "ok"),
            Level::Warning => (YELLOW, "warning"),
            Level::Problem => (RED, "problem"),
        };
        self.line(format!(
            "  {style}{word:<7}{style:#}  {check:<11}  {sentence}"
        ))?;
        match mend {
            Some(mend) => self.line(format!("{:24}{mend}", "")),
            None => Ok(()),
        }
    }
}

fn summed(problems: usize, warnings: usize) -> String {
    match (problems, warnings) {
        (0, 0) => "Nothing stands in the way.".to_owned(),
        (0, warnings) => format!("No problem, {}.", counted(warnings, "warning")),
        (problems, 0) => format!("{}.", counted(problems, "problem")),
        (problems, warnings) => format!(
            "{}, {}.",
            counted(problems, "problem"),
            counted(warnings, "warning")
        ),
    }
}

fn place_json(place: &Place) -> Value {
    json!({"project": place.project, "region": place.region, "clients": place.clients,
        "findings": place.findings})
}

fn broken_json(outcome: &Outcome<()>) -> Option<Value> {
    let failure = outcome.result.as_ref().err()?;
    Some(json!({"client": outcome.client, "error": failure.sentence, "hint": failure.hint}))
}

fn counted(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    }
}
