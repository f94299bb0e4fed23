//! A pipeline with everything settled: its own keys, its client's, the workspace's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value, json};
use xetl_runtime::bundle::{HASH_KEY, Model, Overlap};
use xetl_runtime::options::{self, StreamOptions};
use xetl_runtime::pipeline::table_name;
use xetl_runtime::reshape::{Around as Reshaping, Steps};
use xetl_runtime::source::declared_key;

use super::blocks::all_labels;
use super::clash;
use super::error::nearest;
use super::missed;
use super::models::{self, Tables};
use super::settings::{self, ClientSettings, VpcSettings, WarehouseSettings};
use super::value::{
    check_cron, check_dataset, check_memory, check_name, duration, period, time_zone,
};
use super::{ClientFile, ConfigError, Defaults, Manifest, PipelineFile, ScheduleFile, Workspace};

/// One pipeline of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    pub name: String,
    pub source: String,
    pub manifest: Manifest,
    pub config: Map<String, Value>,
    /// What its config can hold, as JSON Schema: the source's, and what its streams need.
    pub specification: Value,
    /// Dotted paths of the secret fields it uses.
    pub secrets: Vec<String>,
    pub schedule: Option<Schedule>,
    pub dataset: String,
    pub on_overlap: Overlap,
    /// Whether streams that say nothing keep their pages.
    pub keep_raw: bool,
    pub tasks: u32,
    pub cpu: u32,
    pub memory: String,
    pub timeout: Duration,
    /// After how long without a run somebody is told, where that is watched.
    pub missed_after: Option<Duration>,
    pub retries: u32,
    pub parallelism: u32,
    pub env: BTreeMap<String, String>,
    /// The client's, and its own.
    pub labels: BTreeMap<String, String>,
    pub vpc: Option<VpcSettings>,
    pub warehouse: WarehouseSettings,
    pub streams: BTreeMap<String, StreamOptions>,
    /// Its models, in the order in which they run.
    pub models: Vec<Model>,
}

/// When a pipeline runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub cron: String,
    pub time_zone: String,
    pub paused: bool,
    pub retries: u32,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    pub deadline: Duration,
}

impl Pipeline {
    /// The streams its source has, as far as they are known before a run.
    pub fn known_streams(&self) -> Vec<String> {
        // What is wrong with the config was said when it was read.
        let known = self.manifest.stream_names_with(&self.config);
        known.unwrap_or_default()
    }

    /// The streams it loads, as far as they are known before a run.
    pub fn stream_names(&self) -> Vec<String> {
        match self.streams.is_empty() {
            true => self.known_streams(),
            false => self.streams.keys().cloned().collect(),
        }
    }
}

/// That a pipeline can have this name.
pub fn check_pipeline(at: &str, name: &str) -> Result<(), ConfigError> {
    check_name(at, name, 22)
}

/// What a pipeline has from its client.
pub(super) struct Around<'a> {
    pub workspace: &'a Workspace,
    pub client: &'a ClientFile,
    pub region: &'a str,
    pub settings: &'a ClientSettings,
}

pub(super) fn settle(
    around: &Around<'_>,
    at: &str,
    name: &str,
    file: &PipelineFile,
) -> Result<Pipeline, ConfigError> {
    check_pipeline(at, name)?;
    let client = around.client;
    let defaults = &around.workspace.file.defaults;
    let manifest = around.workspace.source(&file.source);
    let manifest = manifest.map_err(|error| error.named_at(&format!("{at}.source")))?;
    let labels = all_labels(&file.labels, &around.settings.labels);
    let warehouse = file.warehouse.or(&client.warehouse).or(&defaults.warehouse);
    let vpc = file.vpc.as_ref().or(client.vpc.as_ref());
    let tasks = file.tasks.unwrap_or(1);
    let memory = file.memory.clone().or_else(|| defaults.memory.clone());
    let memory = memory.unwrap_or_else(|| "512Mi".to_owned());
    let cpu = file.cpu.or(defaults.cpu).unwrap_or(1);
    check_memory(at, &memory, cpu)?;
    let timeout = file.timeout.as_deref().or(defaults.timeout.as_deref());
    let timeout = duration(at, timeout.unwrap_or("1h"))?;
    let schedule = file.schedule.as_ref();
    let schedule = schedule.map(|schedule| settle_schedule(at, schedule, defaults));
    let schedule = schedule.transpose()?;
    Ok(Pipeline {
        name: name.to_owned(),
        source: file.source.clone(),
        specification: specification(&manifest, file),
        secrets: secrets(at, &manifest, file)?,
        streams: streams(at, &manifest, file)?,
        models: Vec::new(),
        manifest,
        config: file.config.clone(),
        missed_after: match around.settings.emails.is_empty() {
            true => None,
            false => missed::after(at, schedule.as_ref(), timeout, around.settings.missed_after)?,
        },
        schedule,
        dataset: dataset(at, &client.client, name, file)?,
        on_overlap: file.on_overlap,
        keep_raw: file.keep_raw,
        retries: within(
            at,
            "retries",
            file.retries.or(defaults.retries).unwrap_or(1),
            10,
        )?,
        parallelism: parallelism(at, tasks, file.parallelism)?,
        env: settings::env(at, &file.env)?,
        labels: settings::labels(&format!("{at}."), &labels)?,
        vpc: settings::vpc(at, vpc.or(defaults.vpc.as_ref()))?,
        warehouse: settings::warehouse(at, around.region, &around.settings.bucket, &warehouse)?,
        tasks,
        cpu,
        memory,
        timeout,
    })
}

fn within(at: &str, key: &str, number: u32, most: u32) -> Result<u32, ConfigError> {
    match number <= most {
        true => Ok(number),
        false => {
            let problem = format!("{number} is more than {most}");
            Err(ConfigError::invalid(format!("{at}.{key}"), problem))
        }
    }
}

fn parallelism(at: &str, tasks: u32, wanted: Option<u32>) -> Result<u32, ConfigError> {
    match wanted {
        Some(0) => Err(ConfigError::invalid(
            format!("{at}.parallelism"),
            "must be 1 or more",
        )),
        wanted => Ok(wanted.unwrap_or(tasks).min(tasks.max(1))),
    }
}

/// The pipeline with its models settled over its tables.
pub(super) fn with_models(
    mut pipeline: Pipeline,
    at: &str,
    project: &str,
    file: &PipelineFile,
) -> Result<Pipeline, ConfigError> {
    let known = pipeline.known_streams();
    let chosen = pipeline.streams.keys().cloned();
    let streams: Vec<String> = match pipeline.streams.is_empty() {
        true => known.clone(),
        false => chosen.collect(),
    };
    let tables = Tables {
        dataset: format!("{project}.{}", pipeline.dataset),
        is_open: known.is_empty() && streams.is_empty(),
        streams: streams
            .into_iter()
            .map(|stream| (table_name(&stream), stream))
            .collect(),
    };
    let settled = models::settle(&file.models, &tables);
    pipeline.models = settled.map_err(|error| ConfigError::Invalid {
        at: format!("{at}.models"),
        hint: error.hint(),
        problem: error.to_string(),
    })?;
    Ok(pipeline)
}

fn settle_schedule(
    at: &str,
    file: &ScheduleFile,
    defaults: &Defaults,
) -> Result<Schedule, ConfigError> {
    let zone = file.time_zone.as_ref().or(defaults.time_zone.as_ref());
    let at_key = |key: &str| format!("{at}.schedule.{key}");
    check_cron(&at_key("cron"), &file.cron)?;
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let time = |key: &str, text: &Option<String>, default: &str, least: u32, most: Duration| {
        let text = text.as_deref().unwrap_or(default);
        period(&at_key(key), text, second * least, most)
    };
    let min_backoff = time("min_backoff", &file.min_backoff, "5s", 1, hour)?;
    let max_backoff = time("max_backoff", &file.max_backoff, "1h", 1, hour)?;
    if max_backoff < min_backoff {
        let problem = "is less than min_backoff";
        return Err(ConfigError::invalid(at_key("max_backoff"), problem));
    }
    Ok(Schedule {
        cron: file.cron.clone(),
        time_zone: time_zone(
            &format!("{at}.schedule.time_zone"),
            zone.map_or("UTC", String::as_str),
        )?,
        paused: file.paused,
        retries: within(
            &format!("{at}.schedule"),
            "retries",
            file.retries.unwrap_or(1),
            5,
        )?,
        min_backoff,
        max_backoff,
        deadline: time("deadline", &file.deadline, "3m", 15, hour / 2)?,
    })
}

fn dataset(at: &str, client: &str, name: &str, file: &PipelineFile) -> Result<String, ConfigError> {
    let Some(dataset) = &file.dataset else {
        return Ok(clash::usual_dataset(client, name));
    };
    check_dataset(&format!("{at}.dataset"), dataset)?;
    Ok(dataset.clone())
}

/// The streams chosen, each one the source has.
fn streams(
    at: &str,
    manifest: &Manifest,
    file: &PipelineFile,
) -> Result<BTreeMap<String, StreamOptions>, ConfigError> {
    let known = manifest
        .stream_names_with(&file.config)
        .map_err(|error| ConfigError::invalid(at, error.to_string()))?;
    match file.streams.keys().find(|name| !known.contains(name)) {
        // A manifest may make its streams while it runs.
        Some(name) if !known.is_empty() => Err(ConfigError::Invalid {
            at: format!("{at}.streams"),
            problem: format!("source `{}` has no stream `{name}`", file.source),
            hint: Some(match nearest(name, known.iter().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("its streams: {}", known.join(", ")),
            }),
        }),
        _ => {
            check_transformations(at, file)?;
            let mut options = file.streams.iter();
            options.try_for_each(|(name, options)| check_options(at, manifest, name, options))?;
            Ok(file.streams.clone())
        }
    }
}

/// What the runtime would refuse, while there is still somebody to read it.
fn check_transformations(at: &str, file: &PipelineFile) -> Result<(), ConfigError> {
    let around = Reshaping {
        config: &file.config,
        hash_key: Some(&SecretString::default()),
    };
    for (stream, options) in &file.streams {
        if let Err(error) = Steps::open(stream, &options.transformations, &around) {
            return Err(ConfigError::invalid(
                format!("{at}.streams"),
                error.to_string(),
            ));
        }
    }
    Ok(())
}

fn specification(manifest: &Manifest, file: &PipelineFile) -> Value {
    let mut specification = manifest.specification().clone();
    if hashes(file) && specification.is_object() {
        specification["properties"][HASH_KEY] = json!({
            "type": "string",
            "title": "Key of the hashes",
            "description": "Any long random text. Another key gives other hashes: keep it.",
            "minLength": 1,
            "airbyte_secret": true,
        });
    }
    specification
}

fn hashes(file: &PipelineFile) -> bool {
    let mut steps = file
        .streams
        .values()
        .flat_map(|options| &options.transformations);
    steps.any(|step| step.hash.is_some())
}

/// That a stream's options go together, and with what the source declares of it.
fn check_options(
    at: &str,
    manifest: &Manifest,
    stream: &str,
    options: &StreamOptions,
) -> Result<(), ConfigError> {
    if *options == StreamOptions::default() {
        return Ok(());
    }
    // What is wrong with a manifest is said where it is read.
    let key = declared_key(&manifest.0, stream).unwrap_or_default();
    options::check(stream, key, options)
        .map_err(|error| ConfigError::invalid(format!("{at}.streams.{stream}"), error.to_string()))
}

/// The secret fields in use: the required ones, and the optional ones the file names.
fn secrets(at: &str, manifest: &Manifest, file: &PipelineFile) -> Result<Vec<String>, ConfigError> {
    let fields = manifest.secret_fields(&file.config);
    if let Some(field) = fields.iter().find(|field| holds(&file.config, &field.path)) {
        return Err(ConfigError::Invalid {
            at: format!("{at}.config.{}", field.path),
            problem: "is a secret and does not belong into a file".to_owned(),
            hint: Some("remove it here and store it with `xetl secrets set`".to_owned()),
        });
    }
    if let Some(path) = file
        .secrets
        .iter()
        .find(|path| !fields.iter().any(|f| f.path == **path))
    {
        return Err(ConfigError::Invalid {
            at: format!("{at}.secrets"),
            problem: format!("source `{}` has no secret field `{path}`", file.source),
            hint: Some(format!(
                "its secret fields: {}",
                fields
                    .iter()
                    .map(|field| field.path.as_str())
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        });
    }
    let key = hashes(file).then(|| HASH_KEY.to_owned());
    Ok(fields
        .into_iter()
        .filter(|field| field.required || file.secrets.contains(&field.path))
        .map(|field| field.path)
        .chain(key)
        .collect())
}

/// Whether the config has something at the dotted path.
fn holds(config: &Map<String, Value>, path: &str) -> bool {
    let mut keys = path.split('.');
    let first = keys.next().and_then(|key| config.get(key));
    keys.fold(first, |value, key| value?.get(key)).is_some()
}
