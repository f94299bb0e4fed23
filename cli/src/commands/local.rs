//! `xetl local`: the workspace's local cloud as a process.

use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::local::{Endpoint, Local, LocalError};
use crate::view::View;

use super::agree;

/// Start, stop and look at the workspace's local cloud
#[derive(clap::Args, Debug)]
pub struct LocalArgs {
    #[command(subcommand)]
    command: LocalCommand,
}

#[derive(clap::Subcommand, Debug)]
enum LocalCommand {
    /// Start it, unless it serves
    Up,
    /// Show where it serves and what it holds
    Status,
    /// Stop it; what it holds stays on disk
    Down,
    /// Stop it and delete everything it holds
    Reset {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Print its log
    Logs,
}

pub async fn run(context: &Context, view: &mut View, args: &LocalArgs) -> Result<(), Failure> {
    let local = Local::of(&context.workspace()?)?;
    match args.command {
        LocalCommand::Up => up(&local, view).await,
        LocalCommand::Status => status(&local, view).await,
        LocalCommand::Down => {
            let stopped = local.stop().await?;
            say(
                view,
                false,
                if stopped {
                    "The local cloud is stopped."
                } else {
                    "It was not running."
                },
                None,
            )
        }
        LocalCommand::Reset { yes } => reset(&local, view, yes).await,
        LocalCommand::Logs => logs(&local, view),
    }
}

async fn up(local: &Local, view: &mut View) -> Result<(), Failure> {
    let endpoint = local.ensure().await?;
    let text = format!("The local cloud serves at {}.", endpoint.url);
    say(view, true, &text, Some(&endpoint))
}

async fn status(local: &Local, view: &mut View) -> Result<(), Failure> {
    let Some((endpoint, status)) = local.running().await else {
        return say(
            view,
            false,
            "The local cloud is not running; `xetl local up` starts it.",
            None,
        );
    };
    if view.is_json() {
        return Ok(view.json(&json!({"running": true, "status": status}))?);
    }
    view.line(format!(
        "serving  {} (process {})",
        endpoint.url, endpoint.pid
    ))?;
    for (what, count) in status["counts"].as_object().into_iter().flatten() {
        view.line(format!("  {count:>6}  {what}"))?;
    }
    Ok(())
}

async fn reset(local: &Local, view: &mut View, yes: bool) -> Result<(), Failure> {
    if agree(view, yes, "Delete everything the local cloud holds?")? {
        local.reset().await?;
        say(view, false, "The local cloud is empty.", None)?;
    }
    Ok(())
}

fn logs(local: &Local, view: &mut View) -> Result<(), Failure> {
    let path = local.log();
    let text =
        std::fs::read_to_string(&path).map_err(|source| LocalError::File { path, source })?;
    Ok(view.line(text.trim_end())?)
}

fn say(view: &mut View, running: bool, text: &str, at: Option<&Endpoint>) -> Result<(), Failure> {
    match view.is_json() {
        true => Ok(view.json(&json!({"running": running, "url": at.map(|at| &at.url)}))?),
        false => Ok(view.line(text)?),
    }
}
