//! OAuth 2: access tokens asked for when needed, by one asker at a time, and
//! rotated refresh tokens stored before the access token that came with them is used.

mod reply;
mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::source::component::Component;
use crate::source::moment::Moment;
use crate::source::request::{form_text, with_params};
use crate::source::requester::causes;
use crate::source::shared::Shared;
use crate::source::watch::Seen;
use crate::source::{json, python};
use crate::stream::{Fault, SourceError};
use crate::value::Value;
pub use reply::date;
use reply::{expiry, find};
use settings::{Ask, Settings, path};

/// A token this young was rejected for what it asks, not for its age.
const FRESH: Duration = Duration::from_secs(60);
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
/// An endpoint nobody answers at is more likely a wrong address than a short outage.
const GIVE_UP_CONNECTING_AFTER: Duration = Duration::from_secs(30);

/// One authenticator and its current tokens.
pub struct OAuth {
    settings: Settings,
    tokens: Arc<Mutex<Tokens>>,
}

/// Tokens that rotate are the config's: all authenticators with the same places in it share them.
pub struct Rotating {
    places: Vec<String>,
    tokens: Arc<Mutex<Tokens>>,
}

struct Tokens {
    access: Option<SecretString>,
    expires: Option<Moment>,
    obtained: Option<Instant>,
    refresh: Option<SecretString>,
}

impl OAuth {
    pub fn open(component: &Component<'_>, shared: &Shared) -> Result<Arc<OAuth>, SourceError> {
        let settings = Settings::open(component, shared)?;
        let tokens = match component.child("refresh_token_updater") {
            Some(updater) => rotating(&updater, shared)?,
            None => Arc::new(Mutex::new(first_tokens(component, shared)?)),
        };
        Ok(Arc::new(OAuth { settings, tokens }))
    }

    /// A token that has not expired.
    pub async fn token(&self, shared: &Shared) -> Result<String, SourceError> {
        let mut tokens = self.tokens.lock().await;
        if self.settings.has_endpoint() && tokens.expired(Moment::now()) {
            self.refresh(&mut tokens, shared).await?;
        }
        match &tokens.access {
            Some(access) => Ok(access.expose_secret().to_owned()),
            None => Err(SourceError::Credentials(
                "there is no access token and no `token_refresh_endpoint` to get one".to_owned(),
            )),
        }
    }

    /// Replaces a token the source refused, unless it was just obtained or is replaced
    /// already; returns whether there is another token now.
    pub async fn replace(
        &self,
        refused: &str,
        even_fresh: bool,
        shared: &Shared,
    ) -> Result<bool, SourceError> {
        if !self.settings.has_endpoint() {
            return Ok(false);
        }
        let mut tokens = self.tokens.lock().await;
        if tokens.access.as_ref().map(ExposeSecret::expose_secret) != Some(refused) {
            return Ok(true);
        }
        let fresh = tokens.obtained.is_some_and(|then| then.elapsed() < FRESH);
        if fresh && !even_fresh {
            return Ok(false);
        }
        self.refresh(&mut tokens, shared).await?;
        Ok(true)
    }

    async fn refresh(&self, tokens: &mut Tokens, shared: &Shared) -> Result<(), SourceError> {
        let reply = self.ask(tokens, shared).await?;
        let name = self.settings.access_name(shared)?;
        let access = find(&reply, &name).filter(|token| python::truth(token));
        let access = access.map(python::text).ok_or_else(|| {
            SourceError::Credentials(format!("the token endpoint's reply has no `{name}`"))
        })?;
        shared.redactor.hide(&access);
        let name = self.settings.expires_name(shared)?;
        let before = tokens.access.as_ref().and(tokens.expires);
        let is_a_date = self.settings.expires_is_a_date;
        let expires = expiry(find(&reply, &name), is_a_date, before, Moment::now());
        let expires = expires.map_err(|problem| {
            SourceError::Credentials(format!("the token endpoint's `{name}`: {problem}"))
        })?;
        self.keep_refresh_token(&reply, tokens, shared).await?;
        tokens.expires = Some(expires);
        tokens.access = Some(access.into());
        tokens.obtained = Some(Instant::now());
        tracing::debug!("obtained an access token");
        Ok(())
    }

    /// Stores a rotated refresh token. The new access token counts only afterwards.
    async fn keep_refresh_token(
        &self,
        reply: &Value,
        tokens: &mut Tokens,
        shared: &Shared,
    ) -> Result<(), SourceError> {
        let Some(path) = self.settings.rotates_at() else {
            return Ok(());
        };
        let name = self.settings.refresh_name(shared)?;
        let Some(token) = find(reply, &name).and_then(Value::as_str) else {
            return Ok(());
        };
        if tokens.refresh.as_ref().map(ExposeSecret::expose_secret) == Some(token) {
            return Ok(());
        }
        shared.redactor.hide(token);
        let token = SecretString::from(token);
        // Even if storing fails: the old token is spent, this one still works.
        tokens.refresh = Some(token.clone());
        tokens.access = None;
        let stored = shared.secrets.store(path, &token).await;
        stored.map_err(|error| SourceError::Store {
            field: path.join("."),
            problem: error.to_string(),
        })
    }

    /// Asks for a token; what may pass is tried again for a while.
    async fn ask(&self, tokens: &Tokens, shared: &Shared) -> Result<Value, SourceError> {
        let started = Instant::now();
        let mut wait = Duration::from_secs(1);
        loop {
            let error = match self.ask_once(tokens, shared).await? {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let most = match &error {
                SourceError::Unreachable { .. } => GIVE_UP_CONNECTING_AFTER,
                _ => GIVE_UP_AFTER,
            };
            if started.elapsed() + wait > most {
                return Err(error);
            }
            tracing::warn!(%error, "the token endpoint does not answer; trying again");
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    /// One request; the inner error may pass, the outer one is final.
    async fn ask_once(
        &self,
        tokens: &Tokens,
        shared: &Shared,
    ) -> Result<Result<Value, SourceError>, SourceError> {
        let rotated = tokens.refresh.as_ref().map(ExposeSecret::expose_secret);
        let ask = self.settings.ask(rotated, shared)?;
        let endpoint = shared.redactor.clean(&ask.url);
        let request = self.request(ask, shared)?;
        let sent = async {
            let request = request.build()?;
            let told = request.try_clone();
            let response = shared.client.execute(request).await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes().await?;
            if let Some(request) = told {
                shared.tell(|redactor| Seen::login(&request, (status, &headers, &body), redactor));
            }
            Ok((status, body))
        };
        let (status, body) = match sent.await {
            Ok(reply) => reply,
            Err(error) => return Ok(Err(unreachable(endpoint, error))),
        };
        let decoded = json::decode(&body);
        if status < 400 {
            return Ok(Ok(decoded.map_err(|problem| SourceError::Decode {
                url: endpoint,
                problem,
            })?));
        }
        self.refused(endpoint, status, decoded.ok().as_ref(), shared)
            .map(Err)
    }

    /// An error that may pass, or a final one.
    fn refused(
        &self,
        endpoint: String,
        status: u16,
        body: Option<&Value>,
        shared: &Shared,
    ) -> Result<SourceError, SourceError> {
        let reason = body.and_then(|body| body.get("error")?.as_str());
        let reason = shared.redactor.clean(reason.unwrap_or("no reason given"));
        if status == 429 || status >= 500 {
            return Ok(SourceError::Response {
                method: "POST".to_owned(),
                url: endpoint,
                status,
                message: reason,
                fault: Fault::Source,
            });
        }
        Err(SourceError::Credentials(
            match self.settings.refusals.are(status, body) {
                true => format!(
                    "{endpoint} answered {status}: {reason}. The refresh token is invalid, expired or \
                     already used: sign in again and set the new one"
                ),
                false => format!("{endpoint} answered {status}: {reason}"),
            },
        ))
    }

    fn request(&self, ask: Ask, shared: &Shared) -> Result<reqwest::RequestBuilder, SourceError> {
        let mut request = match self.settings.in_query {
            true => {
                let url =
                    with_params(&ask.url, &ask.form).map_err(|problem| SourceError::Config {
                        at: self.settings.at.clone(),
                        problem: shared.redactor.clean(&problem),
                    })?;
                shared.client.post(url)
            }
            false => shared.client.post(&ask.url).body(form_text(&ask.form)),
        };
        let typed = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !self.settings.in_query && !ask.headers.iter().any(typed) {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        Ok(request)
    }
}

impl Tokens {
    fn expired(&self, now: Moment) -> bool {
        self.access.is_none() || self.expires.is_none_or(|expires| now > expires)
    }
}

fn unreachable(url: String, error: reqwest::Error) -> SourceError {
    SourceError::Unreachable {
        url,
        problem: causes(&error.without_url()),
    }
}

/// The tokens of the config's places, those another stream has already rotated included.
fn rotating(updater: &Component<'_>, shared: &Shared) -> Result<Arc<Mutex<Tokens>>, SourceError> {
    let refresh = path(updater, "refresh_token_config_path", "refresh_token");
    let access = path(updater, "access_token_config_path", "access_token");
    let places = [&refresh[..], &access[..]].concat();
    let mut known = shared
        .rotating
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(same) = known.iter().find(|rotating| rotating.places == places) {
        return Ok(same.tokens.clone());
    }
    let expires = path(
        updater,
        "token_expiry_date_config_path",
        "token_expiry_date",
    );
    let text = |path: &[String]| {
        let value = shared.config.at(path).filter(|value| !value.is_null());
        value.map(|value| python::text(&Value::from(value)))
    };
    let first = text(&refresh).filter(|token| !token.is_empty());
    let first =
        first.ok_or_else(|| updater.error(format!("the config has no `{}`", refresh.join("."))));
    let tokens = Tokens::first(text(&access), text(&expires), Some(first?), shared);
    let tokens = Arc::new(Mutex::new(tokens));
    known.push(Rotating {
        places,
        tokens: tokens.clone(),
    });
    Ok(tokens)
}

fn first_tokens(component: &Component<'_>, shared: &Shared) -> Result<Tokens, SourceError> {
    let text = |name: &str| match component.template(name)? {
        Some(template) => {
            let text = template.text(&shared.scope);
            text.map(Some)
                .map_err(|error| component.error(error.to_string()))
        }
        None => Ok(None),
    };
    let (access, expires) = (text("access_token_value")?, text("token_expiry_date")?);
    if let Some(expires) = expires.as_deref().filter(|date| !date.is_empty())
        && date(expires).is_none()
    {
        return Err(component.error(format!("`token_expiry_date` is `{expires}`, no date")));
    }
    Ok(Tokens::first(access, expires, None, shared))
}

impl Tokens {
    fn first(
        access: Option<String>,
        expires: Option<String>,
        refresh: Option<String>,
        shared: &Shared,
    ) -> Tokens {
        let access = access.filter(|access| !access.is_empty());
        for token in [&access, &refresh].into_iter().flatten() {
            shared.redactor.hide(token);
        }
        Tokens {
            access: access.map(SecretString::from),
            expires: expires.and_then(|text| date(&text)),
            obtained: None,
            refresh: refresh.map(SecretString::from),
        }
    }
}
