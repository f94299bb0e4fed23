//! The network: one request to its reply, redirects and cookies included.
//!
//! Redirects are followed here and not by the HTTP client, so that nothing secret
//! goes along to another host.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cookie_store::{CookieStore, RawCookie};
use reqwest::header::{
    CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, SET_COOKIE,
};
use reqwest::{Client, Method};
use url::Url;

use super::body::Body;
use crate::source::budget::Call;
use crate::source::component::Component;
use crate::source::response::Response;
use crate::source::shared::{Shared, Timeouts};
use crate::stream::SourceError;

/// As `requests`; more is a circle.
const MOST_REDIRECTS: usize = 30;

/// A request as it goes out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
    /// Headers that must not reach another host.
    pub secret_headers: Vec<HeaderName>,
    pub secret_body: bool,
}

impl Outgoing {
    pub fn header_texts(&self) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect()
    }

    /// What policies look at; `headers` are this request's.
    pub fn call<'r>(&'r self, headers: &'r [(String, String)]) -> Call<'r> {
        Call {
            method: self.method.as_str(),
            url: &self.url,
            headers,
        }
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub enum WireError {
    /// May pass: no connection, a timeout, a cut body.
    Network(String),
    /// Does not pass by itself.
    Final(String),
}

/// A requester's connections and the cookies it was given.
pub struct Wire {
    client: Client,
    cookies: Mutex<CookieStore>,
}

impl Wire {
    pub fn open(component: &Component<'_>, shared: &Shared) -> Result<Wire, SourceError> {
        let seconds = |name: &str| {
            let seconds = component.field(name).and_then(serde_json::Value::as_f64);
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        };
        let timeouts = Timeouts {
            connect: seconds("connect_timeout_in_seconds"),
            read: seconds("read_timeout_in_seconds"),
            keepalive: component.flag("use_tcp_keepalive"),
        };
        Ok(Wire {
            client: match timeouts == Timeouts::default() {
                true => shared.client.clone(),
                false => timeouts.client()?,
            },
            cookies: Mutex::default(),
        })
    }

    /// The reply, after redirects.
    pub async fn exchange(&self, mut outgoing: Outgoing) -> Result<Response, WireError> {
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send(&outgoing).await?;
            match target(&response, &outgoing.url) {
                Some(target) => {
                    outgoing = redirected(outgoing, target, response.status().as_u16())?
                }
                None => return read(response, &outgoing.url).await,
            }
        }
        Err(WireError::Final(format!(
            "more than {MOST_REDIRECTS} redirects"
        )))
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<reqwest::Response, WireError> {
        let mut request = self
            .client
            .request(outgoing.method.clone(), outgoing.url.clone())
            .headers(outgoing.headers.clone());
        if let Some(cookies) = self.cookies_for(outgoing) {
            request = request.header(COOKIE, cookies);
        }
        if let Some(body) = &outgoing.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(failed)?;
        self.keep_cookies(&response, &outgoing.url);
        Ok(response)
    }

    /// The session's cookies, unless the request has its own.
    fn cookies_for(&self, outgoing: &Outgoing) -> Option<HeaderValue> {
        if outgoing.headers.contains_key(COOKIE) {
            return None;
        }
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = cookies.get_request_values(&outgoing.url);
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        HeaderValue::try_from(pairs.join("; "))
            .ok()
            .filter(|header| !header.is_empty())
    }

    fn keep_cookies(&self, response: &reqwest::Response, url: &Url) {
        let given = response.headers().get_all(SET_COOKIE).iter();
        let given = given.filter_map(|header| RawCookie::parse(header.to_str().ok()?).ok());
        let given: Vec<_> = given.map(RawCookie::into_owned).collect();
        if !given.is_empty() {
            let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
            cookies.store_response_cookies(given.into_iter(), url);
        }
    }
}

/// Where a reply sends the request on.
fn target(response: &reqwest::Response, url: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let mut target = url.join(&location).ok()?;
    if target.fragment().is_none() {
        target.set_fragment(url.fragment());
    }
    Some(target)
}

/// The request for the place a reply of this status pointed to.
fn redirected(mut outgoing: Outgoing, target: Url, status: u16) -> Result<Outgoing, WireError> {
    let drops_body = !matches!(status, 307 | 308);
    if drops_body {
        outgoing.body = None;
        outgoing.headers.remove(CONTENT_TYPE);
    }
    let get = match status {
        302 | 303 => outgoing.method != Method::HEAD,
        301 => outgoing.method == Method::POST,
        _ => false,
    };
    if get {
        outgoing.method = Method::GET;
    }
    if !same_host(&outgoing.url, &target) {
        if outgoing.body.is_some() && outgoing.secret_body {
            return Err(WireError::Final(format!(
                "redirected to another host ({}) with credentials in the body; they do not go there",
                target.host_str().unwrap_or_default()
            )));
        }
        for name in std::mem::take(&mut outgoing.secret_headers) {
            outgoing.headers.remove(name);
        }
    }
    outgoing.url = target;
    Ok(outgoing)
}

/// Whether credentials for `from` may go to `to`: the same place, or the same host made secure.
fn same_host(from: &Url, to: &Url) -> bool {
    let ports = |url: &Url| url.port_or_known_default();
    let secured = from.scheme() == "http"
        && ports(from) == Some(80)
        && to.scheme() == "https"
        && ports(to) == Some(443);
    let same = from.scheme() == to.scheme() && ports(from) == ports(to);
    from.host_str() == to.host_str() && (same || secured)
}

async fn read(response: reqwest::Response, url: &Url) -> Result<Response, WireError> {
    let status = response.status().as_u16();
    let headers = response.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    let headers = headers.collect();
    let body = body(response).await?;
    Ok(Response::new(status, url.to_string(), headers, body))
}

async fn body(mut response: reqwest::Response) -> Result<Bytes, WireError> {
    let mut body = Body::new(response.content_length());
    while let Some(part) = response.chunk().await.map_err(failed)? {
        body.push(&part).map_err(WireError::Final)?;
    }
    Ok(body.joined())
}

fn failed(error: reqwest::Error) -> WireError {
    let problem = causes(&error.without_url());
    WireError::Network(problem)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(method: Method) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("secret"));
        headers.insert("accept", HeaderValue::from_static("text/csv"));
        Outgoing {
            method,
            url: Url::parse("http://a.example/start").unwrap(),
            headers,
            body: Some(b"{}".to_vec()),
            secret_headers: vec![HeaderName::from_static("x-api-key")],
            secret_body: false,
        }
    }

    fn follow(outgoing: Outgoing, to: &str, status: u16) -> Result<Outgoing, WireError> {
        redirected(outgoing, Url::parse(to).unwrap(), status)
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let kept = follow(outgoing(Method::GET), "http://a.example/next", 302).unwrap();
        assert!(kept.headers.contains_key("x-api-key"));
        let secured = follow(outgoing(Method::GET), "https://a.example/next", 302).unwrap();
        assert!(secured.headers.contains_key("x-api-key"));
        for other in [
            "http://b.example/",
            "http://a.example:8080/",
            "ftp://a.example/",
        ] {
            let gone = follow(outgoing(Method::GET), other, 302).unwrap();
            assert!(!gone.headers.contains_key("x-api-key"), "{other}");
            assert!(gone.headers.contains_key("accept"));
        }
        let in_body = Outgoing {
            secret_body: true,
            ..outgoing(Method::POST)
        };
        assert!(follow(in_body, "http://b.example/", 307).is_err());
    }

    #[test]
    fn a_redirected_post_is_a_get_unless_the_status_keeps_it() {
        let see_other = follow(outgoing(Method::POST), "http://a.example/", 303).unwrap();
        assert_eq!((see_other.method, see_other.body), (Method::GET, None));
        let kept = follow(outgoing(Method::POST), "http://a.example/", 307).unwrap();
        assert_eq!(kept.method, Method::POST);
        assert!(kept.body.is_some());
    }
}
