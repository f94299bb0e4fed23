//! QueryProperties: the names of the fields a source is asked for, in pieces it can take.
//!
//! Each page is requested once a piece, and the records of the pieces are put together by their key.

use std::sync::Arc;

use futures::TryStreamExt;
use indexmap::IndexMap;
use serde_json::Value as Json;
use tokio::sync::OnceCell;

use crate::source::component::Component;
use crate::source::dpath::{self, Step};
use crate::source::python;
use crate::source::requester::bare;
use crate::source::shared::Shared;
use crate::source::template::{Scope, Template};
use crate::source::transform::{Steps, Transformation};
use crate::stream::SourceError;
use crate::value::{Object, Value};

use super::{Part, Records, Retriever, StreamFacts};

pub struct Properties {
    list: List,
    always: Vec<String>,
    chunking: Option<Chunking>,
    /// Takes only the properties that the stream's schema has, after these transformations of it.
    by_schema: Option<Vec<Transformation>>,
}

enum List {
    Here(Vec<String>),
    Endpoint(Box<Endpoint>),
}

/// A source that says which properties there are; asked once.
struct Endpoint {
    at: String,
    retriever: Retriever,
    path: Vec<Template>,
    found: OnceCell<Vec<String>>,
}

struct Chunking {
    characters: bool,
    limit: usize,
    key: Vec<String>,
}

impl Properties {
    /// Those of a requester, wherever it has them.
    pub fn of_requester(
        requester: &Component<'_>,
        shared: &Arc<Shared>,
    ) -> Result<Option<Properties>, SourceError> {
        let params = requester.child("request_parameters");
        let params = params.as_ref().and_then(|params| params.json().as_object());
        let names = params.into_iter().flatten();
        let mut names = names.filter(|(_, value)| value["type"] == "QueryProperties");
        let endpoint = requester.child("fetch_properties_from_endpoint");
        if let Some((name, json)) = names.next() {
            if names.next().is_some() || endpoint.is_some() {
                return Err(requester.error("QueryProperties can be in one place only"));
            }
            let at = format!("{}.request_parameters.{name}", requester.at);
            return Properties::open(&Component::new(json, at), shared).map(Some);
        }
        if let Some(endpoint) = endpoint {
            return Ok(Some(Properties {
                list: List::endpoint(&endpoint, shared)?,
                always: Vec::new(),
                chunking: None,
                by_schema: None,
            }));
        }
        match requester.child("query_properties") {
            Some(properties) => Properties::open(&properties, shared).map(Some),
            None => Ok(None),
        }
    }

    fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Properties, SourceError> {
        let list = match component.need("property_list")? {
            list if list.json().is_array() => List::Here(texts(Some(list.json()))),
            endpoint => List::endpoint(&endpoint, shared)?,
        };
        let by_schema = match component.child("property_selector") {
            Some(selector) if selector.kind() == "JsonSchemaPropertySelector" => {
                let steps = selector.list("transformations")?;
                let steps = steps
                    .iter()
                    .map(|step| Transformation::open(step, &shared.scope));
                Some(steps.collect::<Result<_, _>>()?)
            }
            Some(selector) => return Err(selector.unknown("JsonSchemaPropertySelector")),
            None => None,
        };
        Ok(Properties {
            list,
            always: texts(component.field("always_include_properties")),
            chunking: match component.child("property_chunking") {
                Some(chunking) => Some(Chunking::open(&chunking)?),
                None => None,
            },
            by_schema,
        })
    }

    /// The pieces a page is asked for in.
    pub async fn chunks(
        &self,
        schema: &Json,
        shared: &Shared,
    ) -> Result<Vec<Vec<String>>, SourceError> {
        let all = match &self.list {
            List::Here(names) => names,
            List::Endpoint(endpoint) => endpoint.names(shared).await?,
        };
        let wanted = self.wanted(schema, shared)?;
        let selected = all.iter().filter(|name| match &wanted {
            Some(wanted) => wanted.contains_key(*name),
            None => true,
        });
        let selected: Vec<String> = selected.cloned().collect();
        Ok(match &self.chunking {
            None => vec![[&self.always[..], &selected[..]].concat()],
            // As in the reference, which here takes all of them.
            Some(chunking) if chunking.limit == 0 => {
                vec![[&all[..], &self.always[..]].concat()]
            }
            Some(chunking) => chunking.cut(&selected, &self.always),
        })
    }

    fn wanted(&self, schema: &Json, shared: &Shared) -> Result<Option<Object>, SourceError> {
        let (Some(steps), Some(properties)) = (&self.by_schema, schema.get("properties")) else {
            return Ok(None);
        };
        let Value::Object(mut fields) = Value::from(properties) else {
            return Ok(None);
        };
        let applied = Steps::new(steps, shared.scope.clone()).apply(&mut fields);
        applied.map_err(|error| SourceError::Config {
            at: "property_selector".to_owned(),
            problem: error.to_string(),
        })?;
        Ok(Some(fields))
    }

    /// Puts the records of a page's pieces together; those without the key stay by themselves.
    pub fn merged(&self, pieces: Vec<Vec<Value>>) -> Vec<Value> {
        let Some(chunking) = &self.chunking else {
            return pieces.into_iter().flatten().collect();
        };
        let mut alone = Vec::new();
        let mut merged: IndexMap<String, Value> = IndexMap::new();
        for record in pieces.into_iter().flatten() {
            match chunking.key_of(&record) {
                Some(key) => merge(merged.entry(key).or_insert_with(empty), record),
                None => alone.push(record),
            }
        }
        alone.extend(merged.into_values());
        alone
    }
}

impl List {
    fn endpoint(component: &Component<'_>, shared: &Arc<Shared>) -> Result<List, SourceError> {
        if component.kind() != "PropertiesFromEndpoint" {
            return Err(component.unknown("a list or PropertiesFromEndpoint"));
        }
        let retriever = component.need("retriever")?;
        // The same for each slice, so it is asked for once.
        let mut cached = retriever.json().clone();
        if let Some(requester) = cached.get_mut("requester").and_then(Json::as_object_mut) {
            requester.insert("use_cache".to_owned(), Json::Bool(true));
        }
        let facts = StreamFacts {
            name: "dynamic_properties",
            transformations: Vec::new(),
            client_side: false,
        };
        let retriever = Component::new(&cached, retriever.at.as_str());
        Ok(List::Endpoint(Box::new(Endpoint {
            at: component.at.clone(),
            retriever: Retriever::open(&retriever, &facts, shared)?,
            path: component.templates("property_field_path")?,
            found: OnceCell::new(),
        })))
    }
}

impl Endpoint {
    async fn names(&self, shared: &Shared) -> Result<&Vec<String>, SourceError> {
        self.found.get_or_try_init(|| self.ask(shared)).await
    }

    async fn ask(&self, shared: &Shared) -> Result<Vec<String>, SourceError> {
        let path = self.path.iter().map(|step| step.value(&shared.scope));
        let path = path.map(|value| value.map(|value| Step::of(&value)));
        let path = path
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| SourceError::Config {
                at: self.at.clone(),
                problem: error.to_string(),
            })?;
        let pages = self.retriever.pages(Part::alone(bare(&shared.scope)));
        let pages = pages.map_ok(Records::into_values);
        let pages: Vec<Vec<Value>> = Box::pin(pages.try_collect()).await?;
        let name = |record: &Value| match dpath::get(record, &path) {
            Some(name) => python::text(name),
            None => "[]".to_owned(),
        };
        Ok(pages.iter().flatten().map(name).collect())
    }
}

impl Chunking {
    fn open(component: &Component<'_>) -> Result<Chunking, SourceError> {
        let key = component
            .child("record_merge_strategy")
            .and_then(|strategy| strategy.field("key").cloned());
        let key = key.unwrap_or_else(|| Json::from("id"));
        Ok(Chunking {
            characters: match component.text("property_limit_type") {
                Some("characters") => true,
                Some("property_count") => false,
                _ => {
                    let problem = "`property_limit_type` must be characters or property_count";
                    return Err(component.error(problem));
                }
            },
            limit: component
                .field("property_limit")
                .and_then(Json::as_u64)
                .unwrap_or(0) as usize,
            key: match &key {
                Json::String(key) => vec![key.clone()],
                keys => texts(Some(keys)),
            },
        })
    }

    fn cut(&self, names: &[String], always: &[String]) -> Vec<Vec<String>> {
        let mut chunks = vec![always.to_vec()];
        let mut used = 0;
        for name in names {
            // A delimiter takes three characters where it is encoded.
            let size = match self.characters {
                true => name.chars().count() + 3,
                false => 1,
            };
            if used + size > self.limit {
                chunks.push(always.to_vec());
                used = 0;
            }
            if let Some(chunk) = chunks.last_mut() {
                chunk.push(name.clone());
            }
            used += size;
        }
        chunks
    }

    fn key_of(&self, record: &Value) -> Option<String> {
        let values = self.key.iter().map(|name| record.get(name));
        let values = values.map(|value| value.filter(|value| python::truth(value)));
        let texts = values.map(|value| value.map(python::text));
        texts
            .collect::<Option<Vec<_>>>()
            .map(|values| values.join(","))
    }
}

fn empty() -> Value {
    Value::Object(Object::default())
}

fn merge(target: &mut Value, source: Value) {
    match (target, source) {
        (Value::Object(target), Value::Object(source)) => {
            for (name, value) in source {
                match target.get_mut(&name) {
                    Some(old @ Value::Object(_)) if matches!(value, Value::Object(_)) => {
                        merge(old, value);
                    }
                    _ => {
                        target.insert(name, value);
                    }
                }
            }
        }
        (target, source) => *target = source,
    }
}

fn texts(json: Option<&Json>) -> Vec<String> {
    let list = json.and_then(Json::as_array).into_iter().flatten();
    list.map(|value| python::text(&Value::from(value)))
        .collect()
}

/// A scope in which templates see the properties of a piece.
pub fn with_properties(scope: &Scope, chunk: &[String]) -> Scope {
    let names = minijinja::Value::from_iter(chunk.iter().map(String::as_str));
    scope
        .clone()
        .with_extra_fields(&[("query_properties", names)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chunking(kind: &str, limit: usize) -> Chunking {
        let json = json!({"type": "PropertyChunking", "property_limit_type": kind, "property_limit": limit});
        Chunking::open(&Component::new(&json, "here")).unwrap()
    }

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn names_are_cut_by_count_or_by_length() {
        let always = names("id");
        let by_count = chunking("property_count", 2).cut(&names("a b c"), &always);
        assert_eq!(by_count, [names("id a b"), names("id c")]);
        let by_length = chunking("characters", 9).cut(&names("aa bb cccccc"), &always);
        assert_eq!(
            by_length,
            [names("id aa"), names("id bb"), names("id cccccc")]
        );
    }

    #[test]
    fn records_of_pieces_are_one_by_their_key() {
        let properties = Properties {
            list: List::Here(Vec::new()),
            always: Vec::new(),
            chunking: Some(chunking("property_count", 1)),
            by_schema: None,
        };
        let piece = |json: Json| match Value::from(&json) {
            Value::Array(records) => records,
            _ => Vec::new(),
        };
        let merged = properties.merged(vec![
            piece(json!([{"id": "1", "a": {"x": 1}}, {"n": 0}])),
            piece(json!([{"id": "1", "a": {"y": 2}, "b": 3}])),
        ]);
        assert_eq!(
            Value::Array(merged),
            Value::from(&json!([{"n": 0}, {"id": "1", "a": {"x": 1, "y": 2}, "b": 3}]))
        );
    }
}
