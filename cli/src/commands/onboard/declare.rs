//! The client's file: that it declares the pipeline.

use std::path::Path;

use indexmap::IndexMap;

use crate::config::{
    ClientFile, PipelineFile, ScheduleFile, Workspace, check_pipeline, shown, with_pipeline,
};
use crate::failure::{Failure, Kind};
use crate::questions::Interview;
use crate::view::View;

use super::answers::{ask, complete, given, optional_secrets, take_environment};
use super::{OnboardArgs, Secrets};

/// Sees to it that the client's file declares the pipeline; gives its name and the secrets given.
pub(super) fn declare(
    workspace: &Workspace,
    view: &mut View,
    args: &OnboardArgs,
) -> Result<(String, Secrets), Failure> {
    let path = workspace.client_file(&args.client);
    let before = match path.is_file() {
        true => Some(std::fs::read_to_string(&path)?),
        false => None,
    };
    let known: Option<ClientFile> = match before {
        Some(_) => Some(workspace.client_file_of(&args.client)?),
        None => None,
    };
    let pipelines = known.as_ref().map(|file| &file.pipelines);
    let source = source(workspace, view, args, pipelines)?;
    let name = args.pipeline.clone().unwrap_or_else(|| source.clone());
    check_pipeline("--pipeline", &name)?;
    let existing = pipelines.and_then(|pipelines| pipelines.get(&name));
    let manifest = workspace.source(existing.map_or(&source, |file| &file.source))?;
    let config = existing.map(|file| file.config.clone()).unwrap_or_default();
    let mut interview = Interview::new(manifest.specification(), config, Default::default());
    interview.take(given(args)?)?;
    take_environment(&mut interview)?;
    if let Some(existing) = existing {
        let (config, secrets) = complete(interview, args, &path)?;
        if config != existing.config || contradicts(args, existing) {
            return Err(differs(&path, &name));
        }
        view.note(format!("{} declares `{name}` already.", shown(&path)));
        return Ok((name, secrets));
    }
    ask(view, args, &mut interview)?;
    let optional = optional_secrets(&interview);
    let (config, secrets) = interview.finish();
    let mut file = PipelineFile {
        source,
        config,
        secrets: optional
            .into_iter()
            .filter(|path| secrets.contains_key(path))
            .collect(),
        ..PipelineFile::default()
    };
    file.schedule = schedule(workspace, view, args, &name, &file)?;
    let text = with_pipeline(&path, &args.client, before.as_deref(), &name, &file)?;
    workspace.write_client(&args.client, &text)?;
    view.note(format!("Wrote {}.", shown(&path)));
    Ok((name, secrets))
}

fn differs(path: &Path, name: &str) -> Failure {
    let sentence = format!(
        "{} says other things of `{name}` than the arguments",
        shown(path)
    );
    Failure::new(Kind::Usage, sentence).hint(
        "edit the file and leave out `--config`, `--source` and `--schedule`, or give the new \
         pipeline a name with `--pipeline`",
    )
}

/// Whether the arguments ask for another source or time than the file declares.
fn contradicts(args: &OnboardArgs, existing: &PipelineFile) -> bool {
    let schedule = existing.schedule.as_ref();
    let cron = schedule.map(|schedule| schedule.cron.as_str());
    let zone = schedule.and_then(|schedule| schedule.time_zone.as_deref());
    let other = |given: &Option<String>, there| given.is_some() && given.as_deref() != there;
    other(&args.source, Some(existing.source.as_str()))
        || other(&args.schedule, cron)
        || other(&args.time_zone, zone)
}

/// The source named, the one of the pipeline that is there, or the one chosen.
fn source(
    workspace: &Workspace,
    view: &mut View,
    args: &OnboardArgs,
    pipelines: Option<&IndexMap<String, PipelineFile>>,
) -> Result<String, Failure> {
    if let Some(source) = &args.source {
        workspace.source(source)?;
        return Ok(source.clone());
    }
    let mut there = pipelines.into_iter().flatten();
    match (args.pipeline.as_ref(), there.next(), there.next()) {
        (None, Some((name, _)), None) => return Ok(name.clone()),
        (Some(name), _, _) => {
            if let Some(file) = pipelines.and_then(|pipelines| pipelines.get(name)) {
                return Ok(file.source.clone());
            }
        }
        _ => {}
    }
    let sources = workspace.source_names();
    if args.yes || !view.is_interactive() {
        return Err(
            Failure::new(Kind::Usage, "it is not said which source to read")
                .hint(format!("--source with one of: {}", sources.join(", "))),
        );
    }
    Ok(sources[view.choose("Source", &sources, 0)?].clone())
}

/// When the new pipeline runs: as the arguments say, else as asked, else never by itself.
fn schedule(
    workspace: &Workspace,
    view: &mut View,
    args: &OnboardArgs,
    name: &str,
    file: &PipelineFile,
) -> Result<Option<ScheduleFile>, Failure> {
    let check = |schedule: Option<ScheduleFile>| {
        let file = PipelineFile {
            schedule,
            ..file.clone()
        };
        let client = ClientFile {
            image: None,
            client: args.client.clone(),
            pipelines: IndexMap::from([(name.to_owned(), file)]),
            ..ClientFile::default()
        };
        workspace.settle(&workspace.client_file(&args.client), &args.client, &client)
    };
    let made = |cron: String, time_zone: Option<String>| {
        Some(ScheduleFile {
            cron,
            time_zone,
            ..ScheduleFile::default()
        })
    };
    if let Some(cron) = &args.schedule {
        let schedule = made(cron.clone(), args.time_zone.clone());
        check(schedule.clone())?;
        return Ok(schedule);
    }
    check(None)?;
    if args.yes || !view.is_interactive() {
        return Ok(None);
    }
    view.note("");
    let wrong = |schedule| {
        check(schedule)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let cron = view.line_of(
        "Schedule (cron; `-` for none)",
        Some("0 2 * * *".to_owned()),
        |cron| wrong((cron != "-").then(|| made(cron.clone(), None)).flatten()),
    )?;
    if cron == "-" {
        return Ok(None);
    }
    let shared = workspace.file.defaults.time_zone.clone();
    let zone = view.line_of(
        "Time zone",
        Some(shared.unwrap_or_else(|| "UTC".to_owned())),
        |zone| wrong(made(cron.clone(), Some(zone.clone()))),
    )?;
    Ok(made(cron, Some(zone)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: OnboardArgs,
    }

    #[test]
    fn another_source_or_time_than_the_file_declares_is_a_contradiction() {
        let existing = PipelineFile {
            source: "xero".to_owned(),
            schedule: Some(ScheduleFile {
                cron: "0 2 * * *".to_owned(),
                time_zone: Some("UTC".to_owned()),
                ..ScheduleFile::default()
            }),
            ..PipelineFile::default()
        };
        let contradicts = |more: &[&str]| {
            let line = ["onboard", "--client", "acme"].iter().chain(more);
            contradicts(&Line::try_parse_from(line).unwrap().args, &existing)
        };
        assert!(!contradicts(&[]));
        assert!(!contradicts(&[
            "--source",
            "xero",
            "--schedule",
            "0 2 * * *"
        ]));
        assert!(contradicts(&["--source", "close"]));
        assert!(contradicts(&["--schedule", "0 3 * * *"]));
        let moved = ["--schedule", "0 2 * * *", "--time-zone", "Europe/London"];
        assert!(contradicts(&moved));
    }
}
