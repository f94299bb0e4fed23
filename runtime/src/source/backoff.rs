//! How long to wait before the same request is sent again.

use std::time::Duration;

use fancy_regex::Regex;

use crate::stream::SourceError;
use crate::value::Value;

use super::component::Component;
use super::moment::Moment;
use super::python;
use super::response::Response;
use super::template::{Scope, Template, TemplateError, to_template};

/// One strategy of an error handler.
#[derive(Debug, Clone)]
pub struct Backoff {
    kind: Kind,
    /// A longer wait than this ends the stream.
    most: Option<Template>,
}

#[derive(Debug, Clone)]
enum Kind {
    Constant(Template, Option<f64>),
    Exponential(Template, Option<f64>),
    Header(Template, Option<Template>),
    HeaderUntil(Template, Option<Template>, Option<Template>),
    Response(Template),
}

/// What a strategy says.
#[derive(Debug, Clone, PartialEq)]
pub enum Wait {
    /// Ask the next strategy.
    Unknown,
    Seconds(f64),
    /// Longer than the manifest allows.
    TooLong(f64),
}

impl Backoff {
    pub fn open(component: &Component<'_>) -> Result<Backoff, SourceError> {
        let jitter = component.field("jitter_range_in_seconds");
        let jitter = jitter.and_then(serde_json::Value::as_f64);
        let header = || component.need_template("header");
        let kind = match component.kind() {
            "ConstantBackoffStrategy" => {
                Kind::Constant(component.need_template("backoff_time_in_seconds")?, jitter)
            }
            "ExponentialBackoffStrategy" => {
                Kind::Exponential(component.template_or("factor", "5")?, jitter)
            }
            "WaitTimeFromHeader" => Kind::Header(header()?, component.template("regex")?),
            "WaitUntilTimeFromHeader" => Kind::HeaderUntil(
                header()?,
                component.template("regex")?,
                component.template("min_wait")?,
            ),
            "WaitTimeFromResponse" => {
                Kind::Response(component.need_template("wait_time_in_seconds")?)
            }
            _ => return Err(component.unknown("a backoff strategy")),
        };
        let most = component.template("max_waiting_time_in_seconds")?;
        Ok(Backoff { kind, most })
    }

    /// The wait after attempt number `attempt` (from 1), at the time `now`.
    pub fn wait(
        &self,
        response: Option<&Response>,
        attempt: u32,
        now: Moment,
        scope: &Scope,
    ) -> Result<Wait, TemplateError> {
        let seconds = match &self.kind {
            Kind::Constant(seconds, jitter) => Some(jittered(number(seconds, scope)?, *jitter)),
            Kind::Exponential(factor, jitter) => {
                let seconds = number(factor, scope)? * 2_f64.powi(attempt as i32);
                Some(jittered(seconds, *jitter))
            }
            Kind::Header(header, regex) => from_header(response, header, regex.as_ref(), scope)?,
            Kind::HeaderUntil(header, regex, least) => {
                let until = from_header(response, header, regex.as_ref(), scope)?;
                let least = match least {
                    Some(least) => Some(number(least, scope)?).filter(|least| *least != 0.0),
                    None => None,
                };
                until_header(until, least, now)
            }
            Kind::Response(template) => from_response(response, template, scope)?,
        };
        self.capped(seconds, scope)
    }

    fn capped(&self, seconds: Option<f64>, scope: &Scope) -> Result<Wait, TemplateError> {
        // No seconds at all is no answer either.
        let Some(seconds) = seconds.filter(|seconds| *seconds != 0.0) else {
            return Ok(Wait::Unknown);
        };
        match &self.most {
            Some(most) if seconds >= number(most, scope)? => Ok(Wait::TooLong(seconds)),
            _ => Ok(Wait::Seconds(seconds)),
        }
    }
}

fn number(template: &Template, scope: &Scope) -> Result<f64, TemplateError> {
    let text = template.text(scope)?;
    text.trim().parse().map_err(|_| TemplateError {
        template: template.source().to_owned(),
        problem: format!("`{text}` is no number"),
    })
}

fn jittered(seconds: f64, range: Option<f64>) -> f64 {
    match range {
        Some(range) if range > 0.0 => seconds + rand::random_range(0.0..range * 2.0),
        _ => seconds,
    }
}

fn from_header(
    response: Option<&Response>,
    header: &Template,
    regex: Option<&Template>,
    scope: &Scope,
) -> Result<Option<f64>, TemplateError> {
    let name = header.text(scope)?;
    let Some(value) = response.and_then(|response| response.header(&name)) else {
        return Ok(None);
    };
    let Some(regex) = regex else {
        return Ok(value.trim().parse().ok());
    };
    let pattern = Regex::new(&format!("^(?:{})", regex.text(scope)?));
    let pattern = pattern.map_err(|error| TemplateError {
        template: regex.source().to_owned(),
        problem: error.to_string(),
    })?;
    let found = pattern.find(value).ok().flatten();
    let found = found.map_or(value, |found| found.as_str());
    Ok(found.trim().parse().ok())
}

fn until_header(until: Option<f64>, least: Option<f64>, now: Moment) -> Option<f64> {
    let now = now.at.as_microsecond() as f64 / 1e6;
    match (until.filter(|until| *until != 0.0), least) {
        (None, least) => least,
        (Some(until), Some(least)) => Some((until - now).max(least)),
        (Some(until), None) => Some(until - now).filter(|seconds| *seconds >= 0.0),
    }
}

fn from_response(
    response: Option<&Response>,
    template: &Template,
    scope: &Scope,
) -> Result<Option<f64>, TemplateError> {
    // Without a reply both are empty, and a template that reads neither still says something.
    let nothing = || to_template(&Value::Object(Default::default()));
    let scope = scope
        .clone()
        .with("response", response.map_or_else(nothing, Response::shown))
        .with(
            "headers",
            response.map_or_else(nothing, Response::shown_headers),
        );
    // What cannot be evaluated on this reply is left to the next strategy.
    let value = template.value(&scope).unwrap_or(Value::Null);
    let seconds: Option<f64> = python::text(&value).trim().parse().ok();
    Ok(seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0))
}

/// The wait the HTTP header `Retry-After` asks for, in seconds or as a date.
pub fn retry_after(response: &Response, now: Moment) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    let seconds = match value.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let until = super::strptime::parse(value, "%a, %d %b %Y %H:%M:%S %Z")?;
            (until.at.as_second() - now.at.as_second()) as f64
        }
    };
    Duration::try_from_secs_f64(seconds.ceil().max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn wait(strategy: serde_json::Value, headers: &[(&str, &str)], attempt: u32) -> Wait {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let body = Bytes::from_static(br#"{"wait": 7}"#);
        let response = Response::new(429, String::new(), headers, body);
        let now = Moment::utc("2024-01-01T00:00:00Z".parse().unwrap());
        let scope = Scope::new(minijinja::context! {});
        Backoff::open(&Component::new(&strategy, "here"))
            .unwrap()
            .wait(Some(&response), attempt, now, &scope)
            .unwrap()
    }

    #[test]
    fn each_strategy_has_its_wait() {
        let constant = json!({"type": "ConstantBackoffStrategy", "backoff_time_in_seconds": 2.5});
        assert_eq!(wait(constant, &[], 1), Wait::Seconds(2.5));
        let exponential = json!({"type": "ExponentialBackoffStrategy", "factor": 3});
        assert_eq!(wait(exponential, &[], 2), Wait::Seconds(12.0));
        let header = json!({"type": "WaitTimeFromHeader", "header": "retry-after", "max_waiting_time_in_seconds": 60});
        assert_eq!(
            wait(header.clone(), &[("Retry-After", "9")], 1),
            Wait::Seconds(9.0)
        );
        assert_eq!(
            wait(header.clone(), &[("Retry-After", "60")], 1),
            Wait::TooLong(60.0)
        );
        assert_eq!(wait(header, &[], 1), Wait::Unknown);
        let regex = json!({"type": "WaitTimeFromHeader", "header": "x", "regex": "[0-9]+"});
        assert_eq!(wait(regex, &[("X", "12 s")], 1), Wait::Seconds(12.0));
        let until = json!({"type": "WaitUntilTimeFromHeader", "header": "reset"});
        assert_eq!(
            wait(until.clone(), &[("reset", "1704067230")], 1),
            Wait::Seconds(30.0)
        );
        assert_eq!(wait(until, &[("reset", "1704067100")], 1), Wait::Unknown);
        let body =
            json!({"type": "WaitTimeFromResponse", "wait_time_in_seconds": "{{ response.wait }}"});
        assert_eq!(wait(body, &[], 1), Wait::Seconds(7.0));
    }

    #[test]
    fn retry_after_may_be_a_date() {
        let now = Moment::utc("2024-01-01T00:00:00Z".parse().unwrap());
        let after = |value: &str| {
            let headers = vec![("retry-after".to_owned(), value.to_owned())];
            let response = Response::new(429, String::new(), headers, Bytes::new());
            retry_after(&response, now).map(|wait| wait.as_secs())
        };
        assert_eq!(after("1.2"), Some(2));
        assert_eq!(after("Mon, 01 Jan 2024 00:01:00 GMT"), Some(60));
        assert_eq!(after("soon"), None);
    }
}
