//! One mapping: a value, made from a set of values, put where the template has its place.

use crate::stream::SourceError;
use crate::value::Value;

use super::super::component::Component;
use super::super::template::{Accept, Scope, Template, TemplateError};
use super::super::{dpath, python, yaml};
use super::steps;

pub struct Mapping {
    path: Vec<Template>,
    value: Template,
    accept: Accept,
    condition: Option<Template>,
    /// Whether text is read as YAML, as in values a person wrote.
    reads_yaml: bool,
    /// A place that is not there is made.
    creates: bool,
}

impl Mapping {
    pub fn all(resolver: &Component<'_>) -> Result<Vec<Mapping>, SourceError> {
        let mappings = resolver.children("components_mapping");
        mappings
            .iter()
            .map(|mapping| Mapping::open(mapping, resolver))
            .collect()
    }

    fn open(mapping: &Component<'_>, resolver: &Component<'_>) -> Result<Mapping, SourceError> {
        let kind = resolver.kind();
        let condition = mapping.text("condition").filter(|text| !text.is_empty());
        if condition.is_some() && kind != "ConfigComponentsResolver" {
            return Err(mapping.error("`condition` is for a ConfigComponentsResolver only"));
        }
        let accept = accept(mapping)?;
        Ok(Mapping {
            path: mapping.templates("field_path")?,
            value: mapping.need_template("value")?,
            // A text that is asked for stays one, but only where values come from the config.
            reads_yaml: match kind {
                "HttpComponentsResolver" => false,
                "ConfigComponentsResolver" => accept != Accept::Text,
                _ => true,
            },
            creates: kind != "HttpComponentsResolver" && mapping.flag("create_or_update"),
            condition: condition.map(|text| resolver.compile(text)).transpose()?,
            accept,
        })
    }

    pub fn apply(&self, stream: &mut Value, scope: &Scope) -> Result<(), TemplateError> {
        if let Some(condition) = &self.condition
            && !condition.condition(scope)?
        {
            return Ok(());
        }
        let value = match self.value.value_as(scope, self.accept)? {
            Value::String(text) if self.reads_yaml => read(text),
            value => value,
        };
        let found = dpath::replace(stream, &steps(&self.path, scope)?, &value);
        if found == 0 && self.creates && python::truth(&value) {
            self.create(stream, value, scope)?;
        }
        Ok(())
    }

    fn create(&self, stream: &mut Value, value: Value, scope: &Scope) -> Result<(), TemplateError> {
        let path = self.path.iter().map(|key| key.text(scope));
        let path: Vec<String> = path.collect::<Result<_, _>>()?;
        let Value::Object(fields) = stream else {
            return Ok(());
        };
        dpath::set(fields, &path, value).map_err(|error| TemplateError {
            template: path.join("."),
            problem: error.to_string(),
        })
    }
}

/// Text that is no YAML stays as it is.
fn read(text: String) -> Value {
    match yaml::read(&text) {
        Ok(value) => Value::from(&value),
        Err(_) => Value::String(text),
    }
}

fn accept(mapping: &Component<'_>) -> Result<Accept, SourceError> {
    Ok(match mapping.text("value_type") {
        None => Accept::Any,
        Some("string") => Accept::Text,
        Some("number") => Accept::Float,
        Some("integer") => Accept::Integer,
        Some("boolean") => Accept::Bool,
        Some(other) => return Err(mapping.error(format!("`value_type` is `{other}`"))),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::source::template::to_template;

    fn applied(kind: &str, mapping: Json, values: Json) -> Json {
        let resolver = json!({"type": kind, "components_mapping": [mapping]});
        let mappings = Mapping::all(&Component::new(&resolver, "r")).unwrap();
        let scope = Scope::new(minijinja::Value::from(()))
            .with("components_values", to_template(&Value::from(&values)));
        let mut stream =
            Value::from(&json!({"name": "", "retriever": {"requester": {"path": "x"}}}));
        mappings[0].apply(&mut stream, &scope).unwrap();
        stream.to_json()
    }

    #[test]
    fn a_value_replaces_what_is_at_its_path() {
        let mapping = json!({"field_path": ["**", "path"], "value": "/{{ components_values.id }}"});
        let stream = applied("HttpComponentsResolver", mapping, json!({"id": 7}));
        assert_eq!(stream["retriever"]["requester"]["path"], "/7");
    }

    #[test]
    fn a_place_that_is_missing_is_made_only_where_the_mapping_says_so() {
        let mapping = |creates: bool| json!({"field_path": ["a", "b"], "value": "[1, x]", "create_or_update": creates});
        let kind = "ParametrizedComponentsResolver";
        assert_eq!(
            applied(kind, mapping(true), json!({}))["a"],
            json!({"b": [1, "x"]})
        );
        assert_eq!(applied(kind, mapping(false), json!({}))["a"], Json::Null);
    }

    #[test]
    fn text_is_read_as_yaml_unless_a_string_is_asked_for() {
        let mapping = |value_type: &str| json!({"field_path": ["name"], "value": "{{ components_values.n }}", "value_type": value_type});
        let kind = "ConfigComponentsResolver";
        let values = json!({"n": "a: 1"});
        assert_eq!(
            applied(kind, mapping("string"), values.clone())["name"],
            "a: 1"
        );
        assert_eq!(
            applied(kind, mapping("integer"), values)["name"],
            json!({"a": 1})
        );
    }
}
