//! A manifest made whole: references looked up, parameters handed down.
//!
//! Works on JSON values and knows only two things of the language's components:
//! their default types and the key `$parameters`.

use serde_json::{Map, Value as Json};

const PARAMETERS: &str = "$parameters";
const REF: &str = "$ref";

/// Types of components that are written without one, by where they stand.
const DEFAULT_TYPES: [(&str, &str); 36] = [
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

/// The manifest with references looked up and parameters handed down.
pub fn resolve(manifest: &Json) -> Result<Json, String> {
    let mut whole = evaluate(manifest, manifest, &mut Vec::new())?;
    if let Some(fields) = whole.as_object_mut() {
        fields
            .entry("type")
            .or_insert_with(|| "DeclarativeSource".into());
    }
    Ok(hand_down("", &whole, &Map::new()))
}

fn evaluate(node: &Json, manifest: &Json, visited: &mut Vec<String>) -> Result<Json, String> {
    match node {
        Json::Object(fields) => evaluate_object(fields, manifest, visited),
        Json::Array(values) => values
            .iter()
            .map(|value| evaluate(value, manifest, visited))
            .collect::<Result<Vec<_>, _>>()
            .map(Json::Array),
        Json::String(text) if text.starts_with("#/") => look_up(text, manifest, visited),
        other => Ok(other.clone()),
    }
}

fn evaluate_object(
    fields: &Map<String, Json>,
    manifest: &Json,
    visited: &mut Vec<String>,
) -> Result<Json, String> {
    let mut own = Map::new();
    for (key, value) in fields.iter().filter(|(key, _)| *key != REF) {
        let value = match key.as_str() {
            "config_overrides" => value.clone(),
            _ => evaluate(value, manifest, visited)?,
        };
        own.insert(key.clone(), value);
    }
    let Some(reference) = fields.get(REF) else {
        return Ok(Json::Object(own));
    };
    match evaluate(reference, manifest, visited)? {
        Json::Object(mut base) => {
            base.extend(own);
            Ok(Json::Object(base))
        }
        other => Ok(other),
    }
}

fn look_up(reference: &str, manifest: &Json, visited: &mut Vec<String>) -> Result<Json, String> {
    if visited.iter().any(|known| known == reference) {
        return Err(format!("the reference `{reference}` leads back to itself"));
    }
    let target = find(&reference[2..], manifest)
        .ok_or_else(|| format!("the reference `{reference}` leads nowhere"))?;
    visited.push(reference.to_owned());
    let value = evaluate(target, manifest, visited);
    visited.pop();
    value
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

fn hand_down(place: &str, component: &Json, from_parent: &Map<String, Json>) -> Json {
    let Json::Object(fields) = component else {
        return component.clone();
    };
    let mut fields = fields.clone();
    if !fields.contains_key("type")
        && let Some(found) = default_type(place, &fields)
    {
        fields.insert("type".to_owned(), found.into());
    }
    let mut parameters = from_parent.clone();
    if let Some(Json::Object(own)) = fields.shift_remove(PARAMETERS) {
        parameters.extend(own);
    }
    match fields.get("type") {
        // A JSON Schema.
        Some(Json::Array(_) | Json::Object(_)) => Json::Object(fields),
        Some(kind) if kind == "object" => Json::Object(fields),
        Some(kind) => {
            let kind = kind.as_str().unwrap_or_default().to_owned();
            Json::Object(fill(&kind, fields, parameters))
        }
        None => Json::Object(nested(place, fields, &parameters)),
    }
}

fn default_type(place: &str, fields: &Map<String, Json>) -> Option<&'static str> {
    let known: &[(&str, &'static str)] = if fields.contains_key("class_name") {
        &CUSTOM_TYPES
    } else {
        &DEFAULT_TYPES
    };
    let found = known.iter().find(|(at, _)| *at == place);
    found.map(|(_, kind)| *kind)
}

/// Sets parameters as fields where none are, and goes on to the children.
fn fill(
    kind: &str,
    mut fields: Map<String, Json>,
    mut parameters: Map<String, Json>,
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
                for element in values.iter_mut().filter(|element| element.is_object()) {
                    *element = hand_down(&place, element, &parameters);
                }
            }
            other => *other = hand_down(&place, other, &parameters),
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

fn nested(
    place: &str,
    mut fields: Map<String, Json>,
    parameters: &Map<String, Json>,
) -> Map<String, Json> {
    for value in fields.values_mut() {
        if value.get("type").is_some_and(truth) {
            *value = hand_down(place, value, parameters);
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
