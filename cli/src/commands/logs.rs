//! `xetl logs`: what the pipelines' tasks wrote.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::context::Context;
use crate::execution::{LogLine, LogQuery};
use crate::failure::Failure;
use crate::names;
use crate::session::Session;
use crate::view::View;

use super::run::the_pipeline;

/// Show the log of a client's pipeline
#[derive(clap::Args, Debug)]
pub struct LogsArgs {
    /// Client whose log to show
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Pipeline; may be left out where the client has one
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Only this execution's
    #[arg(long, value_name = "NAME")]
    execution: Option<String>,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// The newest entries, as many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

/// Cloud Logging allows about one read a second.
const LOOK: Duration = Duration::from_secs(2);

pub async fn run(context: &Context, view: &mut View, args: &LogsArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let pipeline = the_pipeline(&session.client, args.pipeline.as_deref())?;
    let mut query = LogQuery {
        job: names::job(&session.client.name, &pipeline.name),
        execution: args.execution.clone(),
        since: None,
    };
    let lines = session.cloud.newest_logs(&query, args.limit).await?;
    if !args.follow {
        return Ok(view.logs(&lines)?);
    }
    follow(&session, view, &mut query, lines).await
}

async fn follow(
    session: &Session,
    view: &mut View,
    query: &mut LogQuery,
    mut lines: Vec<LogLine>,
) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    loop {
        lines.retain(|line| seen.insert(line.id.clone()));
        view.logs_on(&lines)?;
        if let Some(last) = lines.last() {
            query.since = Some(last.time.clone());
        }
        tokio::time::sleep(LOOK).await;
        lines = session.cloud.next_logs(query).await?;
    }
}
