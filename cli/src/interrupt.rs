//! Ctrl-C, and the end that a scheduler of jobs asks for. What watches for it ends by itself and
//! says how far it came; all else ends at once, and so does whoever is asked twice.

use std::io;
use std::sync::OnceLock;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch::{Receiver, Sender};

use crate::failure::Kind;

static CAME: OnceLock<Sender<bool>> = OnceLock::new();

/// While this lives, an interruption only becomes true in it.
pub fn watched() -> Receiver<bool> {
    let listening = || {
        let came = Sender::new(false);
        // Where no signal can be heard, they do what they always did.
        if let Ok(signals) = Signals::new() {
            tokio::spawn(signals.listen(came.clone()));
        }
        came
    };
    CAME.get_or_init(listening).subscribe()
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
                std::process::exit(Kind::Interrupted as i32);
            }
        }
    }
}
