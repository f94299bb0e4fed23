//! A manifest made whole: references looked up, parameters handed down.
//!
//! Works on JSON values and knows only two things of the language's components:
//! their default types and the key `$parameters`.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

const PARAMETERS: &str = "$parameters";
const REF: &str = "$ref";

/// Types of components that are written without one, by where they stand.
const DEFAULT_TYPES: [(&str, &str); 37] = [
    (
        "CompositeErrorHandler.error_handlers",
        "DefaultErrorHandler",
    ),
    ("CursorPagination.decoder", "JsonDecoder"),
    ("DatetimeBasedCursor.end_datetime", "MinMaxDatetime"),
    ("DatetimeBasedCursor.end_time_option", "RequestOption"),
    ("DatetimeBasedCursor.start_datetime", "MinMaxDatetime"),
    ("DatetimeBasedCursor.start_time_option", "RequestOption"),
    ("DeclarativeSource.check", "CheckStream"),
    ("DeclarativeSource.spec", "Spec"),
    ("DeclarativeSource.streams", "DeclarativeStream"),
    ("DeclarativeStream.retriever", "SimpleRetriever"),
    ("DeclarativeStream.schema_loader", "JsonFileSchemaLoader"),
    (
        "DynamicDeclarativeStream.stream_template",
        "DeclarativeStream",
    ),
    (
        "DynamicDeclarativeStream.components_resolver",
        "ConfigComponentResolver",
    ),
    ("HttpComponentsResolver.retriever", "SimpleRetriever"),
    (
        "HttpComponentsResolver.components_mapping",
        "ComponentMappingDefinition",
    ),
    ("ConfigComponentsResolver.stream_config", "StreamConfig"),
    (
        "ConfigComponentsResolver.components_mapping",
        "ComponentMappingDefinition",
    ),
    ("DefaultErrorHandler.response_filters", "HttpResponseFilter"),
    ("DefaultPaginator.decoder", "JsonDecoder"),
    ("DefaultPaginator.page_size_option", "RequestOption"),
    ("DpathExtractor.decoder", "JsonDecoder"),
    ("DpathExtractor.record_expander", "RecordExpander"),
    ("HttpRequester.error_handler", "DefaultErrorHandler"),
    ("ListPartitionRouter.request_option", "RequestOption"),
    ("ParentStreamConfig.request_option", "RequestOption"),
    ("ParentStreamConfig.stream", "DeclarativeStream"),
    ("RecordExpander.parent_fields", "ParentFieldPath"),
    ("RecordSelector.extractor", "DpathExtractor"),
    ("RecordSelector.record_filter", "RecordFilter"),
    ("SimpleRetriever.paginator", "NoPagination"),
    ("SimpleRetriever.record_selector", "RecordSelector"),
    ("SimpleRetriever.requester", "HttpRequester"),
    (
        "SubstreamPartitionRouter.parent_stream_configs",
        "ParentStreamConfig",
    ),
    ("AddFields.fields", "AddedFieldDefinition"),
    (
        "CustomPartitionRouter.parent_stream_configs",
        "ParentStreamConfig",
    ),
    ("DynamicSchemaLoader.retriever", "SimpleRetriever"),
    ("SchemaTypeIdentifier.types_map", "TypesMap"),
];

/// Types of custom components (with a `class_name`) that are written without one.
const CUSTOM_TYPES: [(&str, &str); 9] = [
    (
        "CompositeErrorHandler.backoff_strategies",
        "CustomBackoffStrategy",
    ),
    ("DeclarativeStream.retriever", "CustomRetriever"),
    ("DeclarativeStream.transformations", "CustomTransformation"),
    (
        "DefaultErrorHandler.backoff_strategies",
        "CustomBackoffStrategy",
    ),
    (
        "DefaultPaginator.pagination_strategy",
        "CustomPaginationStrategy",
    ),
    ("HttpRequester.authenticator", "CustomAuthenticator"),
    ("HttpRequester.error_handler", "CustomErrorHandler"),
    ("RecordSelector.extractor", "CustomRecordExtractor"),
    ("SimpleRetriever.partition_router", "CustomPartitionRouter"),
];

/// References that unfold to more than this make no manifest.
const MOST_NODES: usize = 2_000_000;
const DEEPEST: usize = 400;

/// Which of two parameters of the same name a component has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Precedence {
    Own,
    Parents,
}

/// What only references lead to: no stream is read from here.
const SHELVES: [&str; 3] = ["definitions", "schemas", "metadata"];

/// The manifest with references looked up and parameters handed down.
pub fn resolve(manifest: &Json) -> Result<Json, String> {
    let Json::Object(fields) = manifest else {
        return Err("a manifest is a mapping".to_owned());
    };
    let mut unfolding = Unfolding {
        manifest,
        visited: Vec::new(),
        found: HashMap::new(),
        nodes: 0,
        depth: 0,
    };
    let mut whole = Map::new();
    for (name, value) in fields {
        if !SHELVES.contains(&name.as_str()) && name != REF {
            whole.insert(name.clone(), unfolding.evaluate(value)?);
        }
    }
    whole
        .entry("type")
        .or_insert_with(|| "DeclarativeSource".into());
    let whole = hand_down("", whole, &Map::new(), Precedence::Own);
    Ok(Json::Object(whole))
}

/// A component that was not in the manifest, made whole.
pub fn complete(component: Map<String, Json>, precedence: Precedence) -> Map<String, Json> {
    hand_down("", component, &Map::new(), precedence)
}

/// References of a manifest on their way to be looked up.
struct Unfolding<'m> {
    manifest: &'m Json,
    visited: Vec<&'m str>,
    /// What a reference stands for, with its size: it is the same wherever it stands.
    found: HashMap<&'m str, (Json, usize)>,
    nodes: usize,
    depth: usize,
}

impl<'m> Unfolding<'m> {
    fn evaluate(&mut self, node: &'m Json) -> Result<Json, String> {
        self.nodes += 1;
        self.checked()?;
        self.depth += 1;
        let value = match node {
            Json::Object(fields) => self.evaluate_object(fields),
            Json::Array(values) => {
                let values = values.iter().map(|value| self.evaluate(value));
                values.collect::<Result<Vec<_>, _>>().map(Json::Array)
            }
            Json::String(text) if text.starts_with("#/") => self.look_up(text),
            other => Ok(other.clone()),
        };
        self.depth -= 1;
        value
    }

    fn evaluate_object(&mut self, fields: &'m Map<String, Json>) -> Result<Json, String> {
        let before = self.nodes;
        let mut own = Map::new();
        for (key, value) in fields.iter().filter(|(key, _)| *key != REF) {
            let value = match key.as_str() {
                "config_overrides" => value.clone(),
                _ => self.evaluate(value)?,
            };
            own.insert(key.clone(), value);
        }
        let Some(reference) = fields.get(REF) else {
            return Ok(Json::Object(own));
        };
        match self.evaluate(reference)? {
            Json::Object(mut base) => {
                base.extend(own);
                let whole = Json::Object(base);
                // What was overlaid takes no room.
                self.nodes = before + size(&whole);
                Ok(whole)
            }
            other => Ok(other),
        }
    }

    fn look_up(&mut self, reference: &'m str) -> Result<Json, String> {
        if let Some((value, size)) = self.found.get(reference) {
            self.nodes += size;
            return self.checked().map(|()| value.clone());
        }
        if self.visited.contains(&reference) {
            return Err(format!("the reference `{reference}` leads back to itself"));
        }
        let target = find(&reference[2..], self.manifest)
            .ok_or_else(|| format!("the reference `{reference}` leads nowhere"))?;
        let before = self.nodes;
        self.visited.push(reference);
        let value = self.evaluate(target)?;
        self.visited.pop();
        let size = self.nodes - before;
        self.found.insert(reference, (value.clone(), size));
        Ok(value)
    }

    fn checked(&self) -> Result<(), String> {
        match self.nodes > MOST_NODES || self.depth > DEEPEST {
            true => Err("the manifest is too large once its references are unfolded".to_owned()),
            false => Ok(()),
        }
    }
}

fn size(value: &Json) -> usize {
    match value {
        Json::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        Json::Array(values) => 1 + values.iter().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// A key may itself hold slashes, so the whole rest is tried first.
fn find<'m>(path: &str, node: &'m Json) -> Option<&'m Json> {
    if path.is_empty() {
        return Some(node);
    }
    if let Some(found) = node.get(path) {
        return Some(found);
    }
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    let next = match (node, head.parse::<usize>()) {
        (Json::Array(values), Ok(index)) => values.get(index),
        _ => node.get(head),
    };
    find(rest, next?)
}

fn hand_down(
    place: &str,
    mut fields: Map<String, Json>,
    from_parent: &Map<String, Json>,
    precedence: Precedence,
) -> Map<String, Json> {
    if !fields.contains_key("type")
        && let Some(found) = default_type(place, &fields)
    {
        fields.insert("type".to_owned(), found.into());
    }
    let own = match fields.shift_remove(PARAMETERS) {
        Some(Json::Object(own)) => own,
        _ => Map::new(),
    };
    let parameters = combined(own, from_parent, precedence);
    match fields.get("type") {
        // A JSON Schema.
        Some(Json::Array(_) | Json::Object(_)) => fields,
        Some(kind) if kind == "object" => fields,
        Some(kind) => {
            let kind = kind.as_str().unwrap_or_default().to_owned();
            fill(&kind, fields, parameters, precedence)
        }
        None => nested(place, fields, &parameters, precedence),
    }
}

fn combined(
    own: Map<String, Json>,
    from_parent: &Map<String, Json>,
    precedence: Precedence,
) -> Map<String, Json> {
    let parents = from_parent.clone();
    let (mut weaker, stronger) = match precedence {
        Precedence::Own => (parents, own),
        Precedence::Parents => (own, parents),
    };
    weaker.extend(stronger);
    weaker
}

fn default_type(place: &str, fields: &Map<String, Json>) -> Option<&'static str> {
    default_kind(place, fields.contains_key("class_name"))
}

/// The type of a component that is written without one, by where it stands (`Component.field`).
pub fn default_kind(place: &str, is_custom: bool) -> Option<&'static str> {
    let known: &[(&str, &'static str)] = match is_custom {
        true => &CUSTOM_TYPES,
        false => &DEFAULT_TYPES,
    };
    let found = known.iter().find(|(at, _)| *at == place);
    found.map(|(_, kind)| *kind)
}

/// Sets parameters as fields where none are, and goes on to the children.
fn fill(
    kind: &str,
    mut fields: Map<String, Json>,
    mut parameters: Map<String, Json>,
    precedence: Precedence,
) -> Map<String, Json> {
    for (key, value) in &parameters {
        if !fields.get(key).is_some_and(truth) {
            fields.insert(key.clone(), value.clone());
        }
    }
    for (name, value) in &mut fields {
        if !matches!(value, Json::Object(_) | Json::Array(_)) {
            continue;
        }
        let place = format!("{kind}.{name}");
        // A component does not inherit a parameter that has its own name.
        let excluded = parameters.shift_remove(name);
        match value {
            Json::Array(values) => {
                for element in values {
                    go_on(&place, element, &parameters, precedence);
                }
            }
            other => go_on(&place, other, &parameters, precedence),
        }
        if let Some(excluded) = excluded.filter(truth) {
            parameters.insert(name.clone(), excluded);
        }
    }
    if !parameters.is_empty() {
        fields.insert(PARAMETERS.to_owned(), Json::Object(parameters));
    }
    fields
}

/// Hands down to what may be a component.
fn go_on(place: &str, value: &mut Json, parameters: &Map<String, Json>, precedence: Precedence) {
    if let Json::Object(fields) = value {
        let fields = std::mem::take(fields);
        *value = Json::Object(hand_down(place, fields, parameters, precedence));
    }
}

fn nested(
    place: &str,
    mut fields: Map<String, Json>,
    parameters: &Map<String, Json>,
    precedence: Precedence,
) -> Map<String, Json> {
    for value in fields.values_mut() {
        if value.get("type").is_some_and(truth) {
            go_on(place, value, parameters, precedence);
        }
    }
    fields
}

/// Python's truth.
fn truth(value: &Json) -> bool {
    super::python::truth(&crate::value::Value::from(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_is_overlaid_by_what_stands_beside_it() {
        let manifest = json!({
            "definitions": {"base": {"a": 1, "b": {"c": 2}}, "x/y": "slash"},
            "streams": [{"$ref": "#/definitions/base", "a": 9}, "#/definitions/base/b/c", "#/definitions/x/y"],
        });
        let whole = resolve(&manifest).unwrap();
        assert_eq!(
            whole["streams"],
            json!([{"a": 9, "b": {"c": 2}, "type": "DeclarativeStream"}, 2, "slash"])
        );
    }

    #[test]
    fn a_reference_in_a_circle_or_to_nowhere_is_named() {
        let circle = json!({"a": "#/b", "b": "#/a"});
        assert_eq!(
            resolve(&circle).unwrap_err(),
            "the reference `#/b` leads back to itself"
        );
        let nowhere = json!({"a": {"$ref": "#/definitions/none"}});
        assert_eq!(
            resolve(&nowhere).unwrap_err(),
            "the reference `#/definitions/none` leads nowhere"
        );
    }

    #[test]
    fn parameters_become_fields_of_components_below() {
        let manifest = json!({"streams": [{
            "$parameters": {"name": "invoices", "path": "/Invoices"},
            "retriever": {"requester": {"path": "", "url_base": "u"}},
            "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object"}},
        }]});
        let stream = resolve(&manifest).unwrap()["streams"][0].clone();
        assert_eq!(stream["name"], "invoices");
        let requester = &stream["retriever"]["requester"];
        assert_eq!(requester["path"], "/Invoices");
        assert_eq!(requester["type"], "HttpRequester");
        assert_eq!(requester["$parameters"]["name"], "invoices");
        assert_eq!(stream["schema_loader"]["schema"], json!({"type": "object"}));
    }

    #[test]
    fn parents_parameters_win_where_the_stream_says_so() {
        let stream = json!({
            "type": "DeclarativeStream",
            "$parameters": {"k": "outer"},
            "retriever": {"$parameters": {"k": "inner", "l": "own"}},
        });
        let fields = stream.as_object().unwrap().clone();
        let retriever = &complete(fields.clone(), Precedence::Parents)["retriever"];
        assert_eq!(
            (&retriever["k"], &retriever["l"]),
            (&json!("outer"), &json!("own"))
        );
        assert_eq!(complete(fields, Precedence::Own)["retriever"]["k"], "inner");
    }

    #[test]
    fn references_that_unfold_without_end_are_refused() {
        let mut manifest = json!({"d0": ["x", "x"]});
        for level in 1..40 {
            let reference = format!("#/d{}", level - 1);
            manifest[format!("d{level}")] = json!([reference, reference]);
        }
        assert!(resolve(&manifest).unwrap_err().contains("too large"));
    }

    #[test]
    fn own_parameters_win_over_the_parents() {
        let manifest = json!({"streams": [{
            "$parameters": {"k": "outer"},
            "retriever": {"$parameters": {"k": "inner"}},
        }]});
        assert_eq!(
            resolve(&manifest).unwrap()["streams"][0]["retriever"]["k"],
            "inner"
        );
    }
}
