//! The older form of session tokens: one from the config if it still holds, else one by name and password.

use secrecy::{ExposeSecret, SecretString};

use crate::source::component::Component;
use crate::source::requester::causes;
use crate::source::shared::Shared;
use crate::source::template::{Scope, Template, TemplateError};
use crate::source::{json, json_text, python};
use crate::stream::SourceError;
use crate::value::{Object, Value};

#[derive(Debug, Clone)]
pub struct Legacy {
    at: String,
    base: Template,
    header: Template,
    token: Template,
    reply_key: Template,
    username: Template,
    password: Template,
    login: Template,
    validate: Template,
}

/// A login that was made, and the token it gave; all streams of a source use it.
#[derive(Debug)]
pub struct Login {
    asked: [String; 4],
    token: SecretString,
}

impl Legacy {
    /// `base` is the address of the requester this is for.
    pub fn open(component: &Component<'_>, base: &str) -> Result<Legacy, SourceError> {
        Ok(Legacy {
            at: component.at.clone(),
            base: component.compile(base)?,
            header: component.need_template("header")?,
            token: component.template_or("session_token", "")?,
            reply_key: component.template_or("session_token_response_key", "")?,
            username: component.template_or("username", "")?,
            password: component.template_or("password", "")?,
            login: component.need_template("login_url")?,
            validate: component.need_template("validate_session_url")?,
        })
    }

    /// The header and the token that goes in it.
    pub async fn header(&self, shared: &Shared) -> Result<(String, String), SourceError> {
        let fields = Filled::new(self, &shared.scope).map_err(|error| SourceError::Config {
            at: self.at.clone(),
            problem: shared.redactor.clean(&error.to_string()),
        })?;
        if !fields.token.is_empty() && fields.holds(shared).await? {
            return Ok((fields.header, fields.token));
        }
        if fields.username.is_empty() || fields.password.is_empty() {
            return Err(SourceError::Credentials(
                "the session token is not valid, and there is no username and password for another"
                    .to_owned(),
            ));
        }
        let token = fields.log_in(shared).await?;
        Ok((fields.header, token))
    }
}

/// The fields evaluated with the config.
struct Filled {
    header: String,
    token: String,
    reply_key: String,
    username: String,
    password: String,
    login: String,
    validate: String,
}

impl Filled {
    fn new(legacy: &Legacy, scope: &Scope) -> Result<Filled, TemplateError> {
        let base = legacy.base.text(scope)?;
        Ok(Filled {
            header: legacy.header.text(scope)?,
            token: legacy.token.text(scope)?,
            reply_key: legacy.reply_key.text(scope)?,
            username: legacy.username.text(scope)?,
            password: legacy.password.text(scope)?,
            login: format!("{base}{}", legacy.login.text(scope)?),
            validate: format!("{base}{}", legacy.validate.text(scope)?),
        })
    }

    /// Whether the source takes the token of the config.
    async fn holds(&self, shared: &Shared) -> Result<bool, SourceError> {
        let request = shared
            .client
            .get(&self.validate)
            .header(&self.header, &self.token);
        match answer(request, &self.validate).await? {
            (401, _) => Ok(false),
            // A redirect is not followed: it may lead to a page to log in on.
            (status, _) if status < 300 => Ok(true),
            (status, _) => Err(refused("GET", &self.validate, status)),
        }
    }

    /// Logs in once for equal credentials, however many streams ask.
    async fn log_in(&self, shared: &Shared) -> Result<String, SourceError> {
        let asked =
            [&self.login, &self.username, &self.password, &self.reply_key].map(Clone::clone);
        let mut logins = shared.logins.lock().await;
        if let Some(login) = logins.iter().find(|login| login.asked == asked) {
            return Ok(login.token.expose_secret().to_owned());
        }
        let body = Object::from_iter([
            ("username".to_owned(), Value::from(self.username.as_str())),
            ("password".to_owned(), Value::from(self.password.as_str())),
        ]);
        let request = shared
            .client
            .post(&self.login)
            .header("content-type", "application/json")
            .body(json_text::object(&body, json_text::SPACED));
        let (status, body) = answer(request, &self.login).await?;
        if status >= 300 {
            return Err(refused("POST", &self.login, status));
        }
        let reply = json::decode(&body).map_err(|problem| SourceError::Decode {
            url: self.login.clone(),
            problem,
        })?;
        let token = reply.get(&self.reply_key).map(python::text);
        let token = token.ok_or_else(|| {
            SourceError::Credentials(format!("the login's reply has no `{}`", self.reply_key))
        })?;
        shared.redactor.hide(&token);
        logins.push(Login {
            asked,
            token: SecretString::from(token.as_str()),
        });
        Ok(token)
    }
}

async fn answer(
    request: reqwest::RequestBuilder,
    url: &str,
) -> Result<(u16, bytes::Bytes), SourceError> {
    let sent = async {
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.bytes().await?))
    };
    sent.await
        .map_err(|error: reqwest::Error| SourceError::Unreachable {
            url: url.to_owned(),
            problem: causes(&error.without_url()),
        })
}

fn refused(method: &str, url: &str, status: u16) -> SourceError {
    SourceError::Credentials(format!("{method} {url} answered {status}"))
}
