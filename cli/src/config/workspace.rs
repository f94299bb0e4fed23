//! The folder a team keeps: where its files are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::client::{self, Client};
use super::error::shown;
use super::{ClientFile, ConfigError, Manifest, WorkspaceFile, read_yaml, source, yaml_file};

const FILE: &str = "xetl.yaml";

/// A workspace's folder and its `xetl.yaml`.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub root: PathBuf,
    pub file: WorkspaceFile,
    /// The clients' names, where they were listed before.
    names: Option<Arc<[String]>>,
    /// The manifests read so far.
    sources: Arc<Mutex<BTreeMap<String, Manifest>>>,
}

impl Workspace {
    /// The workspace `folder` is in: the nearest `xetl.yaml` upwards.
    pub fn find(folder: &Path) -> Result<Workspace, ConfigError> {
        let root = folder
            .ancestors()
            .find(|folder| folder.join(FILE).is_file())
            .ok_or_else(|| ConfigError::NoWorkspace {
                from: folder.to_owned(),
            })?;
        Workspace::open(root)
    }

    /// The workspace of exactly this folder.
    pub fn open(root: &Path) -> Result<Workspace, ConfigError> {
        let file = root.join(FILE);
        if !file.is_file() {
            return Err(ConfigError::NoWorkspace {
                from: root.to_owned(),
            });
        }
        Ok(Workspace {
            root: root.to_owned(),
            file: read_yaml(&file)?,
            names: None,
            sources: Arc::default(),
        })
    }

    /// The same for many clients: which there are is looked up once.
    pub fn listed(self) -> Workspace {
        let names = Some(self.client_names().into());
        Workspace { names, ..self }
    }

    /// Whether many clients are read.
    pub(super) fn is_listed(&self) -> bool {
        self.names.is_some()
    }

    /// What the local cloud keeps: `<workspace>/.xetl/local`.
    pub fn local_state(&self) -> PathBuf {
        self.root.join(".xetl/local")
    }

    /// What can be made again, such as the built image: `<workspace>/.xetl/cache`.
    pub fn cache(&self) -> PathBuf {
        self.root.join(".xetl/cache")
    }

    /// What was removed: `<workspace>/.xetl/receipts`.
    pub fn receipts(&self) -> PathBuf {
        self.root.join(".xetl/receipts")
    }

    pub fn client_file(&self, name: &str) -> PathBuf {
        yaml_file(&self.root.join("clients"), name)
    }

    /// Where a client's project is written, such as `clients/acme.yaml:3`.
    pub fn place_of_project(&self, client: &str) -> String {
        let shared = self.root.join(FILE);
        let files = [self.client_file(client), shared.clone()];
        let found = files.iter().find_map(|path| {
            let text = std::fs::read_to_string(path).ok()?;
            Some(format!("{}:{}", shown(path), line_of(&text, "project")?))
        });
        found.unwrap_or_else(|| shown(&shared))
    }

    pub fn source_file(&self, name: &str) -> PathBuf {
        yaml_file(&self.root.join("sources"), name)
    }

    /// The clients there are, by name.
    pub fn client_names(&self) -> Vec<String> {
        if let Some(names) = &self.names {
            return names.to_vec();
        }
        yaml_names(&self.root.join("clients"))
    }

    /// The sources there are: the workspace's and the built-in ones.
    pub fn source_names(&self) -> Vec<String> {
        let mut names = yaml_names(&self.root.join("sources"));
        names.extend(source::built_in_sources().map(str::to_owned));
        names.sort();
        names.dedup();
        names
    }

    /// A client with everything settled: defaults filled in, its sources read.
    pub fn client(&self, name: &str) -> Result<Client, ConfigError> {
        let path = self.client_file(name);
        if !path.is_file() {
            return Err(ConfigError::UnknownClient {
                name: name.to_owned(),
                known: self.client_names(),
            });
        }
        let file: ClientFile = read_yaml(&path)?;
        self.settle(&path, name, &file)
    }

    /// A client's file as it is written.
    pub fn client_file_of(&self, name: &str) -> Result<ClientFile, ConfigError> {
        read_yaml(&self.client_file(name))
    }

    /// Replaces a client's file whole: a reader sees the old text or the new.
    pub fn write_client(&self, name: &str, text: &str) -> std::io::Result<()> {
        let folder = self.root.join("clients");
        std::fs::create_dir_all(&folder)?;
        let path = self.client_file(name);
        let part = folder.join(format!(".{name}.yaml.part"));
        std::fs::write(&part, text)?;
        std::fs::rename(part, path)
    }

    /// The client that `file` would be as `clients/<name>.yaml`; `path` is for errors.
    pub fn settle(
        &self,
        path: &Path,
        name: &str,
        file: &ClientFile,
    ) -> Result<Client, ConfigError> {
        client::settle(self, path, name, file)
    }

    /// A source's manifest: the workspace's where it has one, else the built-in.
    pub fn source(&self, name: &str) -> Result<Manifest, ConfigError> {
        // Nothing can panic while it is held, so it is never poisoned half-written.
        let mut known = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(manifest) = known.get(name) {
            return Ok(manifest.clone());
        }
        let manifest = self.read_source(name)?;
        known.insert(name.to_owned(), manifest.clone());
        Ok(manifest)
    }

    fn read_source(&self, name: &str) -> Result<Manifest, ConfigError> {
        let path = self.source_file(name);
        if path.is_file() {
            return Manifest::read(&path);
        }
        Manifest::built_in(name).unwrap_or_else(|| {
            Err(ConfigError::UnknownSource {
                at: String::new(),
                name: name.to_owned(),
                known: self.source_names(),
            })
        })
    }
}

/// The line of a key of the outermost map, from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let is_it = |line: &str| {
        let rest = line.strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    text.lines().position(is_it).map(|index| index + 1)
}

/// The `.yaml` files of a folder without their ending, sorted; none where there is no folder.
fn yaml_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".yaml")?.to_owned()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_where_it_is_the_documents_own() {
        let text = "# project: old\ndefaults:\n  project: other\nproject : p1 # theirs\n";
        assert_eq!(line_of(text, "project"), Some(4));
        assert_eq!(line_of("projects: 1\n", "project"), None);
    }
}
