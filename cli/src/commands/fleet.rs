//! `plan` and `apply` for many clients.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::stream::{self, StreamExt};

use crate::apply::{Observer, SecretValues};
use crate::context::Context;
use crate::desired::Image;
use crate::failure::{Failure, Kind};
use crate::files;
use crate::fleet::{Fleet, KeptPlans, Outcome, Planned, Selection, guard};
use crate::images::Images;
use crate::names::first_few;
use crate::plan::{Change, Plan};
use crate::resource::Kind as ResourceKind;
use crate::session::Session;
use crate::view::{FleetPicture, View};

use super::agree;
use super::destroy::NoImages;
use super::plan::note_kept;

mod run;
mod status;

pub use run::{RunMany, run, run_client};
pub use status::{latest, status};

/// Clients applied at the same time: the APIs allow some hundred writes a minute.
const AT_ONCE: usize = 8;

/// How many clients are applied.
pub struct ApplyMany {
    pub yes: bool,
    pub events: bool,
    pub allow_deletions: Option<usize>,
}

/// Shows what each of the clients needs, and keeps it where a file is named; whether that is nothing.
pub async fn plan(
    context: &Context,
    view: &mut View,
    selection: &Selection,
    out: Option<&Path>,
) -> Result<bool, Failure> {
    let mut fleet = listed(context, selection).await?;
    if out.is_some() {
        fleet = fleet.keeping_basis();
    }
    let images = fleet.images()?;
    let outcomes = proposed(view, &fleet, &images).await;
    if let Some(path) = out {
        files::write_json(path, &KeptPlans::of(selection, &outcomes))?;
    }
    view.fleet_plan(&picture(&fleet, &outcomes))?;
    if let Some(path) = out {
        note_kept(view, path);
    }
    failed(&outcomes)?;
    Ok(plans(&outcomes).all(|planned| planned.proposal.plan.is_empty()))
}

/// Carries out what each of the clients needs, or of that what was kept; what fails for one
/// stops no other.
pub async fn apply(
    context: &Context,
    view: &mut View,
    selection: &Selection,
    kept: Option<&KeptPlans>,
    how: &ApplyMany,
) -> Result<(), Failure> {
    let mut fleet = listed(context, selection).await?;
    if kept.is_some() {
        fleet = fleet.keeping_basis();
    }
    let images = fleet.images()?;
    let mut outcomes = proposed(view, &fleet, &images).await;
    let all = plans(&outcomes).count();
    if let Some(kept) = kept {
        outcomes = kept.standing(outcomes);
    }
    if !view.is_json() {
        view.fleet_plan(&picture(&fleet, &outcomes))?;
    }
    guard::check(named_plans(&outcomes), all, how.allow_deletions)?;
    let is_empty = plans(&outcomes).all(|planned| planned.proposal.plan.is_empty());
    if !is_empty && !agree(view, how.yes, "Do this?")? {
        return Ok(());
    }
    let progress = view.fleet_progress(fleet.len(), how.events);
    let applied = stream::iter(outcomes.into_iter().map(|outcome| {
        let Outcome { client, result } = outcome;
        let images = images.get(&client);
        let mut observer = progress.observer(&client);
        async move {
            let result = match result {
                Ok(planned) => carry_out(&planned, images, &mut observer).await,
                Err(failure) => Err(failure),
            };
            observer.ended(&result);
            Outcome { client, result }
        }
    }))
    .buffer_unordered(AT_ONCE)
    .collect::<Vec<_>>()
    .await;
    progress.finished();
    view.fleet_applied(&applied)?;
    failed(&applied)
}

/// What each client needs; a failure for one whose jobs are to run an image that is not there.
async fn proposed(
    view: &mut View,
    fleet: &Fleet,
    images: &BTreeMap<String, Images>,
) -> Vec<Outcome<Planned>> {
    note_slow(view, fleet);
    let mut outcomes = fleet.propose(|session| image_of(images, session)).await;
    for remark in check_images(&mut outcomes, images).await {
        view.note(remark);
    }
    outcomes
}

/// Looks once at each image that jobs are to run and that xetl does not push; what is doubtful of them.
async fn check_images(
    outcomes: &mut [Outcome<Planned>],
    images: &BTreeMap<String, Images>,
) -> BTreeSet<String> {
    let mut pinned: BTreeMap<&str, (&Images, Vec<&mut Outcome<Planned>>)> = BTreeMap::new();
    for outcome in outcomes {
        let puts_job = matches!(&outcome.result, Ok(planned) if puts_job(&planned.proposal.plan));
        let of_client = images.get(&outcome.client);
        if let (true, Some(of_client)) = (puts_job, of_client)
            && let Some(name) = of_client.pinned()
        {
            let (_, same) = pinned.entry(name).or_insert((of_client, Vec::new()));
            same.push(outcome);
        }
    }
    let looks = pinned.into_values().map(|(image, same)| async move {
        match image.check().await {
            Ok(remark) => return remark,
            Err(failure) => {
                for outcome in same {
                    outcome.result = Err(failure.clone());
                }
            }
        }
        None
    });
    let looks = stream::iter(looks).buffer_unordered(AT_ONCE);
    looks.filter_map(std::future::ready).collect().await
}

fn puts_job(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| {
        let puts = matches!(step.change, Change::Create { .. } | Change::Update { .. });
        puts && step.address.kind == ResourceKind::Job
    })
}

async fn carry_out(
    planned: &Planned,
    images: Option<&Images>,
    observer: &mut dyn Observer,
) -> Result<usize, Failure> {
    let values = SecretValues::new();
    let Planned { proposal, cloud } = planned;
    match images {
        Some(images) => proposal.apply(cloud, images, &values, observer).await,
        None => proposal.apply(cloud, &NoImages, &values, observer).await,
    }
}

/// The clients chosen, of which there has to be one.
pub async fn opened(context: &Context, selection: &Selection) -> Result<Fleet, Failure> {
    let fleet = Fleet::open(context, selection).await?;
    match fleet.is_empty() {
        true => Err(Failure::new(Kind::Usage, "no client is like that")),
        false => Ok(fleet),
    }
}

/// The same with their projects listed.
pub async fn listed(context: &Context, selection: &Selection) -> Result<Fleet, Failure> {
    let mut fleet = opened(context, selection).await?;
    fleet.list().await;
    Ok(fleet)
}

/// Says that policies cannot be listed, where that makes many calls.
fn note_slow(view: &mut View, fleet: &Fleet) {
    let slow = fleet.slow_projects();
    let projects = match slow.len() {
        1 => "1 project".to_owned(),
        many => format!("{many} projects"),
    };
    if let (Some(project), 3..) = (slow.first(), fleet.sessions.len()) {
        view.note(format!(
            "Policies are read one by one in {projects}, which takes long: \
             `gcloud services enable cloudasset.googleapis.com --project {project}`"
        ));
    }
}

fn image_of(images: &BTreeMap<String, Images>, session: &Session) -> Image {
    // Every session of the fleet has one.
    let image = images.get(&session.client.name).map(Images::image);
    image.unwrap_or(Image::Built {
        digest: String::new(),
    })
}

pub fn picture<'a>(fleet: &Fleet, outcomes: &'a [Outcome<Planned>]) -> FleetPicture<'a> {
    FleetPicture {
        projects: fleet.projects(),
        warnings: fleet.warnings(outcomes),
        outcomes,
    }
}

fn named_plans(outcomes: &[Outcome<Planned>]) -> impl Iterator<Item = (&str, &Plan)> {
    outcomes.iter().filter_map(|outcome| {
        let planned = outcome.result.as_ref().ok()?;
        Some((outcome.client.as_str(), &planned.proposal.plan))
    })
}

pub fn plans(outcomes: &[Outcome<Planned>]) -> impl Iterator<Item = &Planned> {
    outcomes.iter().filter_map(|it| it.result.as_ref().ok())
}

/// The failure a command for many is, where it failed for some.
pub fn failed<T>(outcomes: &[Outcome<T>]) -> Result<(), Failure> {
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err());
    let names: Vec<String> = failed.map(|outcome| outcome.client.clone()).collect();
    if let [only] = outcomes {
        return only.result.as_ref().map(drop).map_err(Clone::clone);
    }
    let sentence = match names.len() {
        0 => return Ok(()),
        count => format!(
            "{count} of {} clients failed: {}",
            outcomes.len(),
            first_few(&names)
        ),
    };
    if names.len() == outcomes.len() {
        return Err(Failure::new(Kind::Failed, sentence));
    }
    let failure = Failure::new(Kind::Incomplete, sentence);
    Err(failure.hint("it was done for the others; the same command goes on from here"))
}
