//! DynamicSchemaLoader: a schema made of what the source says of its fields.

use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::{Value as Json, json};

use crate::stream::{Slice, SourceError};
use crate::value::{Object, Value};

use crate::source::component::Component;
use crate::source::dpath::{self, Step};
use crate::source::python;
use crate::source::retriever::{Part, Retriever, StreamFacts};
use crate::source::shared::Shared;
use crate::source::template::{Scope, Template, to_template};
use crate::source::transform::{Steps, Transformation};

pub struct Dynamic {
    at: String,
    retriever: Retriever,
    fields: Vec<Step>,
    key: Vec<Step>,
    /// Every field is text where there is none.
    kind: Option<Vec<Step>>,
    kinds: Vec<Kind>,
    filter: Option<Template>,
    transformations: Vec<Transformation>,
    shared: Arc<Shared>,
}

/// What a type of the source is in ours.
struct Kind {
    theirs: Json,
    ours: Json,
    condition: Option<Template>,
}

impl Dynamic {
    pub fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Dynamic, SourceError> {
        let facts = StreamFacts {
            name: "dynamic_properties",
            transformations: Vec::new(),
            client_side: false,
        };
        let identifier = component.need("schema_type_identifier")?;
        let path = |name: &str| path(&identifier, name, &shared.scope);
        let kinds = identifier.children("types_mapping");
        let transformations = component.children("schema_transformations");
        let transformations = transformations
            .iter()
            .map(|transformation| Transformation::open(transformation, &shared.scope));
        Ok(Dynamic {
            at: component.at.clone(),
            retriever: Retriever::open(&component.need("retriever")?, &facts, shared)?,
            fields: path("schema_pointer")?,
            key: path("key_pointer")?,
            kind: Some(path("type_pointer")?).filter(|path| !path.is_empty()),
            kinds: kinds.iter().map(Kind::open).collect::<Result<_, _>>()?,
            filter: match component.child("schema_filter") {
                Some(filter) if filter.kind() == "RecordFilter" => {
                    Some(filter.template_or("condition", "")?)
                }
                Some(filter) => return Err(filter.unknown("RecordFilter")),
                None => None,
            },
            transformations: transformations.collect::<Result<_, _>>()?,
            shared: shared.clone(),
        })
    }

    pub async fn load(&self) -> Result<Json, SourceError> {
        let properties = match self.first_record().await? {
            Some(record) if python::truth(&record) => self.properties(record)?,
            _ => Object::default(),
        };
        let properties = self.refined(properties)?;
        Ok(json!({
            "$schema": "https://json-schema.org/draft-07/schema#",
            "type": "object",
            "additionalProperties": true,
            "properties": Value::Object(properties).to_json(),
        }))
    }

    async fn first_record(&self) -> Result<Option<Value>, SourceError> {
        let slice = Slice::default();
        let part = Part::alone(self.shared.scope.clone().with_slice(&slice));
        let mut pages = self.retriever.pages(part);
        while let Some(records) = pages.try_next().await? {
            if let Some(record) = records.into_iter().next() {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn properties(&self, record: Value) -> Result<Object, SourceError> {
        let fields = match self.fields.is_empty() {
            true => Some(record),
            false => {
                dpath::take(record, &self.fields).map_err(|error| self.error(error.to_string()))?
            }
        };
        let Some(Value::Array(fields)) = fields else {
            return Err(self.error("there is no list of fields at `schema_pointer`"));
        };
        fields.iter().map(|field| self.property(field)).collect()
    }

    fn property(&self, field: &Value) -> Result<(String, Value), SourceError> {
        let name = dpath::get(field, &self.key).and_then(Value::as_str);
        let name = name.ok_or_else(|| self.error("a field has no name at `key_pointer`"))?;
        let text = Value::from("string");
        let kind = match &self.kind {
            Some(path) => dpath::get(field, path).unwrap_or(&text),
            None => &text,
        };
        let ours = self.ours(kind.to_json(), field)?;
        let schema = schema(&ours)
            .map_err(|problem| self.error(format!("the field `{name}`: {problem}")))?;
        Ok((name.to_owned(), Value::from(&schema)))
    }

    /// The type this one is mapped to, or itself.
    fn ours(&self, theirs: Json, field: &Value) -> Result<Json, SourceError> {
        for kind in &self.kinds {
            if kind.theirs != theirs {
                continue;
            }
            let applies = match &kind.condition {
                None => true,
                Some(condition) => {
                    let scope = self.shared.scope.clone();
                    let scope = scope.with("raw_schema", to_template(field));
                    let holds = condition.condition(&scope);
                    holds.map_err(|error| self.error(error.to_string()))?
                }
            };
            if applies {
                return Ok(kind.ours.clone());
            }
        }
        Ok(theirs)
    }

    /// The properties that pass the filter, transformed as records are.
    fn refined(&self, mut properties: Object) -> Result<Object, SourceError> {
        let scope = self
            .shared
            .scope
            .clone()
            .with_slice(&Slice::default())
            .with("next_page_token", minijinja::Value::from(()));
        if let Some(filter) = &self.filter {
            let mut failed = None;
            properties.retain(|name, schema| {
                let record = minijinja::Value::from_pairs([(name.as_str(), to_template(schema))]);
                let passes = filter.condition(&scope.clone().with("record", record));
                passes.unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            });
            if let Some(error) = failed {
                return Err(self.error(error.to_string()));
            }
        }
        let steps = Steps::new(&self.transformations, scope);
        let transformed = steps.apply(&mut properties);
        transformed.map_err(|error| self.error(error.to_string()))?;
        Ok(properties)
    }

    fn error(&self, problem: impl Into<String>) -> SourceError {
        SourceError::Config {
            at: self.at.clone(),
            problem: self.shared.redactor.clean(&problem.into()),
        }
    }
}

impl Kind {
    fn open(component: &Component<'_>) -> Result<Kind, SourceError> {
        let condition = component.text("condition");
        Ok(Kind {
            theirs: component.need("current_type")?.json().clone(),
            ours: component.need("target_type")?.json().clone(),
            condition: condition.map(|text| component.compile(text)).transpose()?,
        })
    }
}

fn path(component: &Component<'_>, name: &str, scope: &Scope) -> Result<Vec<Step>, SourceError> {
    let templates = component.templates(name)?;
    let steps = templates.iter().map(|template| {
        let value = template.value(scope);
        let value = value.map_err(|error| component.error(error.to_string()))?;
        Ok(Step::of(&value))
    });
    steps.collect()
}

/// The schema of a type: its name, a pair of names, or a list with its items.
fn schema(kind: &Json) -> Result<Json, String> {
    match kind {
        Json::String(name) => named(name),
        Json::Array(names) => match &names[..] {
            [Json::String(first), Json::String(second)] => {
                Ok(json!({"oneOf": [named(first)?, named(second)?]}))
            }
            _ => Err(format!("`{kind}` is no type; expected a name or two")),
        },
        Json::Object(fields) => {
            let name = fields.get("field_type").and_then(Json::as_str);
            let name = name.ok_or_else(|| format!("`{kind}` has no `field_type`"))?;
            let mut whole = named(name)?;
            match fields.get("items") {
                None | Some(Json::Null) => {}
                Some(_) if name != "array" => {
                    return Err(format!(
                        "`items` can only be used with an array, not with `{name}`"
                    ));
                }
                Some(items) => whole["items"] = schema(items)?,
            }
            Ok(whole)
        }
        other => Err(format!("`{other}` is no type; expected a name or two")),
    }
}

fn named(name: &str) -> Result<Json, String> {
    let text = |format: &str| json!({"type": ["null", "string"], "format": format});
    let without_zone = |format: &str, kind: &str| json!({"type": ["null", "string"], "format": format, "airbyte_type": kind});
    Ok(match name {
        "string" | "boolean" | "integer" | "number" | "array" | "object" => {
            json!({"type": ["null", name]})
        }
        "date" => text("date"),
        "timestamp_with_timezone" => text("date-time"),
        "timestamp_without_timezone" => without_zone("date-time", name),
        "time_with_timezone" | "time_without_timezone" => without_zone("time", name),
        other => {
            return Err(format!(
                "`{other}` is no type that is known; `types_mapping` can map it"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_schemas() {
        assert_eq!(
            schema(&json!("integer")).unwrap(),
            json!({"type": ["null", "integer"]})
        );
        assert_eq!(
            schema(&json!(["string", "number"])).unwrap(),
            json!({"oneOf": [{"type": ["null", "string"]}, {"type": ["null", "number"]}]})
        );
        let nested =
            json!({"field_type": "array", "items": {"field_type": "array", "items": "date"}});
        assert_eq!(
            schema(&nested).unwrap(),
            json!({"type": ["null", "array"], "items": {"type": ["null", "array"],
                "items": {"type": ["null", "string"], "format": "date"}}})
        );
    }

    #[test]
    fn what_is_no_type_is_named() {
        assert_eq!(
            schema(&json!("uuid")).unwrap_err(),
            "`uuid` is no type that is known; `types_mapping` can map it"
        );
        assert!(schema(&json!(["a", "b", "c"])).is_err());
        assert!(schema(&json!({"field_type": "string", "items": "string"})).is_err());
        assert!(schema(&json!(null)).is_err());
    }
}
