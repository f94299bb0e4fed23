//! `xetl run`: an execution of a pipeline, now.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use xetl_runtime::bundle::Mode;
use xetl_runtime::range::RangeArgs;
use xetl_runtime::source::reads_by_time;

use crate::config::{Client, Pipeline};
use crate::context::Context;
use crate::execution::{Execution, ExecutionState, LogQuery, RunSummary};
use crate::failure::{Failure, Kind};
use crate::names;
use crate::session::Session;
use crate::view::{RunPicture, View};

/// Run a pipeline now
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// Client whose pipeline to run
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Pipeline to run; may be left out where the client has one
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Stream to load instead of all; may be repeated
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    #[command(flatten)]
    range: RangeArgs,
    /// Wait for the end and show the log on the way
    #[arg(long)]
    wait: bool,
}

/// Between two looks at a running execution.
const LOOK: Duration = Duration::from_millis(1000);

pub async fn run(context: &Context, view: &mut View, args: &RunArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let pipeline = the_pipeline(&session.client, args.pipeline.as_deref())?;
    let order = Order::new(pipeline, &args.streams, &args.range)?;
    execute(&session, view, &order, args.wait).await
}

/// What an execution is to do: a pipeline as it is, or some of its streams, or a range of these.
pub struct Order<'p> {
    pipeline: &'p Pipeline,
    streams: Vec<String>,
    range: RangeArgs,
}

impl<'p> Order<'p> {
    /// All of a pipeline.
    pub fn whole(pipeline: &'p Pipeline) -> Order<'p> {
        Order {
            pipeline,
            streams: Vec::new(),
            range: RangeArgs::default(),
        }
    }

    fn new(
        pipeline: &'p Pipeline,
        streams: &[String],
        range: &RangeArgs,
    ) -> Result<Order<'p>, Failure> {
        let streams = streams.iter().map(|name| known(pipeline, name));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        let usage = |error: &dyn std::error::Error| Failure::of(Kind::Usage, error);
        let asked = range
            .range(Timestamp::now())
            .map_err(|error| usage(&error))?;
        if asked.is_some() {
            streams
                .iter()
                .try_for_each(|name| has_range(pipeline, name))?;
        }
        Ok(Order {
            pipeline,
            streams,
            range: range.clone(),
        })
    }

    /// Instead of the job's own arguments; `None` leaves them as they are.
    fn arguments(&self) -> Option<Vec<String>> {
        if self.streams.is_empty() {
            return None;
        }
        let mut arguments = vec!["run".to_owned()];
        for stream in &self.streams {
            arguments.extend(["--stream".to_owned(), stream.clone()]);
        }
        arguments.extend(self.range.arguments());
        Some(arguments)
    }
}

/// The stream meant by `name`: of that name, or its plural.
fn known(pipeline: &Pipeline, name: &str) -> Result<String, Failure> {
    let known = pipeline.manifest.stream_names();
    let named = |name: &str| known.iter().any(|stream| stream == name);
    // A manifest may make its streams while it runs.
    if known.is_empty() || named(name) || pipeline.manifest.has_dynamic_streams() {
        return Ok(name.to_owned());
    }
    let plurals = [
        format!("{name}s"),
        format!("{}ies", name.trim_end_matches('y')),
    ];
    match plurals.into_iter().find(|plural| named(plural)) {
        Some(plural) => Ok(plural),
        None => {
            let sentence = format!("source `{}` has no stream `{name}`", pipeline.source);
            Err(Failure::new(Kind::Usage, sentence)
                .hint(format!("its streams: {}", known.join(", "))))
        }
    }
}

/// That a range of the stream can be read, and would not replace its table by a part.
fn has_range(pipeline: &Pipeline, name: &str) -> Result<(), Failure> {
    let options = pipeline.streams.get(name);
    if options.is_some_and(|options| options.mode == Some(Mode::Overwrite)) {
        let sentence =
            format!("a range of stream `{name}` would replace its table by a part of it");
        return Err(Failure::new(Kind::Usage, sentence).hint(
            "it is loaded with mode `overwrite`; leave --from and --to out, or change the mode",
        ));
    }
    let by_time = reads_by_time(&pipeline.manifest.0, name)
        .map_err(|error| Failure::of(Kind::Usage, &error))?;
    if by_time == Some(false) {
        let sentence =
            format!("stream `{name}` has no cursor over time, so no range of it can be read");
        return Err(Failure::new(Kind::Usage, sentence)
            .hint("leave --from and --to out: it is always read whole"));
    }
    Ok(())
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
        .start(&job, order.arguments())
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
    loop {
        let execution = session.cloud.execution(job, name).await?;
        for line in session.cloud.next_logs(&query).await? {
            query.since = Some(line.time.clone());
            if seen.insert(line.id.clone()) {
                view.progress_log(&line);
            }
        }
        if execution.state.is_over() {
            return Ok(execution);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The failure a finished run is, if it is one.
fn verdict(
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
    if let Some(message) = execution.message.as_ref().filter(|it| !it.is_empty()) {
        sentence.push_str(&format!(": {message}"));
    }
    let client = &session.client.name;
    Err(Failure::new(Kind::RunFailed, sentence).hint(format!(
        "`xetl logs --client {client} --execution {name}` shows why"
    )))
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use xetl_runtime::bundle::StreamOptions;

    use super::*;
    use crate::config::Manifest;

    fn pipeline() -> Pipeline {
        let manifest = json!({"version": "7.0.0", "type": "DeclarativeSource", "streams": [
            {"type": "DeclarativeStream", "name": "leads", "incremental_sync": {"type": "DatetimeBasedCursor"}},
            {"type": "DeclarativeStream", "name": "opportunities", "incremental_sync": {"type": "DatetimeBasedCursor"}},
            {"type": "DeclarativeStream", "name": "users"},
        ]});
        let options = StreamOptions {
            mode: Some(Mode::Overwrite),
            ..StreamOptions::default()
        };
        Pipeline {
            name: "close".to_owned(),
            source: "close".to_owned(),
            manifest: Manifest(manifest),
            config: serde_json::Map::new(),
            secrets: Vec::new(),
            schedule: None,
            dataset: "acme_close".to_owned(),
            tasks: 1,
            cpu: 1,
            memory: "512Mi".to_owned(),
            timeout: Duration::from_secs(60),
            streams: [("opportunities".to_owned(), options)].into(),
            models: Vec::new(),
            specification: json!({}),
        }
    }

    fn ordered(
        streams: &[&str],
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Vec<String>, String> {
        let pipeline = pipeline();
        let streams: Vec<_> = streams.iter().map(ToString::to_string).collect();
        let range = RangeArgs {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        match Order::new(&pipeline, &streams, &range) {
            Ok(order) => Ok(order.arguments().unwrap_or_default()),
            Err(failure) => Err(format!(
                "{} ({})",
                failure.sentence,
                failure.hint.unwrap_or_default()
            )),
        }
    }

    #[test]
    fn streams_and_a_range_replace_the_jobs_arguments() {
        assert!(ordered(&[], None, None).unwrap().is_empty());
        assert_eq!(
            ordered(&["leads", "users"], None, None).unwrap(),
            ["run", "--stream", "leads", "--stream", "users"]
        );
        assert_eq!(
            ordered(&["lead"], Some("2025-06-01"), Some("2025-06-30")).unwrap(),
            [
                "run",
                "--stream",
                "leads",
                "--from",
                "2025-06-01",
                "--to",
                "2025-06-30"
            ]
        );
    }

    #[test]
    fn what_cannot_be_ordered_is_said_before_anything_runs() {
        let refused = |streams: &[&str]| ordered(streams, Some("2025-06-01"), None).unwrap_err();
        insta::assert_snapshot!(refused(&["lead", "x"]), @"source `close` has no stream `x` (its streams: leads, opportunities, users)");
        insta::assert_snapshot!(refused(&["user"]), @"stream `users` has no cursor over time, so no range of it can be read (leave --from and --to out: it is always read whole)");
        insta::assert_snapshot!(refused(&["opportunity"]), @"a range of stream `opportunities` would replace its table by a part of it (it is loaded with mode `overwrite`; leave --from and --to out, or change the mode)");
        insta::assert_snapshot!(ordered(&["lead"], Some("1.6."), None).unwrap_err(), @"--from is `1.6.`; give a day as 2025-06-30 or a moment as 2025-06-30T12:00:00Z ()");
    }
}
