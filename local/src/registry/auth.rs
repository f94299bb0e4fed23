//! Signing in to the registry: a challenge, a token endpoint, bearer tokens.
//!
//! As Artifact Registry does: user `oauth2accesstoken` with a Google access
//! token as password; the token given out is that access token.

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::call::Call;
use super::error::RegistryError;
use crate::clock;
use crate::cloud::Cloud;
use crate::identity::{Caller, TOKEN_SECONDS};
use crate::router::Request;

const USER: &str = "oauth2accesstoken";

/// Who calls, or the 401 that says where to sign in.
pub fn caller(cloud: &Cloud, headers: &HeaderMap, call: &Call) -> Result<Caller, Box<Response>> {
    credentials(headers)
        .and_then(|token| cloud.bearer(&token))
        .ok_or_else(|| Box::new(challenge(&cloud.endpoint, call)))
}

/// `GET /v2/token`: gives a bearer token for credentials that are good.
pub fn token(cloud: &Cloud, request: &Request) -> Result<Response, RegistryError> {
    let token = credentials(&request.headers)
        .filter(|token| cloud.bearer(token).is_some())
        .ok_or_else(|| {
            RegistryError::unauthorized(format!(
                "sign in as `{USER}` with an access token as password"
            ))
        })?;
    Ok(Json(json!({
        "token": token,
        "access_token": token,
        "expires_in": TOKEN_SECONDS,
        "issued_at": clock::now(),
    }))
    .into_response())
}

/// The token of `Bearer` or of `Basic oauth2accesstoken`.
fn credentials(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers
        .get("authorization")?
        .to_str()
        .ok()?
        .split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    (scheme.eq_ignore_ascii_case("basic") && user == USER).then(|| password.to_owned())
}

fn challenge(endpoint: &str, call: &Call) -> Response {
    let service = endpoint.trim_start_matches("http://");
    let mut challenge = format!("Bearer realm=\"{endpoint}/v2/token\",service=\"{service}\"");
    if let Some(name) = call.name() {
        let actions = if call.is_push() { "push,pull" } else { "pull" };
        challenge.push_str(&format!(",scope=\"repository:{name}:{actions}\""));
    }
    let mut response = RegistryError::unauthorized("Unauthenticated request.").into_response();
    if let Ok(value) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Name;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::header::AUTHORIZATION,
            HeaderValue::from_str(authorization).unwrap(),
        )])
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_password() {
        assert_eq!(credentials(&headers("Bearer t")).as_deref(), Some("t"));
        let basic = format!("Basic {}", STANDARD.encode("oauth2accesstoken:t"));
        assert_eq!(credentials(&headers(&basic)).as_deref(), Some("t"));
        let other = format!("Basic {}", STANDARD.encode("somebody:t"));
        assert_eq!(credentials(&headers(&other)), None);
    }

    #[test]
    fn the_challenge_names_realm_and_scope() {
        let call = Call::StartUpload(Name::parse("p/r/i").unwrap());
        let response = challenge("http://127.0.0.1:1", &call);
        insta::assert_snapshot!(
            response.headers()[WWW_AUTHENTICATE].to_str().unwrap(),
            @r#"Bearer realm="http://127.0.0.1:1/v2/token",service="127.0.0.1:1",scope="repository:p/r/i:push,pull""#
        );
    }
}
