//! `xetl-local`: the local cloud as a process.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use xetl_local::premises::Said;
use xetl_local::record::Record;
use xetl_local::server::Options;
use xetl_local::{sandbox, server};

/// The part of Google Cloud xetl uses, on loopback
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the APIs until SIGTERM or Ctrl-C
    Serve {
        /// Folder that holds all state
        #[arg(long)]
        dir: PathBuf,
        /// Port on 127.0.0.1 [default: that of last time if free, else any]
        #[arg(long)]
        port: Option<u16>,
        /// Write every call of an API to this file, secrets included: for tests
        #[arg(long, value_name = "FILE", env = "XETL_LOCAL_RECORD")]
        record: Option<PathBuf>,
        /// A project that exists, for each; any exists where none is named
        #[arg(long, value_name = "ID")]
        project: Vec<String>,
    },
    Sandbox(sandbox::SandboxArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr();
    let done = match args.command {
        Command::Serve {
            dir,
            port,
            record,
            project,
        } => serve(dir, port, record, project).await,
        Command::Sandbox(args) => sandbox::run(args).await.map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(
    dir: PathBuf,
    port: Option<u16>,
    record: Option<PathBuf>,
    projects: Vec<String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let record = record.map(|path| Record::open(&path)).transpose()?;
    let projects = Said {
        only: (!projects.is_empty()).then(|| projects.into_iter().collect()),
        ..Said::default()
    };
    let running = server::start_with(&dir, port, Options { record, projects }).await?;
    tracing::info!(url = running.url, dir = %dir.display(), "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    tracing::info!("ending");
    running.shutdown().await?;
    Ok(())
}

/// Lines for people on a terminal, JSON for files; `RUST_LOG` chooses what is shown.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.init();
    } else {
        lines.json().flatten_event(true).init();
    }
}
