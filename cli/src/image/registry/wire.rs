//! One request to a registry: sent with what it took last, its challenge answered, tried again.

use backon::Retryable;
use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Registry, RegistryError};
use crate::image::auth::{Challenge, Login, TokenReply, bearer, token_form, token_url};
use crate::patience::retry_after;

/// Where a token comes from, and whom it is for.
struct Desk<'a> {
    realm: Url,
    service: Option<&'a str>,
    scope: Option<&'a str>,
}

impl Registry {
    /// Sends with what the registry took last; answers its challenge once.
    pub(super) async fn send(
        &self,
        step: &'static str,
        request: RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let again = request.try_clone();
        let reply = self.send_once(request).await?;
        if reply.status() != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        if !self.is_ours(reply.url()) {
            return self.good(reply, step).await;
        }
        let authorization = self.answer(&reply).await?;
        *self.authorization.lock().await = Some(authorization);
        match again {
            Some(again) => self.send_once(again).await,
            // Its body was a stream, which is spent.
            None => Err(RegistryError::SignedInAnew {
                host: self.host(),
                step,
            }),
        }
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|source| self.unreachable(source))?;
        // An upload's place may be on another host, which must not see the credentials.
        if self.is_ours(request.url())
            && let Some(authorization) = self.authorization.lock().await.as_ref()
            && let Ok(mut value) = authorization.expose_secret().parse::<HeaderValue>()
        {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let reply = client.execute(request).await;
        reply.map_err(|source| self.unreachable(source))
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
            Challenge::Bearer { .. } if let Login::Bearer(token) = &self.login => Ok(bearer(token)),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let desk = Desk {
                    realm: self.safe_realm(&realm)?,
                    service: service.as_deref(),
                    scope: scope.as_deref(),
                };
                self.token(&desk).await
            }
        }
    }

    /// A token for all this registry is asked for; without the neighbours' part where they
    /// spoil the request.
    async fn token(&self, desk: &Desk<'_>) -> Result<SecretString, RegistryError> {
        let own = self.scopes(desk.scope);
        let neighbours = self.neighbours.iter();
        let all: Vec<String> = own
            .iter()
            .cloned()
            .chain(neighbours.map(|name| format!("repository:{name}:pull")))
            .collect();
        match self.ask(desk, &all).await {
            Err(RegistryError::Refused { .. } | RegistryError::Answer { .. })
                if all.len() > own.len() =>
            {
                self.ask(desk, &own).await
            }
            answer => answer,
        }
    }

    /// Pull and push at once: a token for the first request serves the whole push.
    fn scopes(&self, challenged: Option<&str>) -> Vec<String> {
        let actions = if self.pushing { "pull,push" } else { "pull" };
        let wanted = format!("repository:{}:{actions}", self.repository);
        let mut scopes: Vec<String> = challenged
            .filter(|scope| *scope != wanted)
            .map(str::to_owned)
            .into_iter()
            .collect();
        scopes.push(wanted);
        scopes
    }

    async fn ask(&self, desk: &Desk<'_>, scopes: &[String]) -> Result<SecretString, RegistryError> {
        let step = "the request for a token";
        let request = match &self.login {
            Login::Identity(token) => {
                let form = token_form(desk.service, scopes, token);
                self.http.post(desk.realm.clone()).form(&form)
            }
            login => {
                let request = self.http.get(token_url(&desk.realm, desk.service, scopes));
                match login.basic().await.map_err(RegistryError::Token)? {
                    Some(basic) => request.header(AUTHORIZATION, basic.header().expose_secret()),
                    None => request,
                }
            }
        };
        let reply = request.send().await;
        let reply = reply.map_err(|source| self.unreachable(source))?;
        let reply = self.good(reply, step).await?;
        let token: Option<TokenReply> = reply.json().await.ok();
        token
            .and_then(TokenReply::header)
            .ok_or_else(|| self.incomplete(step, "the token"))
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

    pub(super) async fn patiently<T, F>(&self, step: impl FnMut() -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        step.retry(self.patience)
            .when(RegistryError::may_pass)
            .adjust(RegistryError::patience)
            .await
    }

    pub(super) async fn good(
        &self,
        reply: Response,
        step: &'static str,
    ) -> Result<Response, RegistryError> {
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let after = retry_after(reply.headers());
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
                after,
            },
        })
    }

    pub(super) fn incomplete(&self, step: &'static str, what: &'static str) -> RegistryError {
        RegistryError::Incomplete {
            host: self.host(),
            step,
            what,
        }
    }

    pub(super) fn refused(&self, status: StatusCode, message: &str) -> RegistryError {
        RegistryError::Refused {
            host: self.host(),
            repository: self.repository.clone(),
            status: status.as_u16(),
            message: message.to_owned(),
            pushing: self.pushing,
        }
    }

    /// Upload addresses may be signed, so errors name the host alone.
    pub(super) fn unreachable(&self, source: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable {
            host: self.host(),
            source: source.without_url(),
        }
    }

    pub(super) fn url(&self, path: &str) -> Url {
        self.url_of(&self.repository, path)
    }

    pub(super) fn url_of(&self, repository: &str, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{repository}/{path}"));
        url
    }

    pub(super) fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    pub fn host(&self) -> String {
        self.base[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
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
