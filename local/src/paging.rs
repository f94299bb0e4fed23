//! Pages of a listing: the token is the key of the page's last item.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::ApiError;
use crate::router::Request;

/// What a list request asks for.
#[derive(Debug, Clone)]
pub struct Paging {
    size: usize,
    after: Option<String>,
}

impl Paging {
    /// Reads `pageSize` and `pageToken`; zero or more than `most` means `most`.
    pub fn of(request: &Request, most: usize) -> Result<Paging, ApiError> {
        Paging::new(request.query("pageSize"), request.query("pageToken"), most)
    }

    pub fn new(size: Option<&str>, token: Option<&str>, most: usize) -> Result<Paging, ApiError> {
        let size = match size.unwrap_or("0").parse::<usize>() {
            Ok(0) => most,
            Ok(size) => size.min(most),
            Err(_) => return Err(ApiError::invalid("The page size must be a number >= 0.")),
        };
        let after = match token.unwrap_or("") {
            "" => None,
            token => Some(decode(token)?),
        };
        Ok(Paging { size, after })
    }

    /// This page of `items`, which are in order of their keys, and the next page's token.
    pub fn take<T>(&self, items: Vec<(String, T)>) -> (Vec<T>, Option<String>) {
        let mut rest = items
            .into_iter()
            .skip_while(|(key, _)| self.after.as_ref().is_some_and(|after| key <= after))
            .peekable();
        let mut page = Vec::new();
        let mut last = None;
        while page.len() < self.size
            && let Some((key, item)) = rest.next()
        {
            page.push(item);
            last = Some(key);
        }
        let more = rest.peek().is_some();
        (page, last.filter(|_| more).map(encode))
    }
}

pub fn encode(key: String) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

pub fn decode(token: &str) -> Result<String, ApiError> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::invalid("The page token is not one of this listing."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_together_are_the_whole_list() {
        let items = || -> Vec<(String, u32)> {
            (0..5)
                .map(|number| (format!("k{number}"), number))
                .collect()
        };
        let mut token = None;
        let mut seen = Vec::new();
        loop {
            let paging = Paging::new(Some("2"), token.as_deref(), 100).unwrap();
            let (page, next) = paging.take(items());
            seen.extend(page);
            token = next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_foreign_token_is_refused() {
        assert!(Paging::new(None, Some("%%"), 10).is_err());
    }
}
