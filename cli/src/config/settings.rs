//! How a client's resources are made, settled: defaults filled in, each value checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::blocks::{
    BucketFile, EgressFile, LifecycleFile, ResourcesFile, VpcFile, WarehouseFile, all_labels,
    nearer,
};
use super::keys;
use super::regions::{check_location, check_pair, check_region};
use super::value::period;
use super::{ConfigError, missed};

/// Marks of own labels and of readers have room for that many (`resource::labels`).
const MOST_MARKED: usize = crate::resource::labels::MOST_MARKED;
const DAY: Duration = Duration::from_secs(86_400);
const STORAGE_CLASSES: [&str; 4] = ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"];

/// What a client's resources share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientSettings {
    pub labels: BTreeMap<String, String>,
    pub bucket: BucketSettings,
    /// Where secrets are kept; empty is where Google chooses.
    pub secret_locations: BTreeSet<String>,
    pub keep_versions: u32,
    /// A key for each of the secrets' locations; empty is Google's.
    pub secret_kms_keys: BTreeSet<String>,
    pub keep_images: Option<u32>,
    pub repository_kms_key: Option<String>,
    /// Whom alerts tell.
    pub emails: BTreeSet<String>,
    /// After how long without a run they do, where that is not left to the schedule.
    pub missed_after: Option<Duration>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct BucketSettings {
    /// `None`: the client's region.
    pub location: Option<String>,
    pub storage_class: String,
    pub soft_delete: Duration,
    pub lifecycle: Vec<Lifecycle>,
    pub kms_key: Option<String>,
}

/// What is done with the objects of these prefixes at an age.
#[derive(Debug, Clone, PartialEq)]
pub struct Lifecycle {
    pub prefixes: Vec<String>,
    pub days: u64,
    /// Where they go; `None` is away.
    pub storage_class: Option<String>,
}

/// A pipeline's dataset, but for its name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WarehouseSettings {
    /// `None`: the client's region.
    pub location: Option<String>,
    pub description: Option<String>,
    pub table_expiry: Option<Duration>,
    pub partition_expiry: Option<Duration>,
    pub readers: BTreeSet<String>,
    pub kms_key: Option<String>,
}

/// A pipeline's network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VpcSettings {
    pub network: Option<String>,
    pub subnetwork: Option<String>,
    pub tags: Vec<String>,
    pub connector: Option<String>,
    pub all_traffic: bool,
}

impl ClientSettings {
    /// Keys have to be where what they encrypt is.
    pub(super) fn check_keys(&self, at: &str, region: &str) -> Result<(), ConfigError> {
        let bucket = &self.bucket;
        let place = bucket.location.as_deref().unwrap_or(region);
        keys::of_place(
            &format!("{at}bucket.kms_key"),
            bucket.kms_key.clone(),
            place,
        )?;
        let key = self.repository_kms_key.clone();
        keys::of_place(&format!("{at}repository.kms_key"), key, region)?;
        Ok(())
    }
}

pub(super) fn client(
    at: &str,
    file: &ResourcesFile,
    defaults: &ResourcesFile,
) -> Result<ClientSettings, ConfigError> {
    let secrets = &file.secret_manager;
    let locations = nearer(&secrets.locations, &defaults.secret_manager.locations);
    let locations = locations.unwrap_or_default();
    for location in &locations {
        check_region(&format!("{at}secret_manager.locations"), location)?;
    }
    let key = nearer(&secrets.kms_key, &defaults.secret_manager.kms_key);
    let secret_kms_keys =
        keys::of_secrets(&format!("{at}secret_manager.kms_key"), key, &locations)?;
    let keep = nearer(
        &secrets.keep_versions,
        &defaults.secret_manager.keep_versions,
    );
    Ok(ClientSettings {
        emails: emails(at, nearer(&file.alerts.email, &defaults.alerts.email))?,
        missed_after: nearer(&file.alerts.missed_after, &defaults.alerts.missed_after)
            .map(|text| missed::wanted(&format!("{at}alerts.missed_after"), &text))
            .transpose()?,
        labels: labels(at, &all_labels(&file.labels, &defaults.labels))?,
        bucket: bucket(at, &file.bucket.or(&defaults.bucket))?,
        secret_locations: locations.into_iter().collect(),
        secret_kms_keys,
        repository_kms_key: keys::well_formed(
            &format!("{at}repository.kms_key"),
            nearer(&file.repository.kms_key, &defaults.repository.kms_key),
        )?,
        keep_versions: at_least_one(&format!("{at}secret_manager.keep_versions"), keep)?
            .unwrap_or(5),
        keep_images: at_least_one(
            &format!("{at}repository.keep_images"),
            nearer(
                &file.repository.keep_images,
                &defaults.repository.keep_images,
            ),
        )?,
    })
}

fn emails(at: &str, emails: Option<Vec<String>>) -> Result<BTreeSet<String>, ConfigError> {
    let is_address = |email: &&String| {
        let parts = email.split_once('@');
        parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
    };
    let emails: BTreeSet<String> = emails.unwrap_or_default().into_iter().collect();
    match emails.iter().find(|email| !is_address(email)) {
        None => Ok(emails),
        Some(email) => {
            let problem = format!("`{email}` is no email address");
            Err(ConfigError::invalid(format!("{at}alerts.email"), problem))
        }
    }
}

fn at_least_one(at: &str, number: Option<u32>) -> Result<Option<u32>, ConfigError> {
    match number {
        Some(0) => Err(ConfigError::invalid(at, "must be 1 or more")),
        number => Ok(number),
    }
}

/// Google's rule for labels, and ours: none of our own names, and as many as can be marked.
pub(super) fn labels(
    at: &str,
    labels: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let at = format!("{at}labels");
    let fits = |text: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        text.len() <= 63 && text.chars().all(plain)
    };
    for (key, value) in labels {
        let begins = key.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || !fits(key) || !fits(value) {
            let problem = format!(
                "`{key}: {value}` must be lower case letters, digits, `_` and `-`, at most 63, with a letter first"
            );
            return Err(ConfigError::invalid(at, problem));
        }
        if key == "managed-by" || key.starts_with("xetl-") || key.starts_with("goog") {
            let problem = format!("`{key}` is a name that xetl or Google uses itself");
            return Err(ConfigError::invalid(at, problem));
        }
    }
    if labels.len() > MOST_MARKED {
        let problem = format!("{} labels are more than {MOST_MARKED}", labels.len());
        return Err(ConfigError::invalid(at, problem));
    }
    Ok(labels.clone())
}

fn bucket(at: &str, file: &BucketFile) -> Result<BucketSettings, ConfigError> {
    let at = format!("{at}bucket");
    if let Some(location) = &file.location {
        check_location(&format!("{at}.location"), location)?;
    }
    let class = file.storage_class.clone();
    let class = class.unwrap_or_else(|| "STANDARD".to_owned());
    storage_class(&format!("{at}.storage_class"), &class)?;
    let soft_delete = match file.soft_delete.as_deref() {
        None => 7 * DAY,
        Some("0d") => Duration::ZERO,
        Some(text) => period(&format!("{at}.soft_delete"), text, 7 * DAY, 90 * DAY)?,
    };
    let rules = file.lifecycle.iter().flatten();
    let rules = rules.map(|rule| lifecycle(&format!("{at}.lifecycle"), rule));
    Ok(BucketSettings {
        location: file.location.clone(),
        storage_class: class,
        soft_delete,
        lifecycle: rules.collect::<Result<_, _>>()?,
        kms_key: keys::well_formed(&format!("{at}.kms_key"), file.kms_key.clone())?,
    })
}

fn storage_class(at: &str, class: &str) -> Result<(), ConfigError> {
    match STORAGE_CLASSES.contains(&class) {
        true => Ok(()),
        false => {
            let problem = format!("`{class}` must be one of {}", STORAGE_CLASSES.join(", "));
            Err(ConfigError::invalid(at, problem))
        }
    }
}

/// One rule. It has to name runs of streams: anything else could be state or a bundle.
fn lifecycle(at: &str, file: &LifecycleFile) -> Result<Lifecycle, ConfigError> {
    let is_of_a_run = |prefix: &String| {
        let mut parts = prefix.split('/');
        let (pipeline, stream, rest) = (parts.next(), parts.next(), parts.next());
        let named = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
        named(pipeline)
            && named(stream)
            && rest.is_some_and(|it| it == "raw" || it.starts_with("run="))
    };
    if file.prefixes.is_empty() || !file.prefixes.iter().all(is_of_a_run) {
        return Err(ConfigError::Invalid {
            at: format!("{at}.prefixes"),
            problem:
                "must begin as the files of runs do; other objects are state, bundles and leases"
                    .to_owned(),
            hint: Some("such as `xero/invoices/run=` or `xero/invoices/raw/`".to_owned()),
        });
    }
    let (after, class) = match (&file.delete_after, &file.move_after, &file.storage_class) {
        (Some(after), None, None) => (after, None),
        (None, Some(after), Some(class)) => {
            storage_class(&format!("{at}.storage_class"), class)?;
            (after, Some(class.clone()))
        }
        _ => {
            let problem = "needs either `delete_after`, or `move_after` and `storage_class`";
            return Err(ConfigError::invalid(at, problem));
        }
    };
    // A run of less than a week ago may still be loaded, or go on.
    let age = period(at, after, 7 * DAY, 36_500 * DAY)?;
    Ok(Lifecycle {
        prefixes: file.prefixes.clone(),
        days: age.as_secs() / DAY.as_secs(),
        storage_class: class,
    })
}

/// A pipeline's dataset; it has to be where the bucket's files can be loaded from.
pub(super) fn warehouse(
    at: &str,
    region: &str,
    bucket: &BucketSettings,
    file: &WarehouseFile,
) -> Result<WarehouseSettings, ConfigError> {
    let at = format!("{at}.warehouse");
    if let Some(location) = &file.location {
        check_location(&format!("{at}.location"), location)?;
    }
    let dataset = file.location.as_deref().unwrap_or(region);
    let bucket = bucket.location.as_deref().unwrap_or(region);
    check_pair(&format!("{at}.location"), bucket, dataset)?;
    // BigQuery's least, and more than anybody means.
    let expiry = |key: &str, text: &Option<String>| {
        let bounds = (Duration::from_secs(3600), 36_500 * DAY);
        let text = text.as_deref();
        text.map(|text| period(&format!("{at}.{key}"), text, bounds.0, bounds.1))
            .transpose()
    };
    let readers: BTreeSet<String> = file.readers.iter().flatten().cloned().collect();
    check_readers(&format!("{at}.readers"), &readers)?;
    Ok(WarehouseSettings {
        location: file.location.clone(),
        description: file.description.clone(),
        table_expiry: expiry("table_expiry", &file.table_expiry)?,
        partition_expiry: expiry("partition_expiry", &file.partition_expiry)?,
        readers,
        kms_key: keys::of_place(&format!("{at}.kms_key"), file.kms_key.clone(), dataset)?,
    })
}

fn check_readers(at: &str, readers: &BTreeSet<String>) -> Result<(), ConfigError> {
    let is_member = |reader: &&String| {
        let parts = reader.split_once(':');
        parts.is_some_and(|(kind, address)| match kind {
            "user" | "group" | "serviceAccount" => address.contains('@'),
            "domain" => address.contains('.') && !address.contains('@'),
            _ => false,
        })
    };
    if let Some(reader) = readers.iter().find(|reader| !is_member(reader)) {
        return Err(ConfigError::Invalid {
            at: at.to_owned(),
            problem: format!("`{reader}` is no member"),
            hint: Some("such as `group:analysts@example.com` or `user:a@example.com`".to_owned()),
        });
    }
    match readers.len() > MOST_MARKED {
        false => Ok(()),
        true => Err(ConfigError::Invalid {
            at: at.to_owned(),
            problem: format!("{} readers are more than {MOST_MARKED}", readers.len()),
            hint: Some("put them into a group, and let the group read".to_owned()),
        }),
    }
}

pub(super) fn vpc(at: &str, file: Option<&VpcFile>) -> Result<Option<VpcSettings>, ConfigError> {
    let at = format!("{at}.vpc");
    let Some(file) = file else { return Ok(None) };
    let direct = file.network.is_some() || file.subnetwork.is_some();
    if direct == file.connector.is_some() {
        let problem = "needs either `network` or `subnetwork`, or a `connector`";
        return Err(ConfigError::invalid(at, problem));
    }
    if !direct && !file.tags.is_empty() {
        return Err(ConfigError::invalid(
            at,
            "`tags` go with `network`, not with a connector",
        ));
    }
    Ok(Some(VpcSettings {
        network: file.network.clone(),
        subnetwork: file.subnetwork.clone(),
        tags: file.tags.clone(),
        connector: file.connector.clone(),
        all_traffic: file.egress == Some(EgressFile::All),
    }))
}

/// Names of environment variables that are not the user's.
pub(super) fn env(
    at: &str,
    env: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let at = format!("{at}.env");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (name, value) in env {
        let good = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || !good {
            let problem = format!("`{name}` must be letters, digits and `_`");
            return Err(ConfigError::invalid(at, problem));
        }
        if name.starts_with("CLOUD_RUN_") || name.starts_with("XETL_") || name == "PORT" {
            let problem = format!("`{name}` is set by Cloud Run or xetl");
            return Err(ConfigError::invalid(at, problem));
        }
        if value.len() > 32 * 1024 {
            return Err(ConfigError::invalid(
                at,
                format!("`{name}` is longer than 32 KiB"),
            ));
        }
    }
    Ok(env.clone())
}
#[cfg(test)]
mod tests;
