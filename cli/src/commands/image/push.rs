//! `xetl image push`: to a client's repository, or to any registry.

use std::path::PathBuf;
use std::sync::Arc;

use crate::context::Context;
use crate::desired::Image;
use crate::failure::{Failure, Kind};
use crate::image::Package;
use crate::image::registry::Pushed;
use crate::images::place::{Place, target_of};
use crate::images::{Images, name_of, package};
use crate::view::View;

/// Push the image to a client's repository, or to any registry
#[derive(clap::Args, Debug)]
pub struct PushArgs {
    /// Client whose repository to push to; its repository must be there (`xetl apply`)
    #[arg(long, value_name = "NAME", required_unless_present = "to")]
    client: Option<String>,
    /// Where to push instead: HOST/PATH[:TAG]
    ///
    /// Signs in with XETL_REGISTRY_USER and XETL_REGISTRY_PASSWORD, to Artifact Registry with
    /// Google's application default credentials, else as Docker's config.json says.
    #[arg(long, value_name = "REF", conflicts_with = "client")]
    to: Option<String>,
    /// A runtime for arm64, to push an index of both [env: XETL_RUNTIME_BIN_ARM64]
    #[arg(long, value_name = "PATH")]
    arm64_binary: Option<PathBuf>,
    /// Speak HTTP instead of HTTPS
    #[arg(long, requires = "to")]
    insecure: bool,
}

pub async fn run(context: &Context, view: &mut View, args: &PushArgs) -> Result<(), Failure> {
    match (&args.client, &args.to) {
        (Some(client), _) => push_for(context, view, client, args).await,
        (None, Some(to)) => push_to(context, view, to, args).await,
        (None, None) => Err(Failure::new(
            Kind::Usage,
            "name a client or where to push to",
        )),
    }
}

async fn push_for(
    context: &Context,
    view: &mut View,
    client: &str,
    args: &PushArgs,
) -> Result<(), Failure> {
    let session = context.session(client).await?;
    let pin = session.client.image.as_deref().map(Image::of_pin);
    if let Some(Image::Given { .. }) = pin {
        return Err(Failure::new(
            Kind::Usage,
            "xetl.yaml names an image of its own, so there is none to push",
        ));
    }
    let package = Arc::new(package(
        Some(&session.workspace),
        args.arm64_binary.as_deref(),
    )?);
    let images = Images::packed(&session, Arc::clone(&package))?;
    let name = name_of(&session);
    match images.push_to(&name).await? {
        Some(pushed) => show(view, &name, &package, &pushed),
        None => Ok(()),
    }
}

async fn push_to(
    context: &Context,
    view: &mut View,
    to: &str,
    args: &PushArgs,
) -> Result<(), Failure> {
    let place = Place::parse(to)?;
    let workspace = context.workspace().ok();
    let package = package(workspace.as_ref(), args.arm64_binary.as_deref())?;
    let target = target_of(context, &[&place]).await?;
    let registry = place.registry(&target, "REGISTRY", args.insecure).await?;
    let tag = place.tag.as_deref().unwrap_or("latest");
    let pushed = registry.push(&package, Some(tag)).await?;
    show(view, &place.name(), &package, &pushed)
}

fn show(view: &mut View, name: &str, package: &Package, pushed: &Pushed) -> Result<(), Failure> {
    let has_list = |image: &crate::image::BuiltImage| image.attachments.len() > 1;
    if !package.images.iter().all(has_list) {
        view.note("No list of components goes with it: this xetl-runtime carries none.");
    }
    Ok(view.pushed(name, pushed)?)
}
