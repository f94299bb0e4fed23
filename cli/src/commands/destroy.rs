//! `xetl destroy`: a plan towards nothing.

use std::collections::BTreeSet;

use clap::ValueEnum;

use crate::apply::SecretValues;
use crate::context::Context;
use crate::failure::Failure;
use crate::resource::Kind;
use crate::view::View;

use super::agree;

/// Remove what xetl made for a client; data is kept unless named
#[derive(clap::Args, Debug)]
pub struct DestroyArgs {
    /// Client to remove
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Tell each step on stderr as a line of JSON
    #[arg(long)]
    events: bool,
    /// Delete these too, although they hold data
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1.., value_name = "KIND")]
    delete_data: Vec<Data>,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Data {
    /// The bucket with its Parquet files and state
    Bucket,
    /// The datasets with their tables
    Dataset,
    /// The secrets with their values
    Secrets,
}

impl Data {
    fn kind(self) -> Kind {
        match self {
            Data::Bucket => Kind::Bucket,
            Data::Dataset => Kind::Dataset,
            Data::Secrets => Kind::Secret,
        }
    }
}

pub async fn run(context: &Context, view: &mut View, args: &DestroyArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let images = context.images(&session)?;
    let lose: BTreeSet<Kind> = args.delete_data.iter().map(|data| data.kind()).collect();
    let proposal = session.propose_removal(&images.image(), &lose).await?;
    view.proposal(&proposal.picture())?;
    if !proposal.plan.is_empty() && !agree(view, args.yes, "Remove all this?")? {
        return Ok(());
    }
    let values = SecretValues::new();
    let mut observer = view.observer(args.events);
    let done = session
        .apply(&proposal, &images, &values, observer.as_mut())
        .await?;
    drop(observer);
    Ok(view.applied(&proposal.picture(), done)?)
}
