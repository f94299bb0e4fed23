//! What the manifest puts into a request: address, parameters, headers and body.

use serde_json::Value as Json;

use crate::source::component::Component;
use crate::source::mapping::Mapping;
use crate::source::python;
use crate::source::request::{Nested, Options, join_url};
use crate::source::template::{Accept, Scope, Template, TemplateError};
use crate::stream::SourceError;
use crate::value::{Object, Value};

/// The templates of one requester.
pub struct Inputs {
    url: Template,
    base: Template,
    path: Template,
    params: Fields,
    /// The parameter that takes the names of a slice's query properties.
    properties: Option<String>,
    headers: Fields,
    body: Body,
}

/// A mapping of templates, or one template that gives a mapping.
enum Fields {
    Mapping(Mapping),
    Text(Template),
}

enum Body {
    None,
    Data(Fields),
    Json(Nested),
    JsonText(Template),
}

/// Why a request cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("{0}")]
    Value(String),
}

impl Inputs {
    pub fn open(component: &Component<'_>) -> Result<Inputs, SourceError> {
        Ok(Inputs {
            url: address(component, "url")?,
            base: address(component, "url_base")?,
            path: address(component, "path")?,
            params: Fields::open(component, "request_parameters")?,
            properties: properties(component),
            headers: Fields::open(component, "request_headers")?,
            body: body(component)?,
        })
    }

    /// The address; `path` stands in for the manifest's, such as a page's own address.
    pub fn address(&self, scope: &Scope, path: Option<&str>) -> Result<String, InputError> {
        let url = self.url.text(scope)?;
        let base = self.base.text(scope)?;
        let path = match path.filter(|path| !path.is_empty()) {
            Some(path) => path.to_owned(),
            None => self.path.text(scope)?.trim_start_matches('/').to_owned(),
        };
        let start = if base.is_empty() { url } else { base };
        Ok(join_url(&start, &path))
    }

    pub fn options(&self, scope: &Scope) -> Result<Options, InputError> {
        let mut options = Options {
            // As in the reference, a text that is no mapping is no parameters.
            params: match self.params.value(scope, Accept::TextOrList)? {
                Value::Object(params) => params,
                _ => Object::default(),
            },
            headers: match self.headers.value(scope, Accept::Any)? {
                Value::Object(headers) => headers,
                _ => return Err(wrong("`request_headers` is no mapping")),
            },
            ..Options::default()
        };
        if let Some(name) = &self.properties {
            let names = joined_properties(scope)?;
            options.params.insert(name.clone(), Value::String(names));
        }
        match &self.body {
            Body::None => {}
            Body::Data(data) => match data.value(scope, Accept::TextOrList)? {
                Value::Object(form) => options.form = form,
                Value::String(text) => options.text = Some(text).filter(|text| !text.is_empty()),
                _ => {}
            },
            Body::Json(json) => options.json = json_fields(json.value(scope)?)?,
            Body::JsonText(template) => options.json = json_fields(template.value(scope)?)?,
        }
        Ok(options)
    }
}

fn json_fields(value: Value) -> Result<Object, InputError> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::String(text) => Err(wrong(&format!(
            "`request_body_json` is the text `{text}`, which is no mapping"
        ))),
        _ => Ok(Object::default()),
    }
}

fn wrong(problem: &str) -> InputError {
    InputError::Value(problem.to_owned())
}

fn address(component: &Component<'_>, name: &str) -> Result<Template, SourceError> {
    match component.field(name) {
        Some(Json::Object(_) | Json::Array(_)) => {
            Err(component.error(format!("`{name}` is no text")))
        }
        _ => component.template_or(name, ""),
    }
}

impl Fields {
    fn open(component: &Component<'_>, name: &str) -> Result<Fields, SourceError> {
        let Some(json) = component.field(name) else {
            return Ok(Fields::Mapping(Mapping::default()));
        };
        Fields::of(component, name, json)
    }

    fn of(component: &Component<'_>, name: &str, json: &Json) -> Result<Fields, SourceError> {
        match json {
            Json::Object(fields) => {
                let mut fields = fields.clone();
                fields.retain(|_, value| !is_properties(value));
                let nested = fields.iter().find(|(_, value)| value.is_object());
                if let Some((key, _)) = nested {
                    let problem = format!("`{name}.{key}`: a mapping is not supported here");
                    return Err(component.error(problem));
                }
                Mapping::of(component, &fields).map(Fields::Mapping)
            }
            Json::String(text) if text.is_empty() => Ok(Fields::Mapping(Mapping::default())),
            Json::String(text) => component.compile(text).map(Fields::Text),
            _ => Err(component.error(format!("`{name}` must be a mapping or a text"))),
        }
    }

    /// The value without its nulls.
    fn value(&self, scope: &Scope, accept: Accept) -> Result<Value, TemplateError> {
        let mut value = match self {
            Fields::Mapping(mapping) => Value::Object(mapping.values(scope, accept)?),
            Fields::Text(template) => template.value(scope)?,
        };
        if let Value::Object(fields) = &mut value {
            fields.retain(|_, value| *value != Value::Null);
        }
        Ok(value)
    }
}

fn is_properties(json: &Json) -> bool {
    json["type"] == "QueryProperties"
}

fn properties(component: &Component<'_>) -> Option<String> {
    let params = component.field("request_parameters")?.as_object()?;
    let (name, _) = params.iter().find(|(_, value)| is_properties(value))?;
    Some(name.clone())
}

fn joined_properties(scope: &Scope) -> Result<String, InputError> {
    let names = scope
        .get("query_properties")
        .and_then(|names| names.try_iter().ok())
        .ok_or_else(|| wrong("QueryProperties are for a SimpleRetriever's requests"))?;
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    Ok(names.join(","))
}

fn body(component: &Component<'_>) -> Result<Body, SourceError> {
    let set = |name: &str| {
        let child = component.child(name);
        child.filter(|child| python::truth(&Value::from(child.json())))
    };
    if let Some(body) = component.child("request_body") {
        let value = body.need("value")?;
        return match body.kind() {
            "RequestBodyJsonObject" | "RequestBodyGraphQL" => json(component, value.json()),
            "RequestBodyPlainText" | "RequestBodyUrlEncodedForm" => {
                Fields::of(component, "request_body", value.json()).map(Body::Data)
            }
            _ => Err(body.unknown("a request body")),
        };
    }
    match (set("request_body_json"), set("request_body_data")) {
        (Some(value), None) => json(component, value.json()),
        (None, Some(data)) => {
            Fields::of(component, "request_body_data", data.json()).map(Body::Data)
        }
        (None, None) => Ok(Body::None),
        (Some(_), Some(_)) => {
            Err(component.error("only one of `request_body_json` and `request_body_data` can be"))
        }
    }
}

fn json(component: &Component<'_>, value: &Json) -> Result<Body, SourceError> {
    match value {
        Json::String(text) => component.compile(text).map(Body::JsonText),
        value => Nested::open(component, value).map(Body::Json),
    }
}
