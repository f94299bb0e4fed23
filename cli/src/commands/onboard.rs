//! `xetl onboard`: from a client's name to its rows.
//!
//! Each step leaves something a second start finds: the file, each secret, the
//! resources, the run. So a start after an interruption goes on where it ended.

mod answers;
mod declare;

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::apply::SecretValues;
use crate::cloud::CloudError;
use crate::config::check_client;
use crate::context::Context;
use crate::desired;
use crate::execution::ExecutionState;
use crate::failure::Failure;
use crate::names;
use crate::questions::Interview;
use crate::session::Session;
use crate::view::View;

use super::agree;
use super::run::{Order, execute};
use super::secrets::state_password;
use answers::{given_state_password, lacking};
use declare::declare;

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
