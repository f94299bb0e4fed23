//! Replies kept for identical requests, as long as a source is read.
//!
//! A parent's pages are asked for by each of its children; the reference keeps them
//! in a file, here they are packed in memory up to a limit. What goes over it is
//! asked for again.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use reqwest::Method;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex as AsyncMutex;

use crate::source::response::Response;

use super::wire::Outgoing;

/// Of packed replies, in bytes.
const MOST: usize = 64 << 20;
/// Headers and parameters that say who asks and not for what, as the reference's cache has them.
const CREDENTIALS: [&str; 9] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-auth-token",
    "x-api-token",
    "x-access-token",
    "access_token",
    "api_key",
    "apikey",
];

type Key = [u8; 32];

/// The place of one request's reply; its lock lets equal requests wait for the first.
pub type Place = Arc<AsyncMutex<Option<Packed>>>;

/// The replies of one source.
#[derive(Debug, Default)]
pub struct Cache {
    places: Mutex<HashMap<Key, Place>>,
    used: Mutex<usize>,
}

/// A reply, packed.
#[derive(Debug)]
pub struct Packed {
    url: String,
    asked: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Cache {
    /// The place for replies to this request; `stream` keeps those of other streams apart.
    pub fn place(&self, stream: &str, outgoing: &Outgoing) -> Option<Place> {
        if ![Method::GET, Method::HEAD].contains(&outgoing.method) {
            return None;
        }
        let key = key(stream, outgoing);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Some(places.entry(key).or_default().clone())
    }

    /// Forgets all replies, where one that was kept is known to be stale.
    pub fn clear(&self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.clear();
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = 0;
    }

    /// What to keep of a reply: nothing of an error, and nothing over the limit.
    pub fn pack(&self, response: &Response) -> Option<Packed> {
        if response.status != 200 {
            return None;
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&response.body).ok()?;
        let body = encoder.finish().ok()?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used + body.len() > MOST {
            return None;
        }
        *used += body.len();
        Some(Packed {
            url: response.url.clone(),
            asked: response.asked.clone(),
            headers: response.headers.clone(),
            body,
        })
    }
}

impl Packed {
    pub fn response(&self) -> Option<Response> {
        let mut body = Vec::new();
        DeflateDecoder::new(self.body.as_slice())
            .read_to_end(&mut body)
            .ok()?;
        let (url, headers) = (self.url.clone(), self.headers.clone());
        let mut response = Response::new(200, url, headers, Bytes::from(body));
        response.asked.clone_from(&self.asked);
        Some(response)
    }
}

fn key(stream: &str, outgoing: &Outgoing) -> Key {
    let says_who = |name: &str| CREDENTIALS.contains(&name.to_ascii_lowercase().as_str());
    let mut params: Vec<_> = outgoing.url.query_pairs().collect();
    params.retain(|(name, _)| !says_who(name));
    params.sort();
    let mut headers: Vec<_> = outgoing.headers.iter().collect();
    headers.retain(|(name, _)| !says_who(name.as_str()));
    headers.sort_by_key(|(name, _)| name.as_str());
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(stream.as_bytes());
    add(outgoing.method.as_str().as_bytes());
    add(outgoing.url[..url::Position::AfterPath].as_bytes());
    for (name, value) in &params {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    for (name, value) in headers {
        add(name.as_str().as_bytes());
        add(value.as_bytes());
    }
    add(outgoing.body.as_deref().unwrap_or_default());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};
    use url::Url;

    use super::*;

    fn outgoing(url: &str, headers: &[(&'static str, &'static str)]) -> Outgoing {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        Outgoing {
            method: Method::GET,
            url: Url::parse(url).unwrap(),
            headers: HeaderMap::from_iter(headers),
            body: None,
            secret_headers: Vec::new(),
            secret_body: false,
        }
    }

    #[test]
    fn the_order_of_parameters_and_who_asks_make_no_difference() {
        let base = outgoing("http://a.example/x?a=1&b=2", &[("authorization", "one")]);
        let same = outgoing("http://a.example/x?b=2&a=1", &[("authorization", "two")]);
        assert_eq!(key("s", &base), key("s", &same));
        for other in [
            outgoing("http://a.example/x?a=1&b=3", &[]),
            outgoing("http://a.example/y?a=1&b=2", &[]),
            outgoing("http://a.example/x?a=1&b=2", &[("accept", "text/csv")]),
        ] {
            assert_ne!(key("s", &base), key("s", &other));
        }
        assert_ne!(key("s", &base), key("t", &base));
    }

    #[test]
    fn only_good_replies_are_kept_and_come_back_whole() {
        let cache = Cache::default();
        let reply = |status| {
            let headers = vec![("x".to_owned(), "1".to_owned())];
            Response::new(status, "u".to_owned(), headers, Bytes::from("body"))
        };
        assert!(cache.pack(&reply(404)).is_none());
        let again = cache.pack(&reply(200)).unwrap().response().unwrap();
        assert_eq!(
            (&again.body[..], again.header("x")),
            (&b"body"[..], Some("1"))
        );
    }
}
