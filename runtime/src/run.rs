//! The `run` mode: all streams of a bundle, from the source into the warehouse.

mod setup;
mod summary;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::bundle::BUNDLE_ENV;
use crate::google::ApiError;
use crate::google::bigquery::Dataset;
use crate::google::secrets::Secrets;
use crate::lease::{Claim, Holder, Overlap, Tenure};
use crate::load::Loader;
use crate::models::{Builder, ModelSummary, Standing};
use crate::opening;
pub use crate::pipeline::described;
use crate::pipeline::{Outcome, Pipeline, StreamSummary, table_name};
use crate::range::{RangeArgs, RangeError};
use crate::reshape::{self, Around};
use crate::settings::{self, RotatedSecrets, SettingsError};
use crate::source;
use crate::state::{Layout, StoreError};
use crate::store::{Status, Store};
use crate::stream::{Source, SourceError};
use crate::turns::Turns;

pub use setup::{Setup, setup, stop_on_signal};
pub use summary::{RunOutcome, Summary};

/// Slices read at once over all streams.
const READERS: usize = 3;

/// Load the streams of a bundle into BigQuery
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// The bundle: gs://BUCKET/OBJECT or a file
    #[arg(long, env = BUNDLE_ENV)]
    pub bundle: Option<String>,
    /// Load only this stream (may be given again)
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    #[command(flatten)]
    pub range: RangeArgs,
    /// Read all anew, and have it replace what is in the tables
    #[arg(long, conflicts_with = "from")]
    pub full_refresh: bool,
    /// Load kept pages again instead of asking the source: those of runs from --from to --to
    #[arg(long, requires = "from", conflicts_with = "full_refresh")]
    pub replay: bool,
    /// Load what can be read where some streams cannot run
    #[arg(long)]
    pub skip_unsupported: bool,
}

/// Why a run could not begin or end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the source has no stream `{name}`; it has: {}", known.join(", "))]
    UnknownStream { name: String, known: Vec<String> },
    #[error("streams `{first}` and `{second}` would both go to table `{table}`")]
    SameTable {
        first: String,
        second: String,
        table: String,
    },
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error(
        "another execution of this pipeline ({by}) runs until {until} at the latest; \
         nothing of the range was read, start it again when that one has ended"
    )]
    Held { by: String, until: Timestamp },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// The process's exit code: 2 for what no retry mends.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Settings(SettingsError::Api(_)) => 1,
            RunError::Settings(_)
            | RunError::Range(_)
            | RunError::UnknownStream { .. }
            | RunError::SameTable { .. } => 2,
            RunError::Held { .. } => 75,
            RunError::Source(
                SourceError::Config { .. }
                | SourceError::CannotRun { .. }
                | SourceError::UnknownStream { .. },
            ) => 2,
            RunError::Source(SourceError::Parked { .. }) => 75,
            _ => 1,
        }
    }
}

/// Loads the streams of a bundle: the whole of a Cloud Run task.
pub async fn run(args: RunArgs) -> Result<Summary, RunError> {
    let setup = setup(args).await?;
    stop_on_signal(setup.stop.clone());
    let bundle = &setup.bundle;
    let span = tracing::info_span!(
        "run",
        client = bundle.client,
        pipeline = bundle.pipeline,
        run = setup.run
    );
    execute(setup, open).instrument(span).await
}

/// The bundle's source, with its secrets.
async fn open(setup: &Setup) -> Result<Box<dyn Source>, RunError> {
    let Setup { google, bundle, .. } = setup;
    let secrets = Secrets::connect(google).await?;
    let env = |name: &str| std::env::var(name).ok();
    let config = settings::config(bundle, &secrets, env).await?;
    let sink = RotatedSecrets {
        secrets,
        fields: bundle.secrets.clone(),
    };
    let around = opening::Around {
        secrets: Arc::new(sink),
        google: Some(google.clone()),
        project: Some(bundle.project.clone()),
        run: Some(setup.run.clone()),
        task: setup.task,
    };
    let config = source::Config(config);
    let wanted = source::Wanted {
        skip_unsupported: setup.skip_unsupported,
        range: setup.range,
        offline: setup.replay.is_some(),
        ..source::Wanted::named(&setup.wanted())
    };
    let source = opening::open(&bundle.manifest, config, around, &wanted, None).await?;
    let hash_key = settings::hash_key(bundle, env)?;
    let around = Around {
        config: &bundle.config,
        hash_key: hash_key.as_ref(),
    };
    let streams = bundle.streams.iter();
    let steps = streams.map(|(stream, options)| (stream, options.transformations.as_slice()));
    Ok(reshape::reshaped(source, steps, &around)?)
}

/// Loads what `setup` says from a source, under the pipeline's lease.
pub async fn execute(
    setup: Setup,
    open: impl AsyncFnOnce(&Setup) -> Result<Box<dyn Source>, RunError>,
) -> Result<Summary, RunError> {
    let started_at = Timestamp::now();
    let bucket = setup.google.storage().bucket(&setup.bundle.bucket);
    let layout = Layout {
        pipeline: setup.bundle.pipeline.clone(),
    };
    let holder = Holder {
        bucket,
        name: layout.lease(),
        run: setup.run.clone(),
        task: setup.task.index,
        tasks: setup.task.count,
        tenure: Tenure::default(),
    };
    let claim = match setup.bundle.on_overlap {
        Overlap::Skip => Some(holder.take().await?),
        Overlap::Queue => holder.wait(&setup.stop).await?,
    };
    let unloaded = |outcome| summary::summary(&setup, started_at, Vec::new(), outcome);
    match claim {
        Some(Claim::Take(_)) => {}
        // A range comes from a person, who must hear that it was not read.
        Some(Claim::Held { by, until }) if setup.range.or(setup.replay).is_some() => {
            return Err(RunError::Held { by, until });
        }
        Some(Claim::Held { by, until }) => {
            tracing::warn!(by, %until, "another execution of this pipeline runs; skipped");
            return Ok(unloaded(RunOutcome::Skipped));
        }
        None => {
            tracing::warn!("told to stop before the other execution of this pipeline had ended");
            return Ok(unloaded(RunOutcome::Parked));
        }
    }
    let keeper = tokio::spawn({
        let (holder, stop) = (holder.clone(), setup.stop.clone());
        async move { holder.keep(stop).await }
    });
    let done = Box::pin(load_all(&setup, open, started_at, &holder.tenure)).await;
    keeper.abort();
    if let Err(error) = holder.give_back().await {
        tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
    }
    done
}

async fn load_all(
    setup: &Setup,
    open: impl AsyncFnOnce(&Setup) -> Result<Box<dyn Source>, RunError>,
    started_at: Timestamp,
    tenure: &Tenure,
) -> Result<Summary, RunError> {
    let pipeline = Pipeline {
        source: Arc::from(open(setup).await?),
        loader: loader(setup, tenure).await?,
        bundle: setup.bundle.clone(),
        task: setup.task,
        range: setup.range,
        replay: setup.replay,
        refresh: setup.full_refresh,
        readers: Semaphore::new(READERS),
        turns: Turns::default(),
        stop: setup.stop.clone(),
        watched: crate::log::is_watched(),
    };
    let chosen = chosen(setup, pipeline.source.as_ref())?;
    let count = chosen.len();
    note_begin(&pipeline, &chosen).await?;
    let streams: Vec<_> = futures::stream::iter(chosen)
        .map(|index| load_and_note(&pipeline, index))
        .buffered(count.max(1))
        .collect()
        .await;
    let streams = streams.into_iter().collect::<Result<Vec<_>, _>>()?;
    let models = build_models(&pipeline, &streams).await?;
    let outcome = summary::outcome(&streams, &models);
    let summary = Summary {
        models,
        ..summary::summary(setup, started_at, streams, outcome)
    };
    summary::log(&summary);
    summary::keep(&pipeline.loader, &summary).await?;
    Ok(summary)
}

async fn note_begin(pipeline: &Pipeline, streams: &[usize]) -> Result<(), StoreError> {
    let known = pipeline.source.streams();
    let names: Vec<&str> = streams
        .iter()
        .map(|index| known[*index].info().name.as_str())
        .collect();
    let Loader { store, run, .. } = &pipeline.loader;
    store.run_begins(run, &names).await
}

async fn load_and_note(pipeline: &Pipeline, index: usize) -> Result<StreamSummary, StoreError> {
    // On the heap: many of these are moved about, and a debug build's stack is soon full.
    let summary = Box::pin(pipeline.load_stream(index)).await;
    let status = match summary.outcome {
        Outcome::Loaded => Status::Success,
        Outcome::Failed => Status::Failed,
        Outcome::Parked | Outcome::Stopped => Status::Parked,
        // The task that commits the stream has the last word.
        Outcome::Shared => return Ok(summary),
    };
    let Loader { store, run, .. } = &pipeline.loader;
    store
        .stream_ends(run, &summary.stream, status, summary.error.as_deref())
        .await?;
    Ok(summary)
}

async fn store(setup: &Setup, layout: &Layout) -> Result<Store, StoreError> {
    let Setup { google, bundle, .. } = setup;
    let (options, password) = (&bundle.state, &setup.state_password);
    let bucket = google.storage().bucket(&bundle.bucket);
    // A large future that is over soon: it need not be part of the run's.
    Box::pin(Store::open(
        options,
        password,
        &bundle.client,
        bucket,
        layout.clone(),
    ))
    .await
}

/// Builds the models whose streams are all in; the task that loads the last of them does.
async fn build_models(
    pipeline: &Pipeline,
    streams: &[StreamSummary],
) -> Result<Vec<ModelSummary>, StoreError> {
    let loader = &pipeline.loader;
    let mut standings = BTreeMap::new();
    for summary in streams {
        let standing = match summary.outcome {
            Outcome::Loaded => Standing::Loaded,
            Outcome::Shared => match loader.checkpoint(&summary.stream).await? {
                Some(stored) if pipeline.is_done(&stored.value) => Standing::Loaded,
                _ => Standing::Shared,
            },
            _ => Standing::Missing,
        };
        standings.insert(summary.stream.as_str(), standing);
    }
    let builder = Builder {
        dataset: &loader.dataset,
        bundle: &pipeline.bundle,
        labels: &loader.labels,
        run: &loader.run,
    };
    let standing = |stream: &str| {
        let known = standings.get(stream).copied();
        known.unwrap_or(Standing::Untouched)
    };
    Ok(builder.build(standing).await)
}

async fn loader(setup: &Setup, tenure: &Tenure) -> Result<Loader, RunError> {
    let Setup {
        google,
        bundle,
        run,
        ..
    } = setup;
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let layout = Layout {
        pipeline: bundle.pipeline.clone(),
    };
    Ok(Loader {
        store: store(setup, &layout).await?,
        bucket: google.storage().bucket(&bundle.bucket),
        dataset: Dataset::connect(google, &bundle.project, &bundle.dataset, &bundle.location)
            .await?,
        layout,
        labels: HashMap::from([
            label("managed-by", "xetl"),
            label("xetl-client", &bundle.client),
            label("xetl-pipeline", &bundle.pipeline),
        ]),
        run: run.clone(),
        tenure: tenure.clone(),
    })
}

/// The places of the streams to load.
fn chosen(setup: &Setup, source: &dyn Source) -> Result<Vec<usize>, RunError> {
    let known: Vec<String> = source
        .streams()
        .iter()
        .map(|stream| stream.info().name.clone())
        .collect();
    let wanted = match setup.wanted() {
        names if names.is_empty() => known.clone(),
        names => names,
    };
    let mut tables: BTreeMap<String, &String> = BTreeMap::new();
    let mut places = Vec::new();
    for name in &wanted {
        let Some(place) = known.iter().position(|stream| stream == name) else {
            if setup.skip_unsupported {
                continue;
            }
            return Err(RunError::UnknownStream {
                name: name.clone(),
                known,
            });
        };
        let table = table_name(name);
        match tables.insert(table.to_ascii_lowercase(), name) {
            Some(first) if first != name => {
                return Err(RunError::SameTable {
                    first: first.clone(),
                    second: name.clone(),
                    table,
                });
            }
            Some(_) => {}
            None => places.push(place),
        }
    }
    Ok(places)
}
