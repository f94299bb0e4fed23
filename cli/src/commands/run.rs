//! `xetl run`: an execution of a pipeline, now.

mod order;

use std::collections::BTreeSet;
use std::time::Duration;

use xetl_runtime::range::RangeArgs;

pub use order::Order;

use crate::config::{Client, Pipeline};
use crate::context::Context;
use crate::execution::{Execution, ExecutionState, LogQuery, REFUSED_CREDENTIALS, RunSummary};
use crate::failure::{Failure, Kind};
use crate::names;
use crate::session::Session;
use crate::view::{RunPicture, View};

use super::fleet;
use super::which::{Which, WhichArgs, only_for_one};

/// Run a pipeline now, or those of many clients
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Pipeline to run; may be left out where the client has one, and of many clients all run
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Stream to load instead of all; may be repeated
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    #[command(flatten)]
    range: RangeArgs,
    /// Read all anew, and have it replace what is in the tables
    #[arg(long, conflicts_with = "from")]
    full_refresh: bool,
    /// Wait for the end and show the log on the way
    #[arg(long)]
    wait: bool,
}

/// Between two looks at a running execution.
const LOOK: Duration = Duration::from_millis(1000);

pub async fn run(context: &Context, view: &mut View, args: &RunArgs) -> Result<(), Failure> {
    let client = match args.which.which()? {
        Which::One(client) => client,
        Which::Many(selection) => {
            only_for_one("--stream", !args.streams.is_empty())?;
            only_for_one("a range", args.range != RangeArgs::default())?;
            let how = fleet::RunMany {
                pipeline: args.pipeline.as_deref(),
                full_refresh: args.full_refresh,
                wait: args.wait,
            };
            return fleet::run(context, view, &selection, &how).await;
        }
    };
    let session = context.session(client).await?;
    let pipeline = the_pipeline(&session.client, args.pipeline.as_deref())?;
    let order = Order::new(pipeline, &args.streams, &args.range)?.refreshed(args.full_refresh);
    execute(&session, view, &order, args.wait).await
}

/// Starts an execution; with `wait`, sees it to its end and shows what it did.
pub async fn execute(
    session: &Session,
    view: &mut View,
    order: &Order<'_>,
    wait: bool,
) -> Result<(), Failure> {
    let pipeline = order.pipeline;
    let job = names::job(&session.client.name, &pipeline.name);
    let name = session
        .cloud
        .start(&job, order.arguments(), order.tasks)
        .await
        .map_err(|error| not_there(session, error.is_absent(), error.into()))?;
    view.note(format!("Execution {name} started."));
    let (execution, summary) = match wait {
        false => (session.cloud.execution(&job, &name).await?, None),
        true => {
            let execution = follow(session, view, &job, &name).await?;
            let summary = session.cloud.run_summary(&pipeline.name, &name).await?;
            (execution, summary)
        }
    };
    view.run(&RunPicture {
        client: &session.client.name,
        pipeline: &pipeline.name,
        execution: &execution,
        summary: summary.as_ref(),
    })?;
    match wait {
        false => Ok(()),
        true => verdict(session, &execution, summary.as_ref()),
    }
}

fn not_there(session: &Session, absent: bool, failure: Failure) -> Failure {
    match absent {
        true => failure.hint(format!(
            "`xetl apply --client {}` makes it",
            session.client.name
        )),
        false => failure,
    }
}

/// Shows the log until the execution is over.
async fn follow(
    session: &Session,
    view: &mut View,
    job: &str,
    name: &str,
) -> Result<Execution, Failure> {
    let mut query = LogQuery {
        job: job.to_owned(),
        execution: Some(name.to_owned()),
        since: None,
    };
    let mut seen = BTreeSet::new();
    let mut shown = view.following();
    loop {
        let execution = session.cloud.execution(job, name).await?;
        for line in session.cloud.next_logs(&query).await? {
            query.since = Some(line.time.clone());
            if seen.insert(line.id.clone()) {
                shown.line(&line);
            }
        }
        if execution.state.is_over() {
            return Ok(execution);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The failure a finished run is, if it is one.
pub fn verdict(
    session: &Session,
    execution: &Execution,
    summary: Option<&RunSummary>,
) -> Result<(), Failure> {
    let outcome = summary.map(|summary| summary.outcome.as_str());
    let name = &execution.name;
    if outcome == Some("parked") {
        return Err(Failure::new(
            Kind::Parked,
            format!("execution {name} is parked: the source's limit is spent"),
        )
        .hint("what it read is kept; the next run goes on from there"));
    }
    if execution.state == ExecutionState::Succeeded && outcome != Some("failed") {
        return Ok(());
    }
    let mut sentence = format!("execution {name} {}", execution.state.word());
    // What the run says of itself is nearer to the cause than Cloud Run's words.
    let shared = summary.and_then(RunSummary::shared_error);
    let why = shared.or(execution.message.as_deref());
    if let Some(why) = why.filter(|it| !it.is_empty()) {
        sentence.push_str(&format!(": {why}"));
    }
    let client = &session.client.name;
    let mut hint = format!("`xetl logs --client {client} --execution {name}` shows why");
    if shared.is_some_and(|error| error.starts_with(REFUSED_CREDENTIALS)) {
        hint.push_str(&format!(
            "; `xetl secrets list --client {client}` names the secrets, `xetl secrets set` gives \
             one a new value"
        ));
    }
    Err(Failure::new(Kind::RunFailed, sentence).hint(hint))
}

/// The pipeline named, or the only one there is.
pub fn the_pipeline<'a>(client: &'a Client, name: Option<&str>) -> Result<&'a Pipeline, Failure> {
    match (name, client.pipelines.as_slice()) {
        (Some(name), _) => Ok(client.pipeline(name)?),
        (None, [only]) => Ok(only),
        (None, several) => {
            let names: Vec<_> = several
                .iter()
                .map(|pipeline| pipeline.name.as_str())
                .collect();
            let sentence = format!("client `{}` has {} pipelines", client.name, several.len());
            Err(Failure::new(Kind::Usage, sentence)
                .hint(format!("choose with --pipeline: {}", names.join(", "))))
        }
    }
}
