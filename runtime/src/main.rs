//! `xetl-runtime`: the program in the image.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xetl_runtime::{log, run};

// Pages come and go fast and in all sizes; musl's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fetch what a source has and load it into BigQuery
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    Run(run::RunArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Args::parse().mode {
        Mode::Run(args) => run(args).await,
    }
}

async fn run(args: run::RunArgs) -> ExitCode {
    log::init(log::Output::Stdout);
    match run::run(args).await {
        Ok(summary) => ExitCode::from(summary.exit_code()),
        Err(error) => {
            tracing::error!(error = run::described(&error), "the run failed");
            ExitCode::from(error.exit_code())
        }
    }
}
