//! `xetl plan`: what `apply` would do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::files;
use crate::view::{PlanPicture, View};

use super::fleet;
use super::which::{Which, WhichArgs, only_for_one};

/// The exit code of `--detailed-exitcode` where there is something to do.
pub const CHANGES: u8 = 2;

/// Show what `apply` would change for a client, or for many
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Say of each step why it is there
    #[arg(long)]
    why: bool,
    /// Keep the plan in a file, for `xetl apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 0 where there is nothing to do, 2 where there is, 1 on any error
    #[arg(long)]
    detailed_exitcode: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &PlanArgs) -> Result<ExitCode, Failure> {
    let planned = plan(context, view, args).await;
    match args.detailed_exitcode {
        false => planned.map(|_| ExitCode::SUCCESS),
        true => match planned {
            Ok(is_empty) if is_empty => Ok(ExitCode::SUCCESS),
            Ok(_) => Ok(CHANGES.into()),
            Err(failure) => Err(Failure {
                kind: Kind::Failed,
                ..context.explained(failure).await
            }),
        },
    }
}

/// Whether there is nothing to do.
async fn plan(context: &Context, view: &mut View, args: &PlanArgs) -> Result<bool, Failure> {
    match args.which.which()? {
        Which::One(client) => plan_one(context, view, args, client).await,
        Which::Many(selection) => {
            only_for_one("--why", args.why)?;
            fleet::plan(context, view, &selection, args.out.as_deref()).await
        }
    }
}

async fn plan_one(
    context: &Context,
    view: &mut View,
    args: &PlanArgs,
    client: &str,
) -> Result<bool, Failure> {
    let session = context.session(client).await?;
    let images = context.images(&session)?;
    if let Some(remark) = images.check().await? {
        view.note(remark);
    }
    let proposal = session.propose(&images.image()).await?;
    if let Some(path) = &args.out {
        files::write_json(path, &proposal.saved())?;
    }
    view.plan(&PlanPicture {
        why: args.why,
        ..proposal.picture()
    })?;
    if let Some(path) = &args.out {
        note_kept(view, path);
    }
    Ok(proposal.plan.is_empty())
}

pub fn note_kept(view: &mut View, path: &Path) {
    view.note(format!("Kept in {0}: `xetl apply {0}`", path.display()));
}
