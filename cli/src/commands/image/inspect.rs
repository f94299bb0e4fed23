//! `xetl image inspect`: all a registry says of an image.

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::image::inspect::inspect;
use crate::images::name_of;
use crate::images::place::{Place, target_of};
use crate::view::View;

/// Show an image: its manifest, config, layers, and what refers to it
#[derive(clap::Args, Debug)]
pub struct InspectArgs {
    /// Image to show: HOST/PATH[:TAG] or HOST/PATH@sha256:...
    #[arg(value_name = "REF", required_unless_present = "client")]
    image: Option<String>,
    /// Client whose image to show: the one tagged `latest`
    #[arg(long, value_name = "NAME", conflicts_with = "image")]
    client: Option<String>,
    /// Speak HTTP instead of HTTPS
    #[arg(long, requires = "image")]
    insecure: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &InspectArgs) -> Result<(), Failure> {
    let place = match (&args.image, &args.client) {
        (Some(image), _) => Place::parse(image)?,
        (None, Some(client)) => Place::parse(&name_of(&context.session(client).await?))?,
        (None, None) => return Err(Failure::new(Kind::Usage, "name an image or a client")),
    };
    let target = target_of(context, &[&place]).await?;
    let registry = place.registry(&target, "REGISTRY", args.insecure).await?;
    let found = inspect(&registry.to_read(), place.reference()).await?;
    Ok(view.inspection(&place.name(), &found)?)
}
