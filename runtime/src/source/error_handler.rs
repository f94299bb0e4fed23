//! What to do about a reply: decided from its status and body, nothing else.

use crate::stream::{Fault, SourceError};

use super::backoff::Backoff;
use super::component::Component;
use super::response::Response;
use super::template::{Scope, Template, TemplateError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Success,
    Fail,
    Retry,
    Ignore,
    RateLimited,
    RefreshTokenThenRetry,
    ResetPagination,
    ReducePageSize,
    SplitRequestWindow,
}

/// A decision and what to tell a person about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    pub action: Action,
    pub message: Option<String>,
    pub fault: Fault,
}

/// What a requester does about replies; without a handler in the manifest, the default for their status.
#[derive(Debug, Clone)]
pub struct ErrorHandler {
    handler: Handler,
    pub backoffs: Vec<Backoff>,
    pub max_retries: u32,
}

#[derive(Debug, Clone)]
enum Handler {
    Default(Vec<Filter>),
    /// Asked in turn until one settles.
    Composite(Vec<Handler>),
}

#[derive(Debug, Clone)]
struct Filter {
    action: Option<Action>,
    codes: Vec<u16>,
    contains: Option<String>,
    predicate: Option<Template>,
    message: Option<Template>,
    fault: Option<Fault>,
}

const MAX_RETRIES: u32 = 5;

impl ErrorHandler {
    pub fn open(
        component: Option<&Component<'_>>,
        scope: &Scope,
    ) -> Result<ErrorHandler, SourceError> {
        let Some(component) = component else {
            return Ok(ErrorHandler {
                handler: Handler::Default(Vec::new()),
                backoffs: Vec::new(),
                max_retries: MAX_RETRIES,
            });
        };
        let mut backoffs = Vec::new();
        Ok(ErrorHandler {
            handler: Handler::open(component, &mut backoffs)?,
            backoffs,
            max_retries: retries(component, scope)?,
        })
    }

    /// What to do about this reply; `scope` holds the config.
    pub fn resolve(&self, response: &Response, scope: &Scope) -> Result<Resolution, TemplateError> {
        self.handler.resolve(response, scope)
    }
}

/// Of the first handler, whatever the others say.
fn retries(component: &Component<'_>, scope: &Scope) -> Result<u32, SourceError> {
    if let Some(first) = component.children("error_handlers").first() {
        return retries(first, scope);
    }
    let Some(template) = component.template("max_retries")? else {
        return Ok(MAX_RETRIES);
    };
    let text = template
        .text(scope)
        .map_err(|error| component.error(error.to_string()))?;
    if text.is_empty() {
        return Ok(MAX_RETRIES);
    }
    let number: i64 = text
        .parse()
        .map_err(|_| component.error(format!("`max_retries` is `{text}`, not a whole number")))?;
    Ok(u32::try_from(number).unwrap_or(0))
}

impl Handler {
    fn open(
        component: &Component<'_>,
        backoffs: &mut Vec<Backoff>,
    ) -> Result<Handler, SourceError> {
        match component.kind() {
            "DefaultErrorHandler" => {
                for backoff in component.children("backoff_strategies") {
                    backoffs.push(Backoff::open(&backoff)?);
                }
                let filters = component.children("response_filters");
                let filters = filters.iter().map(Filter::open);
                filters.collect::<Result<_, _>>().map(Handler::Default)
            }
            "CompositeErrorHandler" => {
                let parts = component.children("error_handlers");
                if parts.is_empty() {
                    return Err(component.error("CompositeErrorHandler needs at least one handler"));
                }
                let parts = parts.iter().map(|part| Handler::open(part, backoffs));
                parts.collect::<Result<_, _>>().map(Handler::Composite)
            }
            _ => Err(component.unknown("DefaultErrorHandler or CompositeErrorHandler")),
        }
    }

    fn resolve(&self, response: &Response, scope: &Scope) -> Result<Resolution, TemplateError> {
        match self {
            Handler::Default(filters) => {
                for filter in filters {
                    if let Some(resolution) = filter.resolve(response, scope)? {
                        return Ok(resolution);
                    }
                }
                Ok(by_status(response))
            }
            Handler::Composite(parts) => {
                let mut last = by_status(response);
                for part in parts {
                    last = part.resolve(response, scope)?;
                    if last.action.settles() {
                        break;
                    }
                }
                Ok(last)
            }
        }
    }
}

impl Action {
    /// Whether the handlers after this one are not asked.
    fn settles(self) -> bool {
        !matches!(
            self,
            Action::Fail | Action::RateLimited | Action::RefreshTokenThenRetry
        )
    }
}

impl Filter {
    fn open(component: &Component<'_>) -> Result<Filter, SourceError> {
        if component.kind() != "HttpResponseFilter" {
            return Err(component.unknown("HttpResponseFilter"));
        }
        let action = match component.text("action") {
            Some(name) => Some(action(component, name)?),
            None => None,
        };
        let fault = match component.text("failure_type") {
            Some(name) => Some(fault(component, name)?),
            None => None,
        };
        let codes = component
            .field("http_codes")
            .and_then(|codes| codes.as_array());
        let codes = codes.into_iter().flatten();
        let non_empty = |name: &str| component.text(name).filter(|text| !text.is_empty());
        Ok(Filter {
            action,
            codes: codes
                .filter_map(|code| u16::try_from(code.as_u64()?).ok())
                .collect(),
            contains: non_empty("error_message_contains").map(str::to_owned),
            predicate: match non_empty("predicate") {
                Some(predicate) => Some(component.compile(predicate)?),
                None => None,
            },
            message: match non_empty("error_message") {
                Some(message) => Some(component.compile(message)?),
                None => None,
            },
            fault,
        })
    }

    fn resolve(
        &self,
        response: &Response,
        scope: &Scope,
    ) -> Result<Option<Resolution>, TemplateError> {
        let Some(action) = self.action else {
            return Ok(None);
        };
        if !self.matches(response)? {
            return Ok(None);
        }
        let message = match &self.message {
            Some(message) => Some(message.text(&seen(scope.clone(), response, message))?),
            None => None,
        };
        let message = message.filter(|message| !message.is_empty());
        let own = self.fault.filter(|_| action == Action::Fail);
        Ok(Some(Resolution {
            action,
            fault: own.unwrap_or_else(|| blamed(response.status)),
            message: message.or_else(|| default(response.status).and_then(|(_, text)| text)),
        }))
    }

    fn matches(&self, response: &Response) -> Result<bool, TemplateError> {
        if self.codes.contains(&response.status) {
            return Ok(true);
        }
        if let Some(predicate) = &self.predicate {
            // The reference gives predicates no config.
            let scope = seen(Scope::new(minijinja::Value::from(())), response, predicate);
            if predicate.condition(&scope)? {
                return Ok(true);
            }
        }
        Ok(self.contains.as_ref().is_some_and(|part| {
            let text = response.error_text();
            text.is_some_and(|text| text.contains(part))
        }))
    }
}

/// The variables a filter's template can read; the body is decoded only if it does.
fn seen(scope: Scope, response: &Response, template: &Template) -> Scope {
    let body = match template.reads("response") {
        true => response.shown(),
        false => minijinja::Value::from(()),
    };
    scope
        .with("response", body)
        .with("headers", response.shown_headers())
        .with("request_url", response.plain_url().into())
}

fn action(component: &Component<'_>, name: &str) -> Result<Action, SourceError> {
    Ok(match name {
        "SUCCESS" => Action::Success,
        "FAIL" => Action::Fail,
        "RETRY" => Action::Retry,
        "IGNORE" => Action::Ignore,
        "RATE_LIMITED" => Action::RateLimited,
        "REFRESH_TOKEN_THEN_RETRY" => Action::RefreshTokenThenRetry,
        "RESET_PAGINATION" => Action::ResetPagination,
        "REDUCE_PAGE_SIZE" => Action::ReducePageSize,
        "SPLIT_REQUEST_WINDOW" => Action::SplitRequestWindow,
        other => return Err(component.error(format!("`action: {other}` is not known"))),
    })
}

fn by_status(response: &Response) -> Resolution {
    if response.ok() {
        return Resolution {
            action: Action::Success,
            message: None,
            fault: Fault::Source,
        };
    }
    let (action, message) = default(response.status).unwrap_or((Action::Retry, None));
    Resolution {
        action,
        message,
        fault: blamed(response.status),
    }
}

fn fault(component: &Component<'_>, name: &str) -> Result<Fault, SourceError> {
    match name {
        "config_error" => Ok(Fault::Config),
        "system_error" | "transient_error" => Ok(Fault::Source),
        other => Err(component.error(format!("`failure_type: {other}` is not known"))),
    }
}

fn blamed(status: u16) -> Fault {
    match status {
        401 | 403 => Fault::Config,
        _ => Fault::Source,
    }
}

/// The reference's default for a status; other errors are tried again.
fn default(status: u16) -> Option<(Action, Option<String>)> {
    let (action, meaning) = match status {
        400 => (Action::Fail, "bad request"),
        401 => (
            Action::Fail,
            "unauthorized; the credentials are missing, wrong or expired",
        ),
        403 => (
            Action::Fail,
            "forbidden; the credentials lack the permission",
        ),
        404 => (Action::Fail, "not found"),
        405 => (Action::Fail, "method not allowed"),
        408 => (Action::Retry, "request timeout"),
        429 => (Action::RateLimited, "too many requests"),
        500 => (Action::Retry, "internal server error"),
        502 => (Action::Retry, "bad gateway"),
        503 => (Action::Retry, "service unavailable"),
        504 => (Action::Retry, "gateway timeout"),
        _ => return None,
    };
    Some((action, Some(meaning.to_owned())))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value as Json, json};

    use super::*;

    fn resolve(handler: Option<Json>, status: u16, body: &str) -> (Action, String) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let url = "https://user:pw@a.example/x?key=1".to_owned();
        let response = Response::new(status, url, Vec::new(), body);
        let scope = Scope::new(minijinja::context! { name => "Acme" });
        let component = handler.as_ref().map(|json| Component::new(json, "here"));
        let handler = ErrorHandler::open(component.as_ref(), &scope).unwrap();
        let resolution = handler.resolve(&response, &scope).unwrap();
        (resolution.action, resolution.message.unwrap_or_default())
    }

    #[test]
    fn statuses_have_the_reference_defaults() {
        let action = |status| resolve(None, status, "").0;
        assert_eq!(action(200), Action::Success);
        assert_eq!(action(304), Action::Success);
        assert_eq!(action(401), Action::Fail);
        assert_eq!(action(429), Action::RateLimited);
        assert_eq!(action(503), Action::Retry);
        assert_eq!(action(418), Action::Retry);
    }

    #[test]
    fn a_filter_matches_by_code_predicate_or_text() {
        let handler = json!({"type": "DefaultErrorHandler", "response_filters": [
            {"type": "HttpResponseFilter", "http_codes": [404], "action": "IGNORE"},
            {"type": "HttpResponseFilter", "predicate": "{{ response.code == 7 }}", "action": "FAIL",
             "error_message": "{{ config.name }}: {{ response.code }} at {{ request_url }}"},
            {"type": "HttpResponseFilter", "error_message_contains": "later", "action": "RETRY"},
        ]});
        let resolve = |status, body| resolve(Some(handler.clone()), status, body);
        assert_eq!(resolve(404, "").0, Action::Ignore);
        assert_eq!(
            resolve(200, r#"{"code": 7}"#),
            (Action::Fail, "Acme: 7 at https://a.example/x".to_owned())
        );
        assert_eq!(resolve(400, r#"{"message": "try later"}"#).0, Action::Retry);
        assert_eq!(resolve(400, "{}").0, Action::Fail);
    }

    #[test]
    fn handlers_in_a_row_are_asked_until_one_settles() {
        let handler = json!({"type": "CompositeErrorHandler", "error_handlers": [
            {"type": "DefaultErrorHandler", "max_retries": 2, "response_filters": [
                {"type": "HttpResponseFilter", "http_codes": [400], "action": "FAIL"}]},
            {"type": "DefaultErrorHandler", "response_filters": [
                {"type": "HttpResponseFilter", "http_codes": [400], "action": "IGNORE"}]},
        ]});
        assert_eq!(resolve(Some(handler.clone()), 400, "").0, Action::Ignore);
        assert_eq!(resolve(Some(handler), 403, "").0, Action::Fail);
    }
}
