//! A client's file from what it has in the cloud. Pure: what was found in, files out.
//!
//! What xetl made says all of it, as a job's bundle holds manifest, config and streams. What
//! others made tells its schedule, its size and its dataset; the source has to be named.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value;
use xetl_runtime::bundle::{Bundle, HASH_KEY, STATE_PASSWORD, StateStore};

use crate::config::{
    ClientFile, Defaults, KeptModel, Manifest, ModelFile, PipelineFile, ScheduleFile, StateBackend,
    StateFile,
};
use crate::resource::{Job, Resources, Schedule};

mod settings;

use settings::{Settings, time, tries, unless, vpc};

/// One pipeline as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub pipeline: String,
    /// Its Cloud Run job's name, and the job.
    pub name: String,
    pub job: Job,
    pub schedule: Option<Schedule>,
    /// What the job reads first, where xetl made it.
    pub bundle: Option<Bundle>,
    /// A dataset that has the name of a given convention.
    pub dataset: Option<String>,
}

/// The files that declare what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Adopted {
    pub client: ClientFile,
    /// Manifests that the workspace does not have, by the source's name.
    pub sources: BTreeMap<String, Value>,
}

/// Whose files these are, and what is known without looking.
#[derive(Debug, Clone)]
pub struct Around<'a> {
    pub client: &'a str,
    /// `None` where the workspace says the same.
    pub project: Option<String>,
    pub region: Option<String>,
    /// The source of pipelines that do not tell it.
    pub source: Option<String>,
    /// Whom its alerts tell.
    pub emails: Vec<String>,
    /// The sources there are.
    pub known: &'a BTreeMap<String, Manifest>,
    /// Where it was found.
    pub found_in: &'a str,
    /// What xetl made for the client, besides jobs and schedules.
    pub there: &'a Resources,
    /// What the workspace says where a client says nothing.
    pub defaults: &'a Defaults,
}

/// Why something found cannot be declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    #[error("job `{job}` belongs to client `{owner}`")]
    Foreign { job: String, owner: String },
    #[error("job `{job}` does not tell what its source is")]
    NoSource { job: String },
}

/// The file that declares what was found.
///
/// # Errors
/// Something is another client's, or its source is not known.
pub fn adopt(found: &[Found], around: &Around<'_>) -> Result<Adopted, AdoptError> {
    let settings = Settings {
        there: around.there,
        region: around.found_in,
        defaults: around.defaults,
    };
    let scheduled = found
        .iter()
        .filter_map(|it| Some((&it.job, it.schedule.as_ref()?)));
    let scheduled: Vec<_> = scheduled.collect();
    let mut adopted = Adopted {
        client: settings.of_client(ClientFile {
            client: around.client.to_owned(),
            project: around.project.clone(),
            region: around.region.clone(),
            alerts: settings.alerts(&around.emails, &scheduled),
            ..ClientFile::default()
        }),
        sources: BTreeMap::new(),
    };
    for one in found {
        if let Some(owner) = foreign(one, around.client) {
            let job = one.name.clone();
            return Err(AdoptError::Foreign { job, owner });
        }
        let pipeline = match &one.bundle {
            Some(bundle) => {
                let (name, manifest) = source(bundle, around);
                adopted
                    .sources
                    .extend(manifest.map(|it| (name.clone(), it)));
                adopted.client.state = state(&bundle.state);
                let pipeline = declared(bundle, name, around);
                settings.of_pipeline(&adopted.client, &one.pipeline, &one.job, pipeline)
            }
            None => PipelineFile {
                source: around.source.clone().ok_or_else(|| AdoptError::NoSource {
                    job: one.name.clone(),
                })?,
                dataset: one.dataset.clone(),
                ..PipelineFile::default()
            },
        };
        let pipelines: &mut IndexMap<_, _> = &mut adopted.client.pipelines;
        pipelines.insert(one.pipeline.clone(), sized(pipeline, one, around.defaults));
    }
    Ok(adopted)
}

fn foreign(found: &Found, client: &str) -> Option<String> {
    let schedule = found.schedule.as_ref().map(|it| &it.owner);
    let owners = [Some(&found.job.owner), schedule];
    let mut owners = owners.into_iter().flatten();
    owners.find_map(|owner| owner.client.clone().filter(|owner| owner != client))
}

/// The source's name, and its manifest where no source of the workspace has it.
fn source(bundle: &Bundle, around: &Around<'_>) -> (String, Option<Value>) {
    let mut known = around.known.iter();
    let same = known.find(|(_, manifest)| *manifest.0 == bundle.manifest);
    match same {
        Some((name, _)) => (name.clone(), None),
        None => {
            let name = format!("{}-{}", bundle.client, bundle.pipeline);
            (name, Some(bundle.manifest.clone()))
        }
    }
}

/// What a bundle says of its pipeline.
fn declared(bundle: &Bundle, source: String, around: &Around<'_>) -> PipelineFile {
    let usual = format!("{}_{}", around.client, bundle.pipeline).replace('-', "_");
    let manifest = Manifest(bundle.manifest.clone().into());
    let required = manifest.secret_fields(&bundle.config);
    let is_optional = |path: &&String| {
        let known = required.iter().find(|field| field.path == **path);
        known.is_some_and(|field| !field.required)
            && !matches!(path.as_str(), HASH_KEY | STATE_PASSWORD)
    };
    PipelineFile {
        source,
        config: bundle.config.clone(),
        secrets: bundle.secrets.keys().filter(is_optional).cloned().collect(),
        dataset: (bundle.dataset != usual).then(|| bundle.dataset.clone()),
        on_overlap: bundle.on_overlap,
        keep_raw: bundle.keep_raw,
        streams: bundle.streams.clone(),
        models: bundle
            .models
            .iter()
            .map(|model| {
                let kept = KeptModel {
                    sql: model.sql.clone(),
                    kind: model.kind,
                };
                (model.name.clone(), ModelFile::Kept(kept))
            })
            .collect(),
        ..PipelineFile::default()
    }
}

fn state(store: &StateStore) -> Option<StateFile> {
    let (backend, url, path) = match store {
        StateStore::Bucket => return None,
        StateStore::Sqlite { path } => (StateBackend::Sqlite, None, Some(path.clone())),
        StateStore::Postgres(server) => (StateBackend::Postgres, Some(server.url.clone()), None),
        StateStore::Mysql(server) => (StateBackend::Mysql, Some(server.url.clone()), None),
    };
    Some(StateFile { backend, url, path })
}

/// With what the job and its schedule say; what is the default is not written.
fn sized(pipeline: PipelineFile, found: &Found, usual: &Defaults) -> PipelineFile {
    let Found { job, schedule, .. } = found;
    let memory = usual.memory.as_deref().unwrap_or("512Mi");
    let timeout = usual.timeout.as_deref().unwrap_or("1h");
    let cpu = cpus(&job.cpu);
    PipelineFile {
        tasks: unless(job.tasks, 1),
        parallelism: unless(job.parallelism, job.tasks).filter(|it| *it > 0),
        cpu: cpu.and_then(|cpu| unless(cpu, usual.cpu.unwrap_or(1))),
        memory: unless(job.memory.clone(), memory.to_owned()),
        timeout: unless(time(job.timeout_seconds), timeout.to_owned()),
        retries: unless(job.retries, usual.retries.unwrap_or(1)),
        env: environment(found),
        vpc: vpc(job.vpc.as_ref(), usual.vpc.as_ref()),
        schedule: schedule.as_ref().map(|it| timed(found, it)),
        ..pipeline
    }
}

/// Whole CPUs, which others may write in thousandths: `2000m`.
fn cpus(text: &str) -> Option<u32> {
    match text.strip_suffix('m') {
        Some(milli) => Some(milli.parse::<u32>().ok()?.div_ceil(1000)),
        None => text.parse().ok(),
    }
}

/// What others' programs are told is nothing to ours.
fn environment(found: &Found) -> BTreeMap<String, String> {
    let own = |(name, _): &(&String, &String)| !name.starts_with("XETL_");
    let env = found.job.env.iter().filter(own);
    let env = env.filter(|_| found.bundle.is_some());
    env.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// How often others' starts were tried again is nothing to ours, either.
fn timed(found: &Found, schedule: &Schedule) -> ScheduleFile {
    let file = ScheduleFile {
        cron: schedule.cron.clone(),
        time_zone: Some(schedule.time_zone.clone()),
        paused: schedule.paused,
        ..ScheduleFile::default()
    };
    match found.bundle {
        Some(_) => tries(schedule, file),
        None => file,
    }
}

/// Names of a convention: `etl-{client}-{pipeline}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convention {
    before: String,
    after: Option<String>,
}

impl Convention {
    /// The convention for one client; one without `{pipeline}` names one thing.
    pub fn of(pattern: &str, client: &str) -> Convention {
        let pattern = pattern.replace("{client}", client);
        match pattern.split_once("{pipeline}") {
            Some((before, after)) => Convention {
                before: before.to_owned(),
                after: Some(after.to_owned()),
            },
            None => Convention {
                before: pattern,
                after: None,
            },
        }
    }

    /// The pipeline a name is of; `only` where the convention has no place for one.
    pub fn pipeline(&self, name: &str, only: &str) -> Option<String> {
        let Some(after) = &self.after else {
            return (name == self.before).then(|| only.to_owned());
        };
        let rest = name
            .strip_prefix(&self.before)?
            .strip_suffix(after.as_str())?;
        (!rest.is_empty()).then(|| rest.replace('_', "-"))
    }

    /// The name of a pipeline's.
    pub fn name(&self, pipeline: &str) -> String {
        match &self.after {
            Some(after) => format!("{}{pipeline}{after}", self.before),
            None => self.before.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Owner;

    fn found(owner: Owner) -> Found {
        Found {
            pipeline: "xero".to_owned(),
            name: "etl-acme-xero".to_owned(),
            job: Job {
                tasks: 1,
                parallelism: 1,
                cpu: "2000m".to_owned(),
                memory: "512Mi".to_owned(),
                timeout_seconds: 600,
                retries: 1,
                env: BTreeMap::from([("THEIRS".to_owned(), "1".to_owned())]),
                owner,
                ..Job::default()
            },
            schedule: Some(Schedule {
                cron: "0 3 * * *".to_owned(),
                time_zone: "UTC".to_owned(),
                ..Schedule::default()
            }),
            bundle: None,
            dataset: Some("raw_acme".to_owned()),
        }
    }

    fn around<'a>(source: Option<&str>, known: &'a BTreeMap<String, Manifest>) -> Around<'a> {
        static NOTHING: Resources = Resources::new();
        let defaults = Box::leak(Box::default());
        Around {
            found_in: "europe-west2",
            there: &NOTHING,
            defaults,
            client: "acme",
            project: None,
            region: None,
            source: source.map(str::to_owned),
            emails: Vec::new(),
            known,
        }
    }

    #[test]
    fn what_others_made_tells_schedule_size_and_dataset() {
        let known = BTreeMap::new();
        let found = [found(Owner::default())];
        let adopted = adopt(&found, &around(Some("xero"), &known)).unwrap();
        insta::assert_snapshot!(serde_saphyr::to_string(&adopted.client).unwrap(), @"
        client: acme
        pipelines:
          xero:
            source: xero
            schedule:
              cron: 0 3 * * *
              time_zone: UTC
            dataset: raw_acme
            cpu: 2
            timeout: 10m
        ");
    }

    #[test]
    fn another_clients_job_and_one_without_source_are_refused() {
        let known = BTreeMap::new();
        let refused = |owner, source| {
            let error = adopt(&[found(owner)], &around(source, &known)).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            refused(Owner::client("globex"), Some("xero")),
            "job `etl-acme-xero` belongs to client `globex`"
        );
        assert_eq!(
            refused(Owner::default(), None),
            "job `etl-acme-xero` does not tell what its source is"
        );
    }

    #[test]
    fn a_convention_finds_the_pipeline_in_a_name_and_back() {
        let convention = Convention::of("etl-{client}-{pipeline}-job", "acme");
        assert_eq!(
            convention.pipeline("etl-acme-xero-job", "it").as_deref(),
            Some("xero")
        );
        assert_eq!(convention.name("xero"), "etl-acme-xero-job");
        for other in [
            "etl-acme--job",
            "etl-globex-xero-job",
            "etl-acme-xero",
            "job",
        ] {
            assert_eq!(convention.pipeline(other, "it"), None, "{other}");
        }
        let one = Convention::of("raw_{client}", "acme");
        assert_eq!(one.pipeline("raw_acme", "it").as_deref(), Some("it"));
        assert_eq!(one.name("xero"), "raw_acme");
    }
}
