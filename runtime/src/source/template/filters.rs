//! The filters the reference adds to Jinja's, and two of Jinja's that differ here.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fancy_regex::Regex;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Value};
use sha2::{Digest, Sha256};

use super::json;
use super::macros::quote_plus;
use super::objects::text;

pub fn add(environment: &mut Environment<'_>) {
    environment.add_filter("hash", hash);
    environment.add_filter("hmac", hmac);
    environment.add_filter("base64encode", base64encode);
    environment.add_filter("base64decode", base64decode);
    environment.add_filter("base64binascii_decode", base64binascii_decode);
    environment.add_filter("string", string);
    environment.add_filter("regex_search", regex_search);
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("center", center);
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    environment.add_filter("int", int);
    environment.add_filter("float", float);
}

fn exception(problem: impl ToString) -> Error {
    Error::new(ErrorKind::CannotUnpack, problem.to_string())
}

fn hash(value: Value, kind: Option<String>, salt: Option<Value>) -> Result<String, Error> {
    let salt = salt.filter(Value::is_true).map(|salt| text(&salt));
    let input = text(&value) + &salt.unwrap_or_default();
    Ok(match kind.as_deref().unwrap_or("md5") {
        "md5" => hex::encode(Md5::digest(input)),
        "sha1" => digested(&digest::SHA1_FOR_LEGACY_USE_ONLY, &input),
        "sha224" => digested(&digest::SHA224, &input),
        "sha256" => digested(&digest::SHA256, &input),
        "sha384" => digested(&digest::SHA384, &input),
        "sha512" => digested(&digest::SHA512, &input),
        "sha3_256" => digested(&digest::SHA3_256, &input),
        "sha3_384" => digested(&digest::SHA3_384, &input),
        "sha3_512" => digested(&digest::SHA3_512, &input),
        other => return Err(exception(format!("there is no hash named `{other}`"))),
    })
}

fn digested(algorithm: &'static digest::Algorithm, input: &str) -> String {
    hex::encode(digest::digest(algorithm, input.as_bytes()))
}

fn hmac(value: Value, key: Value, kind: Option<&str>) -> Result<String, Error> {
    if let Some(other) = kind.filter(|kind| *kind != "sha256") {
        return Err(exception(format!(
            "`{other}` is no hash of `hmac`; use sha256"
        )));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(text(&key).as_bytes()).map_err(exception)?;
    mac.update(text(&value).as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

/// Only text has a method `encode`.
fn encoded(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| {
        let kind = match value.is_undefined() {
            true => ErrorKind::UndefinedError,
            false => ErrorKind::CannotUnpack,
        };
        Error::new(
            kind,
            format!("base64 is made of text, not of a {}", value.kind()),
        )
    })
}

fn base64encode(value: Value) -> Result<String, Error> {
    encoded(&value).map(|text| STANDARD.encode(text))
}

fn base64decode(value: Value) -> Result<String, Error> {
    let bytes = STANDARD.decode(encoded(&value)?).map_err(exception)?;
    String::from_utf8(bytes).map_err(exception)
}

/// Encodes, as the reference's does.
fn base64binascii_decode(value: Value) -> Result<String, Error> {
    let text = encoded(&value)?;
    match text.is_ascii() {
        true => Ok(STANDARD.encode(text)),
        false => Err(exception("`base64binascii_decode` takes ASCII text")),
    }
}

/// Text as it is; other values as JSON in a Python string literal, so that they stay text.
fn string(value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value);
    }
    let json = json::dumps(&value, false)?;
    Ok(Value::from(format!("\"\"\"{json}\"\"\"")))
}

/// Patterns by their text: the same few are used for every record.
static PATTERNS: LazyLock<Mutex<HashMap<String, Arc<Regex>>>> = LazyLock::new(Mutex::default);
/// A pattern may be made of a record's fields; then it is not worth keeping.
const MOST_PATTERNS: usize = 200;

fn pattern(text: &str) -> Result<Arc<Regex>, Error> {
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = patterns.get(text) {
        return Ok(known.clone());
    }
    let made = Arc::new(Regex::new(text).map_err(exception)?);
    if patterns.len() < MOST_PATTERNS {
        patterns.insert(text.to_owned(), made.clone());
    }
    Ok(made)
}

fn regex_search(value: &str, text: &str) -> Result<String, Error> {
    let pattern = pattern(text)?;
    let found = pattern.captures(value).map_err(exception)?;
    let group = found.and_then(|groups| groups.get(1).map(|group| group.as_str().to_owned()));
    Ok(group.unwrap_or_default())
}

fn regex_replace(value: &str, text: &str, replacement: &str) -> Result<String, Error> {
    let replaced = pattern(text)?
        .try_replacen(value, 0, rust_replacement(replacement))
        .map_err(exception)?
        .into_owned();
    Ok(replaced)
}

/// Python's `\1` and `\g<name>` as `${1}` and `${name}`.
fn rust_replacement(python: &str) -> String {
    let mut rust = String::new();
    let mut rest = python;
    while let Some(at) = rest.find(['\\', '$']) {
        rust.push_str(&rest[..at]);
        let (sign, after) = rest[at..].split_at(1);
        rest = after;
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if sign == "$" {
            rust.push_str("$$");
        } else if digits > 0 {
            rust.push_str(&format!("${{{}}}", &rest[..digits]));
            rest = &rest[digits..];
        } else if let Some((name, after)) = rest.strip_prefix("g<").and_then(|r| r.split_once('>'))
        {
            rust.push_str(&format!("${{{name}}}"));
            rest = after;
        } else {
            let letter = rest.chars().next().unwrap_or('\\');
            rust.push(match letter {
                'n' => '\n',
                't' => '\t',
                other => other,
            });
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        }
    }
    rust + rest
}

/// Jinja's `urlencode`: of text a path's quoting, of pairs a query's.
fn urlencode(value: Value) -> Result<String, Error> {
    let pairs: Vec<(Value, Value)> = match value.kind() {
        ValueKind::Map => value
            .try_iter()?
            .map(|key| Ok((key.clone(), value.get_item(&key)?)))
            .collect::<Result<_, Error>>()?,
        ValueKind::Seq => value
            .try_iter()?
            .map(|pair| Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?)))
            .collect::<Result<_, Error>>()?,
        _ => {
            return Ok(quote_plus(&text(&value))
                .replace('+', "%20")
                .replace("%2F", "/"));
        }
    };
    let pairs = pairs.iter().map(|(key, value)| {
        let (key, value) = (quote_plus(&text(key)), quote_plus(&text(value)));
        format!("{key}={value}")
    });
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

/// Length, whether words are cut, what stands for the rest, and letters more that pass.
type Truncation = (Option<usize>, Option<bool>, Option<String>, Option<usize>);

/// Jinja's `truncate`: some letters more than asked for are let pass.
fn truncate(text: &str, given: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let (length, killwords, end, leeway): Truncation = from_args(&given)?;
    let length = length.or(named.get("length")?).unwrap_or(255);
    let whole_words = !killwords.or(named.get("killwords")?).unwrap_or(false);
    let end = end.or(named.get("end")?);
    let end = end.as_deref().unwrap_or("...");
    let leeway = leeway.or(named.get("leeway")?).unwrap_or(5);
    if text.chars().count() <= length + leeway {
        return Ok(text.to_owned());
    }
    let room = length.saturating_sub(end.chars().count());
    let cut: String = text.chars().take(room).collect();
    let kept = match cut.rsplit_once(' ') {
        Some((words, _)) if whole_words => words,
        _ => &cut,
    };
    Ok(format!("{kept}{end}"))
}

fn center(text: &str, width: Option<usize>) -> String {
    let missing = width.unwrap_or(80).saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width.unwrap_or(80) & 1);
    format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left))
}

/// Jinja's `int`: what is no number is the default, not an error.
fn int(value: Value, default: Option<i64>, named: Kwargs) -> Result<Value, Error> {
    let default = default.or(named.get("default")?);
    let base = named.get::<Option<u32>>("base")?.unwrap_or(10);
    if let Some(text) = value
        .as_str()
        .filter(|_| base != 10 && (2..=36).contains(&base))
    {
        let digits = text
            .trim()
            .trim_start_matches("0x")
            .trim_start_matches("0b");
        let number = i64::from_str_radix(digits, base).ok();
        return Ok(Value::from(number.or(default).unwrap_or(0)));
    }
    Ok(whole(&value, default))
}

fn whole(value: &Value, default: Option<i64>) -> Value {
    if value.kind() == ValueKind::Bool {
        return Value::from(i64::from(value.is_true()));
    }
    if value.is_integer() {
        return value.clone();
    }
    let text = text(value);
    let whole = text.trim().replace('_', "").parse::<i64>().ok();
    let cut = || text.trim().parse::<f64>().ok().map(|number| number as i64);
    Value::from(whole.or_else(cut).or(default).unwrap_or(0))
}

fn float(value: Value, default: Option<f64>) -> f64 {
    match value.kind() {
        ValueKind::Bool => f64::from(u8::from(value.is_true())),
        _ => {
            let number = text(&value).trim().parse().ok();
            number.or(default).unwrap_or(0.0)
        }
    }
}
