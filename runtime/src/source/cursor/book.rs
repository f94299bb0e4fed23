//! What a state says of all partitions of a stream: read and written.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::super::partition::partition_key;
use super::super::template::TemplateError;
use super::partitioned::PartitionedCursor;

/// Above this many partitions the state keeps one cursor for all.
pub const MOST_PARTITIONS: usize = 10_000;

/// What a state says of all partitions.
#[derive(Debug, Clone)]
pub struct Book {
    pub is_global: bool,
    /// Cursor states by the partition's key, in the order they came.
    pub partitions: IndexMap<String, Json>,
    /// The newest cursor value of all partitions, as the state writes it.
    pub global: Option<String>,
    /// Seconds that the last sync took, during which any partition may have changed.
    pub lookback: i64,
    pub parents: Option<Json>,
}

impl Book {
    /// Counts a partition that is read now, in the order they come.
    pub fn meet(&mut self, key: &str) {
        self.is_global |= self.partitions.len() > MOST_PARTITIONS;
        if !self.is_global && !self.partitions.contains_key(key) {
            self.partitions.insert(key.to_owned(), Json::Null);
        }
    }
}

impl PartitionedCursor {
    pub fn open(&self, state: &Json) -> Result<Book, TemplateError> {
        let mut book = Book {
            is_global: self.is_grouped || self.each.is_global,
            partitions: IndexMap::new(),
            global: None,
            lookback: 0,
            parents: None,
        };
        let Some(fields) = state.as_object() else {
            return Ok(book);
        };
        if fields.contains_key("states") || fields.contains_key("state") {
            let flag = fields.get("use_global_cursor").and_then(Json::as_bool);
            book.is_global = flag.unwrap_or(false);
            book.lookback = whole(fields.get("lookback_window"));
            book.partitions = partitions(fields.get("states"));
            book.global = self.global(fields.get("state"))?;
        } else {
            book.global = self.global(Some(state))?;
        }
        let parents = fields.get("parent_state").filter(|it| !is_empty(it));
        book.parents = parents.cloned();
        Ok(book)
    }

    fn global(&self, state: Option<&Json>) -> Result<Option<String>, TemplateError> {
        let value = state.and_then(|state| state.get(&self.each.field));
        let moment = value
            .map(|value| self.each.state_value(value))
            .transpose()?;
        Ok(moment.map(|moment| self.each.written(moment)))
    }

    pub fn state(&self, book: &Book) -> Json {
        let mut state = Map::new();
        state.insert("use_global_cursor".to_owned(), book.is_global.into());
        if !book.is_global {
            let states = book.partitions.iter();
            let states = states.filter(|(_, cursor)| !is_empty(cursor));
            let states = states.map(|(key, cursor)| {
                let partition: Json = serde_json::from_str(key).unwrap_or_default();
                json!({"partition": partition, "cursor": cursor})
            });
            state.insert("states".to_owned(), states.collect());
        }
        if let Some(global) = &book.global {
            let field = self.each.field.clone();
            let all = Map::from_iter([(field, global.as_str().into())]);
            state.insert("state".to_owned(), Json::Object(all));
        }
        state.insert("lookback_window".to_owned(), book.lookback.into());
        if let Some(parents) = &book.parents {
            state.insert("parent_state".to_owned(), parents.clone());
        }
        Json::Object(state)
    }
}

fn partitions(states: Option<&Json>) -> IndexMap<String, Json> {
    let states = states.and_then(Json::as_array).into_iter().flatten();
    let states = states.filter_map(|state| {
        let partition = state.get("partition")?.as_object()?;
        Some((partition_key(partition), state.get("cursor")?.clone()))
    });
    states.collect()
}

/// A number of seconds, however it is written.
fn whole(value: Option<&Json>) -> i64 {
    match value {
        Some(Json::String(text)) => text.trim().parse().unwrap_or(0),
        Some(number) => number.as_f64().unwrap_or(0.0) as i64,
        None => 0,
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
