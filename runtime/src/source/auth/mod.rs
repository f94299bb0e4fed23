//! Who a request is from: what an authenticator adds to it.

mod oauth;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::stream::SourceError;
use crate::value::Value;

use super::component::Component;
use super::request::{Options, RequestOption};
use super::shared::Shared;
use super::template::{Scope, Template, TemplateError};
pub use oauth::OAuth;

#[derive(Debug, Clone)]
pub enum Authenticator {
    None,
    Key(RequestOption, Template),
    Bearer(Template),
    Basic(Template, Template),
    OAuth(Arc<OAuth>),
}

impl Authenticator {
    pub fn open(
        component: Option<&Component<'_>>,
        shared: &Shared,
    ) -> Result<Authenticator, SourceError> {
        let Some(component) = component else {
            return Ok(Authenticator::None);
        };
        Ok(match component.kind() {
            "NoAuth" => Authenticator::None,
            "ApiKeyAuthenticator" => api_key(component)?,
            "BearerAuthenticator" => Authenticator::Bearer(component.need_template("api_token")?),
            "BasicHttpAuthenticator" => Authenticator::Basic(
                component.need_template("username")?,
                component.template_or("password", "")?,
            ),
            "OAuthAuthenticator" => Authenticator::OAuth(OAuth::open(component, shared)?),
            "SelectiveAuthenticator" => {
                let selected = select(component, shared)?;
                Authenticator::open(Some(&selected), shared)?
            }
            _ => return Err(component.unknown("an authenticator")),
        })
    }

    /// What this authenticator adds to a request now.
    pub async fn options(&self, shared: &Shared) -> Result<Options, SourceError> {
        if let Authenticator::OAuth(oauth) = self {
            let token = oauth.token(shared).await?;
            return Ok(header("Authorization", format!("Bearer {token}")));
        }
        self.static_options(&shared.scope)
            .map_err(|error| SourceError::Config {
                at: "authenticator".to_owned(),
                problem: error.to_string(),
            })
    }

    fn static_options(&self, scope: &Scope) -> Result<Options, TemplateError> {
        Ok(match self {
            Authenticator::None | Authenticator::OAuth(_) => Options::default(),
            Authenticator::Key(option, token) => {
                let mut options = Options::default();
                option.inject(&mut options, Value::String(token.text(scope)?), scope)?;
                options
            }
            Authenticator::Bearer(token) => {
                header("Authorization", format!("Bearer {}", token.text(scope)?))
            }
            Authenticator::Basic(username, password) => {
                let pair = format!("{}:{}", username.text(scope)?, password.text(scope)?);
                header("Authorization", format!("Basic {}", STANDARD.encode(pair)))
            }
        })
    }
}

fn header(name: &str, value: String) -> Options {
    let mut options = Options::default();
    options
        .headers
        .insert(name.to_owned(), Value::String(value));
    options
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
    Ok(Authenticator::Key(
        option,
        component.template_or("api_token", "")?,
    ))
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
    let name = super::python::text(&Value::from(chosen));
    component
        .need("authenticators")?
        .child(&name)
        .ok_or_else(|| component.error(format!("`{shown}` is `{name}`, which is no authenticator")))
}
