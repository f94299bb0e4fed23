//! What a template can see: variables by name, made when a template asks for them.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object};

use crate::stream::Slice;
use crate::value;

use super::objects::to_template;

/// Variables by name.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    variables: Vec<(&'static str, Value)>,
}

impl Scope {
    /// A scope with the config, as every template has it.
    pub fn new(config: Value) -> Scope {
        Scope {
            variables: vec![("config", config)],
        }
    }

    /// This scope with one more variable, or another value of it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Scope {
        self.set(name, value);
        self
    }

    pub fn set(&mut self, name: &'static str, value: Value) {
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    /// This scope with the slice under its three names.
    #[must_use]
    pub fn with_slice(self, slice: &Slice) -> Scope {
        let slice = Value::from_object(SliceScope::new(slice));
        self.with("stream_slice", slice.clone())
            .with("stream_partition", slice.clone())
            .with("stream_interval", slice)
    }

    /// This scope with values that are variables of their own and extra fields of the slice.
    #[must_use]
    pub fn with_extra_fields(mut self, fields: &[(&'static str, Value)]) -> Scope {
        let slice = self.get("stream_slice").cloned().unwrap_or_default();
        let slice = Value::from_object(Extended::new(slice, fields));
        for name in ["stream_slice", "stream_partition", "stream_interval"] {
            self.set(name, slice.clone());
        }
        for (name, value) in fields {
            self.set(name, value.clone());
        }
        self
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        name == "parameters" || self.variables.iter().any(|(known, _)| *known == name)
    }

    pub(super) fn context(&self, names: &[String], parameters: &Value) -> Value {
        Value::from_pairs(names.iter().filter_map(|name| {
            let value = if name == "parameters" {
                Some(parameters.clone())
            } else {
                let known = self.variables.iter().find(|(known, _)| known == name);
                known.map(|(_, value)| value.clone())
            };
            value.map(|value| (name.as_str(), value))
        }))
    }
}

/// A slice: its partition and interval in one mapping, and each by its name.
#[derive(Debug)]
pub struct SliceScope {
    fields: value::Object,
    partition: Value,
    interval: Value,
    extra: Value,
}

impl SliceScope {
    pub fn new(slice: &Slice) -> SliceScope {
        let fields = slice
            .partition
            .iter()
            .chain(&slice.interval)
            .map(|(key, value)| (key.clone(), value::Value::from(value)))
            .collect();
        let part = |fields: &serde_json::Map<String, serde_json::Value>| {
            to_template(&value::Value::from(&serde_json::Value::Object(
                fields.clone(),
            )))
        };
        SliceScope {
            fields,
            partition: part(&slice.partition),
            interval: part(&slice.interval),
            extra: part(&slice.extra_fields),
        }
    }
}

impl Object for SliceScope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        match (self.fields.get(key), key) {
            (Some(value), _) => Some(to_template(value)),
            (None, "partition") => Some(self.partition.clone()),
            (None, "cursor_slice") => Some(self.interval.clone()),
            (None, "extra_fields") => Some(self.extra.clone()),
            (None, _) => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.keys().map(Value::from).collect())
    }
}

/// A slice with more extra fields.
#[derive(Debug)]
struct Extended {
    slice: Value,
    extra: Value,
}

impl Extended {
    fn new(slice: Value, fields: &[(&'static str, Value)]) -> Extended {
        let extra = slice.get_attr("extra_fields").unwrap_or_default();
        let names = extra.try_iter().into_iter().flatten();
        let mut all: Vec<(String, Value)> = names
            .filter_map(|name| Some((name.as_str()?.to_owned(), extra.get_item(&name).ok()?)))
            .collect();
        all.extend(
            fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        Extended {
            slice,
            extra: Value::from_pairs(all),
        }
    }
}

impl Object for Extended {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() == Some("extra_fields") {
            return Some(self.extra.clone());
        }
        let found = self.slice.get_item(key).ok()?;
        (!found.is_undefined()).then_some(found)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.slice.try_iter().into_iter().flatten();
        Enumerator::Values(keys.collect())
    }
}

/// Response headers, found whatever their case.
#[derive(Debug)]
pub struct Headers(pub Vec<(String, Value)>);

impl Object for Headers {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let found = self
            .0
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| Value::from(name)).collect())
    }
}
