//! From an image's full name to what a container runtime needs of it.

use std::path::PathBuf;

use serde::Deserialize;

use super::Registry;
use super::call::{Name, Reference};
use super::digest::Digest;
use super::manifest::Manifest;
use super::repository::Repository;

/// A pulled image: every tag and index is resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Of the manifest for linux on amd64.
    pub digest: Digest,
    pub config: ImageConfig,
    pub layers: Vec<Layer>,
}

/// A layer's bytes on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    pub media_type: String,
    pub path: PathBuf,
}

/// `config` of an image's configuration, as far as a job needs it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    pub working_dir: Option<String>,
}

/// Why an image cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ImageError {
    #[error(
        "`{0}` is no image of Artifact Registry: LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE[:TAG|@DIGEST] is, and the local cloud pulls from no other registry"
    )]
    Foreign(String),
    #[error("Image '{0}' not found.")]
    NotFound(String),
    #[error("Image '{image}' cannot be run: {reason}")]
    Broken { image: String, reason: String },
}

/// `HOST/P/R/I[:TAG|@DIGEST]` taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageName {
    pub location: String,
    pub name: Name,
    pub reference: Reference,
}

impl ImageName {
    pub fn parse(image: &str) -> Option<ImageName> {
        let (host, path) = image.split_once('/')?;
        let location = host.strip_suffix("-docker.pkg.dev")?;
        let (name, reference) = match path.split_once('@') {
            Some((name, digest)) => (name, Reference::Digest(digest.parse().ok()?)),
            None => split_tag(path)?,
        };
        // With both a tag and a digest the digest decides, as Docker has it.
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        Some(ImageName {
            location: location.to_owned(),
            name: Name::parse(name)?,
            reference,
        })
    }
}

fn split_tag(path: &str) -> Option<(&str, Reference)> {
    match path.split_once(':') {
        Some((name, tag)) => Some((name, Reference::parse(tag).ok()?)),
        None => Some((path, Reference::Tag("latest".to_owned()))),
    }
}

impl Registry {
    /// The repository an image's name names, if it is there.
    pub fn repository_of(&self, image: &str) -> Option<Repository> {
        let ImageName { name, .. } = ImageName::parse(image)?;
        self.repositories.find(&name.project, &name.repository)
    }

    /// Finds the image that `image` names now; a tag may lead elsewhere the next time.
    pub fn image(&self, image: &str) -> Result<Image, ImageError> {
        let parsed =
            ImageName::parse(image).ok_or_else(|| ImageError::Foreign(image.to_owned()))?;
        let not_found = || ImageError::NotFound(image.to_owned());
        let repository = self
            .repositories
            .find(&parsed.name.project, &parsed.name.repository)
            .ok_or_else(not_found)?;
        if repository.location() != parsed.location {
            return Err(not_found());
        }
        let entry = self
            .images
            .find(&parsed.name, &parsed.reference)
            .ok_or_else(not_found)?;
        self.load(&parsed.name, entry.digest)
            .map_err(|reason| ImageError::Broken {
                image: image.to_owned(),
                reason,
            })
    }

    fn load(&self, name: &Name, digest: Digest) -> Result<Image, String> {
        let manifest = self.manifest(name, &digest)?;
        if manifest.manifests.is_some() {
            let child = manifest
                .linux_amd64()
                .ok_or("its index has no image for linux/amd64")?;
            return self.load(name, child.digest.clone());
        }
        let config = manifest.config.as_ref().ok_or("it has no config")?;
        let layers = manifest.layers.iter().map(|layer| {
            let path = self.blobs.find(name, &layer.digest);
            Ok(Layer {
                media_type: layer.media_type.clone(),
                path: path.ok_or_else(|| format!("layer {} is missing", layer.digest))?,
            })
        });
        Ok(Image {
            config: self.config(name, &config.digest)?,
            layers: layers.collect::<Result<_, String>>()?,
            digest,
        })
    }

    pub(super) fn manifest(&self, name: &Name, digest: &Digest) -> Result<Manifest, String> {
        let bytes = self.blobs.read(name, digest).map_err(|e| e.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| format!("its manifest: {error}"))
    }

    fn config(&self, name: &Name, digest: &Digest) -> Result<ImageConfig, String> {
        #[derive(Deserialize)]
        struct File {
            os: String,
            architecture: String,
            #[serde(default)]
            config: ImageConfig,
        }
        let bytes = self.blobs.read(name, digest).map_err(|e| e.to_string())?;
        let file: File =
            serde_json::from_slice(&bytes).map_err(|error| format!("its config: {error}"))?;
        if (file.os.as_str(), file.architecture.as_str()) != ("linux", "amd64") {
            return Err(format!(
                "it is built for {}/{}, and Cloud Run needs linux/amd64",
                file.os, file.architecture
            ));
        }
        Ok(file.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_name_holds_location_name_and_reference() {
        let image = ImageName::parse("europe-west2-docker.pkg.dev/p/r/i:v1").unwrap();
        assert_eq!(image.location, "europe-west2");
        assert_eq!(image.name.to_string(), "p/r/i");
        assert_eq!(image.reference, Reference::Tag("v1".to_owned()));
    }

    #[test]
    fn without_a_tag_latest_is_meant() {
        let image = ImageName::parse("l-docker.pkg.dev/p/r/i").unwrap();
        assert_eq!(image.reference, Reference::Tag("latest".to_owned()));
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = Digest::of(b"x");
        let image = ImageName::parse(&format!("l-docker.pkg.dev/p/r/i:v1@{digest}")).unwrap();
        assert_eq!(image.name.image, "i");
        assert_eq!(image.reference, Reference::Digest(digest));
    }

    #[test]
    fn other_registries_are_foreign() {
        for image in ["nginx", "gcr.io/p/i", "docker.io/library/nginx:1"] {
            assert_eq!(ImageName::parse(image), None, "{image}");
        }
    }
}
