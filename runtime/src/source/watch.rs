//! What goes to a source and what comes back, for a person who writes a manifest.
//!
//! Secrets are masked when an exchange is looked at: what a login's reply holds is known to be
//! secret only when the login is done.

use std::sync::{Arc, LazyLock};

use regex::Regex;
use reqwest::header::HeaderMap;

use super::config::Redactor;
use super::requester::Outgoing;
use super::response::Response;

/// More of a body tells a person nothing new.
const MOST_SHOWN: usize = 100_000;
/// A secret may stand across the cut.
const LONGEST_SECRET: usize = 10_000;

const MASK: &str = "****";

/// Names of fields that hold secrets, whatever the specification says.
const SECRET_NAMES: &str = "access_token|refresh_token|id_token|session_token|client_secret|\
    password|api_key|apikey|secret|assertion|accessToken|refreshToken|idToken|clientSecret|apiKey";

static JSON_FIELD: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r#"("(?:{SECRET_NAMES})"\s*:\s*")(?:[^"\\]|\\.)+"#)));
static FORM_FIELD: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"((?:^|[?&])(?:{SECRET_NAMES})=)[^&#\s]+")));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns above are well formed")
}

/// One request and its reply.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Exchange {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    pub status: u16,
    pub reply_headers: Vec<(String, String)>,
    /// The reply's body, cut where it is long.
    pub reply: String,
    /// Bytes of the reply's body.
    pub size: usize,
}

/// An exchange with its secrets, which it shows to nobody.
pub struct Seen {
    raw: Exchange,
    redactor: Redactor,
}

/// Is told of each exchange as soon as its reply is read.
pub type Watcher = Arc<dyn Fn(Seen) + Send + Sync>;

impl Seen {
    pub(super) fn of(outgoing: &Outgoing, response: &Response, redactor: &Redactor) -> Seen {
        let mut raw = Exchange {
            method: outgoing.method.to_string(),
            url: outgoing.url.to_string(),
            headers: plain(&outgoing.headers),
            body: outgoing.body.as_deref().map(beginning),
            status: response.status,
            reply_headers: response.headers.clone(),
            reply: beginning(&response.body),
            size: response.body.len(),
        };
        for (name, value) in &mut raw.headers {
            if outgoing
                .secret_headers
                .iter()
                .any(|secret| secret == name.as_str())
            {
                MASK.clone_into(value);
            }
        }
        let redactor = redactor.clone();
        Seen { raw, redactor }
    }

    /// A request for a token and its reply.
    pub(super) fn login(
        request: &reqwest::Request,
        (status, headers, reply): (u16, &HeaderMap, &[u8]),
        redactor: &Redactor,
    ) -> Seen {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let raw = Exchange {
            method: request.method().to_string(),
            url: request.url().to_string(),
            headers: plain(request.headers()),
            body: body.map(beginning),
            status,
            reply_headers: plain(headers),
            reply: beginning(reply),
            size: reply.len(),
        };
        let redactor = redactor.clone();
        Seen { raw, redactor }
    }

    /// The exchange without what is known to be secret by now.
    pub fn exchange(&self) -> Exchange {
        let raw = &self.raw;
        Exchange {
            method: raw.method.clone(),
            url: self.clean(&raw.url),
            headers: self.clean_headers(&raw.headers),
            body: raw.body.as_deref().map(|body| self.clean_body(body)),
            status: raw.status,
            reply_headers: self.clean_headers(&raw.reply_headers),
            reply: self.clean_body(&raw.reply),
            size: raw.size,
        }
    }

    /// A text without what is known to be secret by now.
    pub fn clean(&self, text: &str) -> String {
        masked(text, &self.redactor)
    }

    fn clean_body(&self, body: &str) -> String {
        let mut shown = self.clean(body);
        shown.truncate(shown.floor_char_boundary(MOST_SHOWN));
        shown
    }

    fn clean_headers(&self, headers: &[(String, String)]) -> Vec<(String, String)> {
        let clean = |(name, value): &(String, String)| {
            let value = match is_secret(name) {
                true => MASK.to_owned(),
                false => self.clean(value),
            };
            (name.clone(), value)
        };
        headers.iter().map(clean).collect()
    }
}

/// A text without secrets: those that are known, and those that are named like one.
pub(super) fn masked(text: &str, redactor: &Redactor) -> String {
    let text = redactor.clean(text);
    let text = JSON_FIELD.replace_all(&text, format!("${{1}}{MASK}"));
    FORM_FIELD
        .replace_all(&text, format!("${{1}}{MASK}"))
        .into_owned()
}

/// Whether a header is a secret whatever it holds.
fn is_secret(name: &str) -> bool {
    let names = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
    ];
    names.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let header = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    };
    headers.iter().map(header).collect()
}

fn beginning(body: &[u8]) -> String {
    let most = MOST_SHOWN + LONGEST_SECRET;
    String::from_utf8_lossy(&body[..body.len().min(most)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(url: &str, body: &str, reply: &str) -> Seen {
        let raw = Exchange {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: vec![("Authorization".to_owned(), "Bearer abc".to_owned())],
            body: Some(body.to_owned()),
            status: 200,
            reply_headers: vec![("Set-Cookie".to_owned(), "id=1".to_owned())],
            reply: reply.to_owned(),
            size: reply.len(),
        };
        let redactor = Redactor::default();
        Seen { raw, redactor }
    }

    #[test]
    fn fields_that_are_named_like_secrets_are_masked() {
        let seen = seen(
            "http://a.test/?page=2&api_key=k1#x",
            "grant_type=refresh_token&refresh_token=r1&client_secret=s1",
            r#"{"access_token": "a\"1", "next_page_token": "p", "expires_in": 3}"#,
        );
        let shown = seen.exchange();
        assert_eq!(shown.url, "http://a.test/?page=2&api_key=****#x");
        assert_eq!(
            shown.body.as_deref(),
            Some("grant_type=refresh_token&refresh_token=****&client_secret=****")
        );
        assert_eq!(
            shown.reply,
            r#"{"access_token": "****", "next_page_token": "p", "expires_in": 3}"#
        );
        assert_eq!(shown.headers[0].1, "****");
        assert_eq!(shown.reply_headers[0].1, "****");
    }

    #[test]
    fn a_secret_that_is_learnt_from_a_reply_is_masked_in_it() {
        let seen = seen("http://a.test/login", "", r#"{"ticket": "t0ken"}"#);
        seen.redactor.hide("t0ken");
        assert_eq!(seen.exchange().reply, r#"{"ticket": "****"}"#);
    }
}
