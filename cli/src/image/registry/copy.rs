//! From one registry to another: the same bytes under the same digests.
//!
//! A blob is read through once, into a file of this machine, and its digest is checked on the
//! way; only then is it sent on, so that a cut connection on either side costs that side alone.

use std::io::Write;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use reqwest::StatusCode;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::upload::Source;
use super::{Registry, RegistryError};
use crate::image::BlobInfo;
use crate::image::document::{Descriptor, Document};

/// Blobs on their way at a time.
const AT_A_TIME: usize = 4;

/// What a copy did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Of what was copied: the index with `--all-platforms`, else the manifest.
    pub digest: String,
    /// Bytes that had to be sent; 0 where all was there.
    pub sent: u64,
    /// Manifests that refer to the image and came along.
    pub referrers: usize,
}

/// Copies the image `reference` of `from`, with what refers to it, and points `tag` at it.
pub async fn copy(
    from: &Registry,
    to: &Registry,
    reference: &str,
    tag: Option<&str>,
    all_platforms: bool,
) -> Result<Copied, RegistryError> {
    let root = chosen(from, reference, all_platforms).await?;
    let mut copied = Copied {
        digest: root.digest.clone(),
        sent: 0,
        referrers: 0,
    };
    for child in root.children() {
        let manifest = from.manifest(&child.digest).await?;
        bring(from, to, &manifest, &mut copied).await?;
    }
    bring(from, to, &root, &mut copied).await?;
    if let Some(tag) = tag {
        to.point(tag, &root).await?;
    }
    Ok(copied)
}

/// What is to be copied: all of an index, or the part of it that Cloud Run takes.
async fn chosen(
    from: &Registry,
    reference: &str,
    all_platforms: bool,
) -> Result<Document, RegistryError> {
    let root = from.manifest(reference).await?;
    if all_platforms || root.children().is_empty() {
        return Ok(root);
    }
    let child = root.linux_amd64().ok_or_else(|| RegistryError::NoImage {
        name: from.name(),
        problem: "its index has nothing for linux/amd64".to_owned(),
    })?;
    from.manifest(&child.digest).await
}

/// A manifest with its blobs, then what refers to it.
async fn bring(
    from: &Registry,
    to: &Registry,
    document: &Document,
    copied: &mut Copied,
) -> Result<(), RegistryError> {
    copied.sent += bring_manifest(from, to, document).await?;
    let theirs = from.referrers(&document.digest).await?;
    if theirs.manifests.is_empty() {
        return Ok(());
    }
    let ours = to.referrers(&document.digest).await?;
    let mut unlisted = Vec::new();
    for listed in theirs.manifests.iter().filter(|it| !ours.has(&it.digest)) {
        let referrer = from.manifest(&listed.digest).await?;
        copied.sent += bring_blobs(from, to, &referrer).await?;
        copied.sent += referrer.bytes.len() as u64;
        copied.referrers += 1;
        let keeps = to.put_and_listen(&referrer.digest, &referrer).await?;
        if !keeps && !ours.is_kept() {
            unlisted.push(referrer.as_referrer());
        }
    }
    to.list(&document.digest, unlisted).await
}

async fn bring_manifest(
    from: &Registry,
    to: &Registry,
    document: &Document,
) -> Result<u64, RegistryError> {
    if to.manifest_digest(&document.digest).await?.is_some() {
        return Ok(0);
    }
    let blobs = bring_blobs(from, to, document).await?;
    Ok(blobs + to.put_manifest(&document.digest, document).await?)
}

async fn bring_blobs(
    from: &Registry,
    to: &Registry,
    document: &Document,
) -> Result<u64, RegistryError> {
    stream::iter(document.blobs())
        .map(|blob| bring_blob(from, to, blob))
        .buffer_unordered(AT_A_TIME)
        .try_fold(0, |sum, sent| async move { Ok(sum + sent) })
        .await
}

async fn bring_blob(
    from: &Registry,
    to: &Registry,
    blob: Descriptor,
) -> Result<u64, RegistryError> {
    let info = BlobInfo {
        digest: blob.digest,
        size: blob.size,
    };
    // Neither a blob that is there nor one that can be mounted is fetched.
    let fetched = async || Ok(Source::File(Arc::new(from.fetch(&info).await?)));
    to.push_blob(&info, fetched).await
}

impl Registry {
    /// A blob, read into a file that goes when it is dropped.
    async fn fetch(&self, blob: &BlobInfo) -> Result<NamedTempFile, RegistryError> {
        self.patiently(|| self.fetch_once(blob)).await
    }

    async fn fetch_once(&self, blob: &BlobInfo) -> Result<NamedTempFile, RegistryError> {
        let step = "GET of a blob";
        let url = self.url(&format!("blobs/{}", blob.digest));
        let reply = self.send(step, self.http.get(url)).await?;
        if reply.status() == StatusCode::NOT_FOUND {
            return Err(RegistryError::Absent {
                host: self.host(),
                what: format!("blob {} of {}", blob.digest, self.repository),
            });
        }
        let mut reply = self.good(reply, step).await?;
        let mut file = NamedTempFile::new().map_err(RegistryError::Keep)?;
        let mut hash = Sha256::new();
        while let Some(part) = reply
            .chunk()
            .await
            .map_err(|source| self.unreachable(source))?
        {
            hash.update(&part);
            file.write_all(&part).map_err(RegistryError::Keep)?;
        }
        file.flush().map_err(RegistryError::Keep)?;
        self.must_be(
            &blob.digest,
            format!("sha256:{}", hex::encode(hash.finalize())),
        )?;
        Ok(file)
    }
}
