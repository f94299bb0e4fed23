//! Names that would meet: what is made for one pipeline must not be another's.

use std::collections::BTreeMap;

use super::{Client, ClientFile, ConfigError, Workspace, read_yaml};
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

fn begins(job: &str, client: &str) -> bool {
    job.strip_prefix(client)
        .is_some_and(|rest| rest.starts_with('-'))
}
