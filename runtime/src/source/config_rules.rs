//! What a manifest's spec does to a config before anything reads it: migrations,
//! transformations, validations.
//!
//! Works on values in memory: the config's file stays as it is, and each run
//! does the same again.

use serde_json::{Map, Value as Json};

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::config::Config;
use super::dpath::Step;
use super::template::{Accept, Scope, Template, TemplateError, to_template};
use super::{dpath, python};

/// The config as streams see it.
pub fn applied(spec: &Json, config: Config) -> Result<Config, SourceError> {
    let spec = Component::new(spec, "spec");
    let Some(rules) = spec.child("config_normalization_rules") else {
        return Ok(config);
    };
    let mut fields = match Value::from(&Json::Object(config.0)) {
        Value::Object(fields) => fields,
        _ => Object::default(),
    };
    let migrations = rules.children("config_migrations");
    let mut steps: Vec<Component<'_>> = migrations
        .iter()
        .flat_map(|migration| migration.children("transformations"))
        .collect();
    steps.extend(rules.children("transformations"));
    for step in &steps {
        transform(step, &mut fields)?;
    }
    for validation in rules.children("validations") {
        validate(&validation, &fields)?;
    }
    Ok(Config(match Value::Object(fields).to_json() {
        Json::Object(fields) => fields,
        _ => Map::new(),
    }))
}

fn transform(step: &Component<'_>, config: &mut Object) -> Result<(), SourceError> {
    let done = match step.kind() {
        "ConfigAddFields" => add(step, config),
        "ConfigRemoveFields" => remove(step, config),
        "ConfigRemapField" => remap(step, config),
        _ => {
            return Err(step.unknown("ConfigAddFields, ConfigRemoveFields or ConfigRemapField"));
        }
    };
    done.map_err(|problem| match problem {
        Problem::Source(error) => error,
        Problem::Template(error) => step.error(error.to_string()),
    })
}

enum Problem {
    Source(SourceError),
    Template(TemplateError),
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Problem {
        Problem::Source(error)
    }
}

impl From<TemplateError> for Problem {
    fn from(error: TemplateError) -> Problem {
        Problem::Template(error)
    }
}

fn scope(config: &Object) -> Scope {
    Scope::new(to_template(&Value::Object(config.clone())))
}

fn condition(step: &Component<'_>) -> Result<Option<Template>, SourceError> {
    let condition = step.text("condition").filter(|text| !text.is_empty());
    condition.map(|text| step.compile(text)).transpose()
}

/// Each value sees the fields that were added before it.
fn add(step: &Component<'_>, config: &mut Object) -> Result<(), Problem> {
    let condition = condition(step)?;
    for field in step.children("fields") {
        let path: Vec<String> = strings(field.field("path"));
        if path.is_empty() {
            return Err(field.error("`path` is empty").into());
        }
        let accept = accept(&field);
        let scope = scope(config);
        let value = field.need_template("value")?.value_as(&scope, accept)?;
        let path_value = Value::Array(path.iter().map(|key| key.as_str().into()).collect());
        let scope = scope
            .with("value", to_template(&value))
            .with("path", to_template(&path_value));
        if condition
            .as_ref()
            .map_or(Ok(true), |it| it.condition(&scope))?
        {
            dpath::set(config, &path, value).map_err(|error| field.error(error.to_string()))?;
        }
    }
    Ok(())
}

fn accept(field: &Component<'_>) -> Accept {
    match field.text("value_type") {
        Some("string") => Accept::Text,
        Some("number") => Accept::Float,
        Some("integer") => Accept::Integer,
        Some("boolean") => Accept::Bool,
        _ => Accept::Any,
    }
}

fn remove(step: &Component<'_>, config: &mut Object) -> Result<(), Problem> {
    if let Some(condition) = condition(step)?
        && !condition.condition(&scope(config))?
    {
        return Ok(());
    }
    let pointers = step.field("field_pointers").and_then(Json::as_array);
    for pointer in pointers.into_iter().flatten() {
        let pointer: Vec<Step> = strings(Some(pointer))
            .iter()
            .map(|key| Step::key(key))
            .collect();
        dpath::delete(config, &pointer);
    }
    Ok(())
}

/// Puts what `map` has for a field's value in its place.
fn remap(step: &Component<'_>, config: &mut Object) -> Result<(), Problem> {
    let Some(Json::Object(map)) = step.field("map") else {
        return Err(step.error("`map` is no mapping").into());
    };
    let scope = scope(config);
    let path = step.templates("field_path")?;
    let path = path.iter().map(|part| part.text(&scope));
    let path: Vec<String> = path.collect::<Result<_, _>>()?;
    let Some((last, parents)) = path.split_last() else {
        return Err(step.error("`field_path` is empty").into());
    };
    let Some(field) = field(config, parents, last) else {
        return Ok(());
    };
    for (key, value) in map {
        let key = step.compile(key)?.entry(&scope, Accept::Text)?;
        if key == *field {
            *field = match value {
                Json::String(text) => step.compile(text)?.entry(&scope, Accept::Any)?,
                other => other.into(),
            };
            break;
        }
    }
    Ok(())
}

fn field<'c>(config: &'c mut Object, parents: &[String], last: &str) -> Option<&'c mut Value> {
    let mut fields = config;
    for key in parents {
        match fields.get_mut(key)? {
            Value::Object(inner) => fields = inner,
            _ => return None,
        }
    }
    fields.get_mut(last)
}

/// The path that templates make.
fn dpath_of(path: &[Template], scope: &Scope) -> Result<Vec<Step>, TemplateError> {
    let steps = path.iter().map(|part| Ok(Step::of(&part.value(scope)?)));
    steps.collect()
}

fn strings(list: Option<&Json>) -> Vec<String> {
    let list = list.and_then(Json::as_array).into_iter().flatten();
    list.map(|value| python::text(&Value::from(value)))
        .collect()
}

fn validate(validation: &Component<'_>, config: &Object) -> Result<(), SourceError> {
    let strategy = validation.need("validation_strategy")?;
    if strategy.kind() != "ValidateAdheresToSchema" {
        return Err(strategy.unknown("ValidateAdheresToSchema"));
    }
    let values = match validation.kind() {
        "DpathValidator" => {
            let nothing = Scope::new(to_template(&Value::Object(Object::default())));
            let path = validation.templates("field_path")?;
            let path = dpath_of(&path, &nothing);
            let path = path.map_err(|error| validation.error(error.to_string()))?;
            dpath::values(Value::Object(config.clone()), &path)
        }
        "PredicateValidator" => vec![validation.field("value").unwrap_or(&Json::Null).into()],
        _ => return Err(validation.unknown("DpathValidator or PredicateValidator")),
    };
    let schema = strategy.need("base_schema")?;
    for value in values {
        adheres(&value, schema.json()).map_err(|problem| {
            validation.error(format!("the config does not fit its schema: {problem}"))
        })?;
    }
    Ok(())
}

/// A text is read as JSON first.
fn adheres(value: &Value, schema: &Json) -> Result<(), String> {
    let value = match value {
        Value::String(text) => {
            serde_json::from_str(text).map_err(|_| "a text is no JSON".to_owned())?
        }
        other => other.to_json(),
    };
    let validator = jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
    // The value itself may be secret, so only its place is told.
    let problem = validator.iter_errors(&value).next();
    match problem {
        None => Ok(()),
        Some(error) => Err(error.masked().to_string()),
    }
}

/// Where a config does not fit a specification; not what stands there, which may be secret.
pub fn misfits(specification: &Json, config: &Config) -> Vec<String> {
    let options = jsonschema::options().should_validate_formats(false);
    // A specification that is no schema is the manifest's problem, not the config's.
    let Ok(validator) = options.build(specification) else {
        return Vec::new();
    };
    let config = Json::Object(config.0.clone());
    let problems = validator.iter_errors(&config).map(|error| {
        let at = error.instance_path().to_string();
        let problem = error.masked().to_string();
        match at.trim_start_matches('/') {
            "" => problem,
            at => format!("{}: {problem}", at.replace('/', ".")),
        }
    });
    problems.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied_to(rules: Json, config: Json) -> Result<Json, String> {
        let spec = json!({"type": "Spec", "config_normalization_rules": rules});
        let config = Config(config.as_object().unwrap().clone());
        applied(&spec, config)
            .map(|config| Json::Object(config.0))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn misfits_tell_the_place_and_not_the_value() {
        let specification = json!({
            "required": ["key", "since"],
            "properties": {
                "key": {"type": "string"},
                "pages": {"properties": {"size": {"type": "integer", "minimum": 1}}},
            },
        });
        let config = json!({"key": 12345, "pages": {"size": 0}, "since": "x"});
        let found = |config: Json| {
            let config = Config(config.as_object().unwrap().clone());
            misfits(&specification, &config).join("; ")
        };
        assert_eq!(
            found(config),
            "key: value is not of type \"string\"; pages.size: value is less than the minimum of 1"
        );
        assert_eq!(
            found(json!({"key": "k"})),
            "\"since\" is a required property"
        );
    }

    #[test]
    fn migrations_come_before_transformations_and_each_sees_the_ones_before() {
        let rules = json!({
            "transformations": [{"type": "ConfigAddFields", "fields": [
                {"path": ["a", "b"], "value": "{{ config.key }}!"},
                {"path": ["c"], "value": "{{ config.a.b }}", "value_type": "string"},
            ]}],
            "config_migrations": [{"transformations": [
                {"type": "ConfigRemapField", "field_path": ["key"], "map": {"old": "new"}},
                {"type": "ConfigRemoveFields", "field_pointers": [["gone"], ["not", "there"]]},
            ]}],
        });
        assert_eq!(
            applied_to(rules, json!({"key": "old", "gone": 1})).unwrap(),
            json!({"key": "new", "a": {"b": "new!"}, "c": "new!"})
        );
    }

    #[test]
    fn a_condition_decides_on_each_field() {
        let rules = json!({"transformations": [
            {"type": "ConfigAddFields", "condition": "{{ value == 2 }}", "fields": [
                {"path": ["one"], "value": "1"},
                {"path": ["two"], "value": "2"},
            ]},
            {"type": "ConfigRemoveFields", "condition": "{{ config.keep }}", "field_pointers": [["x"]]},
        ]});
        assert_eq!(
            applied_to(rules, json!({"x": 1, "keep": false})).unwrap(),
            json!({"x": 1, "keep": false, "two": 2})
        );
    }

    #[test]
    fn a_config_that_does_not_fit_is_refused_without_telling_it() {
        let rules = json!({"validations": [{
            "type": "DpathValidator",
            "field_path": ["reports"],
            "validation_strategy": {"type": "ValidateAdheresToSchema", "base_schema": {
                "type": "array", "items": {"required": ["name"]},
            }},
        }]});
        assert!(applied_to(rules.clone(), json!({})).is_ok());
        assert!(applied_to(rules.clone(), json!({"reports": "[{\"name\": 1}]"})).is_ok());
        let problem = applied_to(rules, json!({"reports": [{"key": "s3cret"}]})).unwrap_err();
        assert!(problem.contains("name"), "{problem}");
        assert!(!problem.contains("s3cret"), "{problem}");
    }
}
