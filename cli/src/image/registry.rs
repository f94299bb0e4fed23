//! Pushes an image over the registry protocol (OCI distribution, `/v2/`).
//!
//! Blobs go first, then the manifest by its digest, then the tag, so that a
//! push that is cut off leaves nothing that can be pulled. What is there is
//! not sent again.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use url::Url;

use super::auth::{Challenge, Login, TokenError, TokenReply, token_url};
use super::{BlobInfo, BuiltImage, ImageError};

/// A blob may be of any type.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, */*";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// One repository of a registry, such as `P/xetl-acme/runtime`.
pub struct Registry {
    http: Client,
    base: Url,
    repository: String,
    login: Login,
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

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot reach the registry at {host}")]
    Unreachable {
        host: String,
        source: reqwest::Error,
    },
    #[error("the registry at {host} refused {repository} ({status}): {message}")]
    Refused {
        host: String,
        repository: String,
        status: u16,
        message: String,
    },
    #[error("the registry at {host} answered {status} to {step}: {message}")]
    Answer {
        host: String,
        step: &'static str,
        status: u16,
        message: String,
    },
    #[error("the registry at {host} asks for credentials in a way xetl does not know")]
    Challenge { host: String },
    #[error("the registry at {host} wants the credentials sent to {realm}, which is not safe")]
    Realm { host: String, realm: String },
    #[error("cannot get a token for the registry")]
    Token(#[source] TokenError),
    #[error("the registry at {host} answered {step} without saying {what}")]
    Incomplete {
        host: String,
        step: &'static str,
        what: &'static str,
    },
    #[error("the registry at {host} keeps the manifest as {found}, not as {expected}")]
    OtherDigest {
        host: String,
        expected: String,
        found: String,
    },
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Registry {
    /// `base` is scheme, host and port: `https://R-docker.pkg.dev`, `http://127.0.0.1:PORT`.
    pub fn new(http: Client, base: Url, repository: &str, login: Login) -> Registry {
        Registry {
            http,
            base,
            repository: repository.to_owned(),
            login,
            authorization: Mutex::new(None),
            patience: ExponentialBuilder::default()
                .with_min_delay(Duration::from_secs(1))
                .with_factor(3.0)
                .with_max_times(2)
                .with_jitter(),
        }
    }

    /// Pushes what is missing; `tag` moves only once the manifest is there.
    pub async fn push(
        &self,
        image: &BuiltImage,
        tag: Option<&str>,
    ) -> Result<Pushed, RegistryError> {
        let mut sent = 0;
        if self.manifest_digest(&image.digest).await?.is_none() {
            let config = image.config_info();
            sent += self.push_blob(&image.layer, || image.layer_bytes()).await?;
            sent += self.push_blob(&config, || Ok(image.config.clone())).await?;
            self.put_manifest(&image.digest, image).await?;
            sent += image.manifest.len() as u64;
        }
        if let Some(tag) = tag
            && self.manifest_digest(tag).await?.as_deref() != Some(&image.digest)
        {
            self.put_manifest(tag, image).await?;
        }
        Ok(Pushed {
            digest: image.digest.clone(),
            sent,
        })
    }

    /// The digest the registry keeps under a tag or digest, if any.
    pub async fn manifest_digest(&self, reference: &str) -> Result<Option<String>, RegistryError> {
        let path = format!("manifests/{reference}");
        let found = self.find("HEAD of the manifest", &path).await?;
        // The header is optional in the specification; a digest that was asked for is the answer.
        let asked = reference.starts_with("sha256:").then_some(reference);
        Ok(found.and_then(|reply| {
            let digest = reply.headers().get("docker-content-digest");
            let digest = digest.and_then(|digest| digest.to_str().ok());
            digest.or(asked).map(str::to_owned)
        }))
    }

    async fn put_manifest(&self, reference: &str, image: &BuiltImage) -> Result<(), RegistryError> {
        let url = self.url(&format!("manifests/{reference}"));
        let put = || async {
            let request = self
                .http
                .put(url.clone())
                .header(CONTENT_TYPE, MANIFEST)
                .body(image.manifest.clone());
            let reply = self.send("PUT of the manifest", request).await?;
            self.good(reply, "PUT of the manifest").await
        };
        self.patiently(put).await?;
        match self.manifest_digest(reference).await? {
            Some(found) if found == image.digest => Ok(()),
            found => Err(RegistryError::OtherDigest {
                host: self.host(),
                expected: image.digest.clone(),
                found: found.unwrap_or_else(|| "nothing".to_owned()),
            }),
        }
    }

    /// Sends a blob unless it is there; returns how many bytes it took.
    async fn push_blob(
        &self,
        blob: &BlobInfo,
        bytes: impl FnOnce() -> Result<Bytes, ImageError>,
    ) -> Result<u64, RegistryError> {
        if self.has_blob(blob).await? {
            return Ok(0);
        }
        let bytes = bytes()?;
        self.patiently(|| self.upload(blob, bytes.clone())).await?;
        Ok(blob.size)
    }

    async fn has_blob(&self, blob: &BlobInfo) -> Result<bool, RegistryError> {
        let path = format!("blobs/{}", blob.digest);
        Ok(self.find("HEAD of a blob", &path).await?.is_some())
    }

    /// The reply to a HEAD, or `None` where the registry has no such thing.
    async fn find(
        &self,
        step: &'static str,
        path: &str,
    ) -> Result<Option<Response>, RegistryError> {
        self.patiently(|| async {
            let head = self.http.head(self.url(path)).header(ACCEPT, ACCEPTED);
            let reply = self.send(step, head).await?;
            match reply.status() {
                StatusCode::NOT_FOUND => Ok(None),
                _ => self.good(reply, step).await.map(Some),
            }
        })
        .await
    }

    /// One upload, whole: a start that names a place, and the bytes put there.
    async fn upload(&self, blob: &BlobInfo, bytes: Bytes) -> Result<(), RegistryError> {
        let start = self.http.post(self.url("blobs/uploads/")).body("");
        let reply = self.send("the start of an upload", start).await?;
        let reply = self.good(reply, "the start of an upload").await?;
        let place = self.place(&reply, blob)?;
        let put = self
            .http
            .put(place)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(bytes);
        let reply = self.send("the upload", put).await?;
        self.good(reply, "the upload").await?;
        Ok(())
    }

    /// `Location` as it is given, relative or absolute, with its own query kept.
    fn place(&self, reply: &Response, blob: &BlobInfo) -> Result<Url, RegistryError> {
        let location = reply.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let mut place = location
            .and_then(|location| reply.url().join(location).ok())
            .ok_or_else(|| self.incomplete("the start of an upload", "where to send it"))?;
        place.query_pairs_mut().append_pair("digest", &blob.digest);
        Ok(place)
    }

    /// Sends with what the registry took last; answers its challenge once.
    async fn send(
        &self,
        step: &'static str,
        request: RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let again = request.try_clone();
        let reply = self.send_once(request).await?;
        let (StatusCode::UNAUTHORIZED, Some(again)) = (reply.status(), again) else {
            return Ok(reply);
        };
        if !self.is_ours(reply.url()) {
            return self.good(reply, step).await;
        }
        let authorization = self.answer(&reply).await?;
        *self.authorization.lock().await = Some(authorization);
        self.send_once(again).await
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|source| self.unreachable(source))?;
        // An upload's place may be on another host, which must not see the credentials.
        if self.is_ours(request.url())
            && let Some(authorization) = self.authorization.lock().await.as_ref()
            && let Ok(mut value) = authorization
                .expose_secret()
                .parse::<reqwest::header::HeaderValue>()
        {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        client
            .execute(request)
            .await
            .map_err(|source| self.unreachable(source))
    }

    async fn answer(&self, reply: &Response) -> Result<SecretString, RegistryError> {
        let headers = reply.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenge = Challenge::choose(headers.filter_map(|header| header.to_str().ok()))
            .ok_or_else(|| RegistryError::Challenge { host: self.host() })?;
        match challenge {
            Challenge::Basic => match self.login.basic().await.map_err(RegistryError::Token)? {
                Some(basic) => Ok(basic.header()),
                None => {
                    Err(self.refused(StatusCode::UNAUTHORIZED, "it wants a user and a password"))
                }
            },
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                self.token(&realm, service.as_deref(), scope.as_deref())
                    .await
            }
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<SecretString, RegistryError> {
        let realm = self.safe_realm(realm)?;
        // Pull and push at once: a token for the first request serves the whole push.
        let wanted = format!("repository:{}:pull,push", self.repository);
        let mut scopes = vec![wanted.as_str()];
        if let Some(scope) = scope.filter(|scope| *scope != wanted) {
            scopes.insert(0, scope);
        }
        let mut request = self.http.get(token_url(&realm, service, &scopes));
        if let Some(basic) = self.login.basic().await.map_err(RegistryError::Token)? {
            request = request.header(AUTHORIZATION, basic.header().expose_secret());
        }
        let reply = request
            .send()
            .await
            .map_err(|source| self.unreachable(source))?;
        let reply = self.good(reply, "the request for a token").await?;
        let token: Option<TokenReply> = reply.json().await.ok();
        token
            .and_then(TokenReply::header)
            .ok_or_else(|| self.incomplete("the request for a token", "the token"))
    }

    /// A realm may be another host (Docker Hub's is), but never one that is spoken to in the
    /// clear, and a Google token is only for Google's registry itself.
    fn safe_realm(&self, realm: &str) -> Result<Url, RegistryError> {
        let safe = |url: &Url| match self.login {
            Login::Google(_) => self.is_ours(url),
            _ => self.is_ours(url) || url.scheme() == "https",
        };
        Url::parse(realm)
            .ok()
            .filter(safe)
            .ok_or_else(|| RegistryError::Realm {
                host: self.host(),
                realm: realm.to_owned(),
            })
    }

    async fn patiently<T, F>(&self, step: impl FnMut() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        step.retry(self.patience)
            .when(RegistryError::may_pass)
            .await
    }

    async fn good(&self, reply: Response, step: &'static str) -> Result<Response, RegistryError> {
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let message = message(&reply.bytes().await.unwrap_or_default());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                self.refused(status, &message)
            }
            _ => RegistryError::Answer {
                host: self.host(),
                step,
                status: status.as_u16(),
                message,
            },
        })
    }

    fn incomplete(&self, step: &'static str, what: &'static str) -> RegistryError {
        RegistryError::Incomplete {
            host: self.host(),
            step,
            what,
        }
    }

    fn refused(&self, status: StatusCode, message: &str) -> RegistryError {
        RegistryError::Refused {
            host: self.host(),
            repository: self.repository.clone(),
            status: status.as_u16(),
            message: message.to_owned(),
        }
    }

    /// Upload addresses may be signed, so errors name the host alone.
    fn unreachable(&self, source: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable {
            host: self.host(),
            source: source.without_url(),
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.repository));
        url
    }

    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    fn host(&self) -> String {
        self.base[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
    }
}

impl RegistryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            // A missing repository, a disabled API and a missing role look alike from here.
            RegistryError::Refused { .. } => Some(
                "does the repository exist, and may you push to it (roles/artifactregistry.writer)?"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// Whether the same request may go through a moment later.
    fn may_pass(&self) -> bool {
        match self {
            RegistryError::Unreachable { .. } => true,
            RegistryError::Answer { status, .. } => {
                matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
            }
            _ => false,
        }
    }
}

/// The registry's own words, where it has some.
fn message(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["errors"][0];
    let words = [&error["code"], &error["message"]].map(|word| word.as_str().unwrap_or(""));
    match words {
        ["", ""] => "it gives no reason".to_owned(),
        [code, ""] => code.to_owned(),
        ["", message] => message.to_owned(),
        [code, message] => format!("{code}: {message}"),
    }
}

#[cfg(test)]
mod tests;
