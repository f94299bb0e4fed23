//! `xetl drift`: what somebody changed by hand, for a cron job to tell.

use std::process::ExitCode;

use crate::context::Context;
use crate::desired::Image;
use crate::failure::{Failure, Kind};
use crate::fleet::{Fleet, Outcome, Planned};
use crate::images::package;
use crate::session::Session;
use crate::view::View;

use super::fleet;
use super::plan::CHANGES;
use super::which::{Which, WhichArgs};

/// Show what is not as the files declare, leaving images as they are; exits with 2 where there is something
///
/// As `plan`, but a new runtime at hand is no drift: jobs may run an older image. Exits with
/// 0 where all is as declared, 2 where something is not, 1 on any error.
#[derive(clap::Args, Debug)]
pub struct DriftArgs {
    #[command(flatten)]
    which: WhichArgs,
}

pub async fn run(
    context: &Context,
    view: &mut View,
    args: &DriftArgs,
) -> Result<ExitCode, Failure> {
    let drift = drift(context, view, args).await;
    match drift {
        Ok(true) => Ok(CHANGES.into()),
        Ok(false) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(Failure {
            kind: Kind::Failed,
            ..context.explained(failure).await
        }),
    }
}

/// Whether there is any.
async fn drift(context: &Context, view: &mut View, args: &DriftArgs) -> Result<bool, Failure> {
    let fleet = fleet::listed(context, &args.which.selection()?).await?;
    let at_hand = at_hand(&fleet)?;
    let outcomes = fleet
        .propose(|session| deployed(&fleet, session).unwrap_or_else(|| at_hand.clone()))
        .await;
    match (args.which.which()?, outcomes.as_slice()) {
        (Which::One(_), [Outcome { result, .. }]) => match result {
            Ok(planned) => view.plan(&planned.proposal.picture())?,
            Err(failure) => return Err(failure.clone()),
        },
        _ => view.fleet_plan(&fleet::picture(&fleet, &outcomes))?,
    }
    fleet::failed(&outcomes)?;
    let is_as_declared = |Planned { proposal, .. }: &Planned| {
        proposal.plan.is_empty() && proposal.missing.is_empty()
    };
    Ok(!fleet::plans(&outcomes).all(is_as_declared))
}

/// The image a client's jobs run now; where it has none, what its file pins.
fn deployed(fleet: &Fleet, session: &Session) -> Option<Image> {
    let mut jobs = fleet.jobs(session);
    let image = jobs.next().map(|listed| listed.job.image.as_str());
    let image = image.or(session.client.image.as_deref())?;
    Some(Image::of_pin(session.pin_of(image)))
}

/// What jobs get that have to be made; packed only where there are such.
fn at_hand(fleet: &Fleet) -> Result<Image, Failure> {
    let all_run = fleet
        .sessions
        .iter()
        .all(|it| deployed(fleet, it).is_some());
    let digest = match all_run {
        true => String::new(),
        false => package(Some(&fleet.workspace), None)?.digest,
    };
    Ok(Image::Built { digest })
}
