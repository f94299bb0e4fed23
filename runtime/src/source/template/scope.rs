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

    /// This scope with an extra field of its slice, which is a variable too.
    #[must_use]
    pub fn with_extra(self, name: &'static str, value: Value) -> Scope {
        let extra = Value::from_pairs([(name, value.clone())]);
        let slice = self.get("stream_slice").cloned().unwrap_or_default();
        let slice = Value::from_object(WithExtra { slice, extra });
        self.with("stream_slice", slice.clone())
            .with("stream_partition", slice.clone())
            .with("stream_interval", slice)
            .with(name, value)
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

/// A slice with other extra fields.
#[derive(Debug)]
struct WithExtra {
    slice: Value,
    extra: Value,
}

impl Object for WithExtra {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("extra_fields") => Some(self.extra.clone()),
            _ => {
                let value = self.slice.get_item(key).ok();
                value.filter(|value| !value.is_undefined())
            }
        }
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
