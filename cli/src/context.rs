//! What every command starts from: the workspace, and the target's endpoints.

use std::path::{Path, PathBuf};

use crate::config::Workspace;
use crate::failure::Failure;
use crate::images::Images;
use crate::session::Session;
use crate::target::Target;

/// Where a command runs.
pub struct Context {
    workspace: Option<PathBuf>,
    cwd: PathBuf,
}

impl Context {
    /// `workspace` is the folder the user named, if any.
    pub fn new(workspace: Option<PathBuf>) -> Result<Context, Failure> {
        let cwd = std::env::current_dir()?;
        Ok(Context { workspace, cwd })
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
        Session::new(workspace, target, client)
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
