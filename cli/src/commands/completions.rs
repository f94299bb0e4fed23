//! `xetl completions`: what a shell needs to complete xetl's arguments.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::view::View;

use super::Cli;

/// Print the completion script of a shell
#[derive(clap::Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub fn run(view: &mut View, args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "xetl", &mut script);
    Ok(view.line(String::from_utf8_lossy(&script).trim_end())?)
}
