//! What goes to a source and what comes back, for a person who writes a manifest.
//!
//! Secrets are masked before anybody sees an exchange.

use std::sync::Arc;

use super::config::Redactor;
use super::requester::Outgoing;
use super::response::Response;

/// More of a body tells a person nothing new.
const MOST_SHOWN: usize = 100_000;

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

/// Is told of each exchange as soon as its reply is read.
pub type Watcher = Arc<dyn Fn(Exchange) + Send + Sync>;

impl Exchange {
    pub(super) fn of(outgoing: &Outgoing, response: &Response, redactor: &Redactor) -> Exchange {
        let headers = outgoing.headers.iter().map(|(name, value)| {
            let value = match outgoing.secret_headers.contains(name) {
                true => "****".to_owned(),
                false => redactor.clean(&String::from_utf8_lossy(value.as_bytes())),
            };
            (name.as_str().to_owned(), value)
        });
        let reply_headers = response.headers.iter();
        let reply_headers = reply_headers.map(|(name, value)| match name.as_str() {
            "set-cookie" => (name.clone(), "****".to_owned()),
            _ => (name.clone(), redactor.clean(value)),
        });
        Exchange {
            method: outgoing.method.to_string(),
            url: redactor.clean(outgoing.url.as_str()),
            headers: headers.collect(),
            body: outgoing.body.as_deref().map(|body| shown(body, redactor)),
            status: response.status,
            reply_headers: reply_headers.collect(),
            reply: shown(&response.body, redactor),
            size: response.body.len(),
        }
    }
}

fn shown(body: &[u8], redactor: &Redactor) -> String {
    let cut = &body[..body.len().min(MOST_SHOWN)];
    redactor.clean(&String::from_utf8_lossy(cut))
}
