//! Tables and queries of BigQuery as a source: `source: bigquery`.
//!
//! `settings` is what the config says, `statement` and `cursor` make a run's one query of it,
//! `known` is what BigQuery says of it; `fields` turns cells into records, `gather` lets BigQuery move them; `stream` runs the query and reads its result by slices.
//! Where the records go is not known here, and only `google` talks to BigQuery.

mod cursor;
mod fields;
mod gather;
mod known;
mod settings;
mod statement;
mod stream;
mod trouble;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use serde_json::{Map, Value as Json, json};
use tokio::sync::OnceCell;

use crate::bundle::Mode;
use crate::google::bigquery::Reader;
use crate::google::identity::named_by;
use crate::google::{ApiError, Google, Identity};
use crate::source::Wanted;
use crate::stream::{Source, SourceError, Stream, StreamInfo};

use settings::{Origin, Settings, StreamSettings, wrong};
use stream::{Shared, TableStream};

/// What a manifest's `class_name` names this source by.
pub const CLASS: &str = "xetl.BigQuery";

/// Who reads, besides the config.
pub struct Reading {
    pub google: Google,
    /// The project of the pipeline, where there is one.
    pub project: Option<String>,
    /// The run, where it is one that may be tried again.
    pub run: Option<String>,
}

/// What a config says of a stream, before BigQuery is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlined {
    pub name: String,
    pub has_cursor: bool,
}

/// The streams of a config.
pub fn outline(config: &Map<String, Json>) -> Result<Vec<Outlined>, SourceError> {
    let settings = Settings::of(config)?;
    let streams = settings.streams.into_iter();
    Ok(streams
        .map(|(name, stream)| Outlined {
            name,
            has_cursor: stream.cursor.is_some(),
        })
        .collect())
}

/// Opens the wanted streams; what BigQuery refuses of one stops only that one.
pub async fn open(
    config: &Map<String, Json>,
    reading: Reading,
    wanted: &Wanted,
) -> Result<Box<dyn Source>, SourceError> {
    if wanted.offline {
        let problem = "pages of BigQuery are not kept: `xetl backfill` reads a range again";
        return Err(wrong("replay", problem));
    }
    let settings = Settings::of(config)?;
    let chosen = chosen(&settings, wanted)?;
    let shared = Arc::new(shared(&settings, &reading)?);
    let opened = chosen
        .into_iter()
        .map(|(name, stream)| opened(name, stream, &shared, wanted));
    let streams = futures::future::join_all(opened).await;
    let tried = settings.streams.iter().next();
    Ok(Box::new(Tables {
        streams,
        tried: tried.map(|(name, stream)| unopened(name, stream, &shared, wanted)),
    }))
}

fn chosen<'s>(
    settings: &'s Settings,
    wanted: &Wanted,
) -> Result<Vec<(&'s String, &'s StreamSettings)>, SourceError> {
    let Some(names) = &wanted.streams else {
        return Ok(settings.streams.iter().collect());
    };
    let found = names.iter().map(|name| {
        let found = settings.streams.get_key_value(name);
        found.ok_or_else(|| SourceError::UnknownStream {
            name: name.clone(),
            known: settings.streams.keys().cloned().collect(),
        })
    });
    found.collect()
}

fn shared(settings: &Settings, reading: &Reading) -> Result<Shared, SourceError> {
    let refused = |error: ApiError| SourceError::Credentials(error.to_string());
    let (who, own_project) = match &settings.identity {
        Identity::Own => ("the pipeline's own account".to_owned(), None),
        Identity::Key(key) if key.expose_secret().is_empty() => {
            let problem = "has no value: store it with `xetl secrets set --client CLIENT credentials.key --from-file FILE`";
            return Err(wrong("config.credentials.key", problem));
        }
        Identity::Key(key) => {
            let (account, project) = named_by(key).map_err(refused)?;
            (format!("service account {account}"), Some(project))
        }
        Identity::Account(account) => (format!("service account {account}"), project_of(account)),
    };
    let project = settings.project.clone().or(own_project);
    let project = project.or_else(|| reading.project.clone());
    let project = project.or_else(|| first_project(settings));
    let project = project.ok_or_else(|| {
        wrong(
            "config.project",
            "is needed: in which project are the queries to run?",
        )
    })?;
    let google = reading
        .google
        .acting_as(&settings.identity)
        .map_err(refused)?;
    Ok(Shared {
        reader: Reader::new(&google, &project),
        who,
        location: settings.location.clone(),
        batch_rows: settings.batch_rows,
        gathers: matches!(settings.identity, Identity::Own) && !settings.extract,
        run: reading.run.clone(),
    })
}

/// The project in a service account's email.
fn project_of(account: &str) -> Option<String> {
    let domain = account.split_once('@')?.1;
    let project = domain.strip_suffix(".iam.gserviceaccount.com")?;
    Some(project.to_owned())
}

fn first_project(settings: &Settings) -> Option<String> {
    settings
        .streams
        .values()
        .find_map(|stream| match &stream.origin {
            Origin::Table(name) => Some(name.project.clone()),
            Origin::Query(_) => None,
        })
}

fn unopened(
    name: &str,
    settings: &StreamSettings,
    shared: &Arc<Shared>,
    wanted: &Wanted,
) -> TableStream {
    TableStream {
        info: StreamInfo {
            name: name.to_owned(),
            primary_key: Vec::new(),
            cursor_field: settings.cursor.clone(),
            schema: json!({}),
            types: json!({}),
            mode: settings.cursor.as_ref().map(|_| Mode::Append),
        },
        settings: settings.clone(),
        shared: shared.clone(),
        range: wanted.range,
        known: OnceCell::new(),
    }
}

async fn opened(
    name: &str,
    settings: &StreamSettings,
    shared: &Arc<Shared>,
    wanted: &Wanted,
) -> Box<dyn Stream> {
    let mut stream = unopened(name, settings, shared, wanted);
    // Where this fails, whoever reads the stream asks again and hears why.
    if let Ok(known) = stream.known().await.cloned() {
        stream.info.schema = fields::json_schema(&known.fields);
        stream.info.primary_key.clone_from(&known.key);
    }
    Box::new(stream)
}

struct Tables {
    streams: Vec<Box<dyn Stream>>,
    /// The first of the config, to see whether the credentials work.
    tried: Option<TableStream>,
}

impl Source for Tables {
    fn streams(&self) -> &[Box<dyn Stream>] {
        &self.streams
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SourceError>> {
        async move {
            match &self.tried {
                Some(stream) => stream.known().await.map(|_| ()),
                None => Err(wrong("config.streams", "there is no stream")),
            }
        }
        .boxed()
    }
}
