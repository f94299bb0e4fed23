//! A request put together from what requester, authenticator, paginator and cursor ask for.
//!
//! Nothing here sends; a collision of two askers is an error, as in the reference.

use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::python;
use super::template::{Scope, Template, TemplateError, quote_plus};

/// What one asker wants in a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub params: Object,
    pub headers: Object,
    pub form: Object,
    /// A body as it is; excludes `form` and `json`.
    pub text: Option<String>,
    pub json: Object,
}

impl Options {
    /// Joins what several ask for.
    pub fn combine(all: Vec<Options>) -> Result<Options, String> {
        let mut result = Options::default();
        for options in all {
            merge(&mut result.params, options.params, false)?;
            merge(&mut result.headers, options.headers, false)?;
            merge(&mut result.form, options.form, false)?;
            merge(&mut result.json, options.json, true)?;
            if options.text.is_some() && result.text.is_some() {
                return Err("two request bodies are given as text".to_owned());
            }
            result.text = result.text.or(options.text);
        }
        let form = !result.form.is_empty();
        let json = !result.json.is_empty();
        match (result.text.is_some(), form, json) {
            (true, true, _) => Err("the request's body is given as text and as a form".to_owned()),
            (true, _, true) | (_, true, true) => {
                Err("the request's body is given as JSON and as data".to_owned())
            }
            _ => Ok(result),
        }
    }
}

impl Options {
    /// Takes over what `more` asks for, whatever was there.
    pub fn replace_with(&mut self, more: Options) {
        self.params.extend(more.params);
        self.headers.extend(more.headers);
        self.form.extend(more.form);
        self.json.extend(more.json);
        self.text = more.text.or(self.text.take());
    }
}

/// Two askers may agree on a JSON field, but on nothing else.
fn merge(target: &mut Object, source: Object, may_agree: bool) -> Result<(), String> {
    for (key, value) in source {
        match (target.get_mut(&key), value) {
            (None, value) => {
                target.insert(key, value);
            }
            (Some(Value::Object(old)), Value::Object(new)) if may_agree => merge(old, new, true)?,
            (Some(old), new) if may_agree && *old == new => {}
            _ => return Err(format!("the request's `{key}` is given twice")),
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Parameter,
    Header,
    Data,
    Json,
}

/// Where a value goes in a request.
#[derive(Debug, Clone)]
pub struct RequestOption {
    place: Place,
    path: Vec<Template>,
}

impl RequestOption {
    pub fn open(component: &Component<'_>) -> Result<RequestOption, SourceError> {
        let place = match component.text("inject_into") {
            Some("request_parameter") => Place::Parameter,
            Some("header") => Place::Header,
            Some("body_data") => Place::Data,
            Some("body_json") => Place::Json,
            other => {
                let other = other.unwrap_or_default();
                return Err(component.error(format!("`inject_into: {other}` is not known")));
            }
        };
        let path = component.templates("field_path")?;
        let path = match (component.template("field_name")?, path.is_empty()) {
            (Some(name), true) => vec![name],
            (None, false) if place == Place::Json => path,
            (None, false) => {
                return Err(
                    component.error("`field_path` is for `body_json` only; use `field_name`")
                );
            }
            _ => return Err(component.error("one of `field_name` and `field_path` is needed")),
        };
        Ok(RequestOption { place, path })
    }

    /// The option for a header of this name.
    pub fn header(name: Template) -> RequestOption {
        RequestOption {
            place: Place::Header,
            path: vec![name],
        }
    }

    /// Whether the value goes in a header.
    pub fn is_header(&self) -> bool {
        self.place == Place::Header
    }

    pub fn inject(
        &self,
        options: &mut Options,
        value: Value,
        scope: &Scope,
    ) -> Result<(), TemplateError> {
        let mut path = Vec::new();
        for segment in &self.path {
            path.push(segment.text(scope)?);
        }
        let target = match self.place {
            Place::Parameter => &mut options.params,
            Place::Header => &mut options.headers,
            Place::Data => &mut options.form,
            Place::Json => &mut options.json,
        };
        insert(target, &path, value);
        Ok(())
    }
}

fn insert(target: &mut Object, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut target = target;
    for parent in parents {
        let next = target
            .entry(parent.clone())
            .or_insert_with(|| Value::Object(Object::new()));
        if !matches!(next, Value::Object(_)) {
            *next = Value::Object(Object::new());
        }
        let Value::Object(fields) = next else { return };
        target = fields;
    }
    target.insert(last.clone(), value);
}

/// The base's address with the path behind it; a whole address as path replaces the base.
pub fn join_url(base: &str, path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Ok(base.to_owned());
    }
    let base = match base.ends_with('/') {
        true => base.to_owned(),
        false => format!("{base}/"),
    };
    let parsed = url::Url::parse(&base).map_err(|error| format!("`{base}`: {error}"))?;
    // A first segment with a colon would read as a scheme.
    let joined = match path.split_once("://") {
        Some(_) => parsed.join(path),
        None if path
            .split('/')
            .next()
            .is_some_and(|first| first.contains(':')) =>
        {
            parsed.join(&format!("./{path}"))
        }
        None => parsed.join(path),
    };
    joined
        .map(String::from)
        .map_err(|error| format!("`{base}` and `{path}`: {error}"))
}

/// The address with the parameters it does not have yet behind it.
pub fn with_params(url: &str, params: &Object) -> Result<String, String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("`{url}`: {error}"))?;
    let present: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    let mut pairs = Vec::new();
    for (key, value) in params {
        let first = present.iter().find(|(name, _)| name == key);
        if first.is_some_and(|(_, there)| *there == python::text(value)) {
            continue;
        }
        match value {
            Value::Null => {}
            Value::Object(_) => return Err(format!("the parameter `{key}` is an object")),
            Value::Array(values) => pairs.extend(values.iter().map(|value| pair(key, value))),
            value => pairs.push(pair(key, value)),
        }
    }
    if pairs.is_empty() {
        return Ok(url.to_owned());
    }
    let (address, fragment) = url.split_once('#').unwrap_or((url, ""));
    let sign = match (address.contains('?'), address.ends_with(['?', '&'])) {
        (_, true) => "",
        (true, false) => "&",
        (false, false) => "?",
    };
    let fragment = match fragment {
        "" => String::new(),
        fragment => format!("#{fragment}"),
    };
    Ok(format!("{address}{sign}{}{fragment}", pairs.join("&")))
}

fn pair(key: &str, value: &Value) -> String {
    format!("{}={}", quote_plus(key), quote_plus(&python::text(value)))
}

/// A form's text.
pub fn form_text(form: &Object) -> String {
    let mut pairs = Vec::new();
    for (key, value) in form {
        match value {
            Value::Null => {}
            Value::Array(values) => pairs.extend(values.iter().map(|value| pair(key, value))),
            value => pairs.push(pair(key, value)),
        }
    }
    pairs.join("&")
}

/// Keys and values of the manifest that are templates, on any depth.
#[derive(Debug, Clone)]
pub enum Nested {
    Text(Template),
    Fields(Vec<(Template, Nested)>),
    Items(Vec<Nested>),
    Other(Value),
}

impl Nested {
    pub fn open(component: &Component<'_>, json: &Json) -> Result<Nested, SourceError> {
        Ok(match json {
            Json::String(text) => Nested::Text(component.compile(text)?),
            Json::Object(fields) => Nested::Fields(
                fields
                    .iter()
                    .map(|(key, value)| {
                        Ok((component.compile(key)?, Nested::open(component, value)?))
                    })
                    .collect::<Result<_, SourceError>>()?,
            ),
            Json::Array(items) => Nested::Items(
                items
                    .iter()
                    .map(|item| Nested::open(component, item))
                    .collect::<Result<_, SourceError>>()?,
            ),
            other => Nested::Other(Value::from(other)),
        })
    }

    pub fn value(&self, scope: &Scope) -> Result<Value, TemplateError> {
        use super::template::Accept;
        Ok(match self {
            Nested::Text(template) => template.entry(scope, Accept::Any)?,
            Nested::Other(value) => value.clone(),
            Nested::Items(items) => {
                let items = items.iter().map(|item| item.value(scope));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Nested::Fields(fields) => {
                let mut object = Object::new();
                for (key, value) in fields {
                    let key = python::text(&key.entry(scope, Accept::Any)?);
                    match value.value(scope)? {
                        Value::Null => {}
                        value => {
                            object.insert(key, value);
                        }
                    }
                }
                Value::Object(object)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(fields: &[(&str, Value)]) -> Object {
        let fields = fields.iter().cloned();
        fields.map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn paths_are_joined_behind_the_base() {
        let join = |base, path| join_url(base, path).unwrap();
        assert_eq!(
            join("https://a.example/v2", "Invoices"),
            "https://a.example/v2/Invoices"
        );
        assert_eq!(join("https://a.example/v2/", ""), "https://a.example/v2/");
        assert_eq!(
            join("https://a.example/v2", "https://b.example/n?c=1"),
            "https://b.example/n?c=1"
        );
        assert_eq!(
            join("https://a.example/v2", "/n?c=1"),
            "https://a.example/n?c=1"
        );
        assert_eq!(
            join("https://a.example/v2", "jobs:list"),
            "https://a.example/v2/jobs:list"
        );
    }

    #[test]
    fn parameters_that_the_address_has_are_not_repeated() {
        let params = object(&[
            ("page", Value::Int(2)),
            ("ids", Value::Array(vec![Value::Int(1), Value::from("b c")])),
            ("on", Value::Bool(true)),
            ("none", Value::Null),
        ]);
        assert_eq!(
            with_params("https://a.example/x?page=2", &params).unwrap(),
            "https://a.example/x?page=2&ids=1&ids=b+c&on=True"
        );
        assert_eq!(
            with_params("https://a.example/x", &params).unwrap(),
            "https://a.example/x?page=2&ids=1&ids=b+c&on=True"
        );
    }

    #[test]
    fn the_same_key_from_two_askers_is_an_error() {
        let params = |value| Options {
            params: object(&[("page", Value::Int(value))]),
            ..Options::default()
        };
        assert_eq!(
            Options::combine(vec![params(1), params(1)]).unwrap_err(),
            "the request's `page` is given twice"
        );
        let json = |value| Options {
            json: object(&[("page", Value::Int(value))]),
            ..Options::default()
        };
        assert_eq!(Options::combine(vec![json(1), json(1)]).unwrap(), json(1));
        assert!(Options::combine(vec![json(1), json(2)]).is_err());
    }
}
