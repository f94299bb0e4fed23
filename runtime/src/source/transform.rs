//! Transformations of records, in the order the manifest gives them.

use regex::Regex;
use serde_json::Value as Json;

use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::component::Component;
use super::dotnet::DotNetDates;
use super::dpath;
use super::python;
use super::template::{Accept, Scope, Template, TemplateError, to_template};

#[derive(Debug, Clone)]
pub enum Transformation {
    Add {
        fields: Vec<Added>,
        condition: Option<Template>,
    },
    Remove {
        paths: Vec<Vec<String>>,
        condition: Option<Template>,
    },
    Lower,
    Snake,
    Replace {
        old: Template,
        new: Template,
    },
    Flatten {
        lists: bool,
    },
    DotNetDates(DotNetDates),
}

/// A field that AddFields sets.
#[derive(Debug, Clone)]
pub struct Added {
    path: Vec<String>,
    value: Template,
    accept: Accept,
}

type Result<T> = std::result::Result<T, TemplateError>;

impl Transformation {
    pub fn open(component: &Component<'_>) -> std::result::Result<Transformation, SourceError> {
        let condition = match component.text("condition").filter(|text| !text.is_empty()) {
            Some(text) => Some(component.compile(text)?),
            None => None,
        };
        Ok(match component.kind() {
            "AddFields" => Transformation::Add {
                fields: component
                    .children("fields")
                    .iter()
                    .map(Added::open)
                    .collect::<std::result::Result<_, _>>()?,
                condition,
            },
            "RemoveFields" => Transformation::Remove {
                paths: paths(component.field("field_pointers")),
                condition,
            },
            "KeysToLower" => Transformation::Lower,
            "KeysToSnakeCase" => Transformation::Snake,
            "KeysReplace" => Transformation::Replace {
                old: component.need_template("old")?,
                new: component.need_template("new")?,
            },
            "FlattenFields" => Transformation::Flatten {
                lists: component
                    .field("flatten_lists")
                    .and_then(Json::as_bool)
                    .unwrap_or(true),
            },
            "CustomTransformation" if component.text("class_name") == Some("xetl.DotNetDates") => {
                Transformation::DotNetDates(DotNetDates {
                    timestamps: dotted(component, "timestamps"),
                    dates: dotted(component, "dates"),
                })
            }
            _ => return Err(component.unknown("a transformation")),
        })
    }

    pub fn apply(&self, record: &mut Object, scope: &Scope) -> Result<()> {
        match self {
            Transformation::Add { fields, condition } => {
                add(fields, condition.as_ref(), record, scope)
            }
            Transformation::Remove { paths, condition } => {
                remove(paths, condition.as_ref(), record, scope)
            }
            Transformation::Lower => {
                *record = rename(std::mem::take(record), false, &|key| key.to_lowercase());
                Ok(())
            }
            Transformation::Snake => {
                *record = rename(std::mem::take(record), true, &snake_case);
                Ok(())
            }
            Transformation::Replace { old, new } => {
                let scope = with_record(scope, record, &[old, new]);
                let (old, new) = (old.text(&scope)?, new.text(&scope)?);
                *record = rename(std::mem::take(record), true, &|key| key.replace(&old, &new));
                Ok(())
            }
            Transformation::Flatten { lists } => {
                *record = flatten(std::mem::take(record), *lists);
                Ok(())
            }
            Transformation::DotNetDates(dates) => {
                dates.transform(record);
                Ok(())
            }
        }
    }
}

impl Added {
    fn open(component: &Component<'_>) -> std::result::Result<Added, SourceError> {
        let path = paths(
            component
                .field("path")
                .map(|path| Json::Array(vec![path.clone()]))
                .as_ref(),
        );
        let path = path.into_iter().next().filter(|path| !path.is_empty());
        Ok(Added {
            path: path.ok_or_else(|| component.error("AddFields needs a `path`"))?,
            value: component.need_template("value")?,
            accept: match component.text("value_type") {
                Some("string") => Accept::Text,
                Some("number") => Accept::Float,
                Some("integer") => Accept::Integer,
                Some("boolean") => Accept::Bool,
                _ => Accept::Any,
            },
        })
    }
}

fn paths(json: Option<&Json>) -> Vec<Vec<String>> {
    let keys = |path: &Json| {
        let keys = path.as_array().into_iter().flatten();
        keys.map(|key| python::text(&Value::from(key))).collect()
    };
    let paths = json.and_then(Json::as_array).into_iter().flatten();
    paths.map(keys).collect()
}

fn dotted(component: &Component<'_>, name: &str) -> Vec<Vec<String>> {
    let paths = component.field(name).and_then(Json::as_array);
    let paths = paths.into_iter().flatten().filter_map(Json::as_str);
    paths
        .map(|path| path.split('.').map(str::to_owned).collect())
        .collect()
}

/// The scope with the record in it, where one of the templates reads it.
fn with_record(scope: &Scope, record: &Object, templates: &[&Template]) -> Scope {
    match templates.iter().any(|template| template.reads("record")) {
        true => scope.clone().with("record", shown(record)),
        false => scope.clone().with("record", minijinja::Value::from(())),
    }
}

fn shown(record: &Object) -> minijinja::Value {
    minijinja::Value::from_pairs(
        record
            .iter()
            .map(|(key, value)| (key.as_str(), to_template(value))),
    )
}

fn add(
    fields: &[Added],
    condition: Option<&Template>,
    record: &mut Object,
    scope: &Scope,
) -> Result<()> {
    for field in fields {
        if condition.is_none() && field.value.is_plain() {
            dpath::set(
                record,
                &field.path,
                field.value.value_as(scope, field.accept)?,
            );
            continue;
        }
        let templates = [Some(&field.value), condition];
        let templates: Vec<&Template> = templates.into_iter().flatten().collect();
        let scope = with_record(scope, record, &templates);
        let value = field.value.value_as(&scope, field.accept)?;
        let applies = match condition {
            None => true,
            Some(condition) => {
                let path = field.path.iter().map(minijinja::Value::from);
                let scope = scope
                    .with("value", to_template(&value))
                    .with("path", minijinja::Value::from_iter(path));
                condition.condition(&scope)?
            }
        };
        if applies {
            dpath::set(record, &field.path, value);
        }
    }
    Ok(())
}

fn remove(
    paths: &[Vec<String>],
    condition: Option<&Template>,
    record: &mut Object,
    scope: &Scope,
) -> Result<()> {
    let mut failed = None;
    for path in paths {
        dpath::delete(record, path, &mut |value| match condition {
            None => true,
            Some(condition) => {
                let scope = scope.clone().with("property", to_template(value));
                condition.condition(&scope).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            }
        });
    }
    failed.map_or(Ok(()), Err)
}

fn rename(record: Object, deep: bool, name: &dyn Fn(&str) -> String) -> Object {
    record
        .into_iter()
        .map(|(key, value)| match value {
            Value::Object(fields) if deep => {
                (name(&key), Value::Object(rename(fields, deep, name)))
            }
            value => (name(&key), value),
        })
        .collect()
}

/// `CamelCase`, `with spaces` and `x1` to `camel_case`, `with_spaces` and `x_1`.
fn snake_case(key: &str) -> String {
    static TOKENS: std::sync::LazyLock<Option<Regex>> = std::sync::LazyLock::new(|| {
        Regex::new(r"[A-Z]+[a-z]*|[a-z]+|\d+|(?P<none>[^a-zA-Z\d]+)").ok()
    });
    let Some(pattern) = TOKENS.as_ref() else {
        return key.to_owned();
    };
    let mut tokens: Vec<String> = pattern
        .captures_iter(key)
        .map(|found| match found.name("none") {
            Some(_) => String::new(),
            None => found[0].to_lowercase(),
        })
        .collect();
    if tokens.len() >= 3 {
        let last = tokens.len() - 1;
        let mut index = 0;
        tokens.retain(|token| {
            let keep = index == 0 || index == last || !token.is_empty();
            index += 1;
            keep
        });
    }
    if tokens
        .first()
        .is_some_and(|first| first.starts_with(|c: char| c.is_ascii_digit()))
    {
        tokens.insert(0, String::new());
    }
    tokens.join("_")
}

/// Every leaf at the top; from the first list on, and where a name is taken, with its path.
fn flatten(record: Object, lists: bool) -> Object {
    let mut flat = Object::new();
    let mut with_path = false;
    let mut stack = vec![(Value::Object(record), "_".to_owned())];
    while let Some((value, name)) = stack.pop() {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let name = match flat.contains_key(&key) || with_path {
                        true => format!("{name}.{key}"),
                        false => key,
                    };
                    stack.push((value, name));
                }
            }
            Value::Array(values) if lists => {
                for (index, value) in values.into_iter().enumerate() {
                    with_path = true;
                    stack.push((value, format!("{name}.{index}")));
                }
            }
            leaf => {
                flat.insert(name, leaf);
            }
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn transformed(component: Json, record: Json) -> Json {
        let transformation = Transformation::open(&Component::new(&component, "here")).unwrap();
        let Value::Object(mut record) = Value::from(&record) else {
            panic!()
        };
        let scope = Scope::new(minijinja::context! { org => "o1" });
        transformation.apply(&mut record, &scope).unwrap();
        Value::Object(record).to_json()
    }

    #[test]
    fn fields_are_added_with_types_and_conditions() {
        let add = json!({"type": "AddFields", "fields": [
            {"path": ["org"], "value": "{{ config.org }}"},
            {"path": ["n"], "value": "{{ record.a + 1 }}"},
            {"path": ["t"], "value": "{{ record.a }}", "value_type": "string"},
            {"path": ["deep", "x"], "value": "5"},
        ]});
        assert_eq!(
            transformed(add, json!({"a": 1})),
            json!({"a": 1, "org": "o1", "n": 2, "t": "1", "deep": {"x": 5}})
        );
        let condition = json!({"type": "AddFields", "condition": "{{ record.a > 1 }}",
            "fields": [{"path": ["b"], "value": "2"}]});
        assert_eq!(
            transformed(condition.clone(), json!({"a": 1})),
            json!({"a": 1})
        );
        assert_eq!(
            transformed(condition, json!({"a": 2})),
            json!({"a": 2, "b": 2})
        );
    }

    #[test]
    fn fields_are_removed_by_path_and_condition() {
        let remove = json!({"type": "RemoveFields", "field_pointers": [["a", "b"], ["gone"]]});
        assert_eq!(
            transformed(remove, json!({"a": {"b": 1, "c": 2}})),
            json!({"a": {"c": 2}})
        );
        let nulls = json!({"type": "RemoveFields", "field_pointers": [["*"]], "condition": "{{ property is none }}"});
        assert_eq!(
            transformed(nulls, json!({"a": null, "b": 0})),
            json!({"b": 0})
        );
    }

    #[test]
    fn keys_are_renamed() {
        let kind = |kind: &str| json!({"type": kind});
        let record = json!({"InvoiceID": 1, "Due Date": {"inTwo": 2}});
        assert_eq!(
            transformed(kind("KeysToLower"), record.clone()),
            json!({"invoiceid": 1, "due date": {"inTwo": 2}})
        );
        assert_eq!(
            transformed(kind("KeysToSnakeCase"), record.clone()),
            json!({"invoice_id": 1, "due_date": {"in_two": 2}})
        );
        let replace = json!({"type": "KeysReplace", "old": " ", "new": "_"});
        assert_eq!(
            transformed(replace, record),
            json!({"InvoiceID": 1, "Due_Date": {"inTwo": 2}})
        );
        assert_eq!(
            transformed(
                kind("FlattenFields"),
                json!({"a": {"b": 1}, "l": [{"c": 2}]})
            ),
            json!({"l.0.c": 2, "a.b": 1})
        );
    }
}
