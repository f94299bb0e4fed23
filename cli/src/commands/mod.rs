//! The commands: a file each, with its arguments (whose doc comments are the
//! help) and a `run` that fetches, decides, shows and acts.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::view::{Format, View};

pub mod adopt;
pub mod apply;
pub mod backfill;
pub mod completions;
pub mod destroy;
pub mod doctor;
pub mod drift;
mod fleet;
pub mod image;
pub mod init;
pub mod local;
pub mod logs;
pub mod onboard;
pub mod plan;
pub mod query;
pub mod replay;
pub mod run;
pub mod schema;
pub mod secrets;
pub mod source;
pub mod status;
pub mod upgrade;
mod which;

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
    Init(init::InitArgs),
    Onboard(onboard::OnboardArgs),
    Plan(plan::PlanArgs),
    Drift(drift::DriftArgs),
    Apply(apply::ApplyArgs),
    Adopt(adopt::AdoptArgs),
    Destroy(destroy::DestroyArgs),
    Run(run::RunArgs),
    Backfill(backfill::BackfillArgs),
    Replay(replay::ReplayArgs),
    Upgrade(upgrade::UpgradeArgs),
    Rollback(upgrade::RollbackArgs),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Logs(logs::LogsArgs),
    Query(query::QueryArgs),
    Secrets(secrets::SecretsArgs),
    Source(source::SourceArgs),
    Image(image::ImageArgs),
    Local(local::LocalArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
}

impl Cli {
    pub fn format(&self) -> Format {
        self.globals.format
    }

    pub async fn run(self, view: &mut View) -> Result<ExitCode, Failure> {
        let context = Context::new(self.globals.workspace)?;
        if self.globals.format == Format::Csv && !matches!(self.command, Command::Query(_)) {
            return Err(Failure::new(Kind::Usage, "only `query` prints csv"));
        }
        let result = Cli::carry_out(self.command, &context, view).await;
        match result {
            Err(failure) => Err(context.explained(failure).await),
            done => done,
        }
    }

    async fn carry_out(
        command: Command,
        context: &Context,
        view: &mut View,
    ) -> Result<ExitCode, Failure> {
        match command {
            Command::Init(args) => init::run(context, view, &args)?,
            Command::Onboard(args) => onboard::run(context, view, &args).await?,
            Command::Secrets(args) => secrets::run(context, view, &args).await?,
            Command::Source(args) => source::run(context, view, &args).await?,
            Command::Image(args) => image::run(context, view, &args).await?,
            Command::Local(args) => local::run(context, view, &args).await?,
            Command::Completions(args) => completions::run(view, &args)?,
            Command::Drift(args) => return drift::run(context, view, &args).await,
            Command::Plan(args) => return plan::run(context, view, &args).await,
            Command::Apply(args) => apply::run(context, view, &args).await?,
            Command::Adopt(args) => adopt::run(context, view, &args).await?,
            Command::Destroy(args) => destroy::run(context, view, &args).await?,
            Command::Run(args) => run::run(context, view, &args).await?,
            Command::Backfill(args) => backfill::run(context, view, &args).await?,
            Command::Replay(args) => replay::run(context, view, &args).await?,
            Command::Doctor(args) => return doctor::run(context, view, &args).await,
            Command::Upgrade(args) => upgrade::upgrade(context, view, &args).await?,
            Command::Rollback(args) => upgrade::rollback(context, view, &args).await?,
            Command::Status(args) => status::run(context, view, &args).await?,
            Command::Logs(args) => logs::run(context, view, &args).await?,
            Command::Query(args) => query::run(context, view, &args).await?,
            Command::Schema(args) => schema::run(view, &args)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether to go on; an error where nobody said yes and there is nobody to ask.
fn agree(view: &mut View, yes: bool, question: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    match view.confirm(question)? {
        Some(true) => Ok(true),
        Some(false) => {
            view.note("Nothing was changed.");
            Ok(false)
        }
        None => Err(Failure::new(
            Kind::Unconfirmed,
            "this changes things, and there is no terminal to ask on",
        )
        .hint("say yes with `--yes`")),
    }
}
