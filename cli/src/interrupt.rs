//! Ctrl-C, and the end that a scheduler of jobs asks for. What watches for it ends by itself and
//! says how far it came; all else ends at once, and so does whoever is asked twice.

use std::io;
use std::sync::OnceLock;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch::{Receiver, Sender};

use crate::failure::Kind;

static CAME: OnceLock<Sender<bool>> = OnceLock::new();
/// The terminal before the first question.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// While this lives, an interruption only becomes true in it.
pub fn watched() -> Receiver<bool> {
    listening().subscribe()
}

/// From here on an interruption leaves the terminal as it is now, however a question changes it:
/// a menu hides the cursor, a secret the typing.
pub fn gives_terminal_back() {
    if let Ok(now) = tcgetattr(io::stdin()) {
        // The first question finds it as it was.
        let _ = BEFORE.set(now);
    }
    listening();
}

fn listening() -> &'static Sender<bool> {
    CAME.get_or_init(|| {
        let came = Sender::new(false);
        // Where no signal can be heard, they do what they always did.
        if let Ok(signals) = Signals::new() {
            tokio::spawn(signals.listen(came.clone()));
        }
        came
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn listen(mut self, came: Sender<bool>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if came.receiver_count() == 0 || came.send_replace(true) {
                give_back_the_terminal();
                std::process::exit(Kind::Interrupted as i32);
            }
        }
    }
}

/// As it was before the first question.
pub fn give_back_the_terminal() {
    // Whoever ends has nobody left to tell that it did not work.
    if let Some(before) = BEFORE.get() {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        let _ = console::Term::stderr().show_cursor();
    }
}
