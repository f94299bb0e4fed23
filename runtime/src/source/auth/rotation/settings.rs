//! What a manifest says of rotating tokens, and what replies say in its terms.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};

use crate::source::auth::oauth::date;
use crate::source::budget::{Call, Matcher};
use crate::source::component::Component;
use crate::source::moment::{Moment, Span};
use crate::source::python;
use crate::source::response::Response;
use crate::source::template::Scope;
use crate::stream::SourceError;
use crate::value::Value;

use super::quota::{Quota, Report, Reserve};

pub struct Settings {
    at: String,
    pub tokens: Vec<SecretString>,
    pub pools: Vec<Pool>,
    pub header: String,
    method: String,
    pub patience: Duration,
    pub reserve: Reserve,
    /// The requester that asks for quotas, as a manifest would have it.
    pub status: Json,
    /// Replies with these statuses say that nobody counts.
    uncounted: Vec<u16>,
    /// What else makes two definitions equal.
    shown: String,
}

/// Requests that are counted together.
pub struct Pool {
    name: String,
    matchers: Vec<Matcher>,
    remaining: Vec<String>,
    reset: Vec<String>,
    limit: Option<Vec<String>>,
    remaining_header: Option<String>,
    reset_header: Option<String>,
    limit_header: Option<String>,
    spent: Vec<u16>,
}

type Result<T> = std::result::Result<T, SourceError>;

impl Settings {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<Settings> {
        let pools = component.children("quotas");
        let pools = pools.iter().map(|pool| Pool::open(pool, scope));
        let pools = pools.collect::<Result<Vec<Pool>>>()?;
        let tokens = tokens(component, scope)?;
        if pools.is_empty() || tokens.is_empty() {
            return Err(component.error("at least one token and one quota are needed"));
        }
        let source = component.need("quota_status_source")?;
        let uncounted = codes(&source, "unavailable_status_codes");
        let status = status(&source, &uncounted);
        let number = |name: &str| component.field(name).and_then(Json::as_f64);
        let word = |name: &str, default: &str| component.text(name).unwrap_or(default).to_owned();
        Ok(Settings {
            at: component.at.clone(),
            header: Some(word("header", ""))
                .filter(|header| !header.is_empty())
                .unwrap_or_else(|| "Authorization".to_owned()),
            method: Some(word("auth_method", ""))
                .filter(|method| !method.is_empty())
                .unwrap_or_else(|| "Bearer".to_owned()),
            patience: patience(component, scope)?,
            reserve: Reserve {
                fraction: number("budget_reserve_fraction").unwrap_or(0.1),
                least: number("budget_min_reserve").unwrap_or(50.0) as i64,
            },
            shown: shown(component, &status),
            tokens,
            pools,
            status,
            uncounted,
        })
    }

    /// Whether another definition means the same.
    pub fn is(&self, other: &Settings) -> bool {
        let tokens = |settings: &Settings| -> Vec<String> {
            let tokens = settings.tokens.iter();
            tokens
                .map(|token| token.expose_secret().to_owned())
                .collect()
        };
        self.shown == other.shown
            && self.patience == other.patience
            && tokens(self) == tokens(other)
    }

    /// The pool a call is counted in: the first whose matchers say so, else the first without any.
    pub fn pool(&self, call: Call<'_>) -> usize {
        let matched = |pool: &Pool| pool.matchers.iter().any(|matcher| matcher.matches(call));
        let by_matcher = self.pools.iter().position(matched);
        let default = || self.pools.iter().position(|pool| pool.matchers.is_empty());
        by_matcher.or_else(default).unwrap_or(0)
    }

    /// The value of a token's header.
    pub fn value(&self, token: usize) -> String {
        let token = self.tokens[token].expose_secret();
        format!("{} {token}", self.method).trim().to_owned()
    }

    /// The token a call was made with.
    pub fn token(&self, call: Call<'_>) -> Option<usize> {
        let mut headers = call.headers.iter();
        let (_, sent) = headers.find(|(name, _)| name.eq_ignore_ascii_case(&self.header))?;
        (0..self.tokens.len()).find(|token| self.value(*token) == *sent)
    }

    /// What a reply about quotas says of each pool.
    pub fn read(&self, response: &Response) -> Result<Vec<Quota>> {
        if self.uncounted.contains(&response.status) {
            let nothing = Quota {
                remaining: 0,
                limit: 0,
                reset: Moment::now(),
                tracked: false,
            };
            return Ok(vec![nothing; self.pools.len()]);
        }
        let error = |problem: String| SourceError::Config {
            at: self.at.clone(),
            problem,
        };
        let body = response.json().map_err(error)?;
        let pools = self.pools.iter();
        pools.map(|pool| pool.read(&body).map_err(error)).collect()
    }
}

impl Pool {
    fn open(component: &Component<'_>, scope: &Scope) -> Result<Pool> {
        let matchers = component.children("matchers");
        let matchers = matchers.iter().map(|it| Matcher::open(it, scope));
        let header = |name: &str| component.text(name).map(str::to_owned);
        let path = |name: &str| -> Option<Vec<String>> {
            let keys = component.field(name)?.as_array()?.iter();
            Some(keys.map(|key| python::text(&Value::from(key))).collect())
        };
        let need = |name: &str| {
            path(name).ok_or_else(|| component.error(format!("TokenQuota needs `{name}`, a list")))
        };
        Ok(Pool {
            name: component.text("name").unwrap_or_default().to_owned(),
            matchers: matchers.collect::<Result<_>>()?,
            remaining: need("remaining_path")?,
            reset: need("reset_path")?,
            limit: path("limit_path").filter(|path| !path.is_empty()),
            remaining_header: header("remaining_header"),
            reset_header: header("reset_header"),
            limit_header: header("limit_header"),
            spent: codes(component, "exhaustion_status_codes"),
        })
    }

    fn read(&self, body: &Value) -> std::result::Result<Quota, String> {
        let remaining = self.whole(body, &self.remaining)?;
        let reset = self.at(body, &self.reset)?;
        let reset = python::text(reset);
        Ok(Quota {
            remaining,
            limit: match &self.limit {
                Some(path) => self.whole(body, path)?,
                None => remaining,
            },
            reset: date(&reset).ok_or_else(|| {
                format!(
                    "the quota `{}` is reset at `{reset}`, which is no date",
                    self.name
                )
            })?,
            tracked: true,
        })
    }

    fn whole(&self, body: &Value, path: &[String]) -> std::result::Result<i64, String> {
        let text = python::text(self.at(body, path)?);
        let number = text.trim().parse::<f64>();
        number.map(|number| number as i64).map_err(|_| {
            let path = path.join(".");
            format!(
                "`{path}` of the quota `{}` is `{text}`, which is no number",
                self.name
            )
        })
    }

    fn at<'v>(&self, body: &'v Value, path: &[String]) -> std::result::Result<&'v Value, String> {
        let below = |value: &'v Value, key: &String| match value {
            Value::Object(fields) => fields.get(key),
            _ => None,
        };
        let found = path.iter().try_fold(body, below);
        found.ok_or_else(|| {
            let path = path.join(".");
            format!(
                "the reply about quotas has no `{path}`, which the quota `{}` needs",
                self.name
            )
        })
    }

    /// What a reply's headers and status say.
    pub fn report(&self, response: &Response) -> Report {
        let header = |name: &Option<String>| response.header(name.as_deref()?);
        let whole = |name: &Option<String>| header(name)?.trim().parse::<i64>().ok();
        let spent = self.spent.contains(&response.status);
        Report {
            remaining: whole(&self.remaining_header).or(spent.then_some(0)),
            limit: whole(&self.limit_header),
            reset: header(&self.reset_header).and_then(date),
            spent,
        }
    }
}

/// A list of templates, or one text of several tokens.
fn tokens(component: &Component<'_>, scope: &Scope) -> Result<Vec<SecretString>> {
    let texts = match component.field("tokens") {
        Some(Json::Array(list)) => list.clone(),
        Some(text) => vec![text.clone()],
        None => return Err(component.error("RateLimitedMultipleTokenAuthenticator needs `tokens`")),
    };
    let is_list = component.field("tokens").is_some_and(Json::is_array);
    let delimiter = component
        .text("token_delimiter")
        .filter(|it| !it.is_empty());
    let mut tokens: Vec<String> = Vec::new();
    for text in &texts {
        let template = component.template_of(text)?;
        let text = template.text(scope);
        let text = text.map_err(|error| component.error(error.to_string()))?;
        match is_list {
            true => tokens.push(text),
            false => tokens.extend(text.split(delimiter.unwrap_or(",")).map(str::to_owned)),
        }
    }
    let tokens = tokens.iter().map(|token| token.trim());
    let tokens = tokens.filter(|token| !token.is_empty());
    Ok(tokens.map(SecretString::from).collect())
}

fn patience(component: &Component<'_>, scope: &Scope) -> Result<Duration> {
    let text = component.template_or("max_wait_time", "PT2H")?.text(scope);
    let text = text.map_err(|error| component.error(error.to_string()))?;
    let span = Span::parse(&text).filter(|span| span.months == 0 && span.micros >= 0);
    match span {
        Some(span) => Ok(Duration::from_micros(span.micros.unsigned_abs())),
        None => Err(component.error(format!(
            "`max_wait_time` is `{text}`; it needs a duration without months and years, such as PT2H"
        ))),
    }
}

fn status(source: &Component<'_>, uncounted: &[u16]) -> Json {
    let mut requester = json!({
        "type": "HttpRequester",
        "url": source.field("url"),
        "http_method": source.text("http_method").unwrap_or("GET"),
        "request_headers": source.field("request_headers").cloned().unwrap_or_else(|| json!({})),
    });
    if !uncounted.is_empty() {
        requester["error_handler"] = json!({"type": "DefaultErrorHandler", "response_filters": [
            {"type": "HttpResponseFilter", "http_codes": uncounted, "action": "IGNORE"},
        ]});
    }
    requester
}

fn codes(component: &Component<'_>, name: &str) -> Vec<u16> {
    let codes = component.field(name).and_then(Json::as_array);
    let codes = codes.into_iter().flatten();
    codes
        .filter_map(|code| u16::try_from(code.as_u64()?).ok())
        .collect()
}

/// The definition without what a stream's parameters add to it.
fn shown(component: &Component<'_>, status: &Json) -> String {
    const OWN: [&str; 4] = [
        "auth_method",
        "header",
        "budget_reserve_fraction",
        "budget_min_reserve",
    ];
    const OF_POOL: [&str; 8] = [
        "name",
        "remaining_path",
        "reset_path",
        "limit_path",
        "remaining_header",
        "reset_header",
        "limit_header",
        "exhaustion_status_codes",
    ];
    const OF_MATCHER: [&str; 6] = [
        "method",
        "url_base",
        "url_path_pattern",
        "params",
        "headers",
        "weight",
    ];
    let picked = |component: &Component<'_>, names: &[&str]| -> Vec<Json> {
        let fields = names.iter().map(|name| component.field(name).cloned());
        fields.map(Json::from).collect()
    };
    let pools = component.children("quotas");
    let pools: Vec<Json> = pools
        .iter()
        .map(|pool| {
            let matchers = pool.children("matchers");
            let matchers = matchers.iter().map(|it| picked(it, &OF_MATCHER));
            let matchers: Vec<Vec<Json>> = matchers.collect();
            json!([picked(pool, &OF_POOL), matchers])
        })
        .collect();
    json!([picked(component, &OWN), pools, status]).to_string()
}
