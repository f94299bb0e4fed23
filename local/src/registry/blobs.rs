//! The bytes of images on disk: a file a blob, named by its digest, a folder a repository.
//!
//! An upload grows in a file of its own and moves to its blob's name when its
//! digest is proved, so a blob that exists is whole.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::call::Name;
use super::digest::Digest;
use super::error::RegistryError;

#[derive(Debug, Clone)]
pub struct Blobs {
    blobs: PathBuf,
    uploads: PathBuf,
}

impl Blobs {
    pub fn open(root: &Path) -> io::Result<Blobs> {
        let blobs = Blobs {
            blobs: root.join("blobs"),
            uploads: root.join("uploads"),
        };
        fs::create_dir_all(&blobs.blobs)?;
        fs::create_dir_all(&blobs.uploads)?;
        Ok(blobs)
    }

    fn repository(&self, project: &str, repository: &str) -> PathBuf {
        self.blobs.join(project).join(repository)
    }

    fn path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository(&name.project, &name.repository)
            .join(digest.hex())
    }

    /// Where the blob's bytes are, when it exists.
    pub fn find(&self, name: &Name, digest: &Digest) -> Option<PathBuf> {
        Some(self.path(name, digest)).filter(|path| path.is_file())
    }

    pub fn read(&self, name: &Name, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let path = self
            .find(name, digest)
            .ok_or_else(|| RegistryError::blob_unknown(&digest.to_string()))?;
        Ok(fs::read(path)?)
    }

    /// Keeps bytes whose digest is known to be right.
    pub fn write(&self, name: &Name, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(name, digest);
        make_parent(&path)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.uploads)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }

    /// Makes a blob of one repository one of another as well; `false` when it is not there.
    pub fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> io::Result<bool> {
        let Some(source) = self.find(from, digest) else {
            return Ok(false);
        };
        let target = self.path(to, digest);
        if !target.is_file() {
            make_parent(&target)?;
            // Blobs never change, so both repositories can share the file.
            fs::hard_link(source, target)?;
        }
        Ok(true)
    }

    /// Forgets all blobs of a repository.
    pub fn remove_repository(&self, project: &str, repository: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.repository(project, repository)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub fn start_upload(&self) -> io::Result<String> {
        let id = Uuid::new_v4().to_string();
        fs::File::create(self.uploads.join(&id))?;
        Ok(id)
    }

    fn upload(&self, id: &str) -> Result<PathBuf, RegistryError> {
        let id = Uuid::parse_str(id).map_err(|_| RegistryError::upload_unknown())?;
        let path = self.uploads.join(id.to_string());
        if path.is_file() {
            Ok(path)
        } else {
            Err(RegistryError::upload_unknown())
        }
    }

    pub fn upload_size(&self, id: &str) -> Result<u64, RegistryError> {
        Ok(fs::metadata(self.upload(id)?)?.len())
    }

    pub fn cancel_upload(&self, id: &str) -> Result<(), RegistryError> {
        Ok(fs::remove_file(self.upload(id)?)?)
    }

    /// Adds the chunk to the upload and returns its size so far. A chunk that
    /// breaks off stays in part, as the client is told by the upload's status.
    pub async fn append<E: std::fmt::Display>(
        &self,
        id: &str,
        mut chunk: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<u64, RegistryError> {
        let path = self.upload(id)?;
        let mut file = tokio::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .await?;
        while let Some(bytes) = chunk.next().await {
            let bytes = bytes.map_err(|error| {
                RegistryError::upload_invalid(format!("the chunk broke off: {error}"))
            })?;
            file.write_all(&bytes).await?;
        }
        file.flush().await?;
        Ok(file.metadata().await?.len())
    }

    /// Makes the upload the blob `digest`, when its bytes are those.
    pub async fn finish(
        &self,
        id: &str,
        name: &Name,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let upload = self.upload(id)?;
        let read = upload.clone();
        let actual = tokio::task::spawn_blocking(move || Digest::of_file(&read))
            .await
            .map_err(io::Error::other)??;
        if actual != *digest {
            fs::remove_file(&upload)?;
            return Err(RegistryError::digest_invalid(format!(
                "the bytes are {actual}, not {digest}"
            )));
        }
        let path = self.path(name, digest);
        make_parent(&path)?;
        Ok(fs::rename(upload, path)?)
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn chunk(bytes: &'static [u8]) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
        futures::stream::iter([Ok(Bytes::from_static(bytes))])
    }

    #[tokio::test]
    async fn chunks_become_a_blob_under_their_digest() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let id = blobs.start_upload().unwrap();
        assert_eq!(blobs.append(&id, chunk(b"ab")).await.unwrap(), 2);
        assert_eq!(blobs.append(&id, chunk(b"c")).await.unwrap(), 3);
        let digest = Digest::of(b"abc");
        blobs.finish(&id, &name("p/r/i"), &digest).await.unwrap();
        assert_eq!(blobs.read(&name("p/r/j"), &digest).unwrap(), b"abc");
        assert!(blobs.find(&name("p/other/i"), &digest).is_none());
        assert_eq!(
            blobs.upload_size(&id).unwrap_err(),
            RegistryError::upload_unknown()
        );
    }

    #[tokio::test]
    async fn bytes_that_are_not_the_digest_never_become_a_blob() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let id = blobs.start_upload().unwrap();
        blobs.append(&id, chunk(b"ab")).await.unwrap();
        let digest = Digest::of(b"abc");
        let refused = blobs.finish(&id, &name("p/r/i"), &digest).await;
        assert_eq!(refused.unwrap_err().code, "DIGEST_INVALID");
        assert!(blobs.find(&name("p/r/i"), &digest).is_none());
    }

    #[test]
    fn a_mounted_blob_outlives_its_first_repository() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (from, to, digest) = (name("p/a/i"), name("p/b/i"), Digest::of(b"x"));
        assert!(!blobs.mount(&from, &to, &digest).unwrap());
        blobs.write(&from, &digest, b"x").unwrap();
        assert!(blobs.mount(&from, &to, &digest).unwrap());
        blobs.remove_repository("p", "a").unwrap();
        assert_eq!(blobs.read(&to, &digest).unwrap(), b"x");
        assert!(blobs.find(&from, &digest).is_none());
    }

    #[test]
    fn an_upload_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        assert_eq!(
            blobs.upload_size("../blobs").unwrap_err(),
            RegistryError::upload_unknown()
        );
    }
}
