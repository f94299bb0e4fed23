//! `run` for many clients: their jobs started, and seen to their ends where asked.

use std::time::Duration;

use crate::commands::run::{Order, verdict};
use crate::config::Pipeline;
use crate::context::Context;
use crate::execution::Started;
use crate::failure::Failure;
use crate::fleet::{Selection, each};
use crate::names;
use crate::session::Session;
use crate::view::View;

/// Clients run at the same time.
const AT_ONCE: usize = 16;

/// Between two looks at a running execution: many are looked at.
const LOOK: Duration = Duration::from_secs(3);

/// How many clients are run.
pub struct RunMany<'a> {
    /// Only the pipelines of this name.
    pub pipeline: Option<&'a str>,
    pub full_refresh: bool,
    pub wait: bool,
}

pub async fn run(
    context: &Context,
    view: &mut View,
    selection: &Selection,
    how: &RunMany<'_>,
) -> Result<(), Failure> {
    let fleet = super::opened(context, selection).await?;
    let progress = view.fleet_progress(fleet.len(), false);
    let mut outcomes = each(&fleet.sessions, AT_ONCE, async |session| {
        let result = run_client(session, how).await;
        progress.told(&session.client.name, &result);
        result
    })
    .await;
    progress.finished();
    outcomes.extend(fleet.broken_outcomes());
    view.fleet_runs(&outcomes)?;
    super::failed(&outcomes)
}

/// Runs a client's pipelines; with `wait`, an error where one of them fails.
pub async fn run_client(session: &Session, how: &RunMany<'_>) -> Result<Vec<Started>, Failure> {
    let pipelines = session.client.pipelines.iter();
    let wanted = pipelines.filter(|it| how.pipeline.is_none_or(|name| it.name == name));
    let runs = wanted.map(|pipeline| run_pipeline(session, pipeline, how));
    futures::future::try_join_all(runs).await
}

async fn run_pipeline(
    session: &Session,
    pipeline: &Pipeline,
    how: &RunMany<'_>,
) -> Result<Started, Failure> {
    let order = Order::whole(pipeline).refreshed(how.full_refresh);
    let job = names::job(&session.client.name, &pipeline.name);
    let cloud = &session.cloud;
    let name = cloud.start(&job, order.arguments(), order.tasks).await?;
    let mut execution = cloud.execution(&job, &name).await?;
    let mut summary = None;
    if how.wait {
        while !execution.state.is_over() {
            tokio::time::sleep(LOOK).await;
            execution = cloud.execution(&job, &name).await?;
        }
        summary = cloud.run_summary(&pipeline.name, &name).await?;
        verdict(session, &execution, summary.as_ref())?;
    }
    Ok(Started {
        pipeline: pipeline.name.clone(),
        execution,
        summary,
    })
}
