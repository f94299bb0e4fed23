//! How a registry asks who is there, and what it is answered.
//!
//! The registry names in `WWW-Authenticate` what it wants: Basic, or a Bearer
//! token from an address (`realm`) that itself takes Basic. Nothing here sends.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// Gives a fresh Google access token.
pub type TokenProvider =
    Arc<dyn Fn() -> BoxFuture<'static, Result<SecretString, TokenError>> + Send + Sync>;
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

/// Who pushes.
#[derive(Clone)]
pub enum Login {
    Anonymous,
    Basic(Basic),
    /// A token that gives tokens, as `docker login` keeps for some registries.
    Identity(SecretString),
    /// A token that is shown to the registry as it is, made by somebody else.
    Bearer(SecretString),
    /// Artifact Registry's: user `oauth2accesstoken`, the password an access token.
    Google(TokenProvider),
}

#[derive(Debug, Clone)]
pub struct Basic {
    pub user: String,
    pub password: SecretString,
}

impl Basic {
    /// The `Authorization` header's value.
    pub fn header(&self) -> SecretString {
        let pair = format!("{}:{}", self.user, self.password.expose_secret());
        format!("Basic {}", STANDARD.encode(pair)).into()
    }
}

impl Login {
    pub async fn basic(&self) -> Result<Option<Basic>, TokenError> {
        Ok(match self {
            Login::Anonymous | Login::Identity(_) | Login::Bearer(_) => None,
            Login::Basic(basic) => Some(basic.clone()),
            Login::Google(token) => Some(Basic {
                user: "oauth2accesstoken".to_owned(),
                password: token().await?,
            }),
        })
    }
}

/// What `WWW-Authenticate` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The challenge this crate can answer among those of a reply, a token before a password.
    pub fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
        let challenges: Vec<_> = headers.filter_map(Challenge::parse).collect();
        let bearer = challenges
            .iter()
            .find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        bearer.or(challenges.first()).cloned()
    }

    fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let mut take = |name: &str| {
            let at = parameters.iter().position(|(key, _)| key == name)?;
            Some(parameters.swap_remove(at).1)
        };
        Some(Challenge::Bearer {
            realm: take("realm")?,
            service: take("service"),
            scope: take("scope"),
        })
    }
}

/// `a="b,c", d=e` as pairs; commas within quotes belong to the value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        let key = key.trim_matches([' ', ',']).to_ascii_lowercase();
        pairs.push((key, value.to_owned()));
        rest = after;
    }
    pairs
}

/// The address that gives a token for these scopes.
pub fn token_url(realm: &Url, service: Option<&str>, scopes: &[String]) -> Url {
    let mut url = realm.clone();
    if let Some(service) = service {
        url.query_pairs_mut().append_pair("service", service);
    }
    for scope in scopes {
        url.query_pairs_mut().append_pair("scope", scope);
    }
    url
}

/// The form that gives a token for these scopes to who has an identity token (OAuth 2).
pub fn token_form(
    service: Option<&str>,
    scopes: &[String],
    identity: &SecretString,
) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("grant_type", "refresh_token".to_owned()),
        ("client_id", "xetl".to_owned()),
        ("refresh_token", identity.expose_secret().to_owned()),
        ("scope", scopes.join(" ")),
    ];
    if let Some(service) = service {
        form.push(("service", service.to_owned()));
    }
    form
}

/// What the realm answers; either name is in use.
#[derive(Deserialize)]
pub struct TokenReply {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
}

impl TokenReply {
    /// The `Authorization` header's value.
    pub fn header(self) -> Option<SecretString> {
        Some(bearer(&self.token.or(self.access_token)?))
    }
}

/// The `Authorization` header's value for a token.
pub fn bearer(token: &SecretString) -> SecretString {
    format!("Bearer {}", token.expose_secret()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_realm_service_and_scope() {
        let header = r#"Bearer realm="https://r.dev/v2/token",service="r.dev",scope="repository:p/i:pull,push""#;
        assert_eq!(
            Challenge::choose([header].into_iter()),
            Some(Challenge::Bearer {
                realm: "https://r.dev/v2/token".to_owned(),
                service: Some("r.dev".to_owned()),
                scope: Some("repository:p/i:pull,push".to_owned()),
            })
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let headers = ["Basic realm=\"r\"", "bearer realm=https://r.dev/token"];
        let chosen = Challenge::choose(headers.into_iter());
        assert!(
            matches!(chosen, Some(Challenge::Bearer { realm, .. }) if realm == "https://r.dev/token")
        );
        assert_eq!(
            Challenge::choose(headers[..1].iter().copied()),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::choose(["Negotiate"].into_iter()), None);
    }

    #[test]
    fn the_token_address_keeps_the_realms_own_query() {
        let realm = Url::parse("https://r.dev/token?account=a").unwrap();
        let url = token_url(
            &realm,
            Some("r.dev"),
            &["repository:p/i:pull,push".to_owned()],
        );
        assert_eq!(
            url.as_str(),
            "https://r.dev/token?account=a&service=r.dev&scope=repository%3Ap%2Fi%3Apull%2Cpush"
        );
    }

    #[test]
    fn an_identity_token_is_sent_as_a_refresh_token() {
        let scopes = ["a".to_owned(), "b".to_owned()];
        let form = token_form(Some("r.dev"), &scopes, &"secret".into());
        assert!(form.contains(&("refresh_token", "secret".to_owned())));
        assert!(form.contains(&("scope", "a b".to_owned())));
    }

    #[test]
    fn a_password_is_not_shown() {
        let basic = Basic {
            user: "me".to_owned(),
            password: "hunter2".into(),
        };
        assert!(!format!("{basic:?} {:?}", basic.header()).contains("hunter2"));
    }
}
