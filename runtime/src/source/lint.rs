//! What is wrong with a manifest, each with its line and column, without running it.
//!
//! Pure: text in, findings out. It reads the manifest as written (`document`), not as resolved,
//! so that a finding points to the place to change.

mod components;
mod definitions;
mod document;
mod language;
mod nearest;
mod streams;
mod templates;
mod variables;

use serde::Serialize;

use super::yaml::Place;
use document::Document;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The source does not run, or not as it is written.
    Error,
    /// It runs, but somebody should look.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    pub severity: Severity,
    /// JSON pointer of what it is about.
    pub at: String,
    pub message: String,
}

/// Everything that is wrong with a manifest's text (YAML or JSON), in the order of its lines.
pub fn lint(text: &str) -> Vec<Finding> {
    let document = match Document::read(text) {
        Ok(document) => document,
        Err(error) => {
            return vec![Finding {
                line: error.line,
                column: error.column,
                severity: Severity::Error,
                at: String::new(),
                message: error.problem,
            }];
        }
    };
    let mut findings = Findings::default();
    for (pointer, place) in document.places.repeated() {
        let message = format!("`{}` stands twice; only the last counts", last(pointer));
        findings.add(Severity::Error, pointer, *place, message);
    }
    components::check(&document, &mut findings);
    if document.json["type"] != "CustomSource" {
        streams::check(&document, &mut findings);
    }
    for pointer in definitions::unreachable(&document) {
        let message = format!("nothing refers to `{}`", last(&pointer));
        findings.add(
            Severity::Warning,
            &pointer,
            document.places.of_key(&pointer),
            message,
        );
    }
    findings.sorted()
}

/// The name at a pointer's end.
fn last(pointer: &str) -> String {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    name.replace("~1", "/").replace("~0", "~")
}

/// Findings as they come.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, at: &str, place: Place, message: String) {
        self.0.push(Finding {
            line: place.line,
            column: place.column,
            severity,
            at: at.to_owned(),
            message,
        });
    }

    /// By their places, each once: what many refer to is looked at many times.
    fn sorted(mut self) -> Vec<Finding> {
        self.0.sort();
        self.0.dedup();
        self.0
    }
}

#[cfg(test)]
mod tests;
