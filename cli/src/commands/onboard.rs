//! `xetl onboard`: from a client's name to its rows.
//!
//! Each step leaves something a second start finds: the file, each secret, the
//! resources, the run. So a start after an interruption goes on where it ended.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use secrecy::SecretString;
use xetl_runtime::bundle::STATE_PASSWORD;

use crate::apply::SecretValues;
use crate::cloud::CloudError;
use crate::config::{
    ClientFile, PipelineFile, ScheduleFile, Workspace, check_client, check_pipeline, shown,
    with_pipeline,
};
use crate::context::Context;
use crate::desired;
use crate::execution::ExecutionState;
use crate::failure::{Failure, Kind};
use crate::names;
use crate::questions::{Field, Given, Interview};
use crate::session::Session;
use crate::view::View;

use super::agree;
use super::run::{Order, execute};
use super::secrets::{read_secret, state_password};

/// Take a client from nothing to rows: questions, plan, resources, first run
#[derive(clap::Args, Debug)]
pub struct OnboardArgs {
    /// Name of the client: lower case letters, digits and `-`
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Source to read [default: asked for]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Name of the pipeline [default: the source's]
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Answer to a question, such as `start_date=2024-01-01`; may be repeated
    #[arg(long = "config", value_name = "FIELD=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// File that holds a secret, such as `credentials.client_secret=FILE`; may be repeated
    ///
    /// The environment's XETL_SECRET_CREDENTIALS_CLIENT_SECRET does the same.
    #[arg(long = "secret-file", value_name = "FIELD=FILE", value_parser = pair)]
    secret_files: Vec<(String, String)>,
    /// When it runs: minute, hour, day of the month, month, day of the week
    #[arg(long, value_name = "CRON")]
    schedule: Option<String>,
    /// Time zone of the schedule, such as `Pacific/Auckland`
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    time_zone: Option<String>,
    /// Ask nothing: take the defaults, and apply the plan
    #[arg(short, long)]
    yes: bool,
    /// Leave out the first run
    #[arg(long)]
    no_run: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("must be FIELD=VALUE")?;
    Ok((path.to_owned(), value.to_owned()))
}

pub async fn run(context: &Context, view: &mut View, args: &OnboardArgs) -> Result<(), Failure> {
    let workspace = context.workspace()?;
    // A name that cannot be is told before anything is asked.
    check_client("--client", &args.client)?;
    let (name, mut secrets) = declare(&workspace, view, args)?;
    secrets.extend(given_state_password(args)?);
    let session = context.session(&args.client).await?;
    let values = keep_secrets(&session, view, args, &name, secrets).await?;
    if !apply(context, view, args, &session, &values).await? {
        return Ok(());
    }
    if !args.no_run {
        first_run(&session, view, &name).await?;
    }
    summary(view, &session, &name);
    Ok(())
}

type Secrets = BTreeMap<String, SecretString>;

/// Sees to it that the client's file declares the pipeline; gives its name and the secrets given.
fn declare(
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

fn differs(path: &std::path::Path, name: &str) -> Failure {
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

fn given(args: &OnboardArgs) -> Result<Vec<(String, Given)>, Failure> {
    let texts = args.config.iter();
    let texts = texts.map(|(path, text)| Ok((path.clone(), Given::Text(text.clone()))));
    let secrets = args.secret_files.iter();
    let secrets = secrets.filter(|(path, _)| path != STATE_PASSWORD);
    let secrets = secrets.map(|(path, file)| {
        let value = read_secret(&PathBuf::from(file))?;
        Ok((path.clone(), Given::Secret(value)))
    });
    texts.chain(secrets).collect()
}

/// The password of the state database, which is no answer to the source's questions.
fn given_state_password(args: &OnboardArgs) -> Result<Option<(String, SecretString)>, Failure> {
    let files = args.secret_files.iter();
    let value = match files.rev().find(|(path, _)| path == STATE_PASSWORD) {
        Some((_, file)) => Some(read_secret(&PathBuf::from(file))?),
        None => std::env::var(names::secret_env(STATE_PASSWORD))
            .ok()
            .map(SecretString::from),
    };
    Ok(value.map(|value| (STATE_PASSWORD.to_owned(), value)))
}

/// Takes the secrets the environment holds, of the fields that are open by now.
fn take_environment(interview: &mut Interview<'_>) -> Result<(), Failure> {
    for field in interview.open().into_iter().filter(|field| field.secret) {
        if let Ok(value) = std::env::var(names::secret_env(&field.path)) {
            interview.answer_secret(&field, value.into())?;
        }
    }
    Ok(())
}

/// The answers that a file holds already; an error where it lacks some.
fn complete(
    mut interview: Interview<'_>,
    args: &OnboardArgs,
    path: &std::path::Path,
) -> Result<(serde_json::Map<String, serde_json::Value>, Secrets), Failure> {
    let config = interview.config();
    let mut missing = interview.settle_defaults();
    missing.retain(|field| !field.secret);
    match missing.is_empty() {
        true => Ok((config, interview.finish().1)),
        false => Err(lacking(&missing, args).hint(format!("add them to {}", shown(path)))),
    }
}

/// Asks what is open and no secret; without a terminal, defaults must do.
fn ask(view: &mut View, args: &OnboardArgs, interview: &mut Interview<'_>) -> Result<(), Failure> {
    if args.yes || !view.is_interactive() {
        // A variant that is a default may open fields the environment answers.
        let missing = interview.settle_defaults();
        take_environment(interview)?;
        return match missing.iter().any(|field| !field.secret) {
            true => Err(lacking(&missing, args)),
            false => Ok(()),
        };
    }
    while let Some(field) = interview.next_setting() {
        let text = view.ask(&field)?;
        interview.answer(&field, &text)?;
    }
    let optional: Vec<_> = interview
        .open()
        .into_iter()
        .filter(|field| !field.required && !field.secret)
        .collect();
    let titles: Vec<_> = optional.iter().map(|field| field.title.as_str()).collect();
    if !optional.is_empty() {
        view.note(format!("\nOptional settings: {}", titles.join(", ")));
    }
    if !optional.is_empty() && view.confirm("Set them too?")? == Some(true) {
        for field in &optional {
            let text = view.ask_optional(field)?;
            if let Some(text) = text {
                interview.answer(field, &text)?;
            }
        }
    }
    take_environment(interview)
}

/// What is missing, each with the flag that gives it.
fn lacking(missing: &[Field], args: &OnboardArgs) -> Failure {
    let lines = missing.iter().map(|field| match field.secret {
        true => format!(
            "\n  --secret-file {path}=FILE  or {env}  ({title})",
            path = field.path,
            env = names::secret_env(&field.path),
            title = field.title
        ),
        false => format!(
            "\n  --config {}=...  ({}{})",
            field.path,
            field.title,
            choices(field)
        ),
    });
    let sentence = format!(
        "client `{}` lacks answers, and there is nobody to ask:{}",
        args.client,
        lines.collect::<String>()
    );
    Failure::new(Kind::Usage, sentence)
}

fn choices(field: &Field) -> String {
    match field.values() {
        values if values.is_empty() => String::new(),
        values => format!(": {}", values.join(", ")),
    }
}

fn optional_secrets(interview: &Interview<'_>) -> Vec<String> {
    let fields = interview.fields().into_iter();
    fields
        .filter(|field| field.secret && !field.required)
        .map(|field| field.path)
        .collect()
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

/// Stores the secrets given, asks for those still missing and stores each at once. What cannot
/// be stored before the plan is carried out is handed on to it.
async fn keep_secrets(
    session: &Session,
    view: &mut View,
    args: &OnboardArgs,
    name: &str,
    given: Secrets,
) -> Result<SecretValues, Failure> {
    let client = &session.client.name;
    let pipeline = session.client.pipeline(name)?;
    let specification = &pipeline.specification;
    let mut fields =
        Interview::new(specification, pipeline.config.clone(), Default::default()).fields();
    fields.extend(state_password(pipeline));
    let container = desired::secret(&session.client, pipeline);
    let (mut later, mut missing) = (SecretValues::new(), Vec::new());
    for path in &pipeline.secrets {
        let secret = names::secret(client, name, path);
        let field = fields.iter().find(|field| field.path == *path);
        let value = match (given.get(path), field) {
            (Some(value), _) => value.clone(),
            (None, _) if has_value(session, &secret).await? => continue,
            (None, Some(field)) if !args.yes && view.is_interactive() => view.ask_secret(field)?,
            (None, field) => {
                missing.extend(field.cloned());
                continue;
            }
        };
        match session
            .cloud
            .store_secret(&secret, &container, &value)
            .await
        {
            // The plan enables it.
            Err(CloudError::Disabled { .. }) => {
                later.insert(secret, value);
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    match missing.is_empty() {
        true => Ok(later),
        false => Err(lacking(&missing, args)),
    }
}

async fn has_value(session: &Session, secret: &str) -> Result<bool, Failure> {
    match session.cloud.secret_has_value(secret).await {
        Err(CloudError::Disabled { .. }) => Ok(false),
        Err(error) => Err(error.into()),
        Ok(has_value) => Ok(has_value),
    }
}

/// Shows the plan and carries it out; `false` where the answer was no.
async fn apply(
    context: &Context,
    view: &mut View,
    args: &OnboardArgs,
    session: &Session,
    values: &SecretValues,
) -> Result<bool, Failure> {
    let images = context.images(session)?;
    if let Some(remark) = images.check().await? {
        view.note(remark);
    }
    let mut proposal = session.propose(&images.image()).await?;
    proposal
        .missing
        .retain(|missing| !values.contains_key(&missing.secret));
    view.proposal(&proposal.picture())?;
    if proposal.plan.is_empty() {
        return Ok(true);
    }
    if !agree(view, args.yes, "Do this?")? {
        return Ok(false);
    }
    let progress = &mut view.progress();
    session.apply(&proposal, &images, values, progress).await?;
    Ok(true)
}

/// Runs the pipeline, unless a run of it succeeded or is under way.
async fn first_run(session: &Session, view: &mut View, name: &str) -> Result<(), Failure> {
    let job = names::job(&session.client.name, name);
    let executions = session.cloud.list_executions(&job, 20).await?;
    let done = executions
        .iter()
        .find(|it| it.state == ExecutionState::Succeeded);
    let running = executions.iter().find(|it| !it.state.is_over());
    match (done, running) {
        (Some(execution), _) => view.note(format!("It ran before: {}.", execution.name)),
        (None, Some(execution)) => view.note(format!("It is running: {}.", execution.name)),
        (None, None) => {
            let pipeline = session.client.pipeline(name)?;
            execute(session, view, &Order::whole(pipeline), true).await?;
        }
    }
    Ok(())
}

fn summary(view: &mut View, session: &Session, name: &str) {
    let client = &session.client.name;
    let dataset = session
        .client
        .pipelines
        .iter()
        .find(|pipeline| pipeline.name == name)
        .map_or("", |pipeline| pipeline.dataset.as_str());
    view.note(format!(
        "\nClient {client} is onboarded; its rows are in dataset {dataset}. Next:\n  \
         xetl query --client {client} \"SELECT table_name FROM {dataset}.INFORMATION_SCHEMA.TABLES\"\n  \
         xetl run --client {client} --wait\n  \
         xetl status --client {client}"
    ));
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
