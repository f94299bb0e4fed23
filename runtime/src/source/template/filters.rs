//! The filters the reference adds to Jinja's, and two of Jinja's that differ here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};
use regex::Regex;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::objects::{from_template, text};

pub fn add(environment: &mut Environment<'_>) {
    environment.add_filter("hash", hash);
    environment.add_filter("hmac", hmac);
    environment.add_filter("base64encode", |value: &str| STANDARD.encode(value));
    environment.add_filter("base64decode", base64decode);
    environment.add_filter("base64binascii_decode", |value: &str| {
        STANDARD.encode(value)
    });
    environment.add_filter("string", string);
    environment.add_filter("regex_search", regex_search);
    environment.add_filter("regex_replace", regex_replace);
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
        "sha224" => hex::encode(Sha224::digest(input)),
        "sha256" => hex::encode(Sha256::digest(input)),
        "sha384" => hex::encode(Sha384::digest(input)),
        "sha512" => hex::encode(Sha512::digest(input)),
        other => return Err(exception(format!("there is no hash named `{other}`"))),
    })
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

fn base64decode(value: &str) -> Result<String, Error> {
    let bytes = STANDARD.decode(value).map_err(exception)?;
    String::from_utf8(bytes).map_err(exception)
}

/// Text as it is; other values as JSON in a Python string literal, so that they stay text.
fn string(value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value);
    }
    let json = serde_json::to_string(&from_template(&value)).map_err(exception)?;
    Ok(Value::from(format!("\"\"\"{json}\"\"\"")))
}

fn regex_search(value: &str, pattern: &str) -> Result<String, Error> {
    let found = Regex::new(pattern).map_err(exception)?.captures(value);
    let group = found.and_then(|groups| groups.get(1).map(|group| group.as_str().to_owned()));
    Ok(group.unwrap_or_default())
}

fn regex_replace(value: &str, pattern: &str, replacement: &str) -> Result<String, Error> {
    let pattern = Regex::new(pattern).map_err(exception)?;
    Ok(pattern
        .replace_all(value, rust_replacement(replacement))
        .into_owned())
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

/// Jinja's `int`: what is no number is the default, not an error.
fn int(value: Value, default: Option<i64>) -> Value {
    if value.kind() == ValueKind::Bool {
        return Value::from(i64::from(value.is_true()));
    }
    if value.is_integer() {
        return value;
    }
    let text = text(&value);
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
