//! What the manifest says of an OAuth authenticator, and the request for a token it makes.

use serde_json::Value as Json;

use crate::source::component::Component;
use crate::source::mapping::Mapping;
use crate::source::python;
use crate::source::shared::Shared;
use crate::source::template::{Accept, Template, TemplateError};
use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::super::jwt::Jwt;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub struct Settings {
    pub at: String,
    endpoint: Option<Template>,
    grant_name: Template,
    grant: Template,
    client: [Credential; 2],
    refresh_name: Template,
    refresh: Refresh,
    access_name: Template,
    expires_name: Template,
    pub expires_is_a_date: bool,
    scopes: Option<Value>,
    body: Mapping,
    headers: Mapping,
    pub in_query: bool,
    assertion: Option<Jwt>,
    pub refusals: Refusals,
}

/// The client's id or secret: its name in the request and where it comes from.
struct Credential {
    name: Template,
    value: Option<Template>,
    /// With an updater the config's `credentials` come first.
    of_config: Option<String>,
}

enum Refresh {
    None,
    Text(Template),
    /// It rotates; the config has the first one at this path.
    At(Vec<String>),
}

/// Replies that mean that the refresh token is spent.
pub struct Refusals {
    statuses: Vec<u16>,
    key: String,
    values: Vec<String>,
}

/// A request for a token.
pub struct Ask {
    pub url: String,
    pub form: Object,
    pub headers: Vec<(String, String)>,
}

impl Settings {
    pub fn open(component: &Component<'_>, shared: &Shared) -> Result<Settings, SourceError> {
        let updater = component.child("refresh_token_updater");
        let assertion = match component.child("profile_assertion") {
            Some(jwt) if updater.is_none() && component.flag("use_profile_assertion") => {
                Some(Jwt::open(&jwt)?)
            }
            _ => None,
        };
        let grant = match assertion {
            Some(_) => component.compile(JWT_BEARER)?,
            None => named(component, "grant_type", "refresh_token")?,
        };
        let credential = |field: &str| {
            let stored = shared.config.at(&["credentials", field]);
            let stored = stored.filter(|_| updater.is_some());
            Ok::<_, SourceError>(Credential {
                name: named(component, &format!("{field}_name"), field)?,
                value: component.template(field)?,
                of_config: stored.map(|value| python::text(&Value::from(value))),
            })
        };
        let refresh_name = match &updater {
            Some(updater) => {
                let name = updater.text("refresh_token_name");
                component.compile(name.unwrap_or("refresh_token"))?
            }
            None => named(component, "refresh_token_name", "refresh_token")?,
        };
        let settings = Settings {
            at: component.at.clone(),
            endpoint: component.template("token_refresh_endpoint")?,
            grant_name: named(component, "grant_type_name", "grant_type")?,
            grant,
            client: [credential("client_id")?, credential("client_secret")?],
            refresh_name,
            refresh: refresh(component, updater.as_ref())?,
            access_name: named(component, "access_token_name", "access_token")?,
            expires_name: named(component, "expires_in_name", "expires_in")?,
            expires_is_a_date: component.text("token_expiry_date_format").is_some(),
            scopes: component.field("scopes").map(Value::from),
            body: Mapping::open(component, "refresh_request_body")?,
            headers: Mapping::open(component, "refresh_request_headers")?,
            in_query: component.flag("send_refresh_request_as_query_params"),
            assertion,
            refusals: Refusals::open(component, updater.as_ref())?,
        };
        settings.check(component, shared, updater.is_some())?;
        Ok(settings)
    }

    /// What the reference refuses when it opens the manifest.
    fn check(
        &self,
        component: &Component<'_>,
        shared: &Shared,
        updater: bool,
    ) -> Result<(), SourceError> {
        if updater {
            return Ok(());
        }
        if component.flag("use_profile_assertion") && self.assertion.is_none() {
            return Err(component.error("`use_profile_assertion` needs a `profile_assertion`"));
        }
        let no_client = self.client.iter().any(|it| it.value.is_none());
        if no_client && self.assertion.is_none() {
            return Err(component.error("`client_id` and `client_secret` are needed"));
        }
        let grant = self.said(self.grant.text(&shared.scope))?;
        match (&self.refresh, grant.as_str()) {
            (Refresh::None, "refresh_token") => {
                Err(component.error("`refresh_token` is needed for the grant `refresh_token`"))
            }
            _ => Ok(()),
        }
    }

    pub fn has_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Where the config keeps the refresh token, if it rotates.
    pub fn rotates_at(&self) -> Option<&[String]> {
        match &self.refresh {
            Refresh::At(path) => Some(path),
            _ => None,
        }
    }

    pub fn access_name(&self, shared: &Shared) -> Result<String, SourceError> {
        self.said(self.access_name.text(&shared.scope))
    }

    pub fn expires_name(&self, shared: &Shared) -> Result<String, SourceError> {
        self.said(self.expires_name.text(&shared.scope))
    }

    pub fn refresh_name(&self, shared: &Shared) -> Result<String, SourceError> {
        self.said(self.refresh_name.text(&shared.scope))
    }

    /// The request; `rotated` is the refresh token of now, where it rotates.
    pub fn ask(&self, rotated: Option<&str>, shared: &Shared) -> Result<Ask, SourceError> {
        let scope = &shared.scope;
        let url = match &self.endpoint {
            Some(endpoint) => self.said(endpoint.text(scope))?,
            None => String::new(),
        };
        if url.is_empty() {
            return Err(self.error("`token_refresh_endpoint` is empty"));
        }
        let headers = self.said(self.headers.set_values(scope, Accept::Any))?;
        let form = match &self.assertion {
            Some(jwt) => self.assertion_form(jwt, shared)?,
            None => self.form(headers.contains_key("Authorization"), rotated, shared)?,
        };
        let headers = headers.iter();
        Ok(Ask {
            url,
            form,
            headers: headers
                .map(|(name, value)| (name.clone(), python::text(value)))
                .collect(),
        })
    }

    fn assertion_form(&self, jwt: &Jwt, shared: &Shared) -> Result<Object, SourceError> {
        let mut form = self.grant_form(shared)?;
        let token = jwt.token(&shared.scope)?;
        form.insert("assertion".to_owned(), Value::String(token));
        Ok(form)
    }

    fn grant_form(&self, shared: &Shared) -> Result<Object, SourceError> {
        let name = self.said(self.grant_name.text(&shared.scope))?;
        let grant = self.said(self.grant.value(&shared.scope))?;
        Ok(Object::from_iter([(name, grant)]))
    }

    /// The fields in the reference's order; its own win over the manifest's.
    fn form(
        &self,
        credentials_in_header: bool,
        rotated: Option<&str>,
        shared: &Shared,
    ) -> Result<Object, SourceError> {
        let scope = &shared.scope;
        let mut form = self.grant_form(shared)?;
        if !credentials_in_header {
            let [id, secret] = &self.client;
            let (name, value) = self.said(id.field(shared))?;
            if !python::truth(&value) {
                return Err(self.error("`client_id` is empty; set it in the config"));
            }
            form.insert(name, value);
            let (name, value) = self.said(secret.field(shared))?;
            form.insert(name, value);
        }
        let refresh = match (&self.refresh, rotated) {
            (Refresh::None, _) => None,
            (Refresh::Text(template), _) => Some(self.said(template.text(scope))?),
            (Refresh::At(_), rotated) => Some(rotated.unwrap_or_default().to_owned()),
        };
        if let Some(refresh) = refresh {
            form.insert(self.refresh_name(shared)?, Value::String(refresh));
        }
        if let Some(scopes) = self.scopes.as_ref().filter(|scopes| python::truth(scopes)) {
            form.insert("scopes".to_owned(), scopes.clone());
        }
        for (name, value) in self.said(self.body.set_values(scope, Accept::Any))? {
            form.entry(name).or_insert(value);
        }
        Ok(form)
    }

    fn said<T>(&self, value: Result<T, TemplateError>) -> Result<T, SourceError> {
        value.map_err(|error| self.error(&error.to_string()))
    }

    fn error(&self, problem: &str) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: problem.to_owned(),
        }
    }
}

impl Credential {
    fn field(&self, shared: &Shared) -> Result<(String, Value), TemplateError> {
        let name = self.name.text(&shared.scope)?;
        let value = match (&self.of_config, &self.value) {
            (Some(stored), _) => Value::String(stored.clone()),
            (None, Some(template)) => template.value(&shared.scope)?,
            (None, None) => Value::from(""),
        };
        Ok((name, value))
    }
}

impl Refusals {
    fn open(
        component: &Component<'_>,
        updater: Option<&Component<'_>>,
    ) -> Result<Refusals, SourceError> {
        let of_updater = updater.filter(|updater| Refusals::are_in(updater));
        let place = match (of_updater, Refusals::are_in(component)) {
            (Some(_), true) => {
                return Err(component.error(
                    "`refresh_token_error_*` stands here and in `refresh_token_updater`; keep one",
                ));
            }
            (Some(updater), false) => updater,
            (None, true) => component,
            (None, false) => {
                return Ok(Refusals {
                    statuses: vec![400],
                    key: "error".to_owned(),
                    values: ["invalid_grant", "invalid_permissions"]
                        .map(str::to_owned)
                        .to_vec(),
                });
            }
        };
        Ok(Refusals::said(place))
    }

    fn are_in(component: &Component<'_>) -> bool {
        let names = [
            "refresh_token_error_status_codes",
            "refresh_token_error_key",
            "refresh_token_error_values",
        ];
        let set = |name: &&str| {
            let field = component.field(name).map(Value::from);
            field.is_some_and(|value| python::truth(&value))
        };
        names.iter().any(set)
    }

    fn said(place: &Component<'_>) -> Refusals {
        let list = |name: &str| {
            let list = place.field(name).and_then(Json::as_array);
            list.cloned().unwrap_or_default()
        };
        let statuses = list("refresh_token_error_status_codes");
        let statuses = statuses.iter().filter_map(Json::as_u64);
        let values = list("refresh_token_error_values");
        Refusals {
            statuses: statuses
                .filter_map(|code| u16::try_from(code).ok())
                .collect(),
            key: place
                .text("refresh_token_error_key")
                .unwrap_or_default()
                .to_owned(),
            values: values
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect(),
        }
    }

    pub fn are(&self, status: u16, body: Option<&Value>) -> bool {
        let value = body.and_then(|body| body.get(&self.key)?.as_str());
        self.statuses.contains(&status)
            && value.is_some_and(|value| self.values.iter().any(|known| known == value))
    }
}

/// A field's template, with a default where it is not there or empty.
fn named(component: &Component<'_>, name: &str, default: &str) -> Result<Template, SourceError> {
    let text = component.text(name).filter(|text| !text.is_empty());
    component.compile(text.unwrap_or(default))
}

fn refresh(
    component: &Component<'_>,
    updater: Option<&Component<'_>>,
) -> Result<Refresh, SourceError> {
    if let Some(updater) = updater {
        let path = path(updater, "refresh_token_config_path", "refresh_token");
        return Ok(Refresh::At(path));
    }
    Ok(match component.template("refresh_token")? {
        Some(template) => Refresh::Text(template),
        None => Refresh::None,
    })
}

/// A path of the updater; the reference looks into `credentials` by default.
pub fn path(updater: &Component<'_>, name: &str, default: &str) -> Vec<String> {
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
