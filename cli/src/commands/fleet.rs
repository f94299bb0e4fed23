//! `plan` and `apply` for many clients.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};

use crate::apply::{Observer, SecretValues};
use crate::context::Context;
use crate::desired::Image;
use crate::failure::{Failure, Kind};
use crate::fleet::{Fleet, Outcome, Planned, Selection, guard};
use crate::images::Images;
use crate::session::Session;
use crate::view::{FleetPicture, View};

use super::agree;
use super::destroy::NoImages;

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

/// Shows what each of the clients needs; whether that is nothing.
pub async fn plan(
    context: &Context,
    view: &mut View,
    selection: &Selection,
) -> Result<bool, Failure> {
    let fleet = listed(context, selection).await?;
    note_slow(view, &fleet);
    let images = fleet.images()?;
    let outcomes = fleet.propose(|session| image_of(&images, session)).await;
    view.fleet_plan(&picture(&fleet, &outcomes))?;
    failed(&outcomes)?;
    Ok(plans(&outcomes).all(|planned| planned.proposal.plan.is_empty()))
}

/// Carries out what each of the clients needs; what fails for one stops no other.
pub async fn apply(
    context: &Context,
    view: &mut View,
    selection: &Selection,
    how: &ApplyMany,
) -> Result<(), Failure> {
    let fleet = listed(context, selection).await?;
    note_slow(view, &fleet);
    let images = fleet.images()?;
    let outcomes = fleet.propose(|session| image_of(&images, session)).await;
    if !view.is_json() {
        view.fleet_plan(&picture(&fleet, &outcomes))?;
    }
    let proposed = outcomes.iter().filter_map(|outcome| {
        let planned = outcome.result.as_ref().ok()?;
        Some((outcome.client.as_str(), &planned.proposal.plan))
    });
    guard::check(proposed, how.allow_deletions)?;
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
async fn opened(context: &Context, selection: &Selection) -> Result<Fleet, Failure> {
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
    if let (Some(project), 3..) = (slow.first(), fleet.sessions.len()) {
        view.note(format!(
            "Policies are read one by one in {} projects, which takes long: \
             `gcloud services enable cloudasset.googleapis.com --project {project}`",
            slow.len()
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

pub fn plans(outcomes: &[Outcome<Planned>]) -> impl Iterator<Item = &Planned> {
    outcomes.iter().filter_map(|it| it.result.as_ref().ok())
}

/// The failure a command for many is, where it failed for some.
pub fn failed<T>(outcomes: &[Outcome<T>]) -> Result<(), Failure> {
    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err());
    let names: Vec<String> = failed.map(|outcome| outcome.client.clone()).collect();
    let sentence = match names.len() {
        0 => return Ok(()),
        count => format!(
            "{count} of {} clients failed: {}",
            outcomes.len(),
            guard::shown(&names)
        ),
    };
    let failure = Failure::new(Kind::Incomplete, sentence);
    Err(failure.hint("it was done for the others; the same command goes on from here"))
}
