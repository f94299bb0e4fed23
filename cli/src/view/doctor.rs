//! How findings look: a line each, below it what mends it.

use std::io;

use serde_json::json;

use super::{BOLD, DIM, GREEN, RED, View, YELLOW};
use crate::doctor::{Finding, Level, count};

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
        self.line(match (problems, warnings) {
            (0, 0) => "Nothing stands in the way.".to_owned(),
            (0, warnings) => format!("No problem, {}.", counted(warnings, "warning")),
            (problems, 0) => format!("{}.", counted(problems, "problem")),
            (problems, warnings) => format!(
                "{}, {}.",
                counted(problems, "problem"),
                counted(warnings, "warning")
            ),
        })
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

fn counted(number: usize, word: &str) -> String {
    match number {
        1 => format!("1 {word}"),
        number => format!("{number} {word}s"),
    }
}
