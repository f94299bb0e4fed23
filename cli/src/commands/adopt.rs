//! `xetl adopt`: the file of a client that is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use xetl_runtime::bundle::{BUNDLE_ENV, Bundle};

use crate::adopt::{Around, Convention, Found, adopt};
use crate::cloud::{Cloud, Connection, Inventory};
use crate::config::{Manifest, Workspace, check_client};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::names;
use crate::resource::{Job, Owner, Resources};
use crate::view::View;

/// Write the file of a client that is there already: made by xetl, or by hand
#[derive(clap::Args, Debug)]
pub struct AdoptArgs {
    /// Client to find, and to name the file after
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Google Cloud project to look in [default: the workspace's]
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Region to look in [default: the workspace's]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Names of jobs that xetl did not make, such as `etl-{client}-{pipeline}`
    #[arg(long, value_name = "PATTERN", requires = "source")]
    jobs: Option<String>,
    /// Names of their schedules, in the same manner [default: the jobs' names]
    #[arg(long, value_name = "PATTERN", requires = "jobs")]
    schedules: Option<String>,
    /// Names of their datasets
    #[arg(long, value_name = "PATTERN", requires = "jobs")]
    datasets: Option<String>,
    /// Source of jobs that xetl did not make
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

pub async fn run(context: &Context, view: &mut View, args: &AdoptArgs) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    check_client("--client", &args.client)?;
    let path = workspace.client_file(&args.client);
    if path.exists() {
        let problem = format!("`{}` is there already", path.display());
        return Err(Failure::new(Kind::Usage, problem).hint(format!(
            "`xetl plan --client {}` sets it against what there is",
            args.client
        )));
    }
    // Nothing is written for a source that is not there.
    args.source
        .as_ref()
        .map(|name| workspace.source(name))
        .transpose()
        .map_err(|error| error.named_at("--source"))?;
    let file = &workspace.file;
    let project = wanted("project", args.project.as_ref(), file.project.as_ref())?;
    let region = wanted("region", args.region.as_ref(), file.region.as_ref())?;
    let target = context.target(&workspace).await?;
    let connection = Connection::new(target)?;
    let cloud = Arc::new(Cloud::new(
        connection.clone(),
        &args.client,
        &project,
        &region,
    ));
    if args.project.is_none() {
        context.asks(&workspace, &cloud);
    }
    let regions = BTreeSet::from([region.clone()]);
    let inventory = Cloud::inventory(&connection, &project, &regions).await?;
    let found = find(&cloud, &inventory, args).await?;
    let known = sources(&workspace)?;
    let there = made_by_xetl(&cloud, &found).await?;
    let adopted = adopt(
        &found,
        &Around {
            client: &args.client,
            project: (file.project.as_ref() != Some(&project)).then(|| project.clone()),
            region: (file.region.as_ref() != Some(&region)).then(|| region.clone()),
            source: args.source.clone(),
            emails: inventory.emails(&args.client).into_iter().collect(),
            known: &known,
            found_in: &region,
            there: &there,
            defaults: &file.defaults,
        },
    )
    .map_err(|error| Failure::of(Kind::Failed, &error))?;
    for (name, manifest) in &adopted.sources {
        let path = workspace.source_file(name);
        write(&path, manifest)?;
        view.line(path.display().to_string())?;
    }
    write(&path, &adopted.client)?;
    view.line(path.display().to_string())?;
    check(&workspace, &args.client, &path)?;
    leftovers(view, &found, args);
    view.note(format!(
        "Look at it, then at `xetl plan --client {}`.",
        args.client
    ));
    Ok(())
}

fn wanted(key: &str, given: Option<&String>, shared: Option<&String>) -> Result<String, Failure> {
    given.or(shared).cloned().ok_or_else(|| {
        let problem = format!("neither --{key} nor xetl.yaml says in which {key} to look");
        Failure::new(Kind::Usage, problem)
    })
}

/// The client's jobs: those labelled as its own, and those of the names given.
async fn find(
    cloud: &Cloud,
    inventory: &Inventory,
    args: &AdoptArgs,
) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for (name, listed) in inventory.jobs(&cloud.region) {
        let owner = &listed.job.owner;
        let is_own = owner.client.as_ref() == Some(&args.client);
        let own = owner.pipeline.clone().filter(|_| is_own);
        let Some(pipeline) = own.or_else(|| by_convention(args, name)) else {
            continue;
        };
        let schedules = args.schedules.as_ref().filter(|_| !is_own);
        let schedule = schedules.map(|it| Convention::of(it, &args.client).name(&pipeline));
        let schedule = schedule.unwrap_or_else(|| name.clone());
        let datasets = args.datasets.as_ref();
        let dataset = datasets.map(|it| Convention::of(it, &args.client).name(&pipeline));
        found.push(Found {
            bundle: bundle(cloud, &listed.job).await?,
            pipeline,
            name: name.clone(),
            job: listed.job.clone(),
            schedule: inventory.schedule(&cloud.region, &schedule).cloned(),
            dataset: dataset.filter(|name| inventory.has_dataset(name)),
        });
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(nothing(cloud, inventory, args)),
    }
}

/// The client's own resources; none where all of it is others' work.
async fn made_by_xetl(cloud: &Cloud, found: &[Found]) -> Result<Resources, Failure> {
    if found.iter().all(|one| one.bundle.is_none()) {
        return Ok(Resources::new());
    }
    let mut there = cloud.read(&Resources::new()).await?.resources;
    let is_own = |owner: &Owner| owner.client.as_ref() == Some(&cloud.client);
    there.retain(|_, resource| resource.owner().is_some_and(is_own));
    Ok(there)
}

fn by_convention(args: &AdoptArgs, job: &str) -> Option<String> {
    let only = args.source.as_deref()?;
    let convention = Convention::of(args.jobs.as_deref()?, &args.client);
    convention.pipeline(job, only)
}

/// What a job that xetl made reads first; `None` for others' jobs, and where it is gone.
async fn bundle(cloud: &Cloud, job: &Job) -> Result<Option<Bundle>, Failure> {
    let uri = job
        .env
        .get(BUNDLE_ENV)
        .and_then(|uri| uri.strip_prefix("gs://"));
    let Some((bucket, object)) = uri.and_then(|uri| uri.split_once('/')) else {
        return Ok(None);
    };
    let Some(bytes) = cloud.read_object(bucket, object).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        let problem = format!("gs://{bucket}/{object} is no bundle: {error}");
        Failure::new(Kind::Failed, problem)
    })
}

fn nothing(cloud: &Cloud, inventory: &Inventory, args: &AdoptArgs) -> Failure {
    let sightings = inventory.clients();
    let others: Vec<&str> = sightings.iter().map(|it| it.client.as_str()).collect();
    let sentence = format!(
        "project {} has no job of client `{}` in {}",
        cloud.project, args.client, cloud.region
    );
    let failure = Failure::new(Kind::Usage, sentence);
    match others.is_empty() {
        false => failure.hint(format!(
            "clients that have something there: {}",
            others.join(", ")
        )),
        true => failure.hint(
            "for jobs that xetl did not make, say how they are named: \
             `--jobs 'etl-{client}-{pipeline}' --source NAME`",
        ),
    }
}

fn sources(workspace: &Workspace) -> Result<BTreeMap<String, Manifest>, Failure> {
    let names = workspace.source_names().into_iter();
    let read = names.map(|name| Ok((name.clone(), workspace.source(&name)?)));
    read.collect()
}

fn write(path: &Path, document: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_saphyr::to_string(document);
    let text = text.map_err(|error| Failure::of(Kind::Failed, &error))?;
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    Ok(std::fs::write(path, text)?)
}

/// That the file can be read as any other: what others made may need more than they tell.
fn check(workspace: &Workspace, client: &str, path: &Path) -> Result<(), Failure> {
    workspace.client(client).map(drop).map_err(|error| {
        let failure = Failure::from(error);
        let sentence = format!(
            "{} needs more than could be found: {}",
            path.display(),
            failure.sentence
        );
        Failure {
            sentence,
            ..failure
        }
    })
}

/// What stays beside what xetl will make: it has other names.
fn leftovers(view: &mut View, found: &[Found], args: &AdoptArgs) {
    for one in found.iter().filter(|one| one.bundle.is_none()) {
        if one.name != names::job(&args.client, &one.pipeline) {
            view.note(format!(
                "Job {} is not xetl's and stays as it is: pause its schedule before `xetl apply`, \
                 so that both do not run.",
                one.name
            ));
        }
    }
}
