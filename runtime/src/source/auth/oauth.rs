//! OAuth 2: access tokens asked for when needed, by one asker at a time, and
//! rotated refresh tokens stored before the access token that came with them is used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use tokio::sync::Mutex;

use crate::source::component::Component;
use crate::source::moment::{Moment, Span};
use crate::source::request::{form_text, with_params};
use crate::source::shared::Shared;
use crate::source::template::{Accept, TemplateError};
use crate::source::{isoparse, json, python};
use crate::stream::SourceError;
use crate::value::{Object, Value};

/// A token this young was rejected for what it asks, not for its age.
const FRESH: Duration = Duration::from_secs(60);
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
/// An endpoint nobody answers at is more likely a wrong address than a short outage.
const GIVE_UP_CONNECTING_AFTER: Duration = Duration::from_secs(30);
/// Where the token is, in replies that wrap it.
const DEEPEST: usize = 5;

/// Everything that makes two authenticators the same.
#[derive(PartialEq)]
struct Settings {
    endpoint: Option<String>,
    /// The request's fields, but for the refresh token.
    form: Object,
    headers: Vec<(String, String)>,
    in_query: bool,
    refresh_name: String,
    access_name: String,
    expires_name: String,
    expires_is_a_date: bool,
    /// Where the config keeps the refresh token, if it rotates.
    rotates_at: Option<Vec<String>>,
    final_statuses: Vec<u16>,
    final_key: String,
    final_values: Vec<String>,
}

/// One set of credentials and its current tokens.
pub struct OAuth {
    settings: Settings,
    tokens: Mutex<Tokens>,
    first_refresh: Option<String>,
}

struct Tokens {
    access: Option<SecretString>,
    expires: Option<Moment>,
    obtained: Option<Instant>,
    refresh: Option<SecretString>,
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("OAuth")
            .field("endpoint", &self.settings.endpoint)
            .finish_non_exhaustive()
    }
}

impl OAuth {
    /// The holder for these settings: an existing one, where another stream has the same.
    pub fn open(component: &Component<'_>, shared: &Shared) -> Result<Arc<OAuth>, SourceError> {
        component.unsupported(&["profile_assertion"])?;
        let opened = open(component, shared)?;
        let mut known = shared
            .oauths
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let same = known.iter().find(|oauth| {
            oauth.settings == opened.settings && oauth.first_refresh == opened.first_refresh
        });
        if let Some(same) = same {
            return Ok(same.clone());
        }
        let opened = Arc::new(opened);
        known.push(opened.clone());
        Ok(opened)
    }

    /// A token that has not expired.
    pub async fn token(&self, shared: &Shared) -> Result<String, SourceError> {
        let mut tokens = self.tokens.lock().await;
        if self.settings.endpoint.is_some() && tokens.expired(Moment::now()) {
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
        if self.settings.endpoint.is_none() {
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
        let access =
            find(&reply, &self.settings.access_name, 0).filter(|token| python::truth(token));
        let access = access.map(python::text).ok_or_else(|| {
            SourceError::Credentials(format!(
                "the token endpoint's reply has no `{}`",
                self.settings.access_name
            ))
        })?;
        shared.redactor.hide(&access);
        self.keep_refresh_token(&reply, tokens, shared).await?;
        tokens.expires = self.expiry(&reply, tokens);
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
        let Some(path) = &self.settings.rotates_at else {
            return Ok(());
        };
        let Some(token) = find(reply, &self.settings.refresh_name, 0).and_then(Value::as_str)
        else {
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
        shared
            .secrets
            .store(path, &token)
            .await
            .map_err(|error| SourceError::Store {
                field: path.join("."),
                problem: error.to_string(),
            })
    }

    fn expiry(&self, reply: &Value, tokens: &Tokens) -> Option<Moment> {
        let now = Moment::now();
        let said = match find(reply, &self.settings.expires_name, 0) {
            Some(value) if self.settings.expires_is_a_date => isoparse::parse(&python::text(value)),
            Some(value) => python::text(value)
                .trim()
                .parse()
                .ok()
                .and_then(|seconds: f64| {
                    now.plus(Span {
                        months: 0,
                        micros: (seconds.trunc() * 1e6) as i64,
                    })
                }),
            None => tokens.expires.filter(|expires| *expires >= now),
        };
        let hour = Span {
            months: 0,
            micros: 3_600_000_000,
        };
        said.or_else(|| now.plus(hour))
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
        let endpoint = self.settings.endpoint.clone().unwrap_or_default();
        let request = self.request(&endpoint, tokens, shared)?;
        let sent = async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.bytes().await?))
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
        let reason = decoded
            .as_ref()
            .ok()
            .and_then(|body| body.get("error")?.as_str());
        let reason = shared.redactor.clean(reason.unwrap_or("no reason given"));
        if status == 429 || status >= 500 {
            return Ok(Err(SourceError::Response {
                method: "POST".to_owned(),
                url: endpoint,
                status,
                message: reason,
            }));
        }
        let known = self.is_refusal(status, decoded.as_ref().ok());
        Err(SourceError::Credentials(match known {
            true => format!(
                "{endpoint} answered {status}: {reason}. The refresh token is invalid, expired or \
                 already used: sign in again and set the new one"
            ),
            false => format!("{endpoint} answered {status}: {reason}"),
        }))
    }

    fn is_refusal(&self, status: u16, body: Option<&Value>) -> bool {
        let value = body.and_then(|body| body.get(&self.settings.final_key)?.as_str());
        self.settings.final_statuses.contains(&status)
            && value.is_some_and(|value| {
                self.settings
                    .final_values
                    .iter()
                    .any(|known| known == value)
            })
    }

    fn request(
        &self,
        endpoint: &str,
        tokens: &Tokens,
        shared: &Shared,
    ) -> Result<reqwest::RequestBuilder, SourceError> {
        let mut form = self.settings.form.clone();
        if let Some(refresh) = &tokens.refresh {
            let token = Value::from(refresh.expose_secret());
            form.insert(self.settings.refresh_name.clone(), token);
        }
        let mut request = match self.settings.in_query {
            true => {
                let url = with_params(endpoint, &form).map_err(at_endpoint)?;
                shared.client.post(url)
            }
            false => shared
                .client
                .post(endpoint)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form_text(&form)),
        };
        for (name, value) in &self.settings.headers {
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

fn at_endpoint(problem: String) -> SourceError {
    SourceError::Config {
        at: "token_refresh_endpoint".to_owned(),
        problem,
    }
}

fn unreachable(url: String, error: reqwest::Error) -> SourceError {
    SourceError::Unreachable {
        url,
        problem: crate::source::requester::causes(&error.without_url()),
    }
}

/// The first field of this name, on any level.
fn find<'v>(value: &'v Value, name: &str, depth: usize) -> Option<&'v Value> {
    if depth > DEEPEST {
        return None;
    }
    match value {
        Value::Object(fields) => fields.get(name).or_else(|| {
            let mut values = fields.values();
            values.find_map(|value| find(value, name, depth + 1))
        }),
        Value::Array(values) => values.iter().find_map(|value| find(value, name, depth + 1)),
        _ => None,
    }
}

fn open(component: &Component<'_>, shared: &Shared) -> Result<OAuth, SourceError> {
    let fields = Fields { component, shared };
    let updater = component.child("refresh_token_updater");
    let endpoint = match component.template("token_refresh_endpoint")? {
        Some(template) => Some(fields.said(template.text(&shared.scope))?),
        None => None,
    };
    let headers = fields.mapping("refresh_request_headers")?;
    let grant = fields.text_or("grant_type", "refresh_token")?;
    let rotates_at = updater
        .as_ref()
        .map(|updater| path(updater, "refresh_token_config_path", "refresh_token"));
    let refresh = match &rotates_at {
        Some(path) => shared
            .config
            .at(path)
            .and_then(Json::as_str)
            .map(str::to_owned),
        None => fields.optional("refresh_token")?,
    };
    if grant == "refresh_token" && refresh.is_none() && endpoint.is_some() {
        return Err(component.error(match &rotates_at {
            Some(path) => format!("the config has no `{}`", path.join(".")),
            None => "`refresh_token` is needed for the grant `refresh_token`".to_owned(),
        }));
    }
    let in_header = headers.contains_key("Authorization");
    let form = fields.form(&grant, !in_header, updater.is_some())?;
    let refusal = updater
        .as_ref()
        .filter(|it| it.field("refresh_token_error_key").is_some());
    let (final_statuses, final_key, final_values) = refusals(refusal.unwrap_or(component));
    let refresh_name = match &updater {
        Some(updater) => updater
            .text("refresh_token_name")
            .unwrap_or("refresh_token")
            .to_owned(),
        None => fields.text_or("refresh_token_name", "refresh_token")?,
    };
    let tokens = fields.first_tokens(updater.as_ref(), refresh.as_deref())?;
    Ok(OAuth {
        settings: Settings {
            endpoint,
            form,
            headers: headers
                .iter()
                .map(|(name, value)| (name.clone(), python::text(value)))
                .collect(),
            in_query: component.flag("send_refresh_request_as_query_params"),
            refresh_name,
            access_name: fields.text_or("access_token_name", "access_token")?,
            expires_name: fields.text_or("expires_in_name", "expires_in")?,
            expires_is_a_date: component.field("token_expiry_date_format").is_some(),
            rotates_at,
            final_statuses,
            final_key,
            final_values,
        },
        tokens: Mutex::new(tokens),
        first_refresh: refresh,
    })
}

/// A path of the updater; the reference looks into `credentials` by default.
fn path(updater: &Component<'_>, name: &str, default: &str) -> Vec<String> {
    let path = updater.field(name).and_then(Json::as_array);
    match path {
        Some(path) => path
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect(),
        None => vec!["credentials".to_owned(), default.to_owned()],
    }
}

fn refusals(component: &Component<'_>) -> (Vec<u16>, String, Vec<String>) {
    let list = |name: &str| component.field(name).and_then(Json::as_array).cloned();
    let statuses = list("refresh_token_error_status_codes").map_or(vec![400], |codes| {
        let codes = codes.iter().filter_map(Json::as_u64);
        codes.filter_map(|code| u16::try_from(code).ok()).collect()
    });
    let key = component.text("refresh_token_error_key").unwrap_or("error");
    let values = list("refresh_token_error_values").map_or_else(
        || vec!["invalid_grant".to_owned(), "invalid_permissions".to_owned()],
        |values| {
            values
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect()
        },
    );
    (statuses, key.to_owned(), values)
}

/// The component's fields, evaluated with the config.
struct Fields<'a, 'm> {
    component: &'a Component<'m>,
    shared: &'a Shared,
}

impl Fields<'_, '_> {
    fn said<T>(&self, value: Result<T, TemplateError>) -> Result<T, SourceError> {
        value.map_err(|error| self.component.error(error.to_string()))
    }

    fn text_or(&self, name: &str, default: &str) -> Result<String, SourceError> {
        let template = self.component.template_or(name, default)?;
        self.said(template.text(&self.shared.scope))
    }

    fn optional(&self, name: &str) -> Result<Option<String>, SourceError> {
        match self.component.template(name)? {
            Some(template) => {
                let text = self.said(template.text(&self.shared.scope))?;
                Ok(Some(text).filter(|text| !text.is_empty()))
            }
            None => Ok(None),
        }
    }

    fn mapping(&self, name: &str) -> Result<Object, SourceError> {
        let mut mapping = Object::new();
        let fields = self.component.field(name).and_then(Json::as_object);
        for (key, value) in fields.into_iter().flatten() {
            let scope = &self.shared.scope;
            let key = self.said(self.component.compile(key)?.entry(scope, Accept::Text))?;
            let value = match value {
                Json::String(text) => {
                    self.said(self.component.compile(text)?.entry(scope, Accept::Any))?
                }
                other => Value::from(other),
            };
            mapping.insert(python::text(&key), value);
        }
        Ok(mapping)
    }

    /// The request's fields but the refresh token, in the reference's order of precedence.
    fn form(&self, grant: &str, with_client: bool, updater: bool) -> Result<Object, SourceError> {
        let mut form = Object::new();
        form.insert(self.text_or("grant_type_name", "grant_type")?, grant.into());
        if with_client {
            let id = self.credential("client_id", updater)?.ok_or_else(|| {
                self.component
                    .error("`client_id` is empty; set it in the config")
            })?;
            form.insert(
                self.text_or("client_id_name", "client_id")?,
                Value::String(id),
            );
            let secret = self
                .credential("client_secret", updater)?
                .unwrap_or_default();
            let name = self.text_or("client_secret_name", "client_secret")?;
            form.insert(name, Value::String(secret));
        }
        if let Some(scopes) = self
            .component
            .field("scopes")
            .filter(|scopes| **scopes != Json::Array(vec![]))
        {
            form.insert("scopes".to_owned(), Value::from(scopes));
        }
        for (key, value) in self.mapping("refresh_request_body")? {
            form.entry(key).or_insert(value);
        }
        Ok(form)
    }

    /// With an updater the reference prefers the config's `credentials`.
    fn credential(&self, name: &str, updater: bool) -> Result<Option<String>, SourceError> {
        let stored = self.shared.config.at(&["credentials", name]);
        match stored.and_then(Json::as_str).filter(|_| updater) {
            Some(stored) => Ok(Some(stored.to_owned())),
            None => self.optional(name),
        }
    }

    fn first_tokens(
        &self,
        updater: Option<&Component<'_>>,
        refresh: Option<&str>,
    ) -> Result<Tokens, SourceError> {
        let (access, expires) = match updater {
            Some(updater) => {
                let at = |name: &str, default: &str| {
                    let value = self.shared.config.at(&path(updater, name, default));
                    value.and_then(Json::as_str).map(str::to_owned)
                };
                (
                    at("access_token_config_path", "access_token"),
                    at("token_expiry_date_config_path", "token_expiry_date"),
                )
            }
            None => (
                self.optional("access_token_value")?,
                self.optional("token_expiry_date")?,
            ),
        };
        let access = access.filter(|access| !access.is_empty());
        if let Some(access) = &access {
            self.shared.redactor.hide(access);
        }
        Ok(Tokens {
            access: access.map(SecretString::from),
            expires: expires.and_then(|date| isoparse::parse(&date)),
            obtained: None,
            refresh: refresh.map(SecretString::from),
        })
    }
}
