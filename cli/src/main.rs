//! `xetl`: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use xetl::commands::Cli;
use xetl::view::View;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut view = View::new(cli.format());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return view.failure(&error.into()),
    };
    let result = runtime.block_on(cli.run(&mut view));
    // A blocking read of a pipe must not hold the exit.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(failure) => view.failure(&failure),
    }
}
