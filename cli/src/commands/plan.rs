//! `xetl plan`: what `apply` would do.

use crate::context::Context;
use crate::failure::Failure;
use crate::view::View;

/// Show what `apply` would change for a client
#[derive(clap::Args, Debug)]
pub struct PlanArgs {
    /// Client to plan for
    #[arg(long, value_name = "NAME")]
    client: String,
}

pub async fn run(context: &Context, view: &mut View, args: &PlanArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let images = context.images(&session)?;
    let proposal = session.propose(&images.image()).await?;
    Ok(view.plan(&proposal.picture())?)
}
