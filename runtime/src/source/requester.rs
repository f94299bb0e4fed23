//! Sends one request until it is answered or final: authentication, budget, retries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::auth::Authenticator;
use super::backoff::{Wait, retry_after};
use super::budget::Call;
use super::component::Component;
use super::error_handler::{Action, ErrorHandler, Resolution};
use super::moment::Moment;
use super::python;
use super::request::{Nested, Options, form_text, join_url, with_params};
use super::response::Response;
use super::retries::{Cause, Retries};
use super::shared::{PARK_AFTER, Shared};
use super::template::{Accept, Scope, Template, TemplateError};

/// One endpoint, with everything its requests need.
pub struct Requester {
    at: String,
    method: String,
    url: Template,
    url_base: Template,
    path: Template,
    params: Vec<(Template, Template)>,
    headers: Vec<(Template, Template)>,
    body: Body,
    authenticator: Authenticator,
    errors: ErrorHandler,
    timeout: Option<Duration>,
    shared: Arc<Shared>,
}

enum Body {
    None,
    Text(Template),
    Form(Vec<(Template, Template)>),
    Json(Nested),
}

/// A request before authentication.
struct Request {
    url: String,
    options: Options,
}

/// What to do after an attempt.
enum Next {
    Done(Response),
    Again(Cause, SourceError),
    Stop(SourceError),
}

impl Requester {
    pub fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Requester, SourceError> {
        if component.kind() != "HttpRequester" {
            return Err(component.unknown("HttpRequester"));
        }
        let authenticator = component.child("authenticator");
        let errors = component.child("error_handler");
        let seconds = component.field("read_timeout_in_seconds");
        let seconds = seconds.and_then(serde_json::Value::as_f64);
        Ok(Requester {
            at: component.at.clone(),
            method: component
                .text("http_method")
                .unwrap_or("GET")
                .to_uppercase(),
            url: component.template_or("url", "")?,
            url_base: component.template_or("url_base", "")?,
            path: component.template_or("path", "")?,
            params: pairs(component, "request_parameters")?,
            headers: pairs(component, "request_headers")?,
            body: body(component)?,
            authenticator: Authenticator::open(authenticator.as_ref(), shared)?,
            errors: ErrorHandler::open(errors.as_ref(), &shared.scope)?,
            timeout: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            shared: shared.clone(),
        })
    }

    /// Sends the request made of the manifest's fields in `scope` and `more` options.
    ///
    /// A reply that is an error by its status and was ignored comes back as it is.
    pub async fn send(
        &self,
        scope: &Scope,
        path: Option<&str>,
        more: Vec<Options>,
    ) -> Result<Response, SourceError> {
        let request = self.request(scope, path, more)?;
        let mut retries = Retries::new(self.errors.max_retries, Instant::now());
        let mut refreshed = false;
        loop {
            retries.sent += 1;
            let next = self.attempt(&request, retries.sent, &mut refreshed).await;
            let (cause, error) = match next? {
                Next::Done(response) => return Ok(response),
                Next::Stop(error) => return Err(error),
                Next::Again(cause, error) => (cause, error),
            };
            let Some(wait) = retries.after(cause, Instant::now()) else {
                return Err(error);
            };
            if wait > PARK_AFTER {
                return Err(SourceError::Parked { retry_after: wait });
            }
            tracing::info!(%error, seconds = wait.as_secs_f64(), "trying again");
            tokio::time::sleep(wait).await;
        }
    }

    fn request(
        &self,
        scope: &Scope,
        path: Option<&str>,
        more: Vec<Options>,
    ) -> Result<Request, SourceError> {
        let (url, own) = self
            .address(scope, path)
            .and_then(|url| Ok((url, self.own_options(scope)?)))
            .map_err(|error| self.problem(error.to_string()))?;
        let mut all = vec![own];
        all.extend(more);
        Ok(Request {
            url: url.map_err(|problem| self.problem(problem))?,
            options: Options::combine(all).map_err(|problem| self.problem(problem))?,
        })
    }

    fn address(
        &self,
        scope: &Scope,
        path: Option<&str>,
    ) -> Result<Result<String, String>, TemplateError> {
        let base = self.url_base.text(scope)?;
        let path = match path {
            Some(path) => path.to_owned(),
            None => self.path.text(scope)?.trim_start_matches('/').to_owned(),
        };
        let base = match base.is_empty() {
            true => self.url.text(scope)?,
            false => base,
        };
        Ok(join_url(&base, &path))
    }

    fn own_options(&self, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options {
            params: entries(&self.params, scope, Accept::TextOrList)?,
            headers: entries(&self.headers, scope, Accept::Any)?,
            ..Options::default()
        };
        match &self.body {
            Body::None => {}
            Body::Form(form) => options.form = entries(form, scope, Accept::TextOrList)?,
            Body::Text(text) => {
                options.text = Some(text.text(scope)?).filter(|text| !text.is_empty());
            }
            Body::Json(json) => match json.value(scope)? {
                Value::Object(fields) => options.json = fields,
                Value::Null => {}
                other => options.text = Some(python::text(&other)),
            },
        }
        Ok(options)
    }

    async fn attempt(
        &self,
        request: &Request,
        attempt: u32,
        refreshed: &mut bool,
    ) -> Result<Next, SourceError> {
        let auth = self.authenticator.options(&self.shared).await?;
        let token = auth.headers.get("Authorization").map(python::text);
        let options = Options::combine(vec![request.options.clone(), auth])
            .map_err(|problem| self.problem(problem))?;
        let url = with_params(&request.url, &options.params).map_err(|it| self.problem(it))?;
        let shown = self.shared.redactor.clean(&url);
        let response = match self.exchange(&url, &options).await? {
            Ok(response) => response,
            Err(problem) => return self.unreachable(shown, problem, attempt),
        };
        let resolution = self
            .errors
            .resolve(&response, &self.shared.scope)
            .map_err(|error| self.problem(error.to_string()))?;
        let forced = resolution.action == Action::RefreshTokenThenRetry;
        let refusal = response.status == 401 && resolution.action == Action::Fail;
        if (forced || refusal) && !*refreshed {
            *refreshed = true;
            if self.replace_token(token, forced).await? {
                let error = self.failure(&response, shown, &resolution);
                return Ok(Next::Again(Cause::Token, error));
            }
        }
        self.judge(response, shown, &resolution, attempt)
    }

    async fn replace_token(&self, used: Option<String>, forced: bool) -> Result<bool, SourceError> {
        let (Authenticator::OAuth(oauth), Some(used)) = (&self.authenticator, used) else {
            return Ok(false);
        };
        let refused = used.trim_start_matches("Bearer ");
        oauth.replace(refused, forced, &self.shared).await
    }

    fn judge(
        &self,
        response: Response,
        url: String,
        resolution: &Resolution,
        attempt: u32,
    ) -> Result<Next, SourceError> {
        match resolution.action {
            Action::Success | Action::Ignore => return Ok(Next::Done(response)),
            Action::Fail => return Ok(Next::Stop(self.failure(&response, url, resolution))),
            Action::RefreshTokenThenRetry if attempt > 1 => {
                return Ok(Next::Stop(self.failure(&response, url, resolution)));
            }
            Action::Retry | Action::RateLimited | Action::RefreshTokenThenRetry => {}
        }
        let now = Moment::now();
        let asked = retry_after(&response, now);
        if is_day_limit(&response) {
            let retry_after = asked.unwrap_or(Duration::from_secs(3600));
            return Ok(Next::Stop(SourceError::Parked { retry_after }));
        }
        let limited = resolution.action == Action::RateLimited;
        let cause = match (self.wait(Some(&response), attempt, now)?, asked, limited) {
            (Wait::TooLong(seconds), _, _) => {
                let retry_after = Duration::try_from_secs_f64(seconds).unwrap_or(PARK_AFTER);
                return Ok(Next::Stop(SourceError::Parked { retry_after }));
            }
            (Wait::Seconds(seconds), _, _) => Cause::Asked(seconds),
            // The reference waits as long as it pleases; the source said how long.
            (Wait::Unknown, Some(wait), _) => Cause::Asked(wait.as_secs_f64()),
            (Wait::Unknown, None, true) => Cause::Limited,
            (Wait::Unknown, None, false) => Cause::Passing,
        };
        let error = self.failure(&response, url, resolution);
        Ok(Next::Again(cause, error))
    }

    fn unreachable(&self, url: String, problem: String, attempt: u32) -> Result<Next, SourceError> {
        let cause = match self.wait(None, attempt, Moment::now())? {
            Wait::Seconds(seconds) => Cause::Asked(seconds),
            Wait::Unknown | Wait::TooLong(_) => Cause::Passing,
        };
        Ok(Next::Again(
            cause,
            SourceError::Unreachable { url, problem },
        ))
    }

    /// The first strategy that has an answer.
    fn wait(
        &self,
        response: Option<&Response>,
        attempt: u32,
        now: Moment,
    ) -> Result<Wait, SourceError> {
        for backoff in &self.errors.backoffs {
            let wait = backoff.wait(response, attempt, now, &self.shared.scope);
            match wait.map_err(|error| self.problem(error.to_string()))? {
                Wait::Unknown => {}
                wait => return Ok(wait),
            }
        }
        Ok(Wait::Unknown)
    }

    fn failure(&self, response: &Response, url: String, resolution: &Resolution) -> SourceError {
        let said = response.error_text().unwrap_or_default();
        let said: String = said.trim().chars().take(300).collect();
        let message = match (&resolution.message, said.is_empty()) {
            (Some(message), true) => message.clone(),
            (Some(message), false) => format!("{message} (it says: {said})"),
            (None, true) => "no reason given".to_owned(),
            (None, false) => said,
        };
        let message = self.shared.redactor.clean(&message);
        let (method, status) = (self.method.clone(), response.status);
        match status {
            401 => SourceError::Credentials(format!("{method} {url} answered 401: {message}")),
            _ => SourceError::Response {
                method,
                url,
                status,
                message,
            },
        }
    }

    /// One exchange with the source; the inner error is of the network.
    async fn exchange(
        &self,
        url: &str,
        options: &Options,
    ) -> Result<Result<Response, String>, SourceError> {
        let address = url::Url::parse(url).map_err(|error| {
            self.problem(format!("`{}`: {error}", self.shared.redactor.clean(url)))
        })?;
        let headers: Vec<(String, String)> = options
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), python::text(value)))
            .collect();
        let call = Call {
            method: &self.method,
            url: &address,
            headers: &headers,
        };
        let request = self.build(&address, &headers, options)?;
        let _permit = self.shared.enter(call).await?;
        match read(request, url).await {
            Ok(response) => {
                self.shared.learn(call, &response);
                Ok(Ok(response))
            }
            Err(error) if error.is_builder() => Err(self.problem(causes(&error.without_url()))),
            Err(error) => Ok(Err(causes(&error.without_url()))),
        }
    }

    fn build(
        &self,
        url: &url::Url,
        headers: &[(String, String)],
        options: &Options,
    ) -> Result<reqwest::RequestBuilder, SourceError> {
        let method = reqwest::Method::from_bytes(self.method.as_bytes())
            .map_err(|_| self.problem(format!("`{}` is no HTTP method", self.method)))?;
        let mut request = self.shared.client.request(method, url.clone());
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        let mut content_type = None;
        if let Some(text) = &options.text {
            request = request.body(text.clone());
        } else if !options.form.is_empty() {
            content_type = Some("application/x-www-form-urlencoded");
            request = request.body(form_text(&options.form));
        } else if !options.json.is_empty() {
            content_type = Some("application/json");
            let json = serde_json::to_string(&Value::Object(options.json.clone()));
            request = request.body(json.map_err(|error| self.problem(error.to_string()))?);
        }
        let named = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some(content_type) = content_type.filter(|_| !named) {
            request = request.header("content-type", content_type);
        }
        Ok(headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        }))
    }

    fn problem(&self, problem: String) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&problem),
        }
    }
}

async fn read(request: reqwest::RequestBuilder, url: &str) -> Result<Response, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let headers = headers.collect();
    let body = response.bytes().await?;
    Ok(Response::new(status, url.to_owned(), headers, body))
}

/// An error and what caused it, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Xero and others name the limit; a day's outlasts the run.
fn is_day_limit(response: &Response) -> bool {
    let problem = response.header("x-rate-limit-problem").unwrap_or_default();
    response.status == 429 && problem.to_ascii_lowercase().contains("day")
}

fn pairs(component: &Component<'_>, name: &str) -> Result<Vec<(Template, Template)>, SourceError> {
    let Some(json) = component.field(name) else {
        return Ok(Vec::new());
    };
    let fields = json
        .as_object()
        .ok_or_else(|| component.error(format!("`{name}` must be a mapping")))?;
    fields
        .iter()
        .map(|(key, value)| match value {
            serde_json::Value::Object(_) => {
                Err(component.error(format!("`{name}.{key}`: QueryProperties is not supported")))
            }
            value => Ok((component.compile(key)?, component.template_of(value)?)),
        })
        .collect()
}

fn entries(
    pairs: &[(Template, Template)],
    scope: &Scope,
    accept: Accept,
) -> Result<Object, TemplateError> {
    let mut object = Object::new();
    for (key, value) in pairs {
        let key = key.entry(scope, Accept::Text)?;
        match value.entry(scope, accept)? {
            Value::Null => {}
            value => {
                object.insert(python::text(&key), value);
            }
        }
    }
    Ok(object)
}

fn body(component: &Component<'_>) -> Result<Body, SourceError> {
    let (kind, value) = match component.child("request_body") {
        Some(body) => (body.kind().to_owned(), body.need("value")?),
        None => match (
            component.child("request_body_json"),
            component.child("request_body_data"),
        ) {
            (Some(json), None) => ("RequestBodyJsonObject".to_owned(), json),
            (None, Some(data)) if data.json().is_string() => {
                ("RequestBodyPlainText".to_owned(), data)
            }
            (None, Some(data)) => ("RequestBodyUrlEncodedForm".to_owned(), data),
            (None, None) => return Ok(Body::None),
            (Some(_), Some(_)) => {
                return Err(component
                    .error("only one of `request_body_json` and `request_body_data` can be"));
            }
        },
    };
    Ok(match kind.as_str() {
        "RequestBodyJsonObject" | "RequestBodyGraphQL" => {
            Body::Json(Nested::open(component, value.json())?)
        }
        "RequestBodyPlainText" => Body::Text(component.template_of(value.json())?),
        "RequestBodyUrlEncodedForm" => {
            let fields = value.json().as_object().into_iter().flatten();
            let pairs = fields
                .map(|(key, value)| Ok((component.compile(key)?, component.template_of(value)?)));
            Body::Form(pairs.collect::<Result<_, SourceError>>()?)
        }
        other => return Err(value.error(format!("{other} is not supported"))),
    })
}
