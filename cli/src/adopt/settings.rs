//! How a client's resources are made, back from how they were found. Pure.
//!
//! Only what differs from what the file would mean without it is written: the workspace's
//! defaults, else xetl's own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::{
    AlertsFile, BucketFile, ClientFile, Defaults, EgressFile, LifecycleFile, PipelineFile,
    RepositoryFile, ScheduleFile, SecretManagerFile, VpcFile, WarehouseFile, usually_missed_after,
};
use crate::resource::{
    Alert, Bucket, Condition, Dataset, Job, Labels, Replication, Repository, Resource, Resources,
    Schedule, Secret, Vpc,
};

const DAY: u64 = 86_400;

/// The resources of one client that xetl made, and what files say without them.
pub(super) struct Settings<'a> {
    pub there: &'a Resources,
    pub region: &'a str,
    pub defaults: &'a Defaults,
}

impl Settings<'_> {
    /// The client's file with the blocks that all its pipelines share.
    pub(super) fn of_client(&self, file: ClientFile) -> ClientFile {
        let bucket = self.find(|it| match it {
            Resource::Bucket(bucket) => Some(&**bucket),
            _ => None,
        });
        let repository = self.find(|it| match it {
            Resource::Repository(repository) => Some(repository),
            _ => None,
        });
        let secret = self.find(|it| match it {
            Resource::Secret(secret) => Some(secret),
            _ => None,
        });
        ClientFile {
            labels: bucket.map_or_else(Labels::new, |it| more(&it.labels, &self.defaults.labels)),
            bucket: bucket.map(|it| self.bucket(it)).unwrap_or_default(),
            repository: repository.map(|it| self.repository(it)).unwrap_or_default(),
            secret_manager: secret.map(|it| self.secrets(it)).unwrap_or_default(),
            ..file
        }
    }

    /// A pipeline with what its own resources say; `client` has the blocks of all.
    pub(super) fn of_pipeline(
        &self,
        client: &ClientFile,
        name: &str,
        job: &Job,
        file: PipelineFile,
    ) -> PipelineFile {
        let dataset = self.find(|it| match it {
            Resource::Dataset(it) if it.owner.pipeline.as_deref() == Some(name) => Some(&**it),
            _ => None,
        });
        let mut shared = self.defaults.labels.clone();
        shared.extend(client.labels.clone());
        PipelineFile {
            labels: more(&job.labels, &shared),
            warehouse: dataset.map(|it| self.warehouse(it)).unwrap_or_default(),
            ..file
        }
    }

    /// Whom alerts tell, and after how long without a run where the schedule does not say it.
    pub(super) fn alerts(&self, emails: &[String], pipelines: &[(&Job, &Schedule)]) -> AlertsFile {
        let usual = &self.defaults.alerts;
        let missed = pipelines.iter().find_map(|(job, schedule)| {
            let after = self.missed_after(job.owner.pipeline.as_deref()?)?;
            let usually =
                usually_missed_after(&schedule.cron, &schedule.time_zone, job.timeout_seconds);
            (usually != Some(after)).then(|| time(after))
        });
        AlertsFile {
            email: unless(emails.to_vec(), usual.email.clone().unwrap_or_default()),
            missed_after: missed.filter(|it| usual.missed_after.as_ref() != Some(it)),
        }
    }

    fn missed_after(&self, pipeline: &str) -> Option<u64> {
        self.find(|it| match it {
            Resource::Alert(Alert {
                condition:
                    Condition::Silence {
                        window_seconds,
                        hold_seconds,
                        ..
                    },
                owner,
                ..
            }) if owner.pipeline.as_deref() == Some(pipeline) => {
                Some(window_seconds + hold_seconds)
            }
            _ => None,
        })
    }

    fn find<'r, T>(&'r self, of_kind: impl Fn(&'r Resource) -> Option<T>) -> Option<T> {
        self.there.values().find_map(of_kind)
    }

    fn bucket(&self, found: &Bucket) -> BucketFile {
        let usual = &self.defaults.bucket;
        let class = usual.storage_class.as_deref().unwrap_or("STANDARD");
        let soft_delete = usual.soft_delete.as_deref().unwrap_or("7d");
        let rules: Vec<_> = found.lifecycle.iter().filter_map(rule).collect();
        BucketFile {
            location: self.location(&found.location, usual.location.as_ref()),
            storage_class: unless(found.storage_class.clone(), class.to_owned()),
            soft_delete: unless(time(found.soft_delete_seconds), soft_delete.to_owned()),
            lifecycle: unless(rules, usual.lifecycle.clone().unwrap_or_default()),
            kms_key: other(&found.kms_key, &usual.kms_key),
        }
    }

    /// As a file has it; `None` where it is there without being said.
    fn location(&self, found: &str, usual: Option<&String>) -> Option<String> {
        let usual = usual.map_or(self.region, String::as_str);
        let shown = match found.contains('-') {
            true => found.to_owned(),
            false => found.to_uppercase(),
        };
        (!found.eq_ignore_ascii_case(usual)).then_some(shown)
    }

    fn repository(&self, found: &Repository) -> RepositoryFile {
        let usual = &self.defaults.repository;
        let keep = found.cleanup.get("xetl-keep");
        let keep = keep.and_then(|it| it["mostRecentVersions"]["keepCount"].as_u64());
        let keep = keep.and_then(|count| u32::try_from(count).ok());
        RepositoryFile {
            keep_images: other(&keep, &usual.keep_images),
            kms_key: other(&found.kms_key, &usual.kms_key),
        }
    }

    fn secrets(&self, found: &Secret) -> SecretManagerFile {
        let usual = &self.defaults.secret_manager;
        let locations = match &found.replication {
            Replication::Automatic => Vec::new(),
            Replication::In(locations) => locations.iter().cloned().collect(),
        };
        SecretManagerFile {
            locations: unless(locations, usual.locations.clone().unwrap_or_default()),
            // How many versions stay is asked for when a value is stored, and kept nowhere.
            keep_versions: None,
            kms_key: other(&key_of(&found.kms_keys), &usual.kms_key),
        }
    }

    fn warehouse(&self, found: &Dataset) -> WarehouseFile {
        let usual = &self.defaults.warehouse;
        let expiry = |ms: Option<i64>| {
            let ms = ms.and_then(|ms| u64::try_from(ms).ok());
            ms.map(|ms| time(ms / 1000))
        };
        let readers = found.readers.iter().cloned().collect();
        WarehouseFile {
            location: self.location(&found.location, usual.location.as_ref()),
            description: other(&found.description, &usual.description),
            table_expiry: other(&expiry(found.table_expiry_ms), &usual.table_expiry),
            partition_expiry: other(&expiry(found.partition_expiry_ms), &usual.partition_expiry),
            readers: unless(readers, usual.readers.clone().unwrap_or_default()),
            kms_key: other(&found.kms_key, &usual.kms_key),
        }
    }
}

/// How a job reaches a network; `None` where it is as the defaults say.
pub(super) fn vpc(found: Option<&Vpc>, usual: Option<&VpcFile>) -> Option<VpcFile> {
    let found = found.map(|vpc| VpcFile {
        network: vpc.network.clone(),
        subnetwork: vpc.subnetwork.clone(),
        tags: vpc.tags.clone(),
        connector: vpc.connector.clone(),
        egress: (vpc.egress == "ALL_TRAFFIC").then_some(EgressFile::All),
    });
    found.filter(|found| Some(found) != usual)
}

/// The fields of a schedule that are about its tries.
pub(super) fn tries(found: &Schedule, file: ScheduleFile) -> ScheduleFile {
    let period = |seconds, usual| unless(seconds, usual).map(time);
    ScheduleFile {
        retries: unless(found.retries, 1),
        min_backoff: period(found.min_backoff_seconds, 5),
        max_backoff: period(found.max_backoff_seconds, 3600),
        deadline: period(found.deadline_seconds, 180),
        ..file
    }
}

pub(super) fn unless<T: PartialEq>(found: T, usual: T) -> Option<T> {
    (found != usual).then_some(found)
}

/// What is there and not so by default; that it is not there cannot be said.
fn other<T: PartialEq + Clone>(found: &Option<T>, usual: &Option<T>) -> Option<T> {
    found.clone().filter(|it| Some(it) != usual.as_ref())
}

/// In the largest unit that says it whole.
pub(super) fn time(seconds: u64) -> String {
    let units = [(DAY, "d"), (3600, "h"), (60, "m")];
    let whole = units.iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    whole.map_or_else(
        || format!("{seconds}s"),
        |(unit, name)| format!("{}{name}", seconds / unit),
    )
}

/// The labels that others do not give already.
fn more(found: &Labels, shared: &BTreeMap<String, String>) -> Labels {
    let new = |(key, value): &(&String, &String)| shared.get(*key) != Some(*value);
    let new = found.iter().filter(new);
    new.map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// A rule as a file has it; `None` for xetl's own, and for what no file can say.
fn rule(found: &Value) -> Option<LifecycleFile> {
    let condition = found["condition"].as_object()?;
    let known = |key: &String| matches!(key.as_str(), "age" | "matchesPrefix");
    if !condition.keys().all(known) {
        return None;
    }
    let prefixes = condition.get("matchesPrefix")?.as_array()?.iter();
    let prefixes = prefixes.filter_map(Value::as_str).map(str::to_owned);
    let after = time(condition.get("age")?.as_u64()? * DAY);
    let (delete_after, move_after, storage_class) = match found["action"]["type"].as_str()? {
        "Delete" => (Some(after), None, None),
        "SetStorageClass" => {
            let class = found["action"]["storageClass"].as_str()?;
            (None, Some(after), Some(class.to_owned()))
        }
        _ => return None,
    };
    Some(LifecycleFile {
        prefixes: prefixes.collect(),
        delete_after,
        move_after,
        storage_class,
    })
}

/// The key of a file: the one there is, or the name that stands for those of several locations.
fn key_of(found: &BTreeSet<String>) -> Option<String> {
    let first = found.first()?;
    if found.len() == 1 {
        return Some(first.clone());
    }
    let location = first.split('/').nth(3)?;
    let each = |key: &str| first.replacen(&format!("/{location}/"), &format!("/{key}/"), 1);
    let is_one_of_each = found
        .iter()
        .all(|key| key.split('/').nth(3).is_some_and(|it| each(it) == *key));
    is_one_of_each.then(|| each("{location}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::adopt::{Around, Found, adopt};
    use crate::config::{Manifest, Workspace};
    use crate::desired::{Image, resources};
    use crate::resource::Kind;

    const SOURCE: &str = "
spec:
  connection_specification:
    required: [key]
    properties: {key: {airbyte_secret: true}}
streams: [{name: accounts}]
";
    const WHOLE: &str = "client: acme
labels: {team: data}
vpc: {network: default, subnetwork: jobs, tags: [xetl], egress: all}
bucket:
  location: EU
  storage_class: NEARLINE
  soft_delete: 14d
  kms_key: projects/p/locations/eu/keyRings/r/cryptoKeys/k
  lifecycle:
    - {prefixes: [xero/accounts/run=], delete_after: 90d}
    - {prefixes: [xero/accounts/raw/], move_after: 30d, storage_class: COLDLINE}
secret_manager:
  locations: [europe-west1, europe-west4]
  kms_key: 'projects/p/locations/{location}/keyRings/r/cryptoKeys/k'
repository: {keep_images: 20}
alerts: {email: [ops@example.com], missed_after: 30h}
warehouse: {location: EU, description: Books, table_expiry: 400d, partition_expiry: 36h, readers: ['group:a@example.com']}
pipelines:
  xero:
    source: tiny
    labels: {own: pipe}
    tasks: 4
    parallelism: 2
    cpu: 2
    memory: 1Gi
    timeout: 90m
    retries: 3
    env: {LOG_STYLE: plain}
    schedule: {cron: '0 2 * * *', time_zone: Europe/London, retries: 2, min_backoff: 10s, max_backoff: 10m, deadline: 2m}
";
    const SHORT: &str = "client: acme\npipelines: {xero: {source: tiny}}\n";
    const WATCHED: &str = "client: acme
alerts: {email: [ops@example.com]}
pipelines: {xero: {source: tiny, schedule: {cron: '0 2 * * *'}}}
";
    const DEFAULTS: &str = "defaults:
  memory: 1Gi
  retries: 3
  labels: {team: data}
  bucket: {soft_delete: 14d}
  secret_manager: {locations: [europe-west1]}
  repository: {keep_images: 20}
  warehouse: {table_expiry: 400d}
  alerts: {email: [ops@example.com]}
";

    fn workspace(defaults: &str, client: &str) -> (tempfile::TempDir, Workspace) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            (
                "xetl.yaml",
                &*format!("target: local\nproject: acme-prod\nregion: europe-west1\n{defaults}"),
            ),
            ("sources/tiny.yaml", SOURCE),
            ("clients/acme.yaml", client),
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let workspace = Workspace::find(folder.path()).unwrap();
        (folder, workspace)
    }

    fn declared(workspace: &Workspace) -> Resources {
        let image = Image::Built {
            digest: "sha256:0".to_owned(),
        };
        resources(&workspace.client("acme").unwrap(), &image)
    }

    /// The client's file as it is written by what its file declares.
    fn again(workspace: &Workspace) -> String {
        let there = declared(workspace);
        let of = |kind: Kind| {
            there
                .iter()
                .filter(move |(at, _)| at.kind == kind)
                .map(|(_, it)| it)
        };
        let Some(Resource::Job(job)) = of(Kind::Job).next() else {
            panic!("no job")
        };
        let Some(Resource::Bundle { object }) = of(Kind::Bundle).next() else {
            panic!("no bundle")
        };
        let found = Found {
            pipeline: "xero".to_owned(),
            name: "acme-xero".to_owned(),
            job: Job::clone(job),
            schedule: of(Kind::Schedule).find_map(|it| match it {
                Resource::Schedule(schedule) => Some(schedule.clone()),
                _ => None,
            }),
            bundle: Some(serde_json::from_slice(&object.content.0).unwrap()),
            dataset: None,
        };
        let known: BTreeMap<String, Manifest> =
            [("tiny".to_owned(), workspace.source("tiny").unwrap())].into();
        let emails = of(Kind::Alert).find_map(|it| match it {
            Resource::Alert(alert) => Some(alert.emails.iter().cloned().collect()),
            _ => None,
        });
        let around = Around {
            client: "acme",
            project: None,
            region: None,
            source: None,
            emails: emails.unwrap_or_default(),
            known: &known,
            found_in: "europe-west1",
            there: &there,
            defaults: &workspace.file.defaults,
        };
        serde_saphyr::to_string(&adopt(&[found], &around).unwrap().client).unwrap()
    }

    #[test]
    fn what_a_file_made_is_read_back_into_a_file_that_makes_the_same() {
        for defaults in ["", DEFAULTS] {
            for client in [WHOLE, SHORT, WATCHED] {
                let (folder, workspace) = workspace(defaults, client);
                let before = declared(&workspace);
                let text = again(&workspace);
                fs::write(folder.path().join("clients/acme.yaml"), &text).unwrap();
                assert_eq!(declared(&workspace), before, "{defaults}\n{text}");
            }
        }
    }

    #[test]
    fn what_files_say_already_is_not_written() {
        for defaults in ["", DEFAULTS] {
            let (_folder, workspace) = workspace(defaults, SHORT);
            insta::allow_duplicates! {
                insta::assert_snapshot!(again(&workspace), @"
                client: acme
                pipelines:
                  xero:
                    source: tiny
                ");
            }
        }
    }

    #[test]
    fn a_time_is_in_its_largest_whole_unit() {
        let told = [0, 90, 5400, 7200, 86_400].map(time);
        assert_eq!(told, ["0d", "90s", "90m", "2h", "1d"]);
    }
}
