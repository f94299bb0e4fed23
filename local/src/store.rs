//! State on disk: collections of JSON documents, a file each.
//!
//! Every change is written to a temporary file and renamed over the document
//! before it is seen, so a killed process leaves the old or the new one whole.
//! Reads come from memory. Large bytes (objects, layers) live in `folder`s.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

const FILE_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'@');

/// The folder that holds everything the local cloud remembers.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Store> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Store { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of its own for bytes; made when missing.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The documents under `name`, read from disk.
    ///
    /// # Errors
    /// A file that is no document of this type, with its path.
    pub fn collection<T: DeserializeOwned>(&self, name: &str) -> io::Result<Collection<T>> {
        let folder = self.folder(name)?;
        let mut documents = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Some(key) = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json"))
            else {
                continue; // A temporary file of a write that was cut off.
            };
            let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
            let document = serde_json::from_slice(&fs::read(&path)?).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("`{}`: {error}", path.display()),
                )
            })?;
            documents.insert(key, document);
        }
        Ok(Collection {
            folder,
            documents: RwLock::new(documents),
        })
    }
}

/// Documents of one type by name.
#[derive(Debug)]
pub struct Collection<T> {
    folder: PathBuf,
    documents: RwLock<BTreeMap<String, T>>,
}

impl<T: Serialize + Clone> Collection<T> {
    pub fn get(&self, key: &str) -> Option<T> {
        self.read().get(key).cloned()
    }

    /// Documents whose key starts with `prefix`, in order of their keys.
    pub fn list(&self, prefix: &str) -> Vec<(String, T)> {
        self.read()
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, document)| (key.clone(), document.clone()))
            .collect()
    }

    pub fn put(&self, key: &str, document: T) -> io::Result<()> {
        let mut documents = self.write();
        self.save(key, &document)?;
        documents.insert(key.to_owned(), document);
        Ok(())
    }

    pub fn remove(&self, key: &str) -> io::Result<Option<T>> {
        let mut documents = self.write();
        let removed = documents.remove(key);
        if removed.is_some() {
            fs::remove_file(self.path(key))?;
        }
        Ok(removed)
    }

    /// Changes one document under the lock: `change` sees the present one, and
    /// what it leaves in its place is saved (`None` removes). On an error
    /// nothing is changed.
    pub fn update<R, E: From<io::Error>>(
        &self,
        key: &str,
        change: impl FnOnce(&mut Option<T>) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut documents = self.write();
        let mut document = documents.get(key).cloned();
        let result = change(&mut document)?;
        match document {
            Some(document) => {
                self.save(key, &document)?;
                documents.insert(key.to_owned(), document);
            }
            None => {
                if documents.remove(key).is_some() {
                    fs::remove_file(self.path(key))?;
                }
            }
        }
        Ok(result)
    }

    fn save(&self, key: &str, document: &T) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&serde_json::to_vec(document)?)?;
        file.persist(self.path(key))?;
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder
            .join(format!("{}.json", utf8_percent_encode(key, FILE_NAME)))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, T>> {
        self.documents
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, T>> {
        self.documents
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Store::open(folder.path())
            .unwrap()
            .collection::<u32>("numbers")
            .unwrap();
        numbers.put("projects/p/a b", 1).unwrap();
        numbers.put("projects/p/gone", 2).unwrap();
        numbers.remove("projects/p/gone").unwrap();

        let again = Store::open(folder.path())
            .unwrap()
            .collection::<u32>("numbers")
            .unwrap();
        assert_eq!(again.list("projects/"), [("projects/p/a b".to_owned(), 1)]);
    }

    #[test]
    fn a_refused_update_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Store::open(folder.path())
            .unwrap()
            .collection::<u32>("numbers")
            .unwrap();
        numbers.put("a", 1).unwrap();
        let refused: Result<(), io::Error> = numbers.update("a", |number| {
            *number = Some(2);
            Err(io::Error::other("no"))
        });
        assert!(refused.is_err());
        assert_eq!(numbers.get("a"), Some(1));
    }
}
