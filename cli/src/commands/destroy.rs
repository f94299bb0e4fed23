//! `xetl destroy`: a plan towards nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use crate::apply::{PushImage, SecretValues};
use crate::cloud::{Cloud, Connection};
use crate::config::{ConfigError, check_client, nearest};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::plan::{Change, Plan, Step};
use crate::receipt::{Receipt, Recorder};
use crate::resource::{Kind, Resource};
use crate::session::{Proposal, removal};
use crate::view::View;

use super::agree;

/// Remove what xetl made for a client; data is kept unless named
#[derive(clap::Args, Debug)]
pub struct DestroyArgs {
    /// Client to remove; its file is not needed
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Only pause its schedules, and delete nothing: `xetl apply` resumes them
    #[arg(long, conflicts_with_all = ["delete_data", "receipt"])]
    pause: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Tell each step on stderr as a line of JSON
    #[arg(long)]
    events: bool,
    /// Delete these too, although they hold data
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1.., value_name = "KIND")]
    delete_data: Vec<Data>,
    /// Where to write what was deleted and what was kept [default: .xetl/receipts/]
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
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
    let cloud = cloud_of(context, &args.client).await?;
    let lose: BTreeSet<Kind> = args.delete_data.iter().map(|data| data.kind()).collect();
    let proposal = removal(&cloud, &lose).await?;
    let (proposal, question) = match args.pause {
        true => (paused(proposal), "Pause these?"),
        false => (proposal, "Remove all this?"),
    };
    view.proposal(&proposal.picture())?;
    if proposal.is_of_nothing() {
        view.note(nothing_of(&context.workspace()?.client_names(), &cloud));
    }
    if proposal.plan.is_empty() || agree(view, args.yes, question)? {
        let result = carry_out(context, view, args, &cloud, &proposal).await?;
        view.applied(&proposal.picture(), result)?;
    }
    Ok(())
}

/// That a client has nothing may be as it should be, or a name mistyped.
fn nothing_of(known: &[String], cloud: &Cloud) -> String {
    let Cloud {
        client,
        project,
        region,
        ..
    } = cloud;
    let meant = known.iter().filter(|name| *name != client);
    let meant = nearest(client, meant.map(String::as_str));
    let meant = meant.map(|name| format!("; did you mean `{name}`?"));
    format!(
        "Nothing in project {project} and {region} says that it is client `{client}`'s{}",
        meant.as_deref().unwrap_or(".")
    )
}

/// Carries it out; what came of it is on record, also where it fails on the way.
async fn carry_out(
    context: &Context,
    view: &mut View,
    args: &DestroyArgs,
    cloud: &Cloud,
    proposal: &Proposal,
) -> Result<usize, Failure> {
    let values = SecretValues::new();
    let mut recorder = Recorder::new(view.observer(args.events));
    let result = proposal
        .apply(cloud, &NoImages, &values, &mut recorder)
        .await;
    let receipt = Receipt::of(cloud, &proposal.plan, &recorder.into_done());
    if !args.pause && !receipt.is_empty() {
        let path = match &args.receipt {
            Some(path) => path.clone(),
            None => context.workspace()?.receipts().join(receipt.file_name()),
        };
        files::write_json(&path, &receipt)?;
        view.note(format!("Receipt: {}", path.display()));
    }
    result
}

/// The client's cloud: where its file says, or the workspace's where it has none any more.
async fn cloud_of(context: &Context, name: &str) -> Result<Arc<Cloud>, Failure> {
    let workspace = context.workspace()?;
    check_client("--client", name)?;
    let (project, region, has_file) = match workspace.client(name) {
        Ok(client) => (client.project, client.region, true),
        Err(error @ ConfigError::UnknownClient { .. }) => {
            let file = &workspace.file;
            match (file.project.clone(), file.region.clone()) {
                (Some(project), Some(region)) => (project, region, false),
                _ => return Err(error.into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    let target = context.target(&workspace).await?;
    let connection = Connection::new(target)?;
    let cloud_in = |region: &str| Arc::new(Cloud::new(connection.clone(), name, &project, region));
    let cloud = cloud_in(&region);
    context.asks(&workspace, &cloud);
    match has_file {
        true => Ok(cloud),
        false => Ok(cloud_in(&region_of(&connection, &cloud).await?)),
    }
}

/// The region where a client without a file has its jobs, by what there is of it.
async fn region_of(connection: &Arc<Connection>, cloud: &Cloud) -> Result<String, Failure> {
    let regions = BTreeSet::from([cloud.region.clone()]);
    let inventory = Cloud::inventory(connection, &cloud.project, &regions).await?;
    let mut sightings = inventory.clients().into_iter();
    let sighting = sightings.find(|it| it.client == cloud.client);
    let region = sighting.and_then(|it| it.region);
    // A bucket may be in a multi-region; jobs never are.
    let region = region.filter(|region| region.contains('-'));
    Ok(region.unwrap_or_else(|| cloud.region.clone()))
}

/// Only its schedules, held instead of deleted.
fn paused(proposal: Proposal) -> Proposal {
    let steps = proposal.plan.steps.iter().filter_map(|step| {
        let Change::Delete {
            before: Resource::Schedule(schedule),
        } = &step.change
        else {
            return None;
        };
        let mut after = schedule.clone();
        after.paused = true;
        (!schedule.paused).then(|| Step {
            address: step.address.clone(),
            change: Change::Update {
                before: Resource::Schedule(schedule.clone()),
                after: Resource::Schedule(after),
            },
        })
    });
    let plan = Plan {
        steps: steps.collect(),
        unchanged: 0,
    };
    proposal.with(plan)
}

/// Nothing is pushed on the way to nothing.
pub(super) struct NoImages;

impl PushImage for NoImages {
    async fn push(&self, image: &str) -> Result<(), String> {
        Err(format!("nothing declares {image}"))
    }
}
