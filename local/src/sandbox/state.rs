//! What survives a restart: which ledger, how much time has passed, the tokens given out.
//!
//! One small file, replaced whole, so that a kill leaves the old or the new.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::tokens::Tokens;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub seed: u64,
    pub documents: usize,
    pub days: u32,
    /// Seconds the clock was moved beside whole days.
    pub seconds: i64,
    pub port: u16,
    pub tokens: Tokens,
}

/// A folder that may hold a state.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn open(path: &Path) -> io::Result<Folder> {
        fs::create_dir_all(path)?;
        Ok(Folder(path.to_path_buf()))
    }

    pub fn read(&self) -> io::Result<Option<State>> {
        match fs::read(self.0.join("state.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn write(&self, state: &State) -> io::Result<()> {
        self.replace("state.json", &serde_json::to_vec_pretty(state)?)
    }

    /// Says where the sandbox serves, for whoever waits for it.
    pub fn announce(&self, announcement: &serde_json::Value) -> io::Result<()> {
        self.replace("sandbox.json", &serde_json::to_vec_pretty(announcement)?)
    }

    pub fn withdraw(&self) -> io::Result<()> {
        fs::remove_file(self.0.join("sandbox.json"))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(bytes)?;
        file.persist(self.0.join(name))?;
        Ok(())
    }
}
