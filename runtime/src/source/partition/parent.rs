//! One parent of a substream: where it starts, and the partition that a record of it makes.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::stream::{Slice, SourceError, State, Stream};
use crate::value::Value;

use super::super::component::Component;
use super::super::dpath;
use super::super::open_stream;
use super::super::python;
use super::super::request::RequestOption;
use super::super::shared::Shared;
use super::super::slicer::NO_CURSOR;
use super::super::template::Scope;
use super::Partition;

/// The extra field that holds a first page, as the language names it.
pub const FIRST_PAGE: &str = "child_response";

/// One parent stream, and what of its records makes a partition.
pub struct Parent {
    pub at: String,
    pub stream: Box<dyn Stream>,
    pub key: Vec<dpath::Step>,
    pub field: String,
    /// Names of extra fields and their paths.
    pub extra: Vec<(String, Vec<dpath::Step>)>,
    pub option: Option<RequestOption>,
    /// It is read from where its own state is, which the child's state keeps.
    pub is_incremental: bool,
    /// Where its records hold the first page of their children.
    pub children: Option<Vec<dpath::Step>>,
}

impl Parent {
    pub fn open(component: &Component<'_>, shared: &Arc<Shared>) -> Result<Parent, SourceError> {
        let text = |name: &str| {
            let text = component.need_template(name)?.text(&shared.scope);
            text.map_err(|error| component.error(error.to_string()))
        };
        let option = component.child("request_option");
        Ok(Parent {
            at: component.at.clone(),
            stream: open_stream(&component.need("stream")?, shared)?,
            key: path(&text("parent_key")?),
            field: text("partition_field")?,
            extra: extra_fields(component, &shared.scope)?,
            option: option
                .map(|option| RequestOption::open(&option))
                .transpose()?,
            is_incremental: component.flag("incremental_dependency"),
            children: children(component, &shared.scope)?,
        })
    }

    pub fn name(&self) -> &str {
        &self.stream.info().name
    }

    /// Where this parent starts, given the state of the child.
    pub fn state(&self, child: &State) -> State {
        let Some(child) = child.as_object().filter(|_| self.is_incremental) else {
            return State::Null;
        };
        if let Some(parents) = child.get("parent_state").and_then(Json::as_object)
            && let Some(own) = parents.get(self.name())
        {
            return own.clone();
        }
        if let Some(all) = child.get("state") {
            return all.clone();
        }
        self.legacy_state(child)
    }

    /// A child's state of one plain value is taken for the parent's cursor.
    fn legacy_state(&self, child: &Map<String, Json>) -> State {
        let mut values = child.iter().filter(|(name, _)| *name != NO_CURSOR);
        match (
            values.next(),
            values.next(),
            &self.stream.info().cursor_field,
        ) {
            (Some((_, value @ (Json::String(_) | Json::Number(_)))), None, Some(field)) => {
                Json::Object(Map::from_iter([(field.clone(), value.clone())]))
            }
            _ => State::Null,
        }
    }

    /// The partition a record makes; none where it lacks the key.
    pub fn partition(
        &self,
        record: &Value,
        slice: &Slice,
        is_first_sync: bool,
    ) -> Result<Option<Partition>, SourceError> {
        let find = |path: &[dpath::Step]| {
            dpath::find(record, path).map_err(|problem| SourceError::Config {
                at: self.at.clone(),
                problem: problem.to_string(),
            })
        };
        let Some(value) = find(&self.key)?.filter(|value| *value != Value::Null) else {
            tracing::debug!(parent = self.name(), "a record without its key is skipped");
            return Ok(None);
        };
        let mut partition = Partition {
            fields: Map::from_iter([
                (self.field.clone(), value.to_json()),
                (
                    "parent_slice".to_owned(),
                    Json::Object(slice.partition.clone()),
                ),
            ]),
            ..Partition::default()
        };
        if let Some(path) = self.children.as_ref().filter(|_| is_first_sync) {
            let page = find(path)?.map_or_else(|| json!([]), |page| page.to_json());
            partition.extra.insert(FIRST_PAGE.to_owned(), page);
        }
        for (name, path) in &self.extra {
            let value = find(path)?.map(|value| value.to_json()).unwrap_or_default();
            partition.extra.insert(name.clone(), value);
        }
        Ok(Some(partition))
    }
}

fn children(
    component: &Component<'_>,
    scope: &Scope,
) -> Result<Option<Vec<dpath::Step>>, SourceError> {
    let mut path = Vec::new();
    for segment in component.templates("lazy_read_pointer")? {
        let segment = segment.value(scope);
        let segment = segment.map_err(|error| component.error(error.to_string()))?;
        if python::text(&segment).contains('*') {
            return Err(component.error("`lazy_read_pointer` cannot have a `*`"));
        }
        path.push(dpath::Step::of(&segment));
    }
    Ok(Some(path).filter(|path| !path.is_empty()))
}

/// The keys of a path written with slashes.
pub fn path(text: &str) -> Vec<dpath::Step> {
    let text = text.trim_start_matches('/');
    text.split('/').map(dpath::Step::key).collect()
}

fn extra_fields(
    component: &Component<'_>,
    scope: &Scope,
) -> Result<Vec<(String, Vec<dpath::Step>)>, SourceError> {
    let mut fields = Vec::new();
    let paths = component.field("extra_fields").and_then(Json::as_array);
    for json in paths.into_iter().flatten() {
        let mut path = Vec::new();
        for segment in json.as_array().into_iter().flatten() {
            let segment = component.template_of(segment)?.value(scope);
            path.push(segment.map_err(|error| component.error(error.to_string()))?);
        }
        let name: Vec<_> = path.iter().map(python::text).collect();
        let path = path.iter().map(dpath::Step::of).collect();
        fields.push((name.join("."), path));
    }
    Ok(fields)
}
