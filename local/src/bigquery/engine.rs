//! Threads for SQL: planning recurses deeply, more so in debug builds.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::error::ApiError;

const STACK: usize = 64 << 20;

pub struct Engine {
    runtime: Option<Runtime>,
    /// Counts finished jobs, so that waiters look again.
    finished: watch::Sender<u64>,
}

impl Engine {
    pub fn start() -> io::Result<Engine> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(4)
            .thread_name("bigquery")
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        Ok(Engine {
            runtime: Some(runtime),
            finished: watch::Sender::new(0),
        })
    }

    /// Starts work that nobody waits for.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(work);
        }
    }

    /// Runs work and waits for what it returns.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let Some(runtime) = &self.runtime else {
            return Err(ApiError::internal("the SQL engine has stopped"));
        };
        let done = runtime.spawn(work).await;
        done.unwrap_or_else(|error| {
            Err(ApiError::internal(format!(
                "the SQL engine failed: {error}"
            )))
        })
    }

    pub fn job_finished(&self) {
        self.finished.send_modify(|count| *count += 1);
    }

    /// Changes whenever a job finishes.
    pub fn finishes(&self) -> watch::Receiver<u64> {
        self.finished.subscribe()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A runtime must not wait for its threads inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
