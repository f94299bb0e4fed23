//! `xetl apply`: makes what a client's file declares.

use crate::apply::SecretValues;
use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

use super::agree;

/// Make what a client's file declares
#[derive(clap::Args, Debug)]
pub struct ApplyArgs {
    /// Client to make it for
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &ApplyArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let images = context.images(&session)?;
    let proposal = session.propose(&images.image()).await?;
    view.proposal(&proposal.picture())?;
    if !proposal.plan.is_empty() && !agree(view, args.yes, "Do this?")? {
        return Ok(());
    }
    let values = SecretValues::new();
    let done = session
        .apply(&proposal, &images, &values, &mut view.progress())
        .await?;
    Ok(view.applied(&proposal.picture(), done)?)
}
