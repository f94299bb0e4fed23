//! Sandbox sources: servers that behave as an API documents it, over made-up data.
//!
//! They serve the demo, the tests and whoever tries xetl without an account.
//! Nothing here knows of the local cloud, and the cloud knows nothing of this.
//! Each API has a folder; `common` is what they share and knows none of them.

mod close;
mod common;
mod frames;
mod isams;
mod xero;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use common::Running;
pub use common::SandboxError;

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
    Xero(xero::XeroArgs),
    /// Close's CRM over a made-up organisation
    ///
    /// Sign in with the key `api_sandbox`, or as a user who sees less with
    /// `api_sandbox_restricted`. Time stands still until POST
    /// /_sandbox/advance moves it.
    Close(close::CloseArgs),
    /// iSAMS's REST API over a made-up school
    ///
    /// Sign in as client `sandbox` with secret `sandbox-secret` at
    /// /auth/connect/token. POST /_sandbox/leave lets pupils leave between two
    /// pages.
    Isams(isams::IsamsArgs),
    /// An API that gives frames of measurements for ids, 15 minutes at a time
    ///
    /// POST {"ids": [...], "from": ..., "to": ...} to /frames with the token
    /// `frames-sandbox`; at most 10,000 ids.
    Frames(frames::FramesArgs),
}

impl Source {
    async fn start(&self) -> Result<Running, SandboxError> {
        match self {
            Source::Xero(args) => xero::start(args).await,
            Source::Close(args) => close::start(args).await,
            Source::Isams(args) => isams::start(args).await,
            Source::Frames(args) => frames::start(args).await,
        }
    }
}

/// Serves until SIGTERM or Ctrl-C.
pub async fn run(args: SandboxArgs) -> Result<(), SandboxError> {
    let running = args.source.start().await?;
    tracing::info!(url = running.url, announced = %running.announcement, "sandbox serves");
    wait_for_end().await.map_err(SandboxError::Signal)?;
    running.shutdown().await
}

async fn wait_for_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
