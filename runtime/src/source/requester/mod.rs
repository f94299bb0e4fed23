//! Sends one request until it is answered or final: authentication, budget, retries.
//!
//! What a request holds is put together in `inputs`, what follows from a reply is
//! decided in `judge`; only `wire` speaks to the network.

mod body;
mod cache;
mod inputs;
mod judge;
mod kept;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::auth::Authenticator;
use super::component::Component;
use super::error_handler::{Action, ErrorHandler};
use super::request::{Options, form_text, with_params};
use super::response::Response;
use super::retries::{Cause, Retries};
use super::shared::{PARK_AFTER, Shared};
use super::template::{Scope, quote_plus};
use super::watch::Seen;
use super::{json_text, python, usage};
pub use cache::Cache;
use inputs::{InputError, Inputs};
pub use wire::Outgoing;
pub use wire::causes;
use wire::{Wire, WireError};

/// One endpoint, with everything its requests need.
pub struct Requester {
    at: String,
    /// Of the stream this is for, which keeps its replies apart from those of others.
    stream: String,
    cached: bool,
    method: Method,
    inputs: Inputs,
    authenticator: Authenticator,
    errors: ErrorHandler,
    wire: Wire,
    shared: Arc<Shared>,
}

/// A request on its way, and how often it was sent.
struct Attempt {
    outgoing: Outgoing,
    /// The address as people may see it.
    shown: String,
    number: u32,
    refreshed: bool,
}

/// What a request came to.
pub enum Answer {
    Page(Box<Response>),
    /// The pages of the slice begin anew.
    Reset,
    /// The same page is wanted smaller; with what the error handler says of it.
    Smaller(Option<String>),
    /// The slice is too large to ask for at once.
    Split(Option<String>),
}

/// Seconds before a request goes out with another token.
const ROTATION_WAIT: f64 = 0.1;

/// What to do after an attempt.
enum Next {
    Done(Answer),
    Again(Cause, SourceError),
    Stop(SourceError),
}

impl Requester {
    pub fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Requester, SourceError> {
        Requester::of_stream(component, "", shared)
    }

    /// The requester of a stream's pages.
    pub fn of_stream(
        component: &Component<'_>,
        stream: &str,
        shared: &Arc<Shared>,
    ) -> Result<Requester, SourceError> {
        if component.kind() != "HttpRequester" {
            return Err(component.unknown("HttpRequester"));
        }
        let method = component.text("http_method").unwrap_or("GET");
        let errors = component.child("error_handler");
        Ok(Requester {
            at: component.at.clone(),
            stream: stream.to_owned(),
            cached: component.flag("use_cache"),
            method: Method::from_bytes(method.to_uppercase().as_bytes())
                .map_err(|_| component.error(format!("`{method}` is no HTTP method")))?,
            inputs: Inputs::open(component)?,
            authenticator: Authenticator::open(component, shared)?,
            errors: ErrorHandler::open(errors.as_ref(), &shared.scope)?,
            wire: Wire::open(component, shared)?,
            shared: shared.clone(),
        })
    }

    /// Sends the request made of the manifest's fields in `scope` and `more` options.
    ///
    /// A reply that is an error by its status and was ignored comes back as it is.
    pub async fn send(
        &self,
        scope: &Scope,
        path: Option<&str>,
        more: Vec<Options>,
    ) -> Result<Response, SourceError> {
        match self.ask(scope, path, more).await? {
            Answer::Page(response) => Ok(*response),
            Answer::Reset | Answer::Smaller(_) | Answer::Split(_) => Err(self.problem(
                "an error handler's action about pages is for a SimpleRetriever's own requests"
                    .to_owned(),
            )),
        }
    }

    /// As `send`, for one who knows what to do about pages.
    pub async fn ask(
        &self,
        scope: &Scope,
        path: Option<&str>,
        more: Vec<Options>,
    ) -> Result<Answer, SourceError> {
        if self.shared.is_offline() {
            return Err(self.problem(
                "a replay asks the source for nothing, and this is not among the pages that were kept"
                    .to_owned(),
            ));
        }
        let mut attempt = self.first_attempt(scope, path, more).await?;
        self.sign(&mut attempt.outgoing).await?;
        let cache = &self.shared.cache;
        let place = match self.cached {
            true => cache.place(&self.stream, &attempt.outgoing),
            false => None,
        };
        let Some(place) = place else {
            return self.persist(attempt).await;
        };
        let mut kept = place.lock().await;
        if let Some(response) = kept.as_ref().and_then(|kept| kept.response()) {
            return Ok(Answer::Page(Box::new(response)));
        }
        let answer = self.persist(attempt).await?;
        if let Answer::Page(response) = &answer {
            *kept = cache.pack(response);
        }
        Ok(answer)
    }

    /// Sends until there is an answer or no sense in going on.
    async fn persist(&self, mut attempt: Attempt) -> Result<Answer, SourceError> {
        let mut retries = Retries::new(self.errors.max_retries, Instant::now());
        loop {
            retries.sent += 1;
            attempt.number = retries.sent;
            let (cause, error) = match self.attempt(&mut attempt).await? {
                Next::Done(answer) => return Ok(answer),
                Next::Stop(error) => return Err(error),
                Next::Again(cause, error) => (cause, error),
            };
            let Some(wait) = retries.after(cause, Instant::now()) else {
                return Err(error);
            };
            if wait > PARK_AFTER {
                return Err(SourceError::Parked { retry_after: wait });
            }
            tracing::info!(%error, seconds = wait.as_secs_f64(), "trying again");
            self.shared.usages.note(&self.stream, |usage| {
                usage.retries += 1;
                usage.waited += wait;
            });
            tokio::time::sleep(wait).await;
            let headers = self.authenticator.headers(&self.shared).await?;
            self.set_headers(&mut attempt.outgoing.headers, &headers)?;
            self.sign(&mut attempt.outgoing).await?;
        }
    }

    /// Adds what an authenticator says of this very request.
    async fn sign(&self, outgoing: &mut Outgoing) -> Result<(), SourceError> {
        let Authenticator::Rotating(rotation) = &self.authenticator else {
            return Ok(());
        };
        let headers = outgoing.header_texts();
        let call = outgoing.call(&headers);
        let (name, value) = rotation.take(call, &self.shared).await?;
        let header = HeaderName::from_bytes(name.as_bytes());
        outgoing.secret_headers.extend(header);
        let header = Object::from_iter([(name, Value::String(value))]);
        self.set_headers(&mut outgoing.headers, &header)
    }

    async fn first_attempt(
        &self,
        scope: &Scope,
        path: Option<&str>,
        more: Vec<Options>,
    ) -> Result<Attempt, SourceError> {
        let said = |error: InputError| self.problem(error.to_string());
        let address = self.inputs.address(scope, path).map_err(said)?;
        let own = self.inputs.options(scope).map_err(said)?;
        let auth = self.authenticator.options(&self.shared).await?;
        let mut all = vec![own, auth.clone()];
        all.extend(more);
        let options = Options::combine(all).map_err(|problem| self.problem(problem))?;
        let url =
            with_params(&address, &options.params).map_err(|problem| self.problem(problem))?;
        Ok(Attempt {
            shown: self.shown(&url, &auth),
            outgoing: self.outgoing(&url, &options, &auth)?,
            number: 0,
            refreshed: false,
        })
    }

    /// The address without what the authenticator and the config's secrets put in it.
    fn shown(&self, url: &str, auth: &Options) -> String {
        let secrets = auth.params.values().map(python::text);
        let secrets = secrets.filter(|secret| !secret.is_empty());
        let url = self.shared.redactor.clean(url);
        secrets.fold(url, |url, secret| url.replace(&quote_plus(&secret), "****"))
    }

    fn outgoing(
        &self,
        url: &str,
        options: &Options,
        auth: &Options,
    ) -> Result<Outgoing, SourceError> {
        let url = Url::parse(url).map_err(|error| {
            let url = self.shown(url, auth);
            self.problem(format!("`{url}`: {error}"))
        })?;
        let (body, content_type) = body(options);
        let body = body.filter(|_| takes_body(&self.method));
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type.filter(|_| body.is_some()) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        self.set_headers(&mut headers, &options.headers)?;
        let text = body.as_deref().map(String::from_utf8_lossy);
        Ok(Outgoing {
            method: self.method.clone(),
            url,
            secret_headers: self.secret_headers(&headers, auth),
            secret_body: !auth.form.is_empty()
                || !auth.json.is_empty()
                || text.is_some_and(|text| self.is_secret(&text)),
            headers,
            body,
        })
    }

    /// The authenticator's headers, and those with a secret of the config.
    fn secret_headers(&self, headers: &HeaderMap, auth: &Options) -> Vec<HeaderName> {
        let is_secret = |name: &HeaderName, value: &HeaderValue| {
            let mut own = auth.headers.keys();
            own.any(|own| own.eq_ignore_ascii_case(name.as_str()))
                || sounds_secret(name.as_str())
                || self.is_secret(&String::from_utf8_lossy(value.as_bytes()))
        };
        let secret = headers
            .iter()
            .filter(|(name, value)| is_secret(name, value));
        secret.map(|(name, _)| name.clone()).collect()
    }

    fn is_secret(&self, text: &str) -> bool {
        self.shared.redactor.clean(text) != text
    }

    fn set_headers(&self, headers: &mut HeaderMap, fields: &Object) -> Result<(), SourceError> {
        for (name, value) in fields {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| self.problem(format!("`{name}` is no name of a header")))?;
            let value = HeaderValue::try_from(python::text(value))
                .map_err(|_| self.problem(format!("the header `{name}` has a line break")))?;
            headers.insert(header, value);
        }
        Ok(())
    }

    async fn attempt(&self, attempt: &mut Attempt) -> Result<Next, SourceError> {
        let token = attempt.outgoing.headers.get("authorization").cloned();
        let response = match self.exchange(&attempt.outgoing).await? {
            Ok(response) => response,
            Err(WireError::Network(problem)) => return self.unreachable(attempt, problem),
            Err(WireError::Final(problem)) => {
                let url = attempt.shown.clone();
                return Ok(Next::Stop(SourceError::Unreachable { url, problem }));
            }
        };
        let resolution = self
            .errors
            .resolve(&response, &self.shared.scope)
            .map_err(|error| self.problem(error.to_string()))?;
        let forced = resolution.action == Action::RefreshTokenThenRetry;
        let refusal = response.status == 401 && resolution.action == Action::Fail;
        if (forced || refusal) && !attempt.refreshed {
            attempt.refreshed = self.replace_token(token, forced).await?;
            if attempt.refreshed {
                let error = self.failure(&response, &attempt.shown, &resolution);
                return Ok(Next::Again(Cause::Token, error));
            }
        }
        if resolution.action == Action::RateLimited && self.can_rotate(&attempt.outgoing).await {
            let error = self.failure(&response, &attempt.shown, &resolution);
            return Ok(Next::Again(Cause::Asked(ROTATION_WAIT), error));
        }
        self.judge(response, &resolution, attempt)
    }

    /// Whether another token has calls left where this request's has none.
    async fn can_rotate(&self, outgoing: &Outgoing) -> bool {
        let Authenticator::Rotating(rotation) = &self.authenticator else {
            return false;
        };
        let headers = outgoing.header_texts();
        rotation.has_other(outgoing.call(&headers)).await
    }

    async fn replace_token(
        &self,
        used: Option<HeaderValue>,
        forced: bool,
    ) -> Result<bool, SourceError> {
        let (Authenticator::OAuth(oauth), Some(used)) = (&self.authenticator, used) else {
            return Ok(false);
        };
        let used = String::from_utf8_lossy(used.as_bytes()).into_owned();
        let refused = used.trim_start_matches("Bearer ");
        oauth.replace(refused, forced, &self.shared).await
    }

    /// One exchange with the source, when its budget allows.
    async fn exchange(
        &self,
        outgoing: &Outgoing,
    ) -> Result<Result<Response, WireError>, SourceError> {
        let headers = outgoing.header_texts();
        let call = outgoing.call(&headers);
        let _permit = self.shared.enter(call, &self.stream).await?;
        let usages = &self.shared.usages;
        usages.note(&self.stream, |usage| usage.requests += 1);
        let response = self.wire.exchange(outgoing.clone()).await;
        if let Ok(response) = &response {
            self.shared.learn(call, response);
            let left = usage::told(response).into_iter();
            let left = left.chain(self.shared.calls_left(call)).min();
            usages.note(&self.stream, |usage| {
                usage.received += response.body.len() as u64;
                usage.left = left;
            });
            if let Authenticator::Rotating(rotation) = &self.authenticator {
                rotation.learn(call, response).await;
            }
            self.shared
                .tell(|redactor| Seen::of(outgoing, response, redactor));
        }
        Ok(response)
    }

    fn problem(&self, problem: String) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&problem),
        }
    }
}

/// The scope of a request that is for no slice and no page.
pub fn bare(scope: &Scope) -> Scope {
    let nothing = || minijinja::Value::from(());
    let mut scope = scope.clone();
    for name in [
        "stream_slice",
        "stream_partition",
        "stream_interval",
        "next_page_token",
    ] {
        scope.set(name, nothing());
    }
    scope
}

/// Whether a header is, by its name, for one host alone.
fn sounds_secret(name: &str) -> bool {
    let words = [
        "auth",
        "cookie",
        "credential",
        "key",
        "password",
        "secret",
        "session",
        "signature",
        "token",
    ];
    words.iter().any(|word| name.contains(word))
}

fn takes_body(method: &Method) -> bool {
    [Method::GET, Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// The body and its type, where it has one.
fn body(options: &Options) -> (Option<Vec<u8>>, Option<&'static str>) {
    if let Some(text) = &options.text {
        return (Some(text.clone().into_bytes()), None);
    }
    if !options.form.is_empty() {
        let form = form_text(&options.form).into_bytes();
        return (Some(form), Some("application/x-www-form-urlencoded"));
    }
    if !options.json.is_empty() {
        let json = json_text::object(&options.json, json_text::SPACED).into_bytes();
        return (Some(json), Some("application/json"));
    }
    (None, None)
}
