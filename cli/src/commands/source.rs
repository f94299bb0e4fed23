//! `xetl source`: look at sources, write one, try it.

use crate::config::{SourceText, Workspace};
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

mod check;
mod discover;
mod lint;
mod list;
mod new;
mod read;
mod show;
mod trial;

/// Look at sources, write one and try it
#[derive(clap::Args, Debug)]
pub struct SourceArgs {
    #[command(subcommand)]
    command: SourceCommand,
}

#[derive(clap::Subcommand, Debug)]
enum SourceCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    New(new::NewArgs),
    Lint(lint::LintArgs),
    Check(check::CheckArgs),
    Discover(discover::DiscoverArgs),
    Read(read::ReadArgs),
}

pub async fn run(context: &Context, view: &mut View, args: &SourceArgs) -> Result<(), Failure> {
    match &args.command {
        SourceCommand::List(args) => list::run(context, view, args),
        SourceCommand::Show(args) => show::run(context, view, args),
        SourceCommand::New(args) => new::run(context, view, args),
        SourceCommand::Lint(args) => lint::run(context, view, args),
        SourceCommand::Check(args) => check::run(context, view, args).await,
        SourceCommand::Discover(args) => discover::run(context, view, args).await,
        SourceCommand::Read(args) => read::run(context, view, args).await,
    }
}

/// The workspace, where there is one: built-in sources and files need none.
fn workspace(context: &Context) -> Option<Workspace> {
    context.workspace().ok()
}

fn find(context: &Context, named: &str) -> Result<SourceText, Failure> {
    Ok(SourceText::find(workspace(context).as_ref(), named)?)
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}
