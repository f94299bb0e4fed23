//! `xetl secrets`: the values of a client's secrets, which are in no file.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::json;
use xetl_runtime::bundle::STATE_PASSWORD;

use crate::cloud::{SecretVersion, Stored};
use crate::config::Pipeline;
use crate::context::Context;
use crate::desired;
use crate::failure::{Failure, Kind};
use crate::names;
use crate::questions::{Field, Interview};
use crate::session::Session;
use crate::view::View;

use super::run::the_pipeline;

/// Set, list and check the values of a client's secrets
#[derive(clap::Args, Debug)]
pub struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(clap::Subcommand, Debug)]
enum SecretsCommand {
    Set(SetArgs),
    List(ListArgs),
    Check(ListArgs),
}

/// Store a value: typed unseen, from a file, or from standard input
#[derive(clap::Args, Debug)]
struct SetArgs {
    /// Client whose secret it is
    #[arg(long, value_name = "NAME")]
    client: String,
    /// Pipeline whose secret it is; may be left out where the client has one
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Field of the source's config, such as `credentials.client_secret`
    path: String,
    /// File that holds the value
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

/// Show which values there are and which are missing
#[derive(clap::Args, Debug)]
struct ListArgs {
    /// Client whose secrets to show
    #[arg(long, value_name = "NAME")]
    client: String,
}

pub async fn run(context: &Context, view: &mut View, args: &SecretsArgs) -> Result<(), Failure> {
    match &args.command {
        SecretsCommand::Set(args) => set(context, view, args).await,
        SecretsCommand::List(args) => list(context, view, args).await.map(|_| ()),
        SecretsCommand::Check(args) => check(context, view, args).await,
    }
}

async fn set(context: &Context, view: &mut View, args: &SetArgs) -> Result<(), Failure> {
    let session = context.session(&args.client).await?;
    let pipeline = the_pipeline(&session.client, args.pipeline.as_deref())?;
    let field = secret_field(pipeline, &args.path)?;
    let value = match &args.from_file {
        Some(path) => read_secret(path)?,
        None if view.is_interactive() => view.ask_secret(&field)?,
        None => read_stdin()?,
    };
    let mut interview = interview(pipeline);
    interview.answer_secret(&field, value.clone())?;
    let client = &session.client.name;
    let name = names::secret(client, &pipeline.name, &field.path);
    let container = desired::secret(&session.client, pipeline);
    let stored = session
        .cloud
        .store_secret(&name, &container, &value)
        .await?;
    let keep = session.client.settings.keep_versions;
    let destroyed = match stored {
        Stored::Added => session.cloud.trim_secret(&name, keep).await?,
        Stored::Unchanged => 0,
    };
    if view.is_json() {
        let added = stored == Stored::Added;
        let said = json!({"secret": name, "added": added, "destroyed": destroyed});
        return Ok(view.json(&said)?);
    }
    Ok(view.line(match stored {
        Stored::Added => format!("Stored a new version of secret {name}."),
        Stored::Unchanged => format!("Secret {name} holds this value already."),
    })?)
}

fn interview(pipeline: &Pipeline) -> Interview<'_> {
    let specification = &pipeline.specification;
    Interview::new(specification, pipeline.config.clone(), Default::default())
}

fn secret_field(pipeline: &Pipeline, path: &str) -> Result<Field, Failure> {
    let mut fields = interview(pipeline).fields();
    fields.retain(|field| field.secret);
    fields.extend(state_password(pipeline));
    let known: Vec<_> = fields.iter().map(|field| field.path.clone()).collect();
    let found = fields.into_iter().find(|field| field.path == path);
    found.ok_or_else(|| {
        let sentence = format!("pipeline `{}` has no secret field `{path}`", pipeline.name);
        Failure::new(Kind::Usage, sentence).hint(format!("its secret fields: {}", known.join(", ")))
    })
}

/// The password of the pipeline's state database, where it has one.
pub fn state_password(pipeline: &Pipeline) -> Option<Field> {
    let is_used = pipeline.secrets.iter().any(|path| path == STATE_PASSWORD);
    is_used.then(|| Field::secret(STATE_PASSWORD, "Password of the state database"))
}

/// A secret's value from a file, without the line's end an editor leaves.
pub fn read_secret(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let sentence = format!("cannot read the secret in `{}`: {error}", path.display());
        Failure::new(Kind::Usage, sentence)
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

fn read_stdin() -> Result<SecretString, Failure> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

/// One secret a pipeline uses, and its versions, the newest first.
struct Line {
    name: String,
    path: String,
    versions: Vec<SecretVersion>,
}

impl Line {
    fn is_missing(&self) -> bool {
        !self.versions.first().is_some_and(|newest| newest.enabled)
    }
}

async fn lines(session: &Session) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for pipeline in &session.client.pipelines {
        for path in &pipeline.secrets {
            let name = names::secret(&session.client.name, &pipeline.name, path);
            let versions = session.cloud.secret_versions(&name).await?;
            let path = path.clone();
            lines.push(Line {
                name,
                path,
                versions,
            });
        }
    }
    Ok(lines)
}

/// Shows the secrets; gives how many lack a value.
async fn list(context: &Context, view: &mut View, args: &ListArgs) -> Result<usize, Failure> {
    let session = context.session(&args.client).await?;
    let lines = lines(&session).await?;
    let missing = lines.iter().filter(|line| line.is_missing()).count();
    if view.is_json() {
        let objects: Vec<_> = lines.iter().map(as_json).collect();
        view.json(&objects)?;
        return Ok(missing);
    }
    let rows = lines.iter().map(|line| {
        let newest = line.versions.first();
        let state = match (line.is_missing(), newest) {
            (false, _) => "ok",
            (true, Some(_)) => "disabled",
            (true, None) => "missing",
        };
        vec![
            line.name.clone(),
            line.path.clone(),
            state.to_owned(),
            newest.map_or(String::new(), |newest| newest.number.clone()),
            newest.map_or(String::new(), |newest| newest.created.clone()),
        ]
    });
    view.cells(
        &["secret", "field", "state", "version", "since"],
        rows.collect(),
        &[],
    )?;
    Ok(missing)
}

fn as_json(line: &Line) -> serde_json::Value {
    json!({
        "secret": line.name,
        "field": line.path,
        "missing": line.is_missing(),
        "versions": line.versions,
    })
}

async fn check(context: &Context, view: &mut View, args: &ListArgs) -> Result<(), Failure> {
    match list(context, view, args).await? {
        0 => Ok(()),
        missing => Err(Failure::new(
            Kind::Failed,
            format!(
                "{missing} of client `{}`'s secrets have no value",
                args.client
            ),
        )
        .hint(format!("`xetl secrets set --client {} FIELD`", args.client))),
    }
}
