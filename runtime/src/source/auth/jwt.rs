//! JSON Web Tokens made and signed from the manifest's claims, anew for each request.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use minijinja::value::{Value as Shown, ValueKind};
use serde_json::Value as Json;

use crate::source::component::Component;
use crate::source::json_text::{self, COMPACT};
use crate::source::mapping::Mapping;
use crate::source::moment::Moment;
use crate::source::request::RequestOption;
use crate::source::template::{Accept, Scope, Template, TemplateError, to_template};
use crate::source::{json, python};
use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::signing;

/// Names that `additional_jwt_headers` and `additional_jwt_payload` may not have.
const OWN_HEADERS: [&str; 4] = ["kid", "alg", "typ", "cty"];
const OWN_CLAIMS: [&str; 6] = ["iss", "sub", "aud", "iat", "exp", "nbf"];
const DEFAULT_DURATION: i64 = 1200;

/// What a token says and who signs it.
#[derive(Debug, Clone)]
pub struct Jwt {
    at: String,
    key: Template,
    passphrase: Option<Template>,
    encode_key: bool,
    algorithm: String,
    seconds: i64,
    prefix: Option<Template>,
    headers: Vec<(&'static str, Template)>,
    more_headers: Mapping,
    claims: Vec<(&'static str, Template)>,
    more_claims: Mapping,
    pub option: RequestOption,
}

impl Jwt {
    pub fn open(component: &Component<'_>) -> Result<Jwt, SourceError> {
        let option = match component.child("request_option") {
            Some(option) => RequestOption::open(&option)?,
            None => RequestOption::header(component.compile("Authorization")?),
        };
        let set = |names: &[&'static str], parent: &str, default: &[(&'static str, &str)]| {
            open_named(component, parent, names, default)
        };
        let algorithm = component.text("algorithm").unwrap_or_default();
        Ok(Jwt {
            at: component.at.clone(),
            key: component.need_template("secret_key")?,
            passphrase: component.template("passphrase")?,
            encode_key: component.flag("base64_encode_secret_key"),
            algorithm: algorithm.to_owned(),
            seconds: component
                .field("token_duration")
                .and_then(Json::as_i64)
                .unwrap_or(DEFAULT_DURATION),
            prefix: component.template("header_prefix")?,
            headers: set(&["kid", "typ", "cty"], "jwt_headers", &[("typ", "JWT")])?,
            more_headers: Mapping::open(component, "additional_jwt_headers")?,
            claims: set(&["iss", "sub", "aud"], "jwt_payload", &[])?,
            more_claims: Mapping::open(component, "additional_jwt_payload")?,
            option,
        })
    }

    /// A token for now, with the prefix if there is one.
    pub fn token(&self, scope: &Scope) -> Result<String, SourceError> {
        self.signed(scope, Moment::now())
            .map_err(|problem| SourceError::Config {
                at: self.at.clone(),
                problem,
            })
    }

    fn signed(&self, scope: &Scope, now: Moment) -> Result<String, String> {
        let scope = scope.clone().with("json_loads", json_loads());
        let said = |error: TemplateError| error.to_string();
        let headers = self.headers(&scope)?;
        let claims = self.claims(&scope, now)?;
        let part = |fields| URL_SAFE_NO_PAD.encode(json_text::object(&fields, COMPACT));
        let message = format!("{}.{}", part(headers), part(claims));
        let passphrase = optional(self.passphrase.as_ref(), &scope).map_err(said)?;
        let key = self.key.text(&scope).map_err(said)?;
        let key = match self.encode_key && passphrase.is_none() {
            true => STANDARD.encode(key),
            false => key,
        };
        let signature = signing::signature(
            &self.algorithm,
            &key,
            passphrase.as_deref(),
            message.as_bytes(),
        )?;
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(
            match optional(self.prefix.as_ref(), &scope).map_err(said)? {
                Some(prefix) => format!("{prefix} {token}"),
                None => token,
            },
        )
    }

    fn headers(&self, scope: &Scope) -> Result<Object, String> {
        let mut headers = values(&self.more_headers, scope)?;
        refuse(&headers, &OWN_HEADERS, "additional_jwt_headers")?;
        named(&self.headers, scope, &mut headers)?;
        require_text(&headers, "kid")?;
        headers.insert("alg".to_owned(), Value::from(self.algorithm.as_str()));
        headers
            .entry("typ".to_owned())
            .or_insert_with(|| Value::from("JWT"));
        headers.retain(|name, value| name != "typ" || python::truth(value));
        headers.sort_keys();
        Ok(headers)
    }

    fn claims(&self, scope: &Scope, now: Moment) -> Result<Object, String> {
        let mut claims = values(&self.more_claims, scope)?;
        refuse(&claims, &OWN_CLAIMS, "additional_jwt_payload")?;
        named(&self.claims, scope, &mut claims)?;
        require_text(&claims, "iss")?;
        let now = now.at.as_second();
        for (name, time) in [("iat", now), ("exp", now + self.seconds), ("nbf", now)] {
            claims.insert(name.to_owned(), Value::Int(time));
        }
        Ok(claims)
    }
}

/// The named fields of a mapping that have a text, or a default where nothing is said.
fn open_named(
    component: &Component<'_>,
    parent: &str,
    names: &[&'static str],
    default: &[(&'static str, &str)],
) -> Result<Vec<(&'static str, Template)>, SourceError> {
    let fields = component.field(parent);
    let mut found = Vec::new();
    for name in names {
        let known = default.iter().find(|(known, _)| known == name);
        let text = match fields.and_then(|fields| fields.get(*name)) {
            Some(Json::String(text)) => Some(text.as_str()),
            Some(_) => None,
            None => known.map(|(_, text)| *text),
        };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            found.push((*name, component.compile(text)?));
        }
    }
    Ok(found)
}

fn named(
    fields: &[(&'static str, Template)],
    scope: &Scope,
    into: &mut Object,
) -> Result<(), String> {
    for (name, template) in fields {
        let value = template.value(scope).map_err(|error| error.to_string())?;
        into.insert((*name).to_owned(), value);
    }
    Ok(())
}

fn values(mapping: &Mapping, scope: &Scope) -> Result<Object, String> {
    mapping
        .values(scope, Accept::Any)
        .map_err(|error| error.to_string())
}

fn refuse(fields: &Object, reserved: &[&str], at: &str) -> Result<(), String> {
    match reserved.iter().find(|name| fields.contains_key(**name)) {
        Some(name) => Err(format!("`{name}` is a name of its own, not for `{at}`")),
        None => Ok(()),
    }
}

fn require_text(fields: &Object, name: &str) -> Result<(), String> {
    match fields.get(name) {
        None | Some(Value::String(_)) => Ok(()),
        Some(other) => Err(format!(
            "`{name}` is {}, which is no text; quote it twice to keep it one",
            python::text(other)
        )),
    }
}

fn optional(template: Option<&Template>, scope: &Scope) -> Result<Option<String>, TemplateError> {
    let text = template.map(|template| template.text(scope)).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// `json_loads(text)`, which only these templates have.
fn json_loads() -> Shown {
    Shown::from_function(|text: Shown| -> Result<Shown, minijinja::Error> {
        let error =
            |problem: String| minijinja::Error::new(minijinja::ErrorKind::CannotUnpack, problem);
        match text.as_str() {
            Some(text) => json::decode(text.as_bytes())
                .map(|value| to_template(&value))
                .map_err(|problem| error(format!("json_loads: {problem}"))),
            None if text.kind() == ValueKind::Map => Ok(text),
            None => Err(error("json_loads needs a text".to_owned())),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signed(extra: Json) -> Result<String, String> {
        let mut component = json!({"type": "JwtAuthenticator", "algorithm": "HS256",
            "secret_key": "{{ json_loads(config.file)['key'] }}", "token_duration": 60});
        component
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let jwt = Jwt::open(&Component::new(&component, "here")).unwrap();
        let file = r#"{"key": "secret", "id": "7"}"#;
        let scope = Scope::new(minijinja::context! { file => file });
        let now = Moment::utc("2024-01-01T00:00:00Z".parse().unwrap());
        jwt.signed(&scope, now)
    }

    fn shown(token: &str) -> String {
        let parts = token
            .split('.')
            .take(2)
            .map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap());
        parts.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_token_says_what_the_manifest_does() {
        let token = signed(json!({
            "jwt_headers": {"kid": "k1"}, "jwt_payload": {"iss": "me"},
            "additional_jwt_payload": {"scope": "{{ config.file | length }}", "deep": {"a": "{{ b }}"}},
        }));
        insta::assert_snapshot!(shown(&token.unwrap()), @r#"
        {"alg":"HS256","kid":"k1","typ":"JWT"}
        {"scope":28,"deep":{"a":"{{ b }}"},"iss":"me","iat":1704067200,"exp":1704067260,"nbf":1704067200}
        "#);
    }

    #[test]
    fn a_prefix_stands_before_the_token() {
        let token = signed(json!({"header_prefix": "Bearer"})).unwrap();
        assert!(token.starts_with("Bearer ey"), "{token}");
    }

    #[test]
    fn reserved_names_and_numbers_as_issuer_are_refused() {
        let claim = signed(json!({"additional_jwt_payload": {"exp": 1}})).unwrap_err();
        assert!(claim.contains("`exp`"), "{claim}");
        let issuer = json!({"jwt_payload": {"iss": "{{ json_loads(config.file).id }}"}});
        let issuer = signed(issuer).unwrap_err();
        assert!(issuer.contains("no text"), "{issuer}");
    }
}
