//! `xetl source lint`: what is wrong with a manifest, before it runs.

use std::path::Path;

use serde_json::json;
use xetl_runtime::source::lint::{Finding, Severity, lint};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::view::View;

/// Find unknown keys and types, bad templates, dead definitions and dangling references
#[derive(clap::Args, Debug)]
pub struct LintArgs {
    /// Sources by name, or manifest files
    #[arg(required = true, value_name = "SOURCE|FILE")]
    sources: Vec<String>,
    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,
}

pub fn run(context: &Context, view: &mut View, args: &LintArgs) -> Result<(), Failure> {
    let mut found = Vec::new();
    for named in &args.sources {
        let source = super::find(context, named)?;
        let findings = lint(&source.text).into_iter();
        found.extend(findings.map(|finding| (source.label(), finding)));
    }
    show(view, &found)?;
    let count = |severity| {
        found
            .iter()
            .filter(|(_, it)| it.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let summary = format!(
        "{}, {}",
        super::counted(errors, "error"),
        super::counted(warnings, "warning")
    );
    match errors > 0 || (args.strict && warnings > 0) {
        true => Err(Failure::new(Kind::Failed, summary)),
        false => {
            view.note(summary);
            Ok(())
        }
    }
}

fn show(view: &mut View, found: &[(String, Finding)]) -> Result<(), Failure> {
    if view.is_json() {
        let objects = found
            .iter()
            .map(|(source, finding)| json!({"source": source, "finding": finding}));
        return Ok(view.json(&objects.collect::<Vec<_>>())?);
    }
    for (source, finding) in found {
        view.finding(&relative(source), finding)?;
    }
    Ok(())
}

/// The path from here, as editors take it.
fn relative(label: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = Path::new(label).strip_prefix(here);
    path.map_or(label.to_owned(), |path| path.display().to_string())
}
