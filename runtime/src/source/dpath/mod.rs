//! Paths into values as the reference's `dpath` library walks them.
//!
//! A step is a key, an index, or a shell pattern for either; `**` stands for any
//! number of steps. `take` and `values` read, `set` and `delete` write.

mod pattern;
mod write;

use crate::value::Value;

use pattern::matches;
pub use write::{Unwritable, delete, delete_leaves, kind, remove_lists, set};

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A key, and the index it may also be.
    Key(String, Option<i64>),
    /// A place in a list and no key, as a template that renders a number is.
    Index(i64),
    Pattern(String),
    /// `**`.
    Deep,
    /// A value that is neither key nor index.
    Nothing,
}

/// More than one place was found where one is asked for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the path leads to more than one place")]
pub struct Ambiguous;

impl Step {
    /// The step that text in a manifest is.
    pub fn key(text: &str) -> Step {
        match text {
            "**" => Step::Deep,
            pattern if pattern.contains(['*', '?', '[']) => Step::Pattern(pattern.to_owned()),
            key => Step::Key(key.to_owned(), key.trim().parse().ok()),
        }
    }

    /// The step that a template's value is.
    pub fn of(value: &Value) -> Step {
        match value {
            Value::String(text) => Step::key(text),
            Value::Int(index) => Step::Index(*index),
            Value::Bool(value) => Step::Index(i64::from(*value)),
            _ => Step::Nothing,
        }
    }

    /// The key that this is of a mapping.
    pub fn as_key(&self) -> Option<&str> {
        match self {
            Step::Key(key, _) => Some(key),
            _ => None,
        }
    }

    fn takes_key(&self, name: &str) -> bool {
        match self {
            Step::Key(key, _) => key == name,
            Step::Pattern(pattern) => matches(pattern, name),
            Step::Deep => true,
            Step::Index(_) | Step::Nothing => false,
        }
    }

    fn takes_index(&self, index: usize, length: usize) -> bool {
        match self {
            Step::Key(_, wanted) => {
                wanted.is_some_and(|wanted| place(wanted, length) == Some(index))
            }
            Step::Index(wanted) => place(*wanted, length) == Some(index),
            Step::Pattern(pattern) => matches(pattern, &index.to_string()),
            Step::Deep => true,
            Step::Nothing => false,
        }
    }

    pub fn is_plain(&self) -> bool {
        !matches!(self, Step::Pattern(_) | Step::Deep)
    }
}

/// Whether the path has a step `*`, which makes the reference take every match.
pub fn takes_all(path: &[Step]) -> bool {
    path.iter()
        .any(|step| *step == Step::Pattern("*".to_owned()))
}

/// A place in a list of this length; a negative one counts from its end.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = match index {
        0.. => index,
        _ => index + i64::try_from(length).ok()?,
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

/// Takes what is at `path` out of `body`; `None` where nothing is.
pub fn take(mut body: Value, path: &[Step]) -> Result<Option<Value>, Ambiguous> {
    if !path.iter().all(Step::is_plain) {
        let mut found = values(body, path);
        return match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(Ambiguous),
        };
    }
    let mut node = &mut body;
    for step in path {
        match child(node, step) {
            Some(child) => node = child,
            None => return Ok(None),
        }
    }
    Ok(Some(std::mem::take(node)))
}

/// The one value at `path`; several are an error.
pub fn find(node: &Value, path: &[Step]) -> Result<Option<Value>, Ambiguous> {
    match path.iter().all(Step::is_plain) {
        true => Ok(get(node, path).cloned()),
        false => take(node.clone(), path),
    }
}

/// What is at a path without patterns.
pub fn get<'v>(mut node: &'v Value, path: &[Step]) -> Option<&'v Value> {
    for step in path {
        node = match node {
            Value::Object(fields) => match step {
                Step::Key(key, _) => fields.get(key)?,
                _ => return None,
            },
            Value::Array(values) => {
                let found = values.iter().enumerate();
                let mut found = found.filter(|(index, _)| step.takes_index(*index, values.len()));
                found.next()?.1
            }
            _ => return None,
        };
    }
    Some(node)
}

fn child<'v>(node: &'v mut Value, step: &Step) -> Option<&'v mut Value> {
    match (node, step) {
        (Value::Object(fields), Step::Key(key, _)) => fields.get_mut(key),
        (Value::Array(values), Step::Key(_, Some(index)) | Step::Index(index)) => {
            let place = place(*index, values.len())?;
            values.get_mut(place)
        }
        _ => None,
    }
}

/// Takes everything at `path` out of `body`, in the order the reference finds it.
pub fn values(body: Value, path: &[Step]) -> Vec<Value> {
    match path.split_first() {
        None => vec![body],
        Some(_) if path.contains(&Step::Deep) => {
            let mut found = Vec::new();
            collect(&body, path, &mut found);
            found
        }
        Some((step, rest)) => {
            let children = children(body, step);
            children
                .into_iter()
                .flat_map(|child| values(child, rest))
                .collect()
        }
    }
}

fn children(body: Value, step: &Step) -> Vec<Value> {
    match body {
        Value::Object(fields) => {
            let found = fields.into_iter().filter(|(name, _)| step.takes_key(name));
            found.map(|(_, value)| value).collect()
        }
        Value::Array(values) => {
            let length = values.len();
            let found = values.into_iter().enumerate();
            let found = found.filter(|(index, _)| step.takes_index(*index, length));
            found.map(|(_, value)| value).collect()
        }
        _ => Vec::new(),
    }
}

/// A key or a place on the way to a value.
enum Trail<'v> {
    Key(&'v str),
    Place(usize, usize),
}

/// Copies of what matches, children before grandchildren.
fn collect(body: &Value, path: &[Step], found: &mut Vec<Value>) {
    walk(body, &mut Vec::new(), &mut |trail, value| {
        if leads(trail, path) {
            found.push(value.clone());
        }
    });
}

fn walk<'v>(
    node: &'v Value,
    trail: &mut Vec<Trail<'v>>,
    visit: &mut dyn FnMut(&[Trail<'v>], &'v Value),
) {
    for descend in [false, true] {
        let step = |trail: &mut Vec<Trail<'v>>,
                    at,
                    value,
                    visit: &mut dyn FnMut(&[Trail<'v>], &'v Value)| {
            trail.push(at);
            match descend {
                true => walk(value, trail, visit),
                false => visit(trail, value),
            }
            trail.pop();
        };
        match node {
            Value::Object(fields) => {
                for (name, value) in fields {
                    step(trail, Trail::Key(name), value, visit);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    step(trail, Trail::Place(index, values.len()), value, visit);
                }
            }
            _ => {}
        }
    }
}

/// Whether the trail is one the path describes.
fn leads(trail: &[Trail<'_>], path: &[Step]) -> bool {
    match (trail.split_first(), path.split_first()) {
        (None, None) => true,
        (_, Some((Step::Deep, rest))) => {
            leads(trail, rest) || (!trail.is_empty() && leads(&trail[1..], path))
        }
        (Some((at, trail)), Some((step, path))) => {
            let hit = match at {
                Trail::Key(name) => step.takes_key(name),
                Trail::Place(index, length) => step.takes_index(*index, *length),
            };
            hit && leads(trail, path)
        }
        _ => false,
    }
}

/// Puts `value` wherever `path` leads to something; how often that is.
pub fn replace(node: &mut Value, path: &[Step], value: &Value) -> usize {
    let Some((step, rest)) = path.split_first() else {
        *node = value.clone();
        return 1;
    };
    let is_deep = *step == Step::Deep;
    let here = match is_deep && !rest.is_empty() {
        true => replace(node, rest, value),
        false => 0,
    };
    let rest = if is_deep { path } else { rest };
    let below: usize = match node {
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(name, _)| step.takes_key(name))
            .map(|(_, child)| replace(child, rest, value))
            .sum(),
        Value::Array(values) => {
            let length = values.len();
            let children = values.iter_mut().enumerate();
            children
                .filter(|(index, _)| step.takes_index(*index, length))
                .map(|(_, child)| replace(child, rest, value))
                .sum()
        }
        _ => 0,
    };
    here + below
}

#[cfg(test)]
mod tests;
