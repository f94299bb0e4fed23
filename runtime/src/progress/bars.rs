//! The board on a terminal, below what else is printed. The one user of `indicatif` here.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value as Json};

use super::Board;

/// The lines of a run that is under way.
pub struct Bars {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
    board: Board,
    shown: bool,
}

impl Bars {
    /// Lines on stderr; none at all where that is no terminal.
    pub fn new(shown: bool) -> Bars {
        let target = match shown {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Bars {
            all: MultiProgress::with_draw_target(target),
            lines: Vec::new(),
            board: Board::default(),
            shown,
        }
    }

    /// Takes a log entry in; whether the lines say all of it.
    pub fn hear(&mut self, message: &str, fields: &Map<String, Json>) -> bool {
        if !self.shown {
            return false;
        }
        let is_said = self.board.hear(message, fields);
        self.draw();
        is_said
    }

    /// Prints something above the lines.
    pub fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Takes the lines away.
    pub fn clear(&mut self) {
        self.board = Board::default();
        self.draw();
    }

    fn draw(&mut self) {
        let width = usize::from(console::Term::stderr().size().1);
        let texts = self.board.lines(width.saturating_sub(2));
        while self.lines.len() > texts.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.all.remove(&line);
            }
        }
        while self.lines.len() < texts.len() {
            self.lines.push(self.all.add(line()));
        }
        for (line, text) in self.lines.iter().zip(texts) {
            line.set_message(text);
        }
    }
}

fn line() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    // The template is a constant, and right.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(120));
    line
}
