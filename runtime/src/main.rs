//! One run of one source: parse, dispatch, exit code.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use xetl_runtime::google::secrets::Secrets;
use xetl_runtime::log::{self, Output};
use xetl_runtime::run::{self, RunArgs, RunError, Setup};
use xetl_runtime::source::Config;
use xetl_runtime::stream::Source;
use xetl_runtime::{read, settings, source};

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
    Run(RunArgs),
    Read(read::ReadArgs),
    Check(read::CheckArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let code = match Cli::parse().mode {
        Mode::Run(args) => load(args).await,
        Mode::Read(args) => tried(read::run(&args)).await,
        Mode::Check(args) => tried(read::check(&args)).await,
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

async fn load(args: RunArgs) -> u8 {
    log::init(Output::Stdout);
    let setup = match run::setup(args).await {
        Ok(setup) => setup,
        Err(error) => return failed(&error),
    };
    run::stop_on_signal(setup.stop.clone());
    match run::execute(setup, open).await {
        Ok(summary) => summary.exit_code(),
        Err(error) => failed(&error),
    }
}

fn failed(error: &RunError) -> u8 {
    tracing::error!("{error}");
    error.exit_code()
}

/// The bundle's source, with its secrets and a place for rotated ones.
async fn open(setup: &Setup) -> Result<Box<dyn Source>, RunError> {
    let secrets = Secrets::connect(&setup.google).await?;
    let env = |name: &str| std::env::var(name).ok();
    let config = settings::config(&setup.bundle, &secrets, env).await?;
    let rotated = settings::RotatedSecrets {
        secrets,
        fields: setup.bundle.secrets.clone(),
    };
    let source = source::open(&setup.bundle.manifest, Config(config), Arc::new(rotated))?;
    Ok(source)
}
