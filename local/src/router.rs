//! Routes in the form of Google's HTTP rules.
//!
//! A template's `{name}` takes one path segment, `{name=**}` the rest of the
//! path, and a `:verb` may follow the last segment. Paths are matched before
//! percent-decoding, as `%2F` belongs to an object's name.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::cloud::Cloud;
use crate::error::ApiError;
use crate::identity::Caller;
use crate::premises::missing_for;

/// A request with its path taken apart.
pub struct Request {
    pub method: Method,
    pub uri: Uri,
    /// Who sent it.
    pub caller: Caller,
    pub headers: HeaderMap,
    /// Percent-decoded template variables.
    pub path: BTreeMap<&'static str, String>,
    /// Percent-decoded query; the `$` of system parameters (`$alt`) is stripped.
    pub query: Vec<(String, String)>,
    pub body: Body,
}

impl Request {
    /// A variable of the matched template.
    pub fn var(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a boolean query parameter is on; clients write it in either case.
    pub fn flag(&self, name: &str) -> bool {
        self.query(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// All values of a repeated query parameter.
    pub fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Takes the whole body; the request keeps an empty one.
    pub async fn bytes(&mut self) -> Result<Bytes, ApiError> {
        axum::body::to_bytes(std::mem::take(&mut self.body), usize::MAX)
            .await
            .map_err(|error| ApiError::invalid(format!("the body broke off: {error}")))
    }

    /// Takes the body as JSON; an empty body reads as `{}`.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let bytes = self.bytes().await?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes)
            .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))
    }
}

/// Who answered; an extension of each answer that is no fault.
#[derive(Debug, Clone, Copy)]
pub enum Served {
    /// An API (`run.googleapis.com`).
    Api(&'static str),
    /// One of some APIs, which have the path in common.
    AnyApi,
    /// What Google serves otherwise, or this cloud's own.
    Besides,
    Nobody,
}

pub type Reply = Result<Response, ApiError>;
type Handler =
    Box<dyn Fn(Arc<Cloud>, Request) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// One method of an API.
pub struct Route {
    method: Method,
    template: &'static str,
    handler: Handler,
    served: Served,
}

/// Marks routes as methods of an API (`run.googleapis.com`): their callers are
/// told apart by token, and the API must be enabled in the `{project}` of the path.
pub fn service(name: &'static str, routes: Vec<Route>) -> Vec<Route> {
    served_by(Served::Api(name), routes)
}

/// Says who answers these routes.
pub fn served_by(served: Served, routes: Vec<Route>) -> Vec<Route> {
    let routes = routes.into_iter();
    routes.map(|route| Route { served, ..route }).collect()
}

impl Route {
    /// `template` as in Google's discovery documents: `/v1/projects/{project}/secrets/{secret}:addVersion`.
    pub fn new<F, Fut>(method: Method, template: &'static str, handler: F) -> Route
    where
        F: Fn(Arc<Cloud>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Reply> + Send + 'static,
    {
        let handler: Handler = Box::new(move |cloud, request| Box::pin(handler(cloud, request)));
        Route {
            method,
            template,
            handler,
            served: Served::Besides,
        }
    }

    /// Refuses a bad token and an API that is off; tells who calls.
    fn admit(
        &self,
        cloud: &Cloud,
        headers: &HeaderMap,
        variables: &BTreeMap<&'static str, String>,
    ) -> Result<Caller, ApiError> {
        let Served::Api(service) = self.served else {
            return Ok(Caller::Anonymous);
        };
        let caller = cloud.caller(headers)?;
        match variables.get("project").map(String::as_str) {
            Some("-") | None => {}
            Some(project) => {
                let found = cloud.projects.get(project);
                let found = found.map_err(|_| missing_for(service, project))?;
                cloud.services.check(&found, service)?;
            }
        }
        Ok(caller)
    }
}

/// All routes of the cloud; the first that matches answers.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
}

impl Router {
    pub fn with(mut self, routes: Vec<Route>) -> Router {
        self.routes.extend(routes);
        self
    }

    /// Each method there is: who serves it, its verb and its template.
    #[cfg(test)]
    pub fn routes(&self) -> impl Iterator<Item = (Served, &Method, &'static str)> {
        let routes = self.routes.iter();
        routes.map(|route| (route.served, &route.method, route.template))
    }

    /// Answers one request; unknown methods and paths get 405.
    pub async fn answer(&self, cloud: Arc<Cloud>, request: axum::extract::Request) -> Response {
        let Some(fault) = cloud.faults.meet(request.method(), request.uri()) else {
            return self.serve(cloud, request).await;
        };
        fault.delay().await;
        let served = match fault.serves() {
            true => Some(self.serve(cloud, request).await),
            false => {
                // Read to its end, or the caller would learn of a closed connection instead.
                let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
                None
            }
        };
        fault.answer(served).await
    }

    async fn serve(&self, cloud: Arc<Cloud>, request: axum::extract::Request) -> Response {
        let (served, mut response) = self.served(cloud, request).await;
        response.extensions_mut().insert(served);
        response
    }

    async fn served(
        &self,
        cloud: Arc<Cloud>,
        request: axum::extract::Request,
    ) -> (Served, Response) {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let found = self
            .routes
            .iter()
            .filter(|route| route.method == parts.method)
            .find_map(|route| Some((route, matches(route.template, path)?)));
        let Some((route, variables)) = found else {
            let error = ApiError::unserved(format!(
                "the local cloud does not serve {} {path}",
                parts.method
            ));
            return (Served::Nobody, error.into_response());
        };
        let served = route.served;
        let caller = match route.admit(&cloud, &parts.headers, &variables) {
            Ok(caller) => caller,
            Err(error) => return (served, error.into_response()),
        };
        let request = Request {
            caller,
            query: parse_query(parts.uri.query().unwrap_or("")),
            method: parts.method,
            path: variables,
            uri: parts.uri,
            headers: parts.headers,
            body,
        };
        (
            served,
            (route.handler)(cloud, request).await.into_response(),
        )
    }
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.trim_start_matches('$').to_owned(), value.into_owned()))
        .collect()
}

/// The variables of `template` in `path`, or `None` where they differ.
pub fn matches(template: &'static str, path: &str) -> Option<BTreeMap<&'static str, String>> {
    let (template, verb) = split_verb(template);
    let path = match verb {
        Some(verb) => path.strip_suffix(verb)?.strip_suffix(':')?,
        None => path,
    };
    let mut variables = BTreeMap::new();
    let mut rest = path.strip_prefix('/')?.split('/');
    for part in template.strip_prefix('/')?.split('/') {
        let Some(name) = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        else {
            if rest.next()? != part {
                return None;
            }
            continue;
        };
        if let Some(name) = name.strip_suffix("=**") {
            let tail: Vec<&str> = rest.collect();
            return (!tail.is_empty()).then(|| {
                variables.insert(name, decode(&tail.join("/")));
                variables
            });
        }
        let segment = rest.next().filter(|segment| !segment.is_empty())?;
        variables.insert(name, decode(segment));
    }
    // A verb the template does not name is another method. Verbs are letters: the
    // colon of `sha256:0f..` is part of a name.
    let last_has_verb = verb.is_none()
        && path.rsplit('/').next().is_some_and(|last| {
            let parts = last.rsplit_once(':');
            parts.is_some_and(|(name, verb)| {
                !name.ends_with("@sha256") && verb.chars().all(|c| c.is_ascii_alphabetic())
            })
        });
    (rest.next().is_none() && !last_has_verb).then_some(variables)
}

fn split_verb(template: &'static str) -> (&'static str, Option<&'static str>) {
    match template.rsplit_once(':') {
        Some((template, verb)) => (template, Some(verb)),
        None => (template, None),
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_takes_one_segment_and_decodes_it() {
        let found = matches(
            "/storage/v1/b/{bucket}/o/{object}",
            "/storage/v1/b/x/o/a%2Fb",
        )
        .unwrap();
        assert_eq!(found["object"], "a/b");
        assert_eq!(
            matches("/storage/v1/b/{bucket}/o/{object}", "/storage/v1/b/x/o/a/b"),
            None
        );
    }

    #[test]
    fn a_verb_is_part_of_the_method() {
        assert!(
            matches(
                "/v1/projects/{p}/secrets/{s}:addVersion",
                "/v1/projects/a/secrets/b:addVersion"
            )
            .is_some()
        );
        assert!(
            matches(
                "/v1/projects/{p}/secrets/{s}",
                "/v1/projects/a/secrets/b:addVersion"
            )
            .is_none()
        );
        assert!(
            matches(
                "/v1/projects/{p}/services:batchEnable",
                "/v1/projects/a/services:batchEnable"
            )
            .is_some()
        );
    }

    #[test]
    fn a_digest_is_no_verb() {
        let found = matches("/v1/dockerImages/{image}", "/v1/dockerImages/i@sha256:0f").unwrap();
        assert_eq!(found["image"], "i@sha256:0f");
        assert!(matches("/v1/dockerImages/{image}", "/v1/dockerImages/i@sha256:aa").is_some());
    }

    #[test]
    fn the_rest_of_a_path_is_one_variable() {
        let found = matches("/v2/{rest=**}", "/v2/p/r/i/blobs/sha256:00").unwrap();
        assert_eq!(found["rest"], "p/r/i/blobs/sha256:00");
    }
}
