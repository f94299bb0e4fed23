//! What survives a restart, in one small file that is replaced whole, so that a kill leaves the old or the new.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::shared::Time;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved<K> {
    pub port: u16,
    pub time: Time,
    pub world: K,
}

/// Where a state is kept, if it is kept at all.
#[derive(Debug, Clone)]
pub struct Folder(Option<PathBuf>);

impl Folder {
    pub fn open(path: Option<&Path>) -> io::Result<Folder> {
        path.map_or(Ok(()), fs::create_dir_all)?;
        Ok(Folder(path.map(Path::to_path_buf)))
    }

    pub fn read<K: DeserializeOwned>(&self) -> io::Result<Option<Saved<K>>> {
        let Some(folder) = &self.0 else {
            return Ok(None);
        };
        match fs::read(folder.join("state.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn write<K: Serialize>(&self, saved: &Saved<K>) -> io::Result<()> {
        self.replace("state.json", &serde_json::to_vec_pretty(saved)?)
    }

    /// Says where the sandbox serves, for whoever waits for it.
    pub fn announce(&self, announcement: &serde_json::Value) -> io::Result<()> {
        self.replace("sandbox.json", &serde_json::to_vec_pretty(announcement)?)
    }

    pub fn withdraw(&self) -> io::Result<()> {
        let announced = self.0.as_ref().map(|folder| folder.join("sandbox.json"));
        announced.map_or(Ok(()), fs::remove_file)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Some(folder) = &self.0 else {
            return Ok(());
        };
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(folder.join(name))?;
        Ok(())
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(folder) => folder.display().fmt(formatter),
            None => formatter.write_str("none"),
        }
    }
}
