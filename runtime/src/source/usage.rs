//! What asking the source has cost, by the stream it was asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::stream::Usage;

use super::response::Response;

/// The usage of one source.
#[derive(Debug, Default)]
pub struct Usages(Mutex<HashMap<String, Usage>>);

impl Usages {
    pub fn of(&self, stream: &str) -> Usage {
        let usages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usages.get(stream).copied().unwrap_or_default()
    }

    pub fn note(&self, stream: &str, change: impl FnOnce(&mut Usage)) {
        let mut usages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(usages.entry(stream.to_owned()).or_default());
    }
}

/// How many calls a reply says are left: of several limits the nearest.
pub fn told(response: &Response) -> Option<u64> {
    let headers = response.headers.iter();
    let told = headers.filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let number = match name.as_str() {
            "ratelimit" => value
                .split([',', ';'])
                .find_map(|part| part.trim().strip_prefix("remaining=")),
            name if name.contains("limit") && name.ends_with("remaining") => Some(value.as_str()),
            _ => None,
        };
        number?.trim().parse().ok()
    });
    told.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_tell_what_is_left_in_many_ways() {
        let left = |headers: &[(&str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let body = bytes::Bytes::new();
            told(&Response::new(200, String::new(), headers.collect(), body))
        };
        assert_eq!(
            left(&[
                ("X-MinLimit-Remaining", "58"),
                ("X-DayLimit-Remaining", "4990")
            ]),
            Some(58)
        );
        assert_eq!(
            left(&[("ratelimit", "limit=100, remaining=50, reset=5")]),
            Some(50)
        );
        assert_eq!(left(&[("X-RateLimit-Remaining", " 7 ")]), Some(7));
        assert_eq!(
            left(&[("x-items-remaining", "7"), ("ratelimit-remaining", "soon")]),
            None
        );
    }
}
