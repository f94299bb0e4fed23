//! A pipeline's bundle: what its job reads first.

use std::collections::BTreeMap;

use serde_json::Value;
use xetl_runtime::bundle::{Bundle, HASH_KEY, STATE_PASSWORD, SecretRef, Server, StateStore};

use super::{Names, place};
use crate::config::{Client, Pipeline, State};
use crate::names;
use crate::resource::{Address, Content, Kind, Object, Resource, Resources};

/// The bundle's object; gives its `gs://` name.
pub(super) fn bundle_resource(
    client: &Client,
    names: &Names,
    pipeline: &Pipeline,
    resources: &mut Resources,
) -> String {
    // The bundle is made of strings, maps and JSON, which always serialize.
    let content = serde_json::to_vec(&bundle(client, names, pipeline)).unwrap_or_default();
    let object = names::bundle_object(&pipeline.name, &content);
    let uri = format!("gs://{}/{object}", names.bucket);
    let object = Object {
        bucket: names.bucket.clone(),
        name: object,
        pipeline: pipeline.name.clone(),
        content: Content(content.into()),
    };
    resources.insert(
        Address::new(Kind::Bundle, &uri),
        Resource::Bundle { object },
    );
    uri
}

pub(super) fn bundle(client: &Client, names: &Names, pipeline: &Pipeline) -> Bundle {
    let secret = |path: &String| (path.clone(), secret_ref(client, pipeline, path));
    let mut secrets: BTreeMap<_, _> = pipeline.secrets.iter().map(secret).collect();
    secrets.remove(STATE_PASSWORD);
    Bundle {
        version: 1,
        client: client.name.clone(),
        pipeline: pipeline.name.clone(),
        project: client.project.clone(),
        // Of the dataset, where load and query jobs run.
        location: place(pipeline.warehouse.location.as_ref(), client),
        bucket: names.bucket.clone(),
        dataset: pipeline.dataset.clone(),
        manifest: Value::clone(&pipeline.manifest.0),
        config: pipeline.config.clone(),
        hash_key: secrets.remove(HASH_KEY),
        on_overlap: pipeline.on_overlap,
        keep_raw: pipeline.keep_raw,
        secrets,
        streams: pipeline.streams.clone(),
        models: pipeline.models.clone(),
        state: state_store(client, pipeline),
    }
}

/// Where the runtime keeps checkpoints, with the secret of the password.
fn state_store(client: &Client, pipeline: &Pipeline) -> StateStore {
    let server = |url: &String| Server {
        url: url.clone(),
        password: secret_ref(client, pipeline, STATE_PASSWORD),
    };
    match &client.state {
        State::Bucket => StateStore::Bucket,
        State::Sqlite { path } => StateStore::Sqlite { path: path.clone() },
        State::Postgres { url } => StateStore::Postgres(server(url)),
        State::Mysql { url } => StateStore::Mysql(server(url)),
    }
}

fn secret_ref(client: &Client, pipeline: &Pipeline, path: &str) -> SecretRef {
    let name = names::secret(&client.name, &pipeline.name, path);
    SecretRef {
        env: names::secret_env(path),
        secret: format!("projects/{}/secrets/{name}", client.project),
    }
}
