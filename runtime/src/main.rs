//! `xetl-runtime`: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xetl_runtime::log::{self, Output};
use xetl_runtime::{components, read, run};

// Pages come and go fast and in all sizes; musl's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fetch what a source has and load it into BigQuery
#[derive(Parser)]
#[command(name = "xetl-runtime", version)]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    Run(run::RunArgs),
    Read(read::ReadArgs),
    Check(read::CheckArgs),
    Components(components::ComponentsArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let code = match Cli::parse().mode {
        Mode::Run(args) => load(args).await,
        Mode::Read(args) => tried(read::run(&args)).await,
        Mode::Check(args) => tried(read::check(&args)).await,
        Mode::Components(args) => u8::from(components::run(&args).is_err()),
    };
    ExitCode::from(code)
}

async fn tried(work: impl Future<Output = Result<(), read::ReadError>>) -> u8 {
    log::init(Output::Stderr);
    match work.await {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error}");
            error.exit_code()
        }
    }
}

async fn load(args: run::RunArgs) -> u8 {
    log::init(Output::Stdout);
    match run::run(args).await {
        Ok(summary) => summary.exit_code(),
        Err(error) => {
            tracing::error!(error = run::described(&error), "the run failed");
            error.exit_code()
        }
    }
}
