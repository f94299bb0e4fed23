//! A reply, read to its end, and what templates and error handlers see of it.

use std::sync::OnceLock;

use bytes::Bytes;
use minijinja::Value as Shown;

use crate::value::Value;

use super::body;
use super::decoder::Decoder;
use super::json;
use super::template::{Headers, to_template};

/// Status, headers and body of one reply.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub url: String,
    /// The address that was asked, as people may see it.
    pub asked: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// How the stream reads bodies, which decides what its paginator sees.
    pub decoder: Decoder,
    /// Of records whose lists are cut short the whole lists, in the records' order.
    pub whole_lists: Vec<Vec<Value>>,
    shown: OnceLock<Shown>,
    first: OnceLock<Shown>,
}

impl Response {
    pub fn new(status: u16, url: String, headers: Vec<(String, String)>, body: Bytes) -> Response {
        Response {
            status,
            url,
            asked: String::new(),
            headers,
            body,
            decoder: Decoder::default(),
            whole_lists: Vec::new(),
            shown: OnceLock::new(),
            first: OnceLock::new(),
        }
    }

    /// Whether it is no error by its status.
    pub fn ok(&self) -> bool {
        self.status < 400
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Result<Value, String> {
        json::decode(&self.body)
    }

    /// The body as a paginator's templates see it: the first document the decoder finds.
    pub fn shown_first(&self) -> Shown {
        let decode = || match &self.decoder {
            Decoder::Json => body::shown_first(&self.body),
            other => to_template(&other.first(self)),
        };
        self.first.get_or_init(decode).clone()
    }

    /// The body as templates see it, decoded when one asks; an empty mapping where it is no JSON.
    pub fn shown(&self) -> Shown {
        self.shown.get_or_init(|| body::shown(&self.body)).clone()
    }

    /// The headers as templates see them.
    pub fn shown_headers(&self) -> Shown {
        Shown::from_object(Headers(self.header_values()))
    }

    /// The headers, and under `link` the links of the `Link` header by their relation.
    pub fn shown_headers_with_links(&self) -> Shown {
        let mut values = self.header_values();
        values.retain(|(name, _)| !name.eq_ignore_ascii_case("link"));
        let links = links(self.header("link").unwrap_or_default());
        values.push(("link".to_owned(), links));
        Shown::from_object(Headers(values))
    }

    fn header_values(&self) -> Vec<(String, Shown)> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.clone(), Shown::from(value)))
            .collect()
    }

    /// The address without query and user, for templates and messages.
    pub fn plain_url(&self) -> String {
        match url::Url::parse(&self.url) {
            Ok(mut url) => {
                url.set_query(None);
                url.set_fragment(None);
                // Fails only for addresses without a host, which have no user either.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.into()
            }
            Err(_) => String::new(),
        }
    }

    /// What a reply says went wrong though its status says nothing did.
    pub fn hidden_error(&self) -> Option<String> {
        if self.body.len() > LONGEST_MESSAGE {
            return None;
        }
        let body = self.json().ok()?;
        let fields = ERRORS.iter().filter_map(|name| body.get(name));
        let said = fields.filter(|said| super::python::truth(said));
        said.filter_map(error_text).find(|said| !said.is_empty())
    }

    /// What the body says went wrong, found as the reference finds it.
    pub fn error_text(&self) -> Option<String> {
        match self.json() {
            Ok(body) => error_text(&body),
            Err(_) => String::from_utf8(self.body.to_vec()).ok(),
        }
    }
}

/// A longer body is no mere message.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// Fields that a reply without an error does not have, or has empty.
const ERRORS: [&str; 5] = ["error", "errors", "err", "failure", "failures"];

const ERROR_FIELDS: [&str; 12] = [
    "message",
    "messages",
    "error",
    "errors",
    "failures",
    "failure",
    "detail",
    "err",
    "error_message",
    "msg",
    "reason",
    "status_message",
];

fn error_text(body: &Value) -> Option<String> {
    match body {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().filter_map(error_text).collect();
            Some(texts.join(", "))
        }
        Value::Object(fields) => {
            let set = |name: &&str| {
                fields
                    .get(*name)
                    .filter(|value| super::python::truth(value))
            };
            error_text(ERROR_FIELDS.iter().find_map(set)?)
        }
        _ => None,
    }
}

/// `<https://...>; rel="next"` as `{next: {url, rel}}`.
fn links(header: &str) -> Shown {
    let entries = header.split(",<").chain([]).map(|link| link.trim());
    let entries = entries.flat_map(|part| part.split(", <"));
    Shown::from_pairs(entries.filter_map(|link| {
        let (url, rest) = link.trim_start_matches('<').split_once('>')?;
        let parameters = rest.split(';').filter_map(|parameter| {
            let (key, value) = parameter.trim().split_once('=')?;
            Some((
                key.trim().to_owned(),
                value.trim().trim_matches(['"', '\'']).to_owned(),
            ))
        });
        let mut fields = vec![("url".to_owned(), url.to_owned())];
        fields.extend(parameters);
        let relation = fields.iter().find(|(key, _)| key == "rel");
        let name = relation.map_or(url.to_owned(), |(_, value)| value.clone());
        Some((name, Shown::from_pairs(fields)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_their_relation() {
        let links =
            links("<https://a.example/?p=2>; rel=\"next\", <https://a.example/?p=9>; rel=last");
        let url = |name| {
            links
                .get_attr(name)
                .unwrap()
                .get_attr("url")
                .unwrap()
                .to_string()
        };
        assert_eq!(url("next"), "https://a.example/?p=2");
        assert_eq!(url("last"), "https://a.example/?p=9");
    }

    #[test]
    fn the_reason_of_an_error_is_found_in_its_body() {
        let response = |body: &'static str| {
            Response::new(
                400,
                String::new(),
                Vec::new(),
                Bytes::from_static(body.as_bytes()),
            )
        };
        let text = |body| response(body).error_text();
        assert_eq!(
            text(r#"{"error": {"message": "no"}}"#),
            Some("no".to_owned())
        );
        assert_eq!(
            text(r#"{"errors": [{"msg": "a"}, "b"]}"#),
            Some("a, b".to_owned())
        );
        assert_eq!(text("plain"), Some("plain".to_owned()));
    }
}
