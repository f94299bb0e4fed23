//! What every command starts from: the workspace, and the target's endpoints.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::cloud::Cloud;
use crate::config::Workspace;
use crate::failure::Failure;
use crate::images::Images;
use crate::session::Session;
use crate::target::Target;

/// Where a command runs.
pub struct Context {
    workspace: Option<PathBuf>,
    cwd: PathBuf,
    asked: OnceLock<Asked>,
}

/// A client's part of the cloud, and where its project is written.
struct Asked {
    workspace: Workspace,
    cloud: Arc<Cloud>,
}

impl Context {
    /// `workspace` is the folder the user named, if any.
    pub fn new(workspace: Option<PathBuf>) -> Result<Context, Failure> {
        let cwd = std::env::current_dir()?;
        Ok(Context {
            workspace,
            cwd,
            asked: OnceLock::new(),
        })
    }

    /// The folder a new workspace would be made in.
    pub fn folder(&self) -> PathBuf {
        self.cwd
            .join(self.workspace.as_deref().unwrap_or(Path::new("")))
    }

    /// The workspace, read; an error where there is none.
    pub fn workspace(&self) -> Result<Workspace, Failure> {
        Ok(match &self.workspace {
            Some(folder) => Workspace::open(&self.cwd.join(folder))?,
            None => Workspace::find(&self.cwd)?,
        })
    }

    /// A client and its cloud.
    pub async fn session(&self, client: &str) -> Result<Session, Failure> {
        let workspace = self.workspace()?;
        let client = workspace.client(client)?;
        let target = self.target(&workspace).await?;
        let session = Session::new(workspace, target, client)?;
        self.asks(&session.workspace, &session.cloud);
        Ok(session)
    }

    /// A command asks this client's cloud, so that a refusal is told by what is behind it.
    pub fn asks(&self, workspace: &Workspace, cloud: &Arc<Cloud>) {
        // The first one stays: a command works on one client, or tells it itself.
        let _ = self.asked.set(Asked {
            workspace: workspace.clone(),
            cloud: cloud.clone(),
        });
    }

    /// A failure with the place of the project, where a service refused because it is not there.
    pub async fn explained(&self, failure: Failure) -> Failure {
        let (Some(Asked { workspace, cloud }), Some(refusal)) =
            (self.asked.get(), &failure.refusal)
        else {
            return failure;
        };
        match cloud.lacks_project(refusal).await {
            true => {
                let place = workspace.place_of_project(&cloud.client);
                Failure::no_project(&cloud.project, &place)
            }
            false => failure,
        }
    }

    /// The image the client's jobs run, and the way to push it.
    pub fn images(&self, session: &Session) -> Result<Images, Failure> {
        Images::of(session)
    }

    /// Endpoints and credentials; starts the local cloud where that is the target.
    pub async fn target(&self, workspace: &Workspace) -> Result<Target, Failure> {
        Ok(Target::of(workspace).await?)
    }
}
