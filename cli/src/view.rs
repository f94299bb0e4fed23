//! The one place that prints: results on stdout, the rest on stderr.
//!
//! Commands hand over values; here they become lines, tables or JSON. Colour
//! and progress bars only where a terminal shows them.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use xetl_runtime::progress::Once;

use crate::failure::Failure;
use crate::interrupt;

mod ask;
mod doctor;
mod events;
mod exchange;
mod finding;
mod fleet;
mod fleet_runs;
mod image;
mod plan;
mod progress;
mod run;
mod status;
mod table;
mod upgrade;

pub use fleet::{ClientObserver, FleetPicture, FleetProgress};
pub use fleet_runs::{FleetStatus, PipelineRun};
pub use image::bytes;
pub use plan::PlanPicture;
pub use progress::Progress;
pub use run::{Following, RunPicture};
pub use status::{PipelineStatus, StatusPicture};
pub use upgrade::{UpgradePicture, WavePicture};

/// Form of results.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people
    #[value(alias = "table")]
    Text,
    /// One JSON document
    Json,
    /// Comma-separated values; of queries only
    Csv,
}

/// Where a command's results and remarks go.
pub struct View {
    format: Format,
    out: AutoStream<io::Stdout>,
    err: AutoStream<io::Stderr>,
    /// What the log has said of itself already.
    once: Once,
}

pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

impl View {
    pub fn new(format: Format) -> View {
        View {
            format,
            out: AutoStream::auto(io::stdout()),
            err: AutoStream::auto(io::stderr()),
            once: Once::default(),
        }
    }

    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether there is a person to ask: a terminal on both sides.
    pub fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether remarks go to a terminal.
    pub fn is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Asks yes or no; `None` where there is nobody to ask.
    pub fn confirm(&mut self, question: &str) -> io::Result<Option<bool>> {
        if !self.is_interactive() {
            return Ok(None);
        }
        interrupt::gives_terminal_back();
        let answer = dialoguer::Confirm::new()
            .with_prompt(question)
            .default(false)
            .interact();
        answer.map(Some).map_err(ask::io_error)
    }

    /// A line of the result, on stdout.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        quiet_pipe(writeln!(self.out, "{}", text.as_ref()))
    }

    /// The result as JSON, on stdout.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.line(text)
    }

    /// A remark to the person, on stderr.
    pub fn note(&mut self, text: impl AsRef<str>) {
        // A remark nobody can read is no reason to fail.
        let _ = writeln!(self.err, "{}", text.as_ref());
    }

    /// Says why the command failed, and gives its exit code.
    pub fn failure(&mut self, failure: &Failure) -> ExitCode {
        if self.is_json() {
            let error = json!({"error": {
                "kind": format!("{:?}", failure.kind).to_lowercase(),
                "message": failure.sentence,
                "hint": failure.hint,
            }});
            self.note(error.to_string());
        } else {
            self.note(format!("{RED}error:{RED:#} {}", failure.sentence));
            if let Some(hint) = &failure.hint {
                self.note(format!("{BOLD}hint:{BOLD:#} {hint}"));
            }
        }
        ExitCode::from(failure.kind as u8)
    }
}

/// `xetl ... | head` is no failure.
fn quiet_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
