//! How far the reading of a stream is, counted while it goes on and told from time to time.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Pipeline;
use crate::progress::{self, Progress};

/// Where a person looks, they see what is new twice a second.
const WATCHED: Duration = Duration::from_millis(500);

/// What a task has read of a stream so far.
#[derive(Debug, Default)]
pub struct Meter {
    rows: AtomicU64,
    slices: AtomicU64,
    done: AtomicU64,
}

impl Meter {
    /// So many slices are to be read.
    pub fn begin(&self, slices: usize) {
        self.slices.store(slices as u64, Ordering::Relaxed);
    }

    pub fn read(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub fn slice_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pipeline {
    /// Tells how far a stream is, until nobody waits for it any more.
    pub(super) async fn tell(&self, stream: &str, meter: &Meter) -> Infallible {
        let started = Instant::now();
        let before = self.source.usage(stream);
        loop {
            let pause = match self.watched {
                true => WATCHED,
                false => progress::pause(started.elapsed()),
            };
            tokio::time::sleep(pause).await;
            let usage = self.source.usage(stream);
            let (slices, done) = (&meter.slices, &meter.done);
            let (slices, slices_done) =
                (slices.load(Ordering::Relaxed), done.load(Ordering::Relaxed));
            let eta = progress::eta(slices_done, slices, started.elapsed());
            log(&Progress {
                stream: stream.to_owned(),
                task: self.task.index as u64,
                rows: meter.rows.load(Ordering::Relaxed),
                bytes: usage.received - before.received,
                requests: usage.requests - before.requests,
                retries: usage.retries - before.retries,
                slices,
                slices_done,
                calls_left: usage.left,
                eta_seconds: eta.map(|eta| eta.as_secs()),
            });
        }
    }
}

fn log(progress: &Progress) {
    tracing::info!(
        stream = progress.stream,
        task = progress.task,
        rows = progress.rows,
        bytes = progress.bytes,
        requests = progress.requests,
        retries = progress.retries,
        slices = progress.slices,
        slices_done = progress.slices_done,
        calls_left = progress.calls_left,
        eta_seconds = progress.eta_seconds,
        "{}",
        progress::MESSAGE
    );
}
