//! The streams a resolved manifest writes down, before any of them is opened.
//!
//! Pure: works on JSON, and on the config only for the conditions of streams.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::stream::SourceError;

use super::component::Component;
use super::template::{Scope, Template};

/// Where routers have their parent streams, and other routers.
const PARENTS: &str = "parent_stream_configs";
const ROUTERS: [&str; 2] = ["partition_routers", "underlying_partition_router"];

/// A stream as the manifest says it, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub fields: Json,
    /// Its path in the manifest.
    pub at: String,
    /// The dynamic stream that made it.
    pub made_by: Option<String>,
}

impl Definition {
    pub fn name(&self) -> &str {
        self.fields["name"].as_str().unwrap_or_default()
    }

    pub fn component(&self) -> Component<'_> {
        Component::new(&self.fields, self.at.clone())
    }
}

/// Takes out the streams under `streams`, with those whose condition holds.
pub fn written(manifest: &mut Json, scope: &Scope) -> Result<Vec<Definition>, SourceError> {
    let mut found = Vec::new();
    if !matches!(manifest["streams"], Json::Array(_) | Json::Null) {
        return Err(Component::new(&manifest["streams"], "streams").error("it is no list"));
    }
    for (index, stream) in taken(manifest).into_iter().enumerate() {
        let mut stream = definition(stream, format!("streams[{index}]"));
        if stream.fields["type"] != "ConditionalStreams" {
            found.push(stream);
        } else if holds(&stream.component(), scope)? {
            let inner = taken(&mut stream.fields).into_iter().enumerate();
            let at = |index| format!("{}.streams[{index}]", stream.at);
            found.extend(inner.map(|(index, inner)| definition(inner, at(index))));
        }
    }
    Ok(found)
}

fn taken(holder: &mut Json) -> Vec<Json> {
    match holder.get_mut("streams").map(Json::take) {
        Some(Json::Array(streams)) => streams,
        _ => Vec::new(),
    }
}

fn definition(mut fields: Json, at: String) -> Definition {
    if let Json::Object(fields) = &mut fields {
        fields
            .entry("type")
            .or_insert_with(|| "DeclarativeStream".into());
    }
    Definition {
        fields,
        at,
        made_by: None,
    }
}

/// The condition of streams sees the config and no parameters.
fn holds(streams: &Component<'_>, scope: &Scope) -> Result<bool, SourceError> {
    let condition = streams.text("condition").unwrap_or_default();
    let nothing = minijinja::Value::from_pairs::<_, &str, minijinja::Value>([]);
    Template::new(condition, nothing)
        .and_then(|condition| condition.condition(scope))
        .map_err(|error| streams.error(error.to_string()))
}

/// Has parents of streams answer from memory what was asked before, unless they say no.
pub fn remember_parents(streams: &mut [Definition]) {
    let mut names = BTreeSet::new();
    for stream in streams.iter_mut() {
        let Some(routers) = stream.fields.pointer_mut("/retriever/partition_router") else {
            continue;
        };
        for parent in parents_mut(routers) {
            names.extend(parent["name"].as_str().map(str::to_owned));
            remember(parent);
        }
    }
    for stream in streams {
        if names.contains(stream.name()) {
            remember(&mut stream.fields);
        }
    }
}

/// The parent streams of a router, of a list of routers, or of routers inside of routers.
fn parents_mut(routers: &mut Json) -> Vec<&mut Json> {
    let router = match routers {
        Json::Array(routers) => return routers.iter_mut().flat_map(parents_mut).collect(),
        Json::Object(router) => router,
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    for (name, value) in router.iter_mut() {
        match name.as_str() {
            PARENTS => {
                let configs = value.as_array_mut().into_iter().flatten();
                found.extend(configs.filter_map(|config| config.get_mut("stream")));
            }
            name if ROUTERS.contains(&name) => found.extend(parents_mut(value)),
            _ => {}
        }
    }
    found
}

fn parents(routers: &Json) -> Vec<&Json> {
    let router = match routers {
        Json::Array(routers) => return routers.iter().flat_map(parents).collect(),
        Json::Object(router) => router,
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    for (name, value) in router {
        match name.as_str() {
            PARENTS => {
                let configs = value.as_array().into_iter().flatten();
                found.extend(configs.filter_map(|config| config.get("stream")));
            }
            name if ROUTERS.contains(&name) => found.extend(parents(value)),
            _ => {}
        }
    }
    found
}

fn remember(stream: &mut Json) {
    let requesters = match stream["type"].as_str() {
        Some("StateDelegatingStream") => &[
            "/full_refresh_stream/retriever/requester",
            "/incremental_stream/retriever/requester",
        ][..],
        _ => &["/retriever/requester"],
    };
    for requester in requesters {
        if let Some(Json::Object(requester)) = stream.pointer_mut(requester)
            && requester.get("use_cache") != Some(&Json::Bool(false))
        {
            requester.insert("use_cache".to_owned(), true.into());
        }
    }
}

/// The groups of streams that are not read at the same time: stream to group.
pub fn groups(manifest: &Json) -> Map<String, Json> {
    let groups = manifest["stream_groups"].as_object().into_iter().flatten();
    let members = groups.flat_map(|(group, fields)| {
        let streams = fields["streams"].as_array().into_iter().flatten();
        let names = streams.filter_map(|stream| stream["name"].as_str());
        names.map(|name| (name.to_owned(), group.as_str().into()))
    });
    members.collect()
}

/// Fails where a stream would wait for a parent of its own group for ever.
pub fn check_group(stream: &Definition, groups: &Map<String, Json>) -> Result<(), SourceError> {
    let name = stream.name();
    let Some(group) = groups.get(name) else {
        return Ok(());
    };
    let ancestors = ancestors(&stream.fields);
    match ancestors
        .iter()
        .find(|parent| groups.get(**parent) == Some(group))
    {
        None => Ok(()),
        Some(parent) => Err(stream.component().error(format!(
            "stream `{name}` and its parent `{parent}` are both in group {group}; \
             a stream waits for its parent, so they need different groups"
        ))),
    }
}

fn ancestors(stream: &Json) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    if let Some(routers) = stream.pointer("/retriever/partition_router") {
        for parent in parents(routers) {
            found.extend(parent["name"].as_str());
            found.extend(ancestors(parent));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::template::to_template;
    use crate::value::Value;

    fn scope(config: Json) -> Scope {
        Scope::new(to_template(&Value::from(&config)))
    }

    fn child(name: &str, parent: Json) -> Json {
        json!({
            "name": name,
            "retriever": {"requester": {}, "partition_router": [{"partition_routers": [
                {"parent_stream_configs": [{"stream": parent}]}
            ]}]},
        })
    }

    #[test]
    fn streams_under_a_condition_are_there_when_it_holds() {
        let manifest = json!({"streams": [
            {"name": "a"},
            {"type": "ConditionalStreams", "condition": "{{ config.more }}", "streams": [{"name": "b"}]},
        ]});
        let names = |config| -> Vec<String> {
            let found = written(&mut manifest.clone(), &scope(config)).unwrap();
            found
                .iter()
                .map(|stream| stream.name().to_owned())
                .collect()
        };
        assert_eq!(names(json!({"more": true})), ["a", "b"]);
        assert_eq!(names(json!({"more": false})), ["a"]);
        let found = written(&mut manifest.clone(), &scope(json!({"more": 1}))).unwrap();
        assert_eq!(found[1].at, "streams[1].streams[0]");
    }

    #[test]
    fn parents_remember_their_replies_unless_they_say_no() {
        let parent = json!({"name": "p", "retriever": {"requester": {}}});
        let scroll = json!({"name": "q", "retriever": {"requester": {"use_cache": false}}});
        let mut manifest =
            json!({"streams": [child("c", parent.clone()), child("d", scroll), parent]});
        let mut streams = written(&mut manifest, &scope(json!({}))).unwrap();
        remember_parents(&mut streams);
        let nested = "/retriever/partition_router/0/partition_routers/0/parent_stream_configs/0/stream/retriever/requester/use_cache";
        assert_eq!(streams[0].fields.pointer(nested), Some(&json!(true)));
        assert_eq!(streams[1].fields.pointer(nested), Some(&json!(false)));
        assert_eq!(
            streams[2].fields["retriever"]["requester"],
            json!({"use_cache": true})
        );
        assert_eq!(streams[0].fields["retriever"]["requester"], json!({}));
    }

    #[test]
    fn a_stream_and_its_parent_cannot_share_a_group() {
        let mut manifest = json!({
            "stream_groups": {"one": {"streams": [{"name": "c"}, {"name": "p"}]}},
            "streams": [child("c", json!({"name": "p"}))],
        });
        let streams = written(&mut manifest, &scope(json!({}))).unwrap();
        let problem = check_group(&streams[0], &groups(&manifest)).unwrap_err();
        assert!(
            problem.to_string().contains("both in group \"one\""),
            "{problem}"
        );
    }
}
