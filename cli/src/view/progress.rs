//! How an apply looks while it runs: a bar on a terminal, else a line a step.

use indicatif::{ProgressBar, ProgressStyle};

use super::{DIM, GREEN, RED, View};
use crate::apply::{ApplyError, Observer};
use crate::plan::{Change, Step};

/// Said when an apply is interrupted.
pub(super) const STOPPING: &str =
    "Interrupted: what is under way goes on to its end; again, and it stops at once.";

/// Shows the steps of an apply.
pub struct Progress<'a> {
    view: &'a mut View,
    bar: ProgressBar,
}

impl View {
    pub fn progress(&mut self) -> Progress<'_> {
        let bar = match self.is_terminal() {
            true => ProgressBar::new(0),
            false => ProgressBar::hidden(),
        };
        bar.set_style(style());
        Progress { view: self, bar }
    }
}

/// A bar, how far it is, and what is done now.
pub(super) fn style() -> ProgressStyle {
    // The template is a constant, and right.
    ProgressStyle::with_template("{bar:24} {pos}/{len} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress<'_> {
    fn tell(&mut self, line: String) {
        self.bar.suspend(|| self.view.note(line));
    }
}

impl Observer for Progress<'_> {
    fn started(&mut self, steps: usize) {
        self.bar.set_length(steps as u64);
    }

    fn step_started(&mut self, step: &Step) {
        self.bar.set_message(step.address.to_string());
    }

    fn step_waits(&mut self, step: &Step, why: &str) {
        self.tell(format!(
            "{DIM}    waiting for {}: {why}{DIM:#}",
            step.address
        ));
    }

    fn step_finished(&mut self, step: &Step) {
        self.bar.inc(1);
        self.tell(format!(
            "{GREEN}  {}{GREEN:#} {}",
            done(&step.change),
            step.address
        ));
    }

    fn step_failed(&mut self, step: &Step, _: &ApplyError) {
        self.tell(format!("{RED}   failed{RED:#} {}", step.address));
    }

    fn stopping(&mut self) {
        self.tell(STOPPING.to_owned());
    }

    fn finished(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn done(change: &Change) -> &'static str {
    match change {
        Change::Create { .. } => "created",
        Change::Update { .. } => "changed",
        Change::Replace { .. } => "made anew",
        Change::Delete { .. } => "deleted",
        Change::Keep { .. } | Change::Refuse { .. } => "   kept",
    }
}
