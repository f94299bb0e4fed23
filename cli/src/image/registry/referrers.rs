//! What refers to an image: by the registry's own list, else by a tag that names the digest.

use bytes::Bytes;

use super::upload::Source;
use super::{Registry, RegistryError};
use crate::image::document::{Descriptor, Document, OCI_INDEX};
use crate::image::{Attachment, BlobInfo, BuiltImage, manifest};

/// The manifests that name an image as their subject.
#[derive(Debug, Clone, Default)]
pub struct Referrers {
    pub manifests: Vec<Descriptor>,
    /// Whether the registry keeps the list itself.
    is_kept: bool,
}

/// More pages than this, and the registry goes in circles.
const MOST_PAGES: usize = 100;

impl Registry {
    /// What refers to the manifest of this digest.
    pub async fn referrers(&self, digest: &str) -> Result<Referrers, RegistryError> {
        let mut url = self.url(&format!("referrers/{digest}"));
        let mut found = Referrers::default();
        for _ in 0..MOST_PAGES {
            let page = match self.page("GET of the referrers", url).await {
                Ok(page) => page,
                // Registries without such lists take the path for a wrong one.
                Err(error) if matches!(error.status(), Some(400 | 406)) => None,
                Err(error) => return Err(error),
            };
            let Some(page) = page else {
                break;
            };
            let Some(list) = index(page.body) else {
                break;
            };
            found.is_kept = true;
            found.manifests.extend(list);
            match page.next {
                Some(next) => url = next,
                None => return Ok(found),
            }
        }
        if !found.is_kept {
            found.manifests = self.tagged_referrers(digest).await?;
        }
        Ok(found)
    }

    /// The list a registry without one keeps under a tag, as those who push write it there.
    async fn tagged_referrers(&self, digest: &str) -> Result<Vec<Descriptor>, RegistryError> {
        let url = self.url(&format!("manifests/{}", list_tag(digest)));
        let found = self.get("GET of the list of referrers", url).await?;
        Ok(found.and_then(|(_, body)| index(body)).unwrap_or_default())
    }

    /// Pushes what refers to an image and is not listed yet; returns the bytes sent.
    pub(super) async fn attach(&self, image: &BuiltImage) -> Result<u64, RegistryError> {
        if image.attachments.is_empty() {
            return Ok(0);
        }
        let listed = self.referrers(&image.digest).await?;
        let mut sent = 0;
        let mut unlisted = Vec::new();
        for attachment in &image.attachments {
            let document = attachment.document();
            if listed.has(&document.digest) {
                continue;
            }
            sent += self.push_attachment(attachment).await?;
            let keeps = self.put_and_listen(&document.digest, &document).await?;
            sent += document.bytes.len() as u64;
            if !keeps && !listed.is_kept {
                unlisted.push(document.as_referrer());
            }
        }
        self.list(&image.digest, unlisted).await?;
        Ok(sent)
    }

    async fn push_attachment(&self, attachment: &Attachment) -> Result<u64, RegistryError> {
        let mut sent = 0;
        let statement = Bytes::from(attachment.statement.clone());
        for bytes in [statement, Bytes::from_static(manifest::EMPTY)] {
            let blob = BlobInfo::of(&bytes);
            let source = async || Ok(Source::Bytes(bytes));
            sent += self.push_blob(&blob, source).await?;
        }
        Ok(sent)
    }

    /// Adds to the list that a registry without one keeps under a tag.
    pub(super) async fn list(
        &self,
        subject: &str,
        new: Vec<Descriptor>,
    ) -> Result<(), RegistryError> {
        if new.is_empty() {
            return Ok(());
        }
        // Somebody else may have added to it meanwhile: it is read right before it is written.
        let mut all = self.tagged_referrers(subject).await?;
        all.retain(|old| new.iter().all(|new| new.digest != old.digest));
        all.extend(new);
        let document = manifest::index_of(&all)?;
        self.put_manifest(&list_tag(subject), &document).await?;
        Ok(())
    }
}

impl Referrers {
    pub(super) fn has(&self, digest: &str) -> bool {
        self.manifests.iter().any(|it| it.digest == digest)
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }
}

/// `sha256-<hex>`: the tag under which the distribution specification wants the list.
fn list_tag(digest: &str) -> String {
    digest.replacen(':', "-", 1)
}

fn index(body: Bytes) -> Option<Vec<Descriptor>> {
    let list = Document::parse(body, OCI_INDEX).ok()?;
    list.is_index().then(|| list.children())
}
