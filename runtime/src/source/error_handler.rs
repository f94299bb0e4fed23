//! What to do about a reply: decided from its status and body, nothing else.

use crate::stream::SourceError;

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
}

/// A decision and what to tell a person about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    pub action: Action,
    pub message: Option<String>,
}

/// Handlers asked in turn; a requester without one has a single default handler.
#[derive(Debug, Clone)]
pub struct ErrorHandler {
    handlers: Vec<Handler>,
    pub backoffs: Vec<Backoff>,
    pub max_retries: u32,
}

#[derive(Debug, Clone, Default)]
struct Handler {
    filters: Vec<Filter>,
}

#[derive(Debug, Clone)]
struct Filter {
    action: Option<Action>,
    codes: Vec<u16>,
    contains: Option<String>,
    predicate: Option<Template>,
    message: Option<Template>,
}

const MAX_RETRIES: u32 = 5;

impl ErrorHandler {
    pub fn open(
        component: Option<&Component<'_>>,
        scope: &Scope,
    ) -> Result<ErrorHandler, SourceError> {
        let Some(component) = component else {
            return Ok(ErrorHandler {
                handlers: vec![Handler::default()],
                backoffs: Vec::new(),
                max_retries: MAX_RETRIES,
            });
        };
        let parts = match component.kind() {
            "DefaultErrorHandler" => vec![component.clone()],
            "CompositeErrorHandler" => component.children("error_handlers"),
            _ => return Err(component.unknown("DefaultErrorHandler or CompositeErrorHandler")),
        };
        if parts.is_empty() {
            return Err(component.error("CompositeErrorHandler needs at least one handler"));
        }
        let mut handler = ErrorHandler {
            handlers: Vec::new(),
            backoffs: Vec::new(),
            max_retries: retries(&parts[0], scope)?,
        };
        for part in &parts {
            if part.kind() != "DefaultErrorHandler" {
                return Err(part.unknown("DefaultErrorHandler"));
            }
            handler.add(part)?;
        }
        Ok(handler)
    }

    fn add(&mut self, part: &Component<'_>) -> Result<(), SourceError> {
        let filters = part.children("response_filters");
        let filters = filters.iter().map(Filter::open);
        self.handlers.push(Handler {
            filters: filters.collect::<Result<_, _>>()?,
        });
        for backoff in part.children("backoff_strategies") {
            self.backoffs.push(Backoff::open(&backoff)?);
        }
        Ok(())
    }

    /// What to do about this reply; `scope` holds the config.
    pub fn resolve(&self, response: &Response, scope: &Scope) -> Result<Resolution, TemplateError> {
        let mut last = None;
        for handler in &self.handlers {
            let resolution = handler.resolve(response, scope)?;
            let settles = matches!(
                resolution.action,
                Action::Success | Action::Retry | Action::Ignore
            );
            if settles {
                return Ok(resolution);
            }
            last = Some(resolution);
        }
        Ok(last.unwrap_or_else(|| by_status(response)))
    }
}

fn retries(component: &Component<'_>, scope: &Scope) -> Result<u32, SourceError> {
    let Some(template) = component.template("max_retries")? else {
        return Ok(MAX_RETRIES);
    };
    let text = template
        .text(scope)
        .map_err(|error| component.error(error.to_string()))?;
    let number: i64 = text
        .parse()
        .map_err(|_| component.error(format!("`max_retries` is `{text}`, not a whole number")))?;
    Ok(u32::try_from(number).unwrap_or(0))
}

impl Handler {
    fn resolve(&self, response: &Response, scope: &Scope) -> Result<Resolution, TemplateError> {
        for filter in &self.filters {
            if let Some(resolution) = filter.resolve(response, scope)? {
                return Ok(resolution);
            }
        }
        Ok(by_status(response))
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
        Ok(Some(Resolution {
            action,
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
        other => return Err(component.error(format!("`action: {other}` is not supported"))),
    })
}

fn by_status(response: &Response) -> Resolution {
    if response.ok() {
        return Resolution {
            action: Action::Success,
            message: None,
        };
    }
    let (action, message) = default(response.status).unwrap_or((Action::Retry, None));
    Resolution { action, message }
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
