//! `xetl image list`: what a repository holds, and which jobs pin it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};

use crate::cloud::StoredImage;
use crate::context::Context;
use crate::desired::Image;
use crate::failure::{Failure, Kind};
use crate::image::registry::{Registry, RegistryError};
use crate::images::name_of;
use crate::images::place::{Place, target_of};
use crate::resource::{Kind as Resource, Resource as Live};
use crate::session::Session;
use crate::view::View;

/// List the images of a client's repository, or the tags of any
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    /// Repository to list: HOST/PATH
    #[arg(value_name = "REF", required_unless_present = "client")]
    repository: Option<String>,
    /// Client whose repository to list
    #[arg(long, value_name = "NAME", conflicts_with = "repository")]
    client: Option<String>,
    /// Speak HTTP instead of HTTPS
    #[arg(long, requires = "repository")]
    insecure: bool,
}

/// Tags asked for at a time.
const AT_A_TIME: usize = 8;

pub async fn run(context: &Context, view: &mut View, args: &ListArgs) -> Result<(), Failure> {
    match (&args.client, &args.repository) {
        (Some(client), _) => of_client(context, view, client).await,
        (None, Some(repository)) => of_repository(context, view, repository, args.insecure).await,
        (None, None) => Err(Failure::new(Kind::Usage, "name a client or a repository")),
    }
}

async fn of_client(context: &Context, view: &mut View, client: &str) -> Result<(), Failure> {
    let session = context.session(client).await?;
    let name = name_of(&session);
    let (stored, pins) = futures::try_join!(
        async { Ok(session.cloud.stored_images(&name).await?) },
        pins(&session, &name),
    )?;
    Ok(view.images(&name, &stored, Some(&pins))?)
}

/// The client's jobs by the digest they run.
async fn pins(session: &Session, name: &str) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let name = name.to_owned();
    let declared = session.declared(&Image::Given { name });
    let actual = session.cloud.read(&declared).await?;
    let mut pins: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (address, resource) in &actual.resources {
        if let (Resource::Job, Live::Job(job)) = (address.kind, resource)
            && let Some((_, digest)) = job.image.split_once('@')
        {
            let jobs = pins.entry(digest.to_owned()).or_default();
            jobs.push(address.name.clone());
        }
    }
    Ok(pins)
}

async fn of_repository(
    context: &Context,
    view: &mut View,
    repository: &str,
    insecure: bool,
) -> Result<(), Failure> {
    let place = Place::parse(repository)?;
    let target = target_of(context, &[&place]).await?;
    let registry = place
        .registry(&target, "REGISTRY", insecure)
        .await?
        .to_read();
    let mut tags = registry.tags().await?;
    tags.retain(|tag| !is_list_of_referrers(tag));
    // Some registries list them in another order each time.
    tags.sort();
    let found: Vec<Option<StoredImage>> = stream::iter(tags)
        .map(|tag| still_there(&registry, tag))
        .buffered(AT_A_TIME)
        .try_collect()
        .await?;
    let found = found.into_iter().flatten().collect();
    Ok(view.images(&place.name(), &merged(found), None)?)
}

/// None where the tag was taken away since it was listed.
async fn still_there(
    registry: &Registry,
    tag: String,
) -> Result<Option<StoredImage>, RegistryError> {
    match tagged(registry, tag).await {
        Err(error) if error.is_absent() => Ok(None),
        found => found.map(Some),
    }
}

async fn tagged(registry: &Registry, tag: String) -> Result<StoredImage, RegistryError> {
    let document = registry.manifest(&tag).await?;
    let mut size = document.size();
    for child in document.children() {
        // A child's own size is that of its manifest; what it names is asked for.
        size += registry.manifest(&child.digest).await?.size();
    }
    Ok(StoredImage {
        media_type: document.media_type.clone(),
        artifact_type: document.as_referrer().artifact_type.unwrap_or_default(),
        digest: document.digest,
        tags: vec![tag],
        size,
        uploaded: None,
    })
}

/// `sha256-<hex>`, where a registry without lists of referrers has them; no image.
fn is_list_of_referrers(tag: &str) -> bool {
    let hex = tag.strip_prefix("sha256-").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One line a digest, with all its tags.
fn merged(found: Vec<StoredImage>) -> Vec<StoredImage> {
    let mut images: Vec<StoredImage> = Vec::new();
    for image in found {
        match images.iter_mut().find(|known| known.digest == image.digest) {
            Some(known) => known.tags.extend(image.tags),
            None => images.push(image),
        }
    }
    images
}
