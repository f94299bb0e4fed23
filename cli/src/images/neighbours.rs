//! Other clients' repositories in the same registry, whose blobs need not be sent again.

use std::fs;
use std::path::PathBuf;

use crate::config::{Client, Workspace};
use crate::names;

/// Where blobs may be mounted from.
pub struct Neighbours {
    /// Remembers the repository that was pushed to last, a file a registry.
    note: PathBuf,
    workspace: Workspace,
    project: String,
    region: String,
}

/// Clients asked beside the one remembered.
const MOST: usize = 3;

impl Neighbours {
    /// `registry` is the registry's address.
    pub fn of(workspace: &Workspace, client: &Client, registry: &str) -> Neighbours {
        let name: String = registry
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        Neighbours {
            note: workspace.cache().join("image").join(format!("{name}.last")),
            workspace: workspace.clone(),
            project: client.project.clone(),
            region: client.region.clone(),
        }
    }

    /// The repository pushed to last, then a few of other clients; never `own`.
    pub fn all(&self, own: &str) -> Vec<String> {
        let last = fs::read_to_string(&self.note).ok();
        let others = self.workspace.client_names().into_iter();
        let others = others.map(|client| self.repository(&client));
        let mut all: Vec<String> = Vec::new();
        for name in last.into_iter().chain(others.take(MOST + 1)) {
            if name != own && !all.contains(&name) {
                all.push(name);
            }
        }
        all.truncate(MOST + 1);
        all
    }

    /// A push went there; a note that cannot be kept costs only speed.
    pub fn remember(&self, repository: &str) {
        if fs::read_to_string(&self.note).is_ok_and(|last| last == repository) {
            return;
        }
        let _ = fs::write(&self.note, repository);
    }

    /// Of a client in the same project: one in another is refused by the registry, and skipped.
    fn repository(&self, client: &str) -> String {
        let image = names::image(&self.project, &self.region, client);
        super::repository(&image).to_owned()
    }
}
