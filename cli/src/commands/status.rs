//! `xetl status`: how a client is doing.

use futures::future::{try_join, try_join_all};

use crate::cloud::CloudError;
use crate::config::Pipeline;
use crate::context::Context;
use crate::failure::Failure;
use crate::names;
use crate::session::Session;
use crate::view::{PipelineStatus, StatusPicture, View};

use super::fleet;
use super::which::{Which, WhichArgs};

/// Show what a client has and how its last runs went, or how many clients are doing
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Executions to show for each pipeline
    #[arg(long, default_value_t = 5, value_name = "N")]
    limit: usize,
}

pub async fn run(context: &Context, view: &mut View, args: &StatusArgs) -> Result<(), Failure> {
    match args.which.which() {
        Which::One(client) => status_of(context, view, args, client).await,
        Which::Many(selection) => fleet::status(context, view, &selection).await,
    }
}

async fn status_of(
    context: &Context,
    view: &mut View,
    args: &StatusArgs,
    client: &str,
) -> Result<(), Failure> {
    let session = context.session(client).await?;
    let images = context.images(&session)?;
    let image = images.image();
    let pipelines = session.client.pipelines.iter();
    let pipelines = pipelines.map(|pipeline| pipeline_status(&session, pipeline, args.limit));
    let pipelines = try_join_all(pipelines);
    let (proposal, pipelines) =
        try_join(session.propose(&image), async { Ok(pipelines.await?) }).await?;
    Ok(view.status(&StatusPicture {
        client: &session.client.name,
        project: &session.client.project,
        region: &session.client.region,
        declared: session.declared(&image).len(),
        changes: proposal.plan.summary(),
        missing: &proposal.missing,
        pipelines: &pipelines,
    })?)
}

async fn pipeline_status(
    session: &Session,
    pipeline: &Pipeline,
    limit: usize,
) -> Result<PipelineStatus, CloudError> {
    let job = names::job(&session.client.name, &pipeline.name);
    let (executions, next) = try_join(
        session.cloud.list_executions(&job, limit),
        session.cloud.next_firing(&job),
    )
    .await?;
    let summaries = executions
        .iter()
        .map(|execution| session.cloud.run_summary(&pipeline.name, &execution.name));
    let summaries = try_join_all(summaries).await?;
    Ok(PipelineStatus {
        name: pipeline.name.clone(),
        source: pipeline.source.clone(),
        dataset: pipeline.dataset.clone(),
        schedule: pipeline.schedule.clone(),
        next,
        runs: executions.into_iter().zip(summaries).collect(),
    })
}
