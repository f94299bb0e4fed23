//! Sandbox sources: servers that behave as an API documents it, over made-up data.
//!
//! They serve the demo, the tests and whoever tries xetl without an account.
//! Nothing here knows of the local cloud, and the cloud knows nothing of this.

mod api;
mod control;
mod endpoints;
mod faults;
mod ledger;
mod limits;
mod query;
mod server;
mod shared;
mod state;
mod tokens;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use limits::Allowance;
use server::Running;
pub use server::SandboxError;

/// A source to try xetl with, on loopback
#[derive(Args, Debug)]
pub struct SandboxArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Subcommand, Debug)]
enum Source {
    /// Xero's accounting API over a made-up company's ledger
    ///
    /// Sign in as client `sandbox` with secret `sandbox-secret`, as a custom
    /// connection or with the refresh token `sandbox-refresh-0`, which works
    /// once. Time stands still until POST /_sandbox/advance moves it.
    Xero(XeroArgs),
}

#[derive(Args, Debug, Clone)]
pub struct XeroArgs {
    /// Port on 127.0.0.1 [default: that of last time if there is a folder, else any]
    #[arg(long)]
    port: Option<u16>,
    /// About how many documents the ledger has at the start [default: 20000]
    #[arg(long)]
    documents: Option<usize>,
    /// What the ledger is generated from [default: 42]
    #[arg(long)]
    seed: Option<u64>,
    /// Calls allowed a minute
    #[arg(long, default_value_t = 60)]
    calls_per_minute: u32,
    /// Calls allowed a day
    #[arg(long, default_value_t = 5000)]
    calls_per_day: u32,
    /// Calls allowed at once
    #[arg(long, default_value_t = 5)]
    concurrent: u32,
    /// Milliseconds each call takes
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Folder for `sandbox.json` (where it serves) and for what must survive a restart
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl XeroArgs {
    fn allowance(&self) -> Allowance {
        Allowance {
            calls_per_minute: self.calls_per_minute,
            calls_per_day: self.calls_per_day,
            concurrent: self.concurrent,
        }
    }
}

/// Serves until SIGTERM or Ctrl-C.
pub async fn run(args: SandboxArgs) -> Result<(), SandboxError> {
    let Source::Xero(args) = args.source;
    let running = server::start(&args).await?;
    announce(&running);
    wait_for_end().await.map_err(SandboxError::Signal)?;
    running.shutdown().await
}

fn announce(running: &Running) {
    tracing::info!(
        url = running.url,
        client_id = tokens::CLIENT_ID,
        client_secret = tokens::CLIENT_SECRET,
        refresh_token = tokens::FIRST_REFRESH_TOKEN,
        tenant_id = tokens::TENANT_ID,
        "sandbox Xero serves"
    );
}

async fn wait_for_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

#[cfg(test)]
mod tests;
