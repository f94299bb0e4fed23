//! Who a request is from: what an authenticator adds to it.

mod jwt;
mod legacy;
mod oauth;
mod rotation;
mod session;
mod signing;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::python;
use super::request::{Options, RequestOption};
use super::shared::Shared;
use super::template::{Scope, Template, TemplateError};
use jwt::Jwt;
use legacy::Legacy;
pub use legacy::Login;
pub use oauth::{OAuth, Rotating};
pub use rotation::Rotation;
use session::Session;

pub enum Authenticator {
    None,
    Key(RequestOption, Token),
    Bearer(Token),
    Basic(Template, Template),
    OAuth(Arc<OAuth>),
    Jwt(Box<Jwt>),
    Legacy(Box<Legacy>),
    /// Signs each request by itself, when it is whole.
    Rotating(Arc<Rotation>),
}

/// Where a token comes from.
pub enum Token {
    Text(Template),
    Session(Box<Session>),
    /// A session's token within a text.
    Around(Box<Session>, Template),
}

impl Authenticator {
    /// The authenticator of a requester; without one, none.
    pub fn open(
        requester: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Authenticator, SourceError> {
        match requester.child("authenticator") {
            Some(component) => open(&component, requester, shared),
            None => Ok(Authenticator::None),
        }
    }

    /// What this authenticator adds to a new request.
    ///
    /// The reference asks for the token more than once on the way; with a session
    /// that does not last, each asking is a login.
    pub async fn options(&self, shared: &Shared) -> Result<Options, SourceError> {
        match self {
            Authenticator::Key(option, token) => {
                let times = if option.is_header() { 6 } else { 1 };
                let token = token.ask(times, shared).await?;
                // Headers are masked by their names.
                if !option.is_header() && shared.is_watched() {
                    shared.redactor.hide(&token);
                }
                injected(option, token, &shared.scope)
            }
            Authenticator::Jwt(jwt) => {
                injected(&jwt.option, jwt.token(&shared.scope)?, &shared.scope)
            }
            Authenticator::Bearer(_) | Authenticator::Legacy(_) | Authenticator::OAuth(_) => {
                self.headers(shared).await?;
                self.headers(shared).await.map(with_headers)
            }
            _ => self.headers(shared).await.map(with_headers),
        }
    }

    /// The headers for another attempt at the same request; what is not in a header stays.
    pub async fn headers(&self, shared: &Shared) -> Result<Object, SourceError> {
        let scope = &shared.scope;
        match self {
            Authenticator::None | Authenticator::Rotating(_) => Ok(Object::default()),
            Authenticator::Key(option, _) if !option.is_header() => Ok(Object::default()),
            Authenticator::Key(option, token) => {
                let token = token.ask(3, shared).await?;
                Ok(injected(option, token, scope)?.headers)
            }
            Authenticator::Bearer(token) => {
                let token = token.ask(1, shared).await?;
                Ok(header("Authorization", format!("Bearer {token}")))
            }
            Authenticator::Basic(username, password) => {
                let pair = basic(username, password, scope).map_err(problem)?;
                Ok(header("Authorization", pair))
            }
            Authenticator::OAuth(oauth) => {
                let token = oauth.token(shared).await?;
                Ok(header("Authorization", format!("Bearer {token}")))
            }
            Authenticator::Jwt(jwt) => Ok(injected(&jwt.option, jwt.token(scope)?, scope)?.headers),
            Authenticator::Legacy(legacy) => {
                let (name, token) = legacy.header(shared).await?;
                Ok(header(&name, token))
            }
        }
    }
}

impl Token {
    /// The token, asked for so many times; the last answer counts.
    async fn ask(&self, times: u32, shared: &Shared) -> Result<String, SourceError> {
        let (session, around) = match self {
            Token::Text(template) => return template.text(&shared.scope).map_err(problem),
            Token::Session(session) => (session, None),
            Token::Around(session, template) => (session, Some(template)),
        };
        let mut token = session.token(shared).await?;
        for _ in 1..times {
            token = session.token(shared).await?;
        }
        match around {
            Some(template) => {
                let scope = shared.scope.clone();
                let scope = scope.with("session_token", minijinja::Value::from(token));
                template.text(&scope).map_err(problem)
            }
            None => Ok(token),
        }
    }
}

fn open(
    component: &Component<'_>,
    requester: &Component<'_>,
    shared: &Arc<Shared>,
) -> Result<Authenticator, SourceError> {
    Ok(match component.kind() {
        "NoAuth" => Authenticator::None,
        "ApiKeyAuthenticator" => api_key(component)?,
        "BearerAuthenticator" => {
            Authenticator::Bearer(Token::Text(component.need_template("api_token")?))
        }
        "BasicHttpAuthenticator" => Authenticator::Basic(
            component.need_template("username")?,
            component.template_or("password", "")?,
        ),
        "OAuthAuthenticator" => Authenticator::OAuth(OAuth::open(component, shared)?),
        "JwtAuthenticator" => Authenticator::Jwt(Box::new(Jwt::open(component)?)),
        "SessionTokenAuthenticator" => session(component, shared)?,
        "LegacySessionTokenAuthenticator" => {
            let base = requester.text("url").filter(|url| !url.is_empty());
            let base = base.or(requester.text("url_base")).unwrap_or_default();
            Authenticator::Legacy(Box::new(Legacy::open(component, base)?))
        }
        "RateLimitedMultipleTokenAuthenticator" => {
            Authenticator::Rotating(Rotation::open(component, shared)?)
        }
        "SelectiveAuthenticator" => open(&select(component, shared)?, requester, shared)?,
        _ => return Err(component.unknown("an authenticator")),
    })
}

fn api_key(component: &Component<'_>) -> Result<Authenticator, SourceError> {
    let option = match (
        component.child("inject_into"),
        component.template("header")?,
    ) {
        (Some(option), None) => RequestOption::open(&option)?,
        (None, Some(header)) => RequestOption::header(header),
        _ => return Err(component.error("one of `inject_into` and `header` is needed")),
    };
    let token = component.template_or("api_token", "")?;
    Ok(Authenticator::Key(option, Token::Text(token)))
}

fn session(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Authenticator, SourceError> {
    let session = Box::new(Session::open(component, shared)?);
    let used = component.need("request_authentication")?;
    Ok(match used.kind() {
        "Bearer" => Authenticator::Bearer(Token::Session(session)),
        "ApiKey" => {
            let template = used.text("api_token").filter(|text| !text.is_empty());
            let template = component.compile(template.unwrap_or("{{ session_token }}"))?;
            let option = RequestOption::open(&used.need("inject_into")?)?;
            Authenticator::Key(option, Token::Around(session, template))
        }
        _ => return Err(used.unknown("Bearer or ApiKey")),
    })
}

/// The authenticator that the config's value at a path names.
fn select<'m>(component: &Component<'m>, shared: &Shared) -> Result<Component<'m>, SourceError> {
    let path = component.field("authenticator_selection_path");
    let path = path.and_then(|path| path.as_array()).into_iter().flatten();
    let path: Vec<&str> = path.filter_map(|key| key.as_str()).collect();
    let shown = path.join(".");
    let chosen = shared
        .config
        .at(&path)
        .ok_or_else(|| component.error(format!("the config has no `{shown}`")))?;
    let name = python::text(&Value::from(chosen));
    component
        .need("authenticators")?
        .child(&name)
        .ok_or_else(|| component.error(format!("`{shown}` is `{name}`, which is no authenticator")))
}

fn injected(option: &RequestOption, token: String, scope: &Scope) -> Result<Options, SourceError> {
    let mut options = Options::default();
    option
        .inject(&mut options, Value::String(token), scope)
        .map_err(problem)?;
    Ok(options)
}

fn basic(username: &Template, password: &Template, scope: &Scope) -> Result<String, TemplateError> {
    let pair = format!("{}:{}", username.text(scope)?, password.text(scope)?);
    Ok(format!("Basic {}", STANDARD.encode(pair)))
}

fn header(name: &str, value: String) -> Object {
    Object::from_iter([(name.to_owned(), Value::String(value))])
}

fn with_headers(headers: Object) -> Options {
    Options {
        headers,
        ..Options::default()
    }
}

fn problem(error: TemplateError) -> SourceError {
    SourceError::Config {
        at: "authenticator".to_owned(),
        problem: error.to_string(),
    }
}
