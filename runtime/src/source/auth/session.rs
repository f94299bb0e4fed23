//! A session's token: obtained by a login request of the manifest, kept while it lasts.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::source::component::Component;
use crate::source::decoder::Decoder;
use crate::source::dpath::{self, Step};
use crate::source::moment::{Moment, Span};
use crate::source::python;
use crate::source::requester::{Requester, bare};
use crate::source::response::Response;
use crate::source::shared::Shared;
use crate::stream::SourceError;
use crate::value::Value;

pub struct Session {
    login: Requester,
    decoder: Decoder,
    path: Vec<Step>,
    /// The path as people may read it.
    shown: String,
    /// Without it every asking logs in.
    lasts: Option<Span>,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: SecretString,
    until: Moment,
}

impl Session {
    pub fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Session, SourceError> {
        let lasts = match component.text("expiration_duration") {
            Some(text) => Some(Span::parse(text).ok_or_else(|| {
                component.error(format!(
                    "`expiration_duration: {text}` is no ISO 8601 duration"
                ))
            })?),
            None => None,
        };
        let path = component.need("session_token_path")?;
        let path = path.json().as_array().into_iter().flatten();
        let keys = path.clone().map(|key| python::text(&Value::from(key)));
        let path_text = keys.collect::<Vec<_>>().join(".");
        Ok(Session {
            login: Requester::open(&component.need("login_requester")?, shared)?,
            decoder: Decoder::open(component.child("decoder").as_ref())?,
            path: path.map(|key| Step::of(&Value::from(key))).collect(),
            shown: path_text,
            lasts,
            held: Mutex::new(None),
        })
    }

    /// The session's token; boxed, as the login is a request that may have an authenticator itself.
    pub fn token<'a>(&'a self, shared: &'a Shared) -> BoxFuture<'a, Result<String, SourceError>> {
        async move {
            let Some(lasts) = self.lasts else {
                return self.login(shared).await;
            };
            let mut held = self.held.lock().await;
            if let Some(held) = held.as_ref().filter(|held| held.until >= Moment::now()) {
                return Ok(held.token.expose_secret().to_owned());
            }
            let token = self.login(shared).await?;
            let now = Moment::now();
            *held = Some(Held {
                token: SecretString::from(token.as_str()),
                until: now.plus(lasts).unwrap_or(now),
            });
            Ok(token)
        }
        .boxed()
    }

    async fn login(&self, shared: &Shared) -> Result<String, SourceError> {
        let response = self
            .login
            .send(&bare(&shared.scope), None, Vec::new())
            .await?;
        let token = self.find(&response).ok_or_else(|| {
            SourceError::Credentials(format!("the login's reply has no `{}`", self.shown))
        })?;
        // Tokens that do not last would be too many to keep in mind.
        if self.lasts.is_some() || shared.is_watched() {
            shared.redactor.hide(&token);
        }
        Ok(token)
    }

    fn find(&self, response: &Response) -> Option<String> {
        let reply = self.decoder.first(response);
        let token = dpath::get(&reply, &self.path)?;
        (*token != Value::Null).then(|| python::text(token))
    }
}
