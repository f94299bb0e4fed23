//! The commands: a file each, with its arguments (whose doc comments are the
//! help) and a `run` that fetches, decides, shows and acts.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::failure::Failure;
use crate::view::{Format, View};

pub mod schema;

/// Data pipelines of many clients on Google Cloud
#[derive(Parser, Debug)]
#[command(name = "xetl", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command
#[derive(clap::Args, Debug)]
pub struct Globals {
    /// Folder of xetl.yaml [default: found upwards from here]
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Form of results on stdout
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Subcommand, Debug)]
enum Command {
    Schema(schema::SchemaArgs),
}

impl Cli {
    pub fn format(&self) -> Format {
        self.globals.format
    }

    pub async fn run(self, view: &mut View) -> Result<ExitCode, Failure> {
        let _context = Context::new(self.globals.workspace)?;
        match self.command {
            Command::Schema(args) => schema::run(view, &args)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
