//! `status` of many clients: how their last runs went, by the lists of jobs.

use crate::context::Context;
use crate::execution::LatestRun;
use crate::failure::Failure;
use crate::fleet::{Fleet, Selection};
use crate::names;
use crate::session::Session;
use crate::view::{FleetStatus, PipelineRun, View};

pub async fn status(
    context: &Context,
    view: &mut View,
    selection: &Selection,
) -> Result<(), Failure> {
    let fleet = super::listed(context, selection).await?;
    let sessions = fleet.sessions.iter();
    let runs = sessions.flat_map(|session| runs_of(&fleet, session));
    let runs: Vec<PipelineRun> = runs.collect();
    view.fleet_status(&FleetStatus {
        clients: fleet.sessions.len(),
        runs: &runs,
        broken: &fleet.broken,
    })?;
    super::failed(&fleet.reached())
}

fn runs_of<'a>(fleet: &'a Fleet, session: &'a Session) -> Vec<PipelineRun> {
    let client = &session.client;
    let inventory = fleet.inventory(client);
    let pipelines = client.pipelines.iter().map(|pipeline| {
        let name = names::job(&client.name, &pipeline.name);
        let listed = match &inventory {
            Ok(inventory) => Ok(inventory.job(&client.region, &name)),
            Err(failure) => Err(failure.sentence.clone()),
        };
        PipelineRun {
            client: client.name.clone(),
            pipeline: pipeline.name.clone(),
            is_there: listed.as_ref().map(|it| it.is_some()).map_err(Clone::clone),
            latest: listed.ok().flatten().and_then(|it| it.latest.clone()),
        }
    });
    pipelines.collect()
}

/// The last run of a client's pipeline, where the lists tell it.
pub fn latest(fleet: &Fleet, session: &Session, pipeline: &str) -> Option<LatestRun> {
    let client = &session.client;
    let name = names::job(&client.name, pipeline);
    let inventory = fleet.inventory(client).ok()?;
    inventory.job(&client.region, &name)?.latest.clone()
}
