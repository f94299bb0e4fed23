//! Addresses and forms as Python's `urllib.parse` and `requests` write them.
//!
//! Both decide which bytes of a path or a query reach the source, so their rules
//! are followed letter by letter.

use crate::source::python;
use crate::source::template::quote_plus;
use crate::value::{Object, Value};

/// What stands unencoded in a path, but for letters and digits.
const IN_PATH: &str = "-._~!$&'()*+,;=:@/";

/// An address in its parts, none of them decoded.
#[derive(Debug, Clone, Default, PartialEq)]
struct Parts {
    scheme: String,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

/// The base's address with the path behind it; a whole address as path replaces the base.
pub fn join_url(base: &str, path: &str) -> String {
    if path.is_empty() {
        return base.to_owned();
    }
    if base.is_empty() {
        return path.to_owned();
    }
    let base = match base.ends_with('/') {
        true => base.to_owned(),
        false => format!("{base}/"),
    };
    join(Parts::split(&base), path)
}

/// `urllib.parse.urljoin`, but for a path that begins like `jobs:list`: that is no scheme.
fn join(base: Parts, path: &str) -> String {
    let mut given = Parts::split(path);
    if !given.scheme.is_empty() && given.scheme != base.scheme {
        let whole = path.contains("://");
        return match whole {
            true => path.to_owned(),
            false => join(base, &format!("./{path}")),
        };
    }
    given.scheme.clone_from(&base.scheme);
    if !given.host.is_empty() {
        return given.text();
    }
    given.host = base.host;
    if given.path.is_empty() {
        given.path = base.path;
        if given.query.is_empty() {
            given.query = base.query;
        }
        return given.text();
    }
    given.path = resolve(&base.path, &given.path);
    given.text()
}

fn resolve(base: &str, path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    if !path.starts_with('/') {
        segments.extend(base.split('/'));
        if segments.last().is_some_and(|last| !last.is_empty()) {
            segments.pop();
        }
    }
    let relative = !segments.is_empty();
    segments.extend(path.split('/'));
    let last = segments.len() - 1;
    let mut resolved: Vec<&str> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        match *segment {
            "" if relative && index > 0 && index < last => {}
            "." => {}
            ".." => {
                resolved.pop();
            }
            segment => resolved.push(segment),
        }
    }
    if matches!(segments[last], "." | "..") {
        resolved.push("");
    }
    match resolved.join("/") {
        empty if empty.is_empty() => "/".to_owned(),
        path => path,
    }
}

impl Parts {
    fn split(text: &str) -> Parts {
        let text: String = text
            .trim_start_matches(|letter: char| letter <= ' ')
            .chars()
            .filter(|letter| !matches!(letter, '\t' | '\r' | '\n'))
            .collect();
        let (text, fragment) = text.split_once('#').unwrap_or((&text, ""));
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, text) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), text),
        };
        let (host, path) = match text.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", text),
        };
        Parts {
            scheme,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            fragment: fragment.to_owned(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text.push_str(&self.scheme);
            text.push(':');
        }
        if !self.host.is_empty() {
            text.push_str("//");
            text.push_str(&self.host);
            if !self.path.is_empty() && !self.path.starts_with('/') {
                text.push('/');
            }
        }
        text.push_str(&self.path);
        for (mark, part) in [('?', &self.query), ('#', &self.fragment)] {
            if !part.is_empty() {
                text.push(mark);
                text.push_str(part);
            }
        }
        text
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

/// The address as it goes out, with the parameters it does not have yet behind it.
pub fn with_params(url: &str, params: &Object) -> Result<String, String> {
    let mut parts = Parts::split(url);
    if !matches!(parts.scheme.as_str(), "http" | "https") || parts.host.is_empty() {
        return Err(format!("`{url}` is no http or https address"));
    }
    let mut pairs = Vec::new();
    for (key, value) in params {
        match value {
            _ if is_there(&parts.query, key, value) => {}
            Value::Object(_) => return Err(format!("the parameter `{key}` is an object")),
            value => add_pairs(&mut pairs, key, value),
        }
    }
    let path = encode(&without_dots(&parts.path), IN_PATH);
    parts.path = if path.is_empty() {
        "/".to_owned()
    } else {
        path
    };
    let in_query = format!("{IN_PATH}?");
    parts.query = encode(&parts.query, &in_query);
    parts.fragment = encode(&parts.fragment, &in_query);
    if !parts.query.is_empty() && !pairs.is_empty() {
        parts.query.push('&');
    }
    parts.query.push_str(&pairs.join("&"));
    parts.path = plain(&parts.path);
    parts.query = plain(&parts.query);
    Ok(parts.text())
}

/// Whether the query says the same of the key already.
fn is_there(query: &str, key: &str, value: &Value) -> bool {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let first = pairs.find(|(name, there)| name == key && !there.is_empty());
    first.is_some_and(|(_, there)| there == python::text(value))
}

/// What `urllib3` makes of dots in a path.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if path.starts_with('/') && kept.first().is_none_or(|first| !first.is_empty()) {
        kept.insert(0, "");
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    kept.join("/")
}

/// Percent-encodes what may not stand here; escapes stay if all `%` are of escapes.
fn encode(text: &str, allowed: &str) -> String {
    let bytes = text.as_bytes();
    let escaped = |at: usize| {
        let hex = bytes.get(at + 1..at + 3);
        hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    let percents = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    let all_escaped = percents.map(|(at, _)| at).all(escaped);
    let mut out = String::with_capacity(text.len());
    let mut in_escape = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let letter = char::from(*byte);
        if *byte == b'%' && escaped(at) {
            in_escape = 3;
        }
        let letter = match in_escape > 0 {
            true => letter.to_ascii_uppercase(),
            false => letter,
        };
        in_escape -= usize::from(in_escape > 0);
        let stands = byte.is_ascii_alphanumeric()
            || (*byte == b'%' && all_escaped)
            || (byte.is_ascii() && allowed.contains(letter));
        match stands {
            true => out.push(letter),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Decodes escapes of letters that need none.
fn plain(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.map(char::from) {
            Some(letter) if letter.is_ascii_alphanumeric() || "-._~".contains(letter) => {
                out.push(letter);
                out.push_str(&part[2..]);
            }
            _ => {
                out.push('%');
                out.push_str(part);
            }
        }
    }
    out
}

/// A form's text.
pub fn form_text(form: &Object) -> String {
    let mut pairs = Vec::new();
    for (key, value) in form {
        add_pairs(&mut pairs, key, value);
    }
    pairs.join("&")
}

/// A list repeats the key, and a mapping is a list of its keys; nothing is no pair.
fn add_pairs(pairs: &mut Vec<String>, key: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(values) => values
            .iter()
            .for_each(|value| add_element(pairs, key, value)),
        Value::Object(fields) => pairs.extend(fields.keys().map(|field| pair(key, field))),
        value => pairs.push(pair(key, &python::text(value))),
    }
}

fn add_element(pairs: &mut Vec<String>, key: &str, value: &Value) {
    match value {
        Value::Array(values) => {
            pairs.extend(values.iter().map(|value| pair(key, &python::text(value))));
        }
        value => add_pairs(pairs, key, value),
    }
}

fn pair(key: &str, value: &str) -> String {
    format!("{}={}", quote_plus(key), quote_plus(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn params(json: Json) -> Object {
        match Value::from(&json) {
            Value::Object(fields) => fields,
            _ => Object::default(),
        }
    }

    #[test]
    fn paths_are_joined_behind_the_base() {
        for (base, path, joined) in [
            (
                "https://a.example/v2",
                "Invoices",
                "https://a.example/v2/Invoices",
            ),
            ("https://a.example/v2/", "", "https://a.example/v2/"),
            (
                "https://a.example/v2",
                "https://b.example/n?c=1",
                "https://b.example/n?c=1",
            ),
            ("https://a.example/v2", "/n?c=1", "https://a.example/n?c=1"),
            (
                "https://a.example/v2",
                "jobs:list",
                "https://a.example/v2/jobs:list",
            ),
            (
                "https://a.example/v2",
                "12:list",
                "https://a.example/v2/12:list",
            ),
            ("https://a.example/v2", "a//b/", "https://a.example/v2/a/b/"),
            ("https://a.example/v2", "/a//b", "https://a.example/a//b"),
            ("https://a.example/v2/", "../x/./y", "https://a.example/x/y"),
            ("https://a.example/v2", "?p=1", "https://a.example/v2/?p=1"),
            (
                "https://a.example/v2?k=1",
                "items",
                "https://a.example/items",
            ),
            ("https://a.example", "//b.example/x", "https://b.example/x"),
        ] {
            assert_eq!(join_url(base, path), joined, "{base} and {path}");
        }
    }

    #[test]
    fn parameters_that_the_address_has_are_not_repeated() {
        let params = params(json!({"page": 2, "ids": [1, "b c", null], "on": true, "none": null}));
        assert_eq!(
            with_params("https://a.example/x?page=2", &params).unwrap(),
            "https://a.example/x?page=2&ids=1&ids=b+c&on=True"
        );
        assert_eq!(
            with_params("https://a.example/x?page=", &params).unwrap(),
            "https://a.example/x?page=&page=2&ids=1&ids=b+c&on=True"
        );
    }

    #[test]
    fn an_address_is_encoded_as_requests_does() {
        for (url, sent) in [
            ("http://a.example", "http://a.example/"),
            ("http://a.example/ä b|c", "http://a.example/%C3%A4%20b%7Cc"),
            (
                "http://a.example/%7euser/%2f%zz",
                "http://a.example/%257Euser/%252F%25zz",
            ),
            ("http://a.example/%7euser/%2f", "http://a.example/~user/%2F"),
            (
                "http://a.example/x?f[a]=1+2 3&g=a/b:c",
                "http://a.example/x?f%5Ba%5D=1+2%203&g=a/b:c",
            ),
            ("http://a.example/a/../b/./c/..", "http://a.example/b/"),
            ("http://a.example/x?", "http://a.example/x"),
        ] {
            assert_eq!(with_params(url, &Object::default()).unwrap(), sent, "{url}");
        }
        let params = params(json!({"f[a]": "ü&=~/'", "d": "2024-01-01T00:00:00+00:00"}));
        assert_eq!(
            with_params("http://a.example/x", &params).unwrap(),
            "http://a.example/x?f%5Ba%5D=%C3%BC%26%3D~%2F%27&d=2024-01-01T00%3A00%3A00%2B00%3A00"
        );
        assert!(with_params("ftp://a.example/", &params).is_err());
    }

    #[test]
    fn a_form_repeats_the_key_of_a_list() {
        let form = params(json!({"a": [1, [2, null]], "b": {"c": 1}, "d": null, "e": ""}));
        assert_eq!(form_text(&form), "a=1&a=2&a=None&b=c&e=");
    }
}
