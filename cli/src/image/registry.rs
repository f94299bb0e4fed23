//! One repository of a registry, over the registry protocol (OCI distribution, `/v2/`).
//!
//! Blobs go first, then manifests by their digest, then what refers to them, and the tag last,
//! so that a push that is cut off leaves nothing that can be pulled. What is there is not sent again.

mod copy;
mod error;
mod referrers;
mod tags;
mod upload;
mod wire;

use std::time::Duration;

use backon::ExponentialBuilder;
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode};
use secrecy::SecretString;
use tokio::sync::Mutex;
use url::Url;

use super::auth::Login;
use super::document::{DOCKER_LIST, DOCKER_MANIFEST, Document, OCI_INDEX, OCI_MANIFEST};
use super::{BuiltImage, Package};

pub use copy::{Copied, copy};
pub use error::RegistryError;
pub use referrers::Referrers;
use upload::Source;

/// The distribution specification asks registries to take manifests of 4 MiB.
const LARGEST_MANIFEST: usize = 8 << 20;
/// How often a request is made again, as Google's other APIs are asked.
const RETRIES: usize = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// One repository of a registry, such as `P/xetl-acme/runtime`.
pub struct Registry {
    http: Client,
    base: Url,
    repository: String,
    login: Login,
    /// Whether more than reading is to be done, which takes other rights.
    pushing: bool,
    /// Other repositories of the same registry, whose blobs may be mounted.
    neighbours: Vec<String>,
    /// Bytes of a chunk; `None` where the registry takes blobs in one piece only.
    chunk: Option<u64>,
    /// The `Authorization` the registry took last.
    authorization: Mutex<Option<SecretString>>,
    patience: ExponentialBuilder,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub digest: String,
    /// Bytes that had to be sent; 0 where all was there.
    pub sent: u64,
}

impl Registry {
    /// `base` is scheme, host and port: `https://R-docker.pkg.dev`, `http://127.0.0.1:PORT`.
    pub fn new(base: Url, repository: &str, login: Login) -> Registry {
        let http = Client::builder()
            .user_agent(concat!("xetl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(60));
        Registry {
            // Only a broken TLS set-up fails here, and the plain client says so when it is used.
            http: http.build().unwrap_or_default(),
            base,
            repository: repository.to_owned(),
            // Artifact Registry takes no chunks ("does not support Docker chunked uploads").
            chunk: match login {
                Login::Google(_) => None,
                _ => Some(upload::CHUNK),
            },
            login,
            pushing: true,
            neighbours: Vec::new(),
            authorization: Mutex::new(None),
            patience: ExponentialBuilder::default()
                .with_min_delay(FIRST_WAIT)
                .with_factor(2.0)
                .with_max_times(RETRIES)
                .with_jitter(),
        }
    }

    /// The same repository, asked for no right but to read.
    pub fn to_read(self) -> Registry {
        Registry {
            pushing: false,
            ..self
        }
    }

    /// The same repository, which may take blobs from others of its registry.
    pub fn beside(self, neighbours: Vec<String>) -> Registry {
        Registry { neighbours, ..self }
    }

    /// Whether both are of one registry, which can mount blobs of one in the other.
    pub fn is_neighbour(&self, other: &Registry) -> bool {
        self.is_ours(&other.base)
    }

    /// `HOST/REPOSITORY`
    pub fn name(&self) -> String {
        format!("{}/{}", self.host(), self.repository)
    }

    /// Pushes what is missing; `tag` moves only once all else is there.
    pub async fn push(
        &self,
        package: &Package,
        tag: Option<&str>,
    ) -> Result<Pushed, RegistryError> {
        let mut sent = 0;
        if self.manifest_digest(&package.digest).await?.is_none() {
            for image in &package.images {
                sent += self.push_image(image).await?;
            }
            if let Some(index) = &package.index {
                sent += self.put_manifest(&package.digest, index).await?;
            }
        }
        for image in &package.images {
            sent += self.attach(image).await?;
        }
        if let Some(tag) = tag {
            self.point(tag, &package.root()).await?;
        }
        Ok(Pushed {
            digest: package.digest.clone(),
            sent,
        })
    }

    async fn push_image(&self, image: &BuiltImage) -> Result<u64, RegistryError> {
        let config = image.config_info();
        let layer = async || Ok(Source::Bytes(image.layer_bytes()?));
        let (layer, config) = futures::try_join!(
            self.push_blob(&image.layer, layer),
            self.push_blob(&config, async || Ok(Source::Bytes(image.config.clone()))),
        )?;
        let manifest = image.document();
        Ok(layer + config + self.put_manifest(&image.digest, &manifest).await?)
    }

    /// Moves a tag, unless it is there already.
    async fn point(&self, tag: &str, document: &Document) -> Result<(), RegistryError> {
        if self.manifest_digest(tag).await?.as_deref() != Some(&document.digest) {
            self.put_manifest(tag, document).await?;
        }
        Ok(())
    }

    /// The digest the registry keeps under a tag or digest, if any.
    pub async fn manifest_digest(&self, reference: &str) -> Result<Option<String>, RegistryError> {
        let url = self.url(&format!("manifests/{reference}"));
        let Some(reply) = self.find("HEAD of the manifest", url).await? else {
            return Ok(None);
        };
        // The header is optional in the specification: then a digest that was asked for is the
        // answer, and under a tag the manifest itself has to be read.
        match header(&reply, "docker-content-digest") {
            Some(digest) => Ok(Some(digest.to_owned())),
            None if reference.starts_with("sha256:") => Ok(Some(reference.to_owned())),
            None => Ok(Some(self.manifest(reference).await?.digest)),
        }
    }

    /// A manifest or index; its bytes are those of the digest that was asked for.
    pub async fn manifest(&self, reference: &str) -> Result<Document, RegistryError> {
        let step = "GET of the manifest";
        let url = self.url(&format!("manifests/{reference}"));
        let absent = || RegistryError::Absent {
            host: self.host(),
            what: format!("{} under `{reference}`", self.repository),
        };
        let (content_type, bytes) = self.get(step, url).await?.ok_or_else(absent)?;
        let document =
            Document::parse(bytes, &content_type).map_err(|problem| RegistryError::NoImage {
                name: self.name(),
                problem,
            })?;
        match reference.starts_with("sha256:") && document.digest != reference {
            true => Err(RegistryError::Damaged {
                host: self.host(),
                expected: reference.to_owned(),
                found: document.digest,
            }),
            false => Ok(document),
        }
    }

    /// A blob that fits into memory, such as a config.
    pub async fn small_blob(&self, digest: &str) -> Result<Bytes, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"));
        let found = self.get("GET of a blob", url).await?;
        let absent = || RegistryError::Absent {
            host: self.host(),
            what: format!("blob {digest} of {}", self.repository),
        };
        let (_, bytes) = found.ok_or_else(absent)?;
        self.must_be(digest, super::digest(&bytes))?;
        Ok(bytes)
    }

    fn must_be(&self, expected: &str, found: String) -> Result<(), RegistryError> {
        match found == expected {
            true => Ok(()),
            false => Err(RegistryError::Damaged {
                host: self.host(),
                expected: expected.to_owned(),
                found,
            }),
        }
    }

    /// Puts a manifest and looks at what is kept; returns its bytes.
    async fn put_manifest(
        &self,
        reference: &str,
        document: &Document,
    ) -> Result<u64, RegistryError> {
        self.put_and_listen(reference, document).await?;
        match self.manifest_digest(reference).await? {
            Some(found) if found == document.digest => Ok(document.bytes.len() as u64),
            found => Err(RegistryError::OtherDigest {
                host: self.host(),
                expected: document.digest.clone(),
                found: found.unwrap_or_else(|| "nothing".to_owned()),
            }),
        }
    }

    /// Puts a manifest; whether the registry says that it keeps lists of referrers.
    async fn put_and_listen(
        &self,
        reference: &str,
        document: &Document,
    ) -> Result<bool, RegistryError> {
        let step = "PUT of the manifest";
        let url = self.url(&format!("manifests/{reference}"));
        let put = || async {
            let request = self
                .http
                .put(url.clone())
                .header(CONTENT_TYPE, &document.media_type)
                .body(document.bytes.clone());
            let reply = self.send(step, request).await?;
            self.good(reply, step).await
        };
        let reply = self.patiently(put).await?;
        Ok(header(&reply, "oci-subject").is_some())
    }

    /// Sends a blob unless it is there; returns how many bytes it took.
    async fn push_blob(
        &self,
        blob: &super::BlobInfo,
        source: impl AsyncFnOnce() -> Result<Source, RegistryError>,
    ) -> Result<u64, RegistryError> {
        match self.has_blob(&self.repository, &blob.digest).await? {
            true => Ok(0),
            false => self.upload(blob, source).await,
        }
    }

    async fn has_blob(&self, repository: &str, digest: &str) -> Result<bool, RegistryError> {
        let url = self.url_of(repository, &format!("blobs/{digest}"));
        Ok(self.find("HEAD of a blob", url).await?.is_some())
    }

    /// The reply to a HEAD, or `None` where the registry has no such thing.
    async fn find(&self, step: &'static str, url: Url) -> Result<Option<Response>, RegistryError> {
        self.patiently(|| async {
            let head = self.http.head(url.clone()).header(ACCEPT, accepted());
            let reply = self.send(step, head).await?;
            match reply.status() {
                StatusCode::NOT_FOUND => Ok(None),
                _ => self.good(reply, step).await.map(Some),
            }
        })
        .await
    }

    /// A body and its type, or `None` where the registry has no such thing.
    async fn get(
        &self,
        step: &'static str,
        url: Url,
    ) -> Result<Option<(String, Bytes)>, RegistryError> {
        self.patiently(|| async {
            let get = self.http.get(url.clone()).header(ACCEPT, accepted());
            let reply = self.send(step, get).await?;
            if reply.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            let reply = self.good(reply, step).await?;
            let content_type = header(&reply, "content-type").unwrap_or("").to_owned();
            Ok(Some((content_type, self.body(step, reply).await?)))
        })
        .await
    }

    /// The body, if it is as short as what is read into memory has to be.
    async fn body(&self, step: &'static str, mut reply: Response) -> Result<Bytes, RegistryError> {
        let mut bytes = Vec::new();
        while let Some(part) = reply
            .chunk()
            .await
            .map_err(|source| self.unreachable(source))?
        {
            bytes.extend_from_slice(&part);
            if bytes.len() > LARGEST_MANIFEST {
                return Err(self.incomplete(step, "an end"));
            }
        }
        Ok(bytes.into())
    }
}

/// A blob may be of any type.
fn accepted() -> String {
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "*/*"].join(", ")
}

fn header<'a>(reply: &'a Response, name: &str) -> Option<&'a str> {
    reply.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
