//! `xetl image`: the runtime's image, packed, pushed, copied and looked at without Docker.

use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

mod build;
mod copy;
mod inspect;
mod list;
mod push;

/// Pack, push, copy and look at the image jobs run
#[derive(clap::Args, Debug)]
pub struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(clap::Subcommand, Debug)]
enum ImageCommand {
    Build(build::BuildArgs),
    Push(push::PushArgs),
    Copy(copy::CopyArgs),
    List(list::ListArgs),
    Inspect(inspect::InspectArgs),
}

pub async fn run(context: &Context, view: &mut View, args: &ImageArgs) -> Result<(), Failure> {
    match &args.command {
        ImageCommand::Build(args) => build::run(context, view, args),
        ImageCommand::Push(args) => push::run(context, view, args).await,
        ImageCommand::Copy(args) => copy::run(context, view, args).await,
        ImageCommand::List(args) => list::run(context, view, args).await,
        ImageCommand::Inspect(args) => inspect::run(context, view, args).await,
    }
}
