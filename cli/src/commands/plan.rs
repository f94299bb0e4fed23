//! `xetl plan`: what `apply` would do.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::files;
use crate::view::{PlanPicture, View};

/// The exit code of `--detailed-exitcode` where there is something to do.
const CHANGES: u8 = 2;

/// Show what `apply` would change for a client
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    /// Client to plan for
    #[arg(long, value_name = "NAME")]
    client: String,
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
                ..failure
            }),
        },
    }
}

/// Whether there is nothing to do.
async fn plan(context: &Context, view: &mut View, args: &PlanArgs) -> Result<bool, Failure> {
    let session = context.session(&args.client).await?;
    let images = context.images(&session)?;
    if let Some(remark) = images.check().await? {
        view.note(remark);
    }
    let proposal = session.propose(&images.image()).await?;
    if let Some(path) = &args.out {
        files::write_plan(path, &proposal.saved())?;
    }
    view.plan(&PlanPicture {
        why: args.why,
        ..proposal.picture()
    })?;
    if let Some(path) = &args.out {
        view.note(format!("Kept in {0}: `xetl apply {0}`", path.display()));
    }
    Ok(proposal.plan.is_empty())
}
