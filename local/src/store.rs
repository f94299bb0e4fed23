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
use sha2::{Digest, Sha256};

const FILE_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'@');

/// Longer encoded keys are cut and get a hash, as a file name has at most 255 bytes.
const LONGEST_NAME: usize = 200;

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
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.and_then(|name| name.strip_suffix(".json")) else {
                if name.is_some_and(|name| name.starts_with(".tmp")) {
                    fs::remove_file(&path)?; // A write that was cut off.
                }
                continue;
            };
            let (key, document) = read(name, &fs::read(&path)?).map_err(|error| {
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

/// A document whose key did not fit into its file name.
#[derive(Serialize, serde::Deserialize)]
struct Keyed<T> {
    key: String,
    document: T,
}

/// The name of a key's file, and whether the key is all in it.
fn file_name(key: &str) -> (String, bool) {
    let name = utf8_percent_encode(key, FILE_NAME).to_string();
    if name.len() <= LONGEST_NAME {
        return (format!("{name}.json"), true);
    }
    // `~` is always encoded in a key, so such a name is no other key's.
    let hash = hex::encode(Sha256::digest(key.as_bytes()));
    (format!("{}~{}.json", &name[..100], &hash[..40]), false)
}

fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> serde_json::Result<(String, T)> {
    if name.contains('~') {
        let keyed: Keyed<T> = serde_json::from_slice(bytes)?;
        return Ok((keyed.key, keyed.document));
    }
    let key = percent_decode_str(name).decode_utf8_lossy().into_owned();
    Ok((key, serde_json::from_slice(bytes)?))
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

    pub fn count(&self) -> usize {
        self.read().len()
    }

    /// Documents whose key starts with `prefix`, in order of their keys.
    pub fn list(&self, prefix: &str) -> Vec<(String, T)> {
        self.select(prefix, |_| true)
    }

    /// Those of them that are wanted: only they are copied.
    pub fn select(&self, prefix: &str, is_wanted: impl Fn(&T) -> bool) -> Vec<(String, T)> {
        self.read()
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, document)| is_wanted(document))
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
        let (name, whole) = file_name(key);
        let bytes = if whole {
            serde_json::to_vec(document)?
        } else {
            serde_json::to_vec(&Keyed {
                key: key.to_owned(),
                document,
            })?
        };
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&bytes)?;
        file.persist(self.folder.join(name))?;
        Ok(())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(file_name(key).0)
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
    fn a_long_key_is_kept_whole() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let store = Store::open(folder.path()).unwrap();
            store.collection::<u32>("numbers").unwrap()
        };
        let keys = ["ü".repeat(500), format!("{}x", "ü".repeat(500))];
        let numbers = open();
        numbers.put(&keys[0], 1).unwrap();
        numbers.put(&keys[1], 2).unwrap();
        assert_eq!(open().get(&keys[0]), Some(1));
        assert_eq!(open().get(&keys[1]), Some(2));
        numbers.remove(&keys[0]).unwrap();
        assert_eq!(open().list("").len(), 1);
    }

    #[test]
    fn a_write_that_was_cut_off_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = folder.path().join("numbers");
        fs::create_dir_all(&numbers).unwrap();
        fs::write(numbers.join(".tmpabc"), "{").unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(
            store
                .collection::<u32>("numbers")
                .unwrap()
                .list("")
                .is_empty()
        );
        assert!(!numbers.join(".tmpabc").exists());
    }

    #[test]
    fn a_damaged_document_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = folder.path().join("numbers");
        fs::create_dir_all(&numbers).unwrap();
        fs::write(numbers.join("a.json"), "{").unwrap();
        let store = Store::open(folder.path()).unwrap();
        let error = store.collection::<u32>("numbers").unwrap_err().to_string();
        assert!(error.contains("numbers/a.json"), "{error}");
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
