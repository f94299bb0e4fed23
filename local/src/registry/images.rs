//! Which manifests and tags each image has.
//!
//! The manifests' bytes are blobs; here are only their names and dates.

use std::io;

use serde::{Deserialize, Serialize};

use super::call::{Name, Reference};
use super::digest::Digest;
use crate::clock;
use crate::store::{Collection, Store};

/// A manifest of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub media_type: String,
    pub digest: Digest,
    /// Length of the manifest itself.
    pub size: u64,
    /// Bytes of the layers and the config.
    pub image_size: u64,
    pub uploaded: String,
    pub artifact_type: Option<String>,
    pub subject: Option<Digest>,
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A tag and when it last moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    pub digest: Digest,
    pub updated: String,
}

pub struct Images {
    entries: Collection<Entry>,
    tags: Collection<Tag>,
}

impl Images {
    pub fn open(store: &Store) -> io::Result<Images> {
        Ok(Images {
            entries: store.collection("registry/manifests")?,
            tags: store.collection("registry/tags")?,
        })
    }

    /// The manifest a reference leads to.
    pub fn find(&self, name: &Name, reference: &Reference) -> Option<Entry> {
        match reference {
            Reference::Digest(digest) => self.entries.get(&entry_key(name, digest)),
            Reference::Tag(tag) => {
                let tag = self.tags.get(&tag_key(name, tag))?;
                self.entries.get(&entry_key(name, &tag.digest))
            }
        }
    }

    pub fn put(&self, name: &Name, entry: Entry) -> io::Result<()> {
        let key = entry_key(name, &entry.digest);
        if self.entries.get(&key).is_none() {
            self.entries.put(&key, entry)?;
        }
        Ok(())
    }

    pub fn put_tag(&self, name: &Name, tag: &str, digest: &Digest) -> io::Result<()> {
        let tag_document = Tag {
            digest: digest.clone(),
            updated: clock::now(),
        };
        self.tags.put(&tag_key(name, tag), tag_document)
    }

    pub fn tag(&self, name: &Name, tag: &str) -> Option<Tag> {
        self.tags.get(&tag_key(name, tag))
    }

    /// Tags of an image in order of their names.
    pub fn tags(&self, name: &Name) -> Vec<(String, Tag)> {
        let prefix = tag_key(name, "");
        let all = self.tags.list(&prefix);
        all.into_iter()
            .map(|(key, tag)| (key[prefix.len()..].to_owned(), tag))
            .collect()
    }

    /// Tags that point at a manifest.
    pub fn tags_of(&self, name: &Name, digest: &Digest) -> Vec<String> {
        let points = |(_, tag): &(String, Tag)| tag.digest == *digest;
        let tags = self.tags(name).into_iter().filter(points);
        tags.map(|(tag, _)| tag).collect()
    }

    pub fn remove_tag(&self, name: &Name, tag: &str) -> io::Result<bool> {
        Ok(self.tags.remove(&tag_key(name, tag))?.is_some())
    }

    pub fn remove(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        Ok(self.entries.remove(&entry_key(name, digest))?.is_some())
    }

    /// Manifests of one image.
    pub fn entries(&self, name: &Name) -> Vec<Entry> {
        let all = self.entries.list(&format!("{name}@"));
        all.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Manifests of all images of a repository, with the image each belongs to.
    pub fn in_repository(&self, project: &str, repository: &str) -> Vec<(Name, Entry)> {
        let prefix = repository_prefix(project, repository);
        let all = self.entries.list(&prefix);
        all.into_iter()
            .filter_map(|(key, entry)| {
                let (name, _) = key.split_once('@')?;
                Some((Name::parse(name)?, entry))
            })
            .collect()
    }

    pub fn remove_repository(&self, project: &str, repository: &str) -> io::Result<()> {
        let prefix = repository_prefix(project, repository);
        // Tags go first: one without its manifest would be broken.
        for (key, _) in self.tags.list(&prefix) {
            self.tags.remove(&key)?;
        }
        for (key, _) in self.entries.list(&prefix) {
            self.entries.remove(&key)?;
        }
        Ok(())
    }
}

fn repository_prefix(project: &str, repository: &str) -> String {
    format!("{}/{repository}/", project.replace(':', "/"))
}

fn entry_key(name: &Name, digest: &Digest) -> String {
    format!("{name}@{digest}")
}

fn tag_key(name: &Name, tag: &str) -> String {
    format!("{name}:{tag}")
}
