//! A client with everything settled, so that nothing after it meets a "maybe set".

use std::path::Path;

use super::clash;
use super::error::shown;
use super::pipeline::{self, Around, Pipeline};
use super::regions::check_region;
use super::settings::{self, ClientSettings};
use super::state::{self, State};
use super::value::{check_name, check_project};
use super::{ClientFile, ConfigError, Workspace};

/// One client, ready to be turned into resources.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    pub name: String,
    pub project: String,
    pub region: String,
    /// A pinned image of the user's own, instead of the one xetl builds.
    pub image: Option<String>,
    /// The image its own file names.
    pub pin: Option<String>,
    pub state: State,
    pub settings: ClientSettings,
    pub pipelines: Vec<Pipeline>,
}

/// That a client can have this name, be there a file of it or not.
pub fn check_client(at: &str, name: &str) -> Result<(), ConfigError> {
    check_name(at, name, 40)
}

impl Client {
    /// A pipeline by name.
    pub fn pipeline(&self, name: &str) -> Result<&Pipeline, ConfigError> {
        let found = self.pipelines.iter().find(|pipeline| pipeline.name == name);
        found.ok_or_else(|| ConfigError::UnknownPipeline {
            client: self.name.clone(),
            name: name.to_owned(),
            known: self
                .pipelines
                .iter()
                .map(|pipeline| pipeline.name.clone())
                .collect(),
        })
    }
}

pub(super) fn settle(
    workspace: &Workspace,
    path: &Path,
    name: &str,
    file: &ClientFile,
) -> Result<Client, ConfigError> {
    let at = |key: &str| format!("{}: {key}", shown(path));
    if file.client != name {
        return Err(ConfigError::invalid(
            at("client"),
            format!("is `{}`, but the file is named `{name}.yaml`", file.client),
        ));
    }
    check_client(&at("client"), name)?;
    let wanted = |key: &str, value: &Option<String>, shared: &Option<String>| {
        value
            .clone()
            .or_else(|| shared.clone())
            .ok_or_else(|| ConfigError::Invalid {
                at: at(key),
                problem: "is set neither here nor in xetl.yaml".to_owned(),
                hint: Some(format!("add `{key}: ...` to xetl.yaml")),
            })
    };
    let set_at = |key: &str, own: &Option<String>| match own {
        Some(_) => at(key),
        None => format!("xetl.yaml: {key}"),
    };
    let state = state::settle(workspace, path, file)?;
    let project = wanted("project", &file.project, &workspace.file.project)?;
    check_project(&set_at("project", &file.project), &project)?;
    let region = wanted("region", &file.region, &workspace.file.region)?;
    check_region(&set_at("region", &file.region), &region)?;
    let defaults = workspace.file.defaults.resources();
    let settings = settings::client(&at(""), &file.resources(), &defaults)?;
    settings.check_keys(&at(""), &region)?;
    let whole = file;
    let pipelines = file
        .pipelines
        .iter()
        .map(|(name, file)| {
            let at = format!("{}: pipelines.{name}", shown(path));
            let around = Around {
                workspace,
                client: whole,
                region: &region,
                settings: &settings,
            };
            let mut settled = pipeline::settle(&around, &at, name, file)?;
            state.add_secret(&at, &mut settled.secrets)?;
            pipeline::with_models(settled, &at, &project, file)
        })
        .collect::<Result<_, _>>()?;
    let client = Client {
        name: name.to_owned(),
        project,
        region,
        image: file.image.clone().or_else(|| workspace.file.image.clone()),
        pin: file.image.clone(),
        state,
        settings,
        pipelines,
    };
    clash::within(&at("pipelines"), &client)?;
    clash::between(workspace, &at("pipelines"), &client)?;
    clash::datasets(workspace, &at("pipelines"), &client)?;
    Ok(client)
}
