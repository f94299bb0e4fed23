//! Names that would meet: what is made for one pipeline must not be another's.

use std::collections::BTreeMap;

use super::{Client, ClientFile, ConfigError, Workspace, parse_yaml, read_yaml};
use crate::names;

/// Within the client: datasets and secrets.
pub(super) fn within(at: &str, client: &Client) -> Result<(), ConfigError> {
    let mut taken = BTreeMap::new();
    for pipeline in &client.pipelines {
        let secrets = pipeline
            .secrets
            .iter()
            .map(|path| names::secret(&client.name, &pipeline.name, path));
        let all = std::iter::once(pipeline.dataset.to_lowercase()).chain(secrets);
        for name in all {
            if let Some(other) = taken.insert(name.clone(), &pipeline.name) {
                return Err(ConfigError::invalid(
                    at,
                    format!(
                        "pipelines `{other}` and `{}` would share `{name}`",
                        pipeline.name
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// With other clients: `a-b` with pipeline `c` and `a` with `b-c` have the same job.
pub(super) fn between(workspace: &Workspace, at: &str, client: &Client) -> Result<(), ConfigError> {
    let jobs = client
        .pipelines
        .iter()
        .map(|pipeline| names::job(&client.name, &pipeline.name));
    let jobs: Vec<String> = jobs.collect();
    let mut others = workspace.client_names();
    others.retain(|other| *other != client.name && jobs.iter().any(|job| begins(job, other)));
    for other in others {
        let file: ClientFile = read_yaml(&workspace.client_file(&other))?;
        let mut theirs = file
            .pipelines
            .keys()
            .map(|pipeline| names::job(&other, pipeline));
        if let Some(job) = theirs.find(|job| jobs.contains(job)) {
            return Err(ConfigError::invalid(
                at,
                format!("its job `{job}` would also be client `{other}`'s"),
            ));
        }
    }
    Ok(())
}

/// With other clients of the project: a dataset that a file names may be anybody's.
///
/// Of many clients this is looked at once for all, by [`shared_datasets`].
pub(super) fn datasets(
    workspace: &Workspace,
    at: &str,
    client: &Client,
) -> Result<(), ConfigError> {
    if workspace.is_listed() {
        return Ok(());
    }
    let mut others = workspace.client_names();
    others.retain(|other| *other != client.name);
    for other in others {
        let path = workspace.client_file(&other);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let may_have = |dataset: &str| text.contains(dataset) || dataset.starts_with(&stem(&other));
        if !client.pipelines.iter().any(|it| may_have(&it.dataset)) {
            continue;
        }
        // What is wrong with another's file is said where that client is meant.
        let Ok(file) = parse_yaml::<ClientFile>(&path, &text) else {
            continue;
        };
        let project = file.project.as_ref().or(workspace.file.project.as_ref());
        if project != Some(&client.project) {
            continue;
        }
        let mut theirs = file.pipelines.iter().map(|(name, pipeline)| {
            let usual = || usual_dataset(&other, name);
            pipeline.dataset.clone().unwrap_or_else(usual)
        });
        if let Some(dataset) = theirs.find(|it| {
            client
                .pipelines
                .iter()
                .any(|p| p.dataset.eq_ignore_ascii_case(it))
        }) {
            return Err(taken(at, &dataset, &other));
        }
    }
    Ok(())
}

fn taken(at: &str, dataset: &str, other: &str) -> ConfigError {
    ConfigError::invalid(
        at,
        format!("its dataset `{dataset}` would also be client `{other}`'s"),
    )
}

/// The dataset of a pipeline that names none.
pub(super) fn usual_dataset(client: &str, pipeline: &str) -> String {
    format!("{}{}", stem(client), pipeline.replace('-', "_"))
}

fn stem(client: &str) -> String {
    format!("{}_", client.replace('-', "_"))
}

/// Clients that would share a dataset with one before them, and what is wrong.
pub fn shared_datasets<'a>(
    clients: impl Iterator<Item = &'a Client>,
) -> Vec<(String, ConfigError)> {
    let mut owners: BTreeMap<(&str, String), &str> = BTreeMap::new();
    let mut shared = Vec::new();
    for client in clients {
        for pipeline in &client.pipelines {
            let key = (client.project.as_str(), pipeline.dataset.to_lowercase());
            let owner = owners.entry(key).or_insert(&client.name);
            if *owner != client.name {
                let at = format!("clients/{}.yaml: pipelines.{}", client.name, pipeline.name);
                shared.push((client.name.clone(), taken(&at, &pipeline.dataset, owner)));
            }
        }
    }
    shared
}

fn begins(job: &str, client: &str) -> bool {
    job.strip_prefix(client)
        .is_some_and(|rest| rest.starts_with('-'))
}
