//! How a client's status looks.

use std::io;

use serde_json::{Value, json};

use super::run::{outcome_style, seconds};
use super::{BOLD, DIM, GREEN, View, YELLOW};
use crate::config::Schedule;
use crate::execution::{Execution, RunSummary};
use crate::plan::Summary;
use crate::plan::document::MissingValue;
use xetl_runtime::progress::grouped;

/// What a client has and how its last runs went.
pub struct StatusPicture<'a> {
    pub client: &'a str,
    pub project: &'a str,
    pub region: &'a str,
    /// How many resources its file asks for.
    pub declared: usize,
    pub changes: Summary,
    pub missing: &'a [MissingValue],
    pub pipelines: &'a [PipelineStatus],
}

/// One pipeline's schedule and last runs, the newest first.
pub struct PipelineStatus {
    pub name: String,
    pub source: String,
    pub dataset: String,
    pub schedule: Option<Schedule>,
    pub next: Option<String>,
    pub runs: Vec<(Execution, Option<RunSummary>)>,
}

impl View {
    pub fn status(&mut self, picture: &StatusPicture<'_>) -> io::Result<()> {
        if self.is_json() {
            return self.json(&as_json(picture));
        }
        let StatusPicture {
            client,
            project,
            region,
            ..
        } = picture;
        self.line(format!(
            "{BOLD}{client}{BOLD:#}  {DIM}{project}, {region}{DIM:#}"
        ))?;
        self.line(format!("  resources  {}", resources(picture)))?;
        for missing in picture.missing {
            let MissingValue {
                secret, command, ..
            } = missing;
            self.line(format!(
                "  {YELLOW}secret {secret} has no value:{YELLOW:#} `{command}`"
            ))?;
        }
        for pipeline in picture.pipelines {
            self.pipeline(pipeline)?;
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &PipelineStatus) -> io::Result<()> {
        let PipelineStatus {
            name,
            source,
            dataset,
            ..
        } = pipeline;
        self.line(String::new())?;
        self.line(format!(
            "{BOLD}{name}{BOLD:#}  {DIM}source {source}, dataset {dataset}{DIM:#}"
        ))?;
        self.line(format!("  schedule   {}", schedule(pipeline)))?;
        if pipeline.runs.is_empty() {
            return self.line("  no runs yet");
        }
        let rows = pipeline.runs.iter().map(run_row).collect();
        self.cells(
            &["execution", "started", "seconds", "state", "rows"],
            rows,
            &[2, 4],
        )?;
        match pipeline
            .runs
            .iter()
            .find_map(|(_, summary)| summary.as_ref())
        {
            Some(summary) => self.streams(summary),
            None => Ok(()),
        }
    }
}

fn resources(picture: &StatusPicture<'_>) -> String {
    let Summary {
        create,
        update,
        replace,
        delete,
        refuse,
        ..
    } = picture.changes;
    let update = update + replace;
    match create + update + delete + refuse {
        0 => format!("{GREEN}all {} as declared{GREEN:#}", picture.declared),
        _ => format!(
            "{YELLOW}{create} missing, {update} different, {delete} too many{YELLOW:#}: `xetl plan --client {}`",
            picture.client
        ),
    }
}

fn schedule(pipeline: &PipelineStatus) -> String {
    let Some(Schedule {
        cron,
        time_zone,
        paused,
        ..
    }) = &pipeline.schedule
    else {
        return "none".to_owned();
    };
    match (paused, &pipeline.next) {
        (true, _) => format!("{cron} {time_zone}, {YELLOW}paused{YELLOW:#}"),
        (false, Some(next)) => format!("{cron} {time_zone}, next {next}"),
        (false, None) => format!("{cron} {time_zone}"),
    }
}

fn run_row((execution, summary): &(Execution, Option<RunSummary>)) -> Vec<String> {
    let state = match summary {
        Some(summary) if execution.state.is_over() => summary.outcome.as_str(),
        _ => execution.state.word(),
    };
    let style = outcome_style(state);
    let from = execution.started.as_ref().or(execution.created.as_ref());
    let took = from
        .zip(execution.completed.as_ref())
        .and_then(|(from, to)| seconds(from, to));
    vec![
        execution.name.clone(),
        from.map(|at| at.get(..19).unwrap_or(at).replace('T', " "))
            .unwrap_or_default(),
        took.map(|seconds| format!("{seconds:.1}"))
            .unwrap_or_default(),
        format!("{style}{state}{style:#}"),
        summary
            .as_ref()
            .map(|it| grouped(it.rows))
            .unwrap_or_default(),
    ]
}

fn as_json(picture: &StatusPicture<'_>) -> Value {
    let pipelines: Vec<Value> = picture.pipelines.iter().map(pipeline_json).collect();
    json!({
        "client": picture.client,
        "project": picture.project,
        "region": picture.region,
        "resources": {"declared": picture.declared, "changes": picture.changes},
        "missing_secrets": picture.missing,
        "pipelines": pipelines,
    })
}

fn pipeline_json(pipeline: &PipelineStatus) -> Value {
    let schedule = pipeline.schedule.as_ref().map(|schedule| {
        json!({
            "cron": schedule.cron,
            "time_zone": schedule.time_zone,
            "paused": schedule.paused,
            "next": pipeline.next,
        })
    });
    let runs: Vec<Value> = pipeline
        .runs
        .iter()
        .map(|(execution, summary)| json!({"execution": execution, "summary": summary}))
        .collect();
    json!({
        "name": pipeline.name,
        "source": pipeline.source,
        "dataset": pipeline.dataset,
        "schedule": schedule,
        "runs": runs,
    })
}
