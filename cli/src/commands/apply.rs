//! `xetl apply`: makes what a client's file declares.

use std::path::{Path, PathBuf};

use crate::apply::SecretValues;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::files::{self, Kept};
use crate::fleet::KeptPlans;
use crate::images::Images;
use crate::plan::saved::SavedPlan;
use crate::session::{Proposal, Session};
use crate::view::View;

use super::which::{Which, WhichArgs};
use super::{agree, fleet};

/// Make what a client's file declares, or many clients' files
#[derive(clap::Args, Debug)]
pub struct ApplyArgs {
    /// A plan that `plan --out` kept; it is carried out as it is, or refused
    #[arg(value_name = "PLAN", conflicts_with_all = ["client", "all", "conditions"])]
    plan: Option<PathBuf>,
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Tell each step on stderr as a line of JSON
    #[arg(long)]
    events: bool,
    /// How many clients may lose jobs; by default a tenth of them, or one
    #[arg(long, value_name = "N")]
    allow_deletions: Option<usize>,
}

pub async fn run(context: &Context, view: &mut View, args: &ApplyArgs) -> Result<(), Failure> {
    match args.plan.as_deref().map(files::read_plan).transpose()? {
        Some(Kept::One(saved)) => {
            return apply_one(context, view, args, &saved.plan.client, Some(&saved)).await;
        }
        Some(Kept::Many(kept)) => return apply_kept(context, view, args, &kept).await,
        None => {}
    }
    match args.which.which()? {
        Which::One(client) => apply_one(context, view, args, client, None).await,
        Which::Many(selection) => {
            fleet::apply(context, view, &selection, None, &how(args, args.yes)).await
        }
    }
}

fn how(args: &ApplyArgs, yes: bool) -> fleet::ApplyMany {
    fleet::ApplyMany {
        yes,
        events: args.events,
        allow_deletions: args.allow_deletions,
    }
}

/// The plans of many clients; they were looked at when they were kept.
async fn apply_kept(
    context: &Context,
    view: &mut View,
    args: &ApplyArgs,
    kept: &KeptPlans,
) -> Result<(), Failure> {
    kept.check().map_err(|stale| {
        let file = args.plan.as_deref().unwrap_or(Path::new("")).display();
        let sentence = format!("{file} cannot be applied: {stale}");
        Failure::new(Kind::Failed, sentence)
    })?;
    let selection = kept.selection();
    fleet::apply(context, view, &selection, Some(kept), &how(args, true)).await
}

async fn apply_one(
    context: &Context,
    view: &mut View,
    args: &ApplyArgs,
    client: &str,
    saved: Option<&SavedPlan>,
) -> Result<(), Failure> {
    let session = context.session(client).await?;
    let images = context.images(&session)?;
    if let Some(remark) = images.check().await? {
        view.note(remark);
    }
    let proposal = session.propose(&images.image()).await?;
    if let (Some(saved), Some(path)) = (saved, &args.plan) {
        must_stand(saved, &proposal, path)?;
    }
    view.proposal(&proposal.picture())?;
    // A plan that was kept was looked at then.
    let is_agreed = args.yes || saved.is_some();
    if !proposal.plan.is_empty() && !agree(view, is_agreed, "Do this?")? {
        return Ok(());
    }
    carry_out(view, &session, &images, &proposal, args.events).await
}

async fn carry_out(
    view: &mut View,
    session: &Session,
    images: &Images,
    proposal: &Proposal,
    events: bool,
) -> Result<(), Failure> {
    let values = SecretValues::new();
    let mut observer = view.observer(events);
    let done = session
        .apply(proposal, images, &values, observer.as_mut())
        .await?;
    drop(observer);
    Ok(view.applied(&proposal.picture(), done)?)
}

fn must_stand(saved: &SavedPlan, proposal: &Proposal, path: &Path) -> Result<(), Failure> {
    let path = path.display();
    saved.check(&proposal.saved()).map_err(|stale| {
        let client = &saved.plan.client;
        Failure::new(Kind::Failed, format!("{path} cannot be applied: {stale}")).hint(format!(
            "`xetl plan --client {client} --out {path}`, and look at it again"
        ))
    })
}
