//! What a run is told: its bundle, its place among tasks, and the source's secrets.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json};

use crate::bundle::{BUNDLE_ENV, Bundle, HASH_KEY, STATE_PASSWORD, SecretRef, StateStore};
use crate::google::secrets::Secrets;
use crate::google::{ApiError, Google};
use crate::source::{SecretSink, SinkError};
use crate::task::Task;

/// What a run was told is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{BUNDLE_ENV} names no bundle: set it to gs://BUCKET/OBJECT or to a file")]
    NoBundle,
    #[error("there is no bundle at {at}: run `xetl apply` again")]
    BundleMissing { at: String },
    #[error("cannot read the bundle {at}: {problem}")]
    BundleUnreadable { at: String, problem: String },
    #[error("the bundle {at} has version {version}, this runtime reads 1: deploy a matching image")]
    BundleVersion { at: String, version: u32 },
    #[error("secret field `{field}` has no value: {env} is not set, {secret} should fill it")]
    SecretMissing {
        field: String,
        env: String,
        secret: String,
    },
    #[error("secret field `{field}`: `{at}` in the config is no object")]
    SecretPath { field: String, at: String },
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Reads the bundle from a bucket or a file.
pub async fn bundle(google: &Google, at: &str) -> Result<Bundle, SettingsError> {
    let unreadable = |problem: String| SettingsError::BundleUnreadable {
        at: at.to_owned(),
        problem,
    };
    let bytes = match at
        .strip_prefix("gs://")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((bucket, object)) => {
            let found = google.storage().bucket(bucket).get(object).await?;
            found
                .ok_or_else(|| SettingsError::BundleMissing { at: at.to_owned() })?
                .bytes
        }
        None => tokio::fs::read(at)
            .await
            .map_err(|error| unreadable(error.to_string()))?
            .into(),
    };
    let bundle: Bundle =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    match bundle.version {
        1 => Ok(bundle),
        version => Err(SettingsError::BundleVersion {
            at: at.to_owned(),
            version,
        }),
    }
}

/// The run's id: the execution's name where Cloud Run gives one, as retries keep it.
pub fn run_id(env: impl Fn(&str) -> Option<String>) -> String {
    env("CLOUD_RUN_EXECUTION")
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("local-{}", uuid::Uuid::new_v4().simple()))
}

/// This process's place among the run's tasks.
pub fn task(env: impl Fn(&str) -> Option<String>) -> Task {
    let number = |name: &str| env(name).and_then(|text| text.parse().ok());
    let count = number("CLOUD_RUN_TASK_COUNT").unwrap_or(1).max(1);
    Task {
        index: number("CLOUD_RUN_TASK_INDEX").unwrap_or(0),
        count,
    }
}

/// The config with its secrets put in.
///
/// Cloud Run reads a secret when it starts a task; what the source rotates may be
/// newer than that, so it is read from Secret Manager.
pub async fn config(
    bundle: &Bundle,
    secrets: &Secrets,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Map<String, Json>, SettingsError> {
    let rotating = rotating_fields(&bundle.manifest);
    let mut config = bundle.config.clone();
    for (field, reference) in &bundle.secrets {
        let value = if rotating.contains(field) {
            secrets.newest(&reference.secret).await?.1
        } else {
            from_env(field, reference, &env)?
        };
        put(&mut config, field, &value)?;
    }
    Ok(config)
}

/// The password of the state database; empty where the store needs none.
pub fn state_password(
    store: &StateStore,
    env: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, SettingsError> {
    match store {
        StateStore::Bucket | StateStore::Sqlite { .. } => Ok(SecretString::default()),
        StateStore::Postgres(server) | StateStore::Mysql(server) => {
            from_env(STATE_PASSWORD, &server.password, env)
        }
    }
}

/// The key of hashes, where the bundle names one.
pub fn hash_key(
    bundle: &Bundle,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<SecretString>, SettingsError> {
    let reference = bundle.hash_key.as_ref();
    reference
        .map(|reference| from_env(HASH_KEY, reference, env))
        .transpose()
}

fn from_env(
    field: &str,
    reference: &SecretRef,
    env: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, SettingsError> {
    env(&reference.env)
        .map(SecretString::from)
        .ok_or_else(|| SettingsError::SecretMissing {
            field: field.to_owned(),
            env: reference.env.clone(),
            secret: reference.secret.clone(),
        })
}

fn put(
    config: &mut Map<String, Json>,
    field: &str,
    value: &SecretString,
) -> Result<(), SettingsError> {
    let mut keys: Vec<&str> = field.split('.').collect();
    let last = keys.pop().unwrap_or_default();
    let mut object = config;
    for key in keys {
        let inner = object.entry(key).or_insert_with(|| Map::new().into());
        object = inner
            .as_object_mut()
            .ok_or_else(|| SettingsError::SecretPath {
                field: field.to_owned(),
                at: key.to_owned(),
            })?;
    }
    object.insert(last.to_owned(), value.expose_secret().into());
    Ok(())
}

/// The config fields the source writes new tokens to (`refresh_token_updater`).
fn rotating_fields(manifest: &Json) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    collect_rotating(manifest, &mut fields);
    fields
}

fn collect_rotating(value: &Json, fields: &mut BTreeSet<String>) {
    match value {
        Json::Object(object) => {
            if let Some(Json::Object(updater)) = object.get("refresh_token_updater") {
                let path = updater
                    .get("refresh_token_config_path")
                    .and_then(Json::as_array);
                fields.insert(match path {
                    Some(keys) => keys
                        .iter()
                        .filter_map(Json::as_str)
                        .collect::<Vec<_>>()
                        .join("."),
                    None => "credentials.refresh_token".to_owned(),
                });
            }
            object
                .values()
                .for_each(|value| collect_rotating(value, fields));
        }
        Json::Array(values) => values
            .iter()
            .for_each(|value| collect_rotating(value, fields)),
        _ => {}
    }
}

/// The secrets that fields of the config come from, to store rotated ones in.
#[derive(Debug, Clone)]
pub struct RotatedSecrets {
    pub secrets: Secrets,
    pub fields: BTreeMap<String, SecretRef>,
}

impl RotatedSecrets {
    /// Stores the value as a new version of the field's secret.
    async fn put(&self, path: &[String], value: &SecretString) -> Result<(), String> {
        let field = path.join(".");
        let Some(reference) = self.fields.get(&field) else {
            return Err(format!(
                "the source has a new value for `{field}`, but no secret is kept for that field: \
                 set it with `xetl secrets set`"
            ));
        };
        self.secrets
            .replace(&reference.secret, value)
            .await
            .map_err(|error| error.to_string())
    }
}

impl SecretSink for RotatedSecrets {
    fn store<'a>(
        &'a self,
        config_path: &'a [String],
        value: &'a SecretString,
    ) -> BoxFuture<'a, Result<(), SinkError>> {
        let stored = self.put(config_path, value);
        stored.map(|result| result.map_err(SinkError)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_execution_names_the_run() {
        let env = |name: &str| (name == "CLOUD_RUN_EXECUTION").then(|| "acme-xero-x1".to_owned());
        assert_eq!(run_id(env), "acme-xero-x1");
        assert!(run_id(|_| None).starts_with("local-"));
    }

    #[test]
    fn a_secret_goes_to_its_dotted_path() {
        let mut config = json!({"credentials": {"client_id": "a"}})
            .as_object()
            .unwrap()
            .clone();
        put(&mut config, "credentials.client_secret", &"s".into()).unwrap();
        put(&mut config, "key", &"k".into()).unwrap();
        assert_eq!(
            Json::from(config),
            json!({"credentials": {"client_id": "a", "client_secret": "s"}, "key": "k"})
        );
    }

    #[test]
    fn the_field_of_a_rotating_token_is_found_in_the_manifest() {
        let updater = json!({"refresh_token_config_path": ["auth", "token"]});
        let manifest = json!({"a": [{"authenticator": {"refresh_token_updater": updater}}]});
        assert_eq!(
            rotating_fields(&manifest),
            BTreeSet::from(["auth.token".to_owned()])
        );
        let manifest = json!({"refresh_token_updater": {}});
        assert_eq!(
            rotating_fields(&manifest),
            BTreeSet::from(["credentials.refresh_token".to_owned()])
        );
    }
}
