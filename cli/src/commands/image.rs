//! `xetl image`: the runtime's image, packed and pushed without Docker.

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use oci_spec::distribution::Reference;
use serde_json::json;
use url::Url;

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::image::auth::{Basic, Login, docker_login};
use crate::image::registry::{Pushed, Registry};
use crate::image::{BuiltImage, local_image};
use crate::images::runtime_binary;
use crate::names;
use crate::view::View;

/// Pack and push the image jobs run
#[derive(clap::Args, Debug)]
pub struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(clap::Subcommand, Debug)]
enum ImageCommand {
    Push(PushArgs),
    Build(BuildArgs),
}

/// Push the image to a client's repository, or to any registry
#[derive(clap::Args, Debug)]
struct PushArgs {
    /// Client whose repository to push to; its repository must be there (`xetl apply`)
    #[arg(long, value_name = "NAME", required_unless_present = "to")]
    client: Option<String>,
    /// Where to push instead: HOST/PATH[:TAG]
    ///
    /// Signs in with XETL_REGISTRY_USER and XETL_REGISTRY_PASSWORD, else as Docker's config.json says.
    #[arg(long, value_name = "REF", conflicts_with = "client")]
    to: Option<String>,
    /// Speak HTTP instead of HTTPS
    #[arg(long, requires = "to")]
    insecure: bool,
}

/// Write the image into a folder as an OCI layout
#[derive(clap::Args, Debug)]
struct BuildArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    oci_layout: PathBuf,
}

pub async fn run(context: &Context, view: &mut View, args: &ImageArgs) -> Result<(), Failure> {
    match &args.command {
        ImageCommand::Push(args) => push(context, view, args).await,
        ImageCommand::Build(args) => build(context, view, args),
    }
}

async fn push(context: &Context, view: &mut View, args: &PushArgs) -> Result<(), Failure> {
    match (&args.client, &args.to) {
        (Some(client), _) => push_for(context, view, client).await,
        (None, Some(to)) => push_to(context, view, to, args.insecure).await,
        (None, None) => Err(Failure::new(
            Kind::Usage,
            "name a client or where to push to",
        )),
    }
}

async fn push_for(context: &Context, view: &mut View, client: &str) -> Result<(), Failure> {
    let session = context.session(client).await?;
    let images = context.images(&session)?;
    let client = &session.client;
    let name = names::image(&client.project, &client.region, &client.name);
    match images.push_to(&name).await? {
        Some(pushed) => show(view, &name, &pushed),
        None => Err(Failure::new(
            Kind::Usage,
            "xetl.yaml names an image of its own, so there is none to push",
        )),
    }
}

async fn push_to(
    context: &Context,
    view: &mut View,
    to: &str,
    insecure: bool,
) -> Result<(), Failure> {
    let reference = Reference::from_str(to)
        .map_err(|error| Failure::new(Kind::Usage, format!("`{to}` is no image name: {error}")))?;
    let host = reference.resolve_registry();
    let scheme = if insecure { "http" } else { "https" };
    let base = Url::parse(&format!("{scheme}://{host}"))
        .map_err(|error| Failure::new(Kind::Usage, format!("`{to}`: {error}")))?;
    let image = packed(context)?;
    let repository = reference.repository();
    let registry = Registry::new(reqwest::Client::new(), base, repository, login(host));
    let pushed = registry.push(&image, reference.tag()).await?;
    show(view, &format!("{host}/{repository}"), &pushed)
}

fn build(context: &Context, view: &mut View, args: &BuildArgs) -> Result<(), Failure> {
    let image = packed(context)?;
    image.write_layout(&args.oci_layout)?;
    let folder = args.oci_layout.display().to_string();
    match view.is_json() {
        true => {
            Ok(view
                .json(&json!({"digest": image.digest, "size": image.size(), "folder": folder}))?)
        }
        false => Ok(view.line(format!(
            "{} in {folder}, {}",
            image.digest,
            size(image.size())
        ))?),
    }
}

/// The image of the runtime that is at hand; cached in the workspace, where there is one.
fn packed(context: &Context) -> Result<BuiltImage, Failure> {
    let cache = match context.workspace() {
        Ok(workspace) => workspace.cache(),
        Err(_) => env::temp_dir().join("xetl-cache"),
    };
    Ok(local_image(&runtime_binary()?, &cache.join("image"))?)
}

fn login(host: &str) -> Login {
    let variables =
        ["XETL_REGISTRY_USER", "XETL_REGISTRY_PASSWORD"].map(|name| env::var(name).ok());
    if let [Some(user), Some(password)] = variables {
        return Login::Basic(Basic {
            user,
            password: password.into(),
        });
    }
    let folder = env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".docker")));
    let config = folder.and_then(|folder| std::fs::read(folder.join("config.json")).ok());
    let config = config.and_then(|text| serde_json::from_slice(&text).ok());
    let basic = config.and_then(|config| docker_login(&config, host));
    basic.map_or(Login::Anonymous, Login::Basic)
}

fn show(view: &mut View, name: &str, pushed: &Pushed) -> Result<(), Failure> {
    let image = format!("{name}@{}", pushed.digest);
    if view.is_json() {
        return Ok(view.json(&json!({"image": image, "sent": pushed.sent}))?);
    }
    view.note(match pushed.sent {
        0 => "The image was there already.".to_owned(),
        sent => format!("Sent {}.", size(sent)),
    });
    Ok(view.line(image)?)
}

fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
