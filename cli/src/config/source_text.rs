//! Where a source's manifest is written, for those who look at it rather than run it.

use std::path::{Path, PathBuf};

use super::{ConfigError, Workspace, source};

/// A manifest as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceText {
    pub name: String,
    /// Its file; a built-in source has none.
    pub path: Option<PathBuf>,
    pub text: String,
}

impl SourceText {
    /// The manifest of a name (the workspace's where it has one, else the built-in) or of a file.
    pub fn find(workspace: Option<&Workspace>, named: &str) -> Result<SourceText, ConfigError> {
        if is_file(named) {
            return SourceText::read(named.into());
        }
        let own = workspace.map(|workspace| workspace.source_file(named));
        if let Some(path) = own.filter(|path| path.is_file()) {
            return SourceText::read(path);
        }
        let text = source::built_in_text(named).ok_or_else(|| ConfigError::UnknownSource {
            at: String::new(),
            name: named.to_owned(),
            known: match workspace {
                Some(workspace) => workspace.source_names(),
                None => source::built_in_sources().map(str::to_owned).collect(),
            },
        })?;
        Ok(SourceText {
            name: named.to_owned(),
            path: None,
            text: text.to_owned(),
        })
    }

    fn read(path: PathBuf) -> Result<SourceText, ConfigError> {
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        let name = path.file_stem().unwrap_or_default();
        Ok(SourceText {
            name: name.to_string_lossy().into_owned(),
            path: Some(path),
            text,
        })
    }

    /// How messages name it.
    pub fn label(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => format!("built-in source {}", self.name),
        }
    }
}

fn is_file(named: &str) -> bool {
    let ending = Path::new(named).extension().and_then(|it| it.to_str());
    named.contains('/') || matches!(ending, Some("yaml" | "yml" | "json"))
}
