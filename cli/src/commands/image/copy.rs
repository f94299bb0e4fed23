//! `xetl image copy`: from one registry to another, digests kept.

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::image::registry;
use crate::images::name_of;
use crate::images::place::{Place, target_of};
use crate::view::View;

/// Copy an image from one registry to another, under the same digest
///
/// What refers to it comes along: lists of components, provenance, signatures.
#[derive(clap::Args, Debug)]
pub struct CopyArgs {
    /// Image to copy: HOST/PATH[:TAG] or HOST/PATH@sha256:...
    ///
    /// Signs in with XETL_SOURCE_USER and XETL_SOURCE_PASSWORD, to Artifact Registry with
    /// Google's credentials, else as Docker's config.json says, else as nobody.
    #[arg(value_name = "SRC")]
    from: String,
    /// Where to: HOST/PATH[:TAG]; without a tag the source's
    ///
    /// Signs in with XETL_REGISTRY_USER and XETL_REGISTRY_PASSWORD, else as for the source.
    #[arg(value_name = "DST", required_unless_present = "client")]
    to: Option<String>,
    /// Client whose repository to copy to
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    client: Option<String>,
    /// Copy the index with the images of all its machines, not only linux/amd64's
    #[arg(long)]
    all_platforms: bool,
    /// Speak HTTP instead of HTTPS with the destination
    #[arg(long)]
    insecure: bool,
    /// Speak HTTP instead of HTTPS with the source
    #[arg(long)]
    source_insecure: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &CopyArgs) -> Result<(), Failure> {
    let source = Place::parse(&args.from)?;
    let destination = destination(context, args).await?;
    if destination.digest.is_some() {
        return Err(
            Failure::new(Kind::Usage, "a copy keeps its digest, so DST names none")
                .hint("HOST/PATH[:TAG]"),
        );
    }
    let target = target_of(context, &[&source, &destination]).await?;
    let from = source
        .registry(&target, "SOURCE", args.source_insecure)
        .await?;
    let to = destination
        .registry(&target, "REGISTRY", args.insecure)
        .await?;
    let to = match from.is_neighbour(&to) {
        true => to.beside(vec![source.repository.clone()]),
        false => to,
    };
    // A source named by its digest alone gives no tag.
    let default = match source.digest {
        Some(_) => source.tag.as_deref(),
        None => Some(source.reference()),
    };
    let tag = destination.tag.as_deref().or(default);
    let reference = source.reference();
    let copied = registry::copy(&from.to_read(), &to, reference, tag, args.all_platforms).await?;
    Ok(view.copied(&destination.name(), tag, &copied)?)
}

async fn destination(context: &Context, args: &CopyArgs) -> Result<Place, Failure> {
    match (&args.to, &args.client) {
        (Some(to), _) => Place::parse(to),
        (None, Some(client)) => Place::parse(&name_of(&context.session(client).await?)),
        (None, None) => Err(Failure::new(
            Kind::Usage,
            "name where to copy to, or a client",
        )),
    }
}
