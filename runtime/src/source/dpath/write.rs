//! Values set and removed at a path.

use crate::value::{Object, Value};

use super::Step;

/// A step that cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cannot set `{step}` in {holder}")]
pub struct Unwritable {
    step: String,
    holder: &'static str,
}

/// A list is not made longer than this for an index beyond its end.
const LONGEST: usize = 100_000;

/// Sets the value at `path`, making objects on the way, and a list before a number.
pub fn set(record: &mut Object, path: &[String], value: Value) -> Result<(), Unwritable> {
    let Some((key, rest)) = path.split_first() else {
        return Ok(());
    };
    let Some((next, _)) = rest.split_first() else {
        record.insert(key.clone(), value);
        return Ok(());
    };
    let child = record.entry(key.clone());
    put(child.or_insert_with(|| holder(next)), rest, value)
}

fn put(node: &mut Value, path: &[String], value: Value) -> Result<(), Unwritable> {
    let Some((key, rest)) = path.split_first() else {
        *node = value;
        return Ok(());
    };
    let kind = kind(node);
    let new = || rest.first().map_or(Value::Null, |next| holder(next));
    let child = match (node, index(key)) {
        (Value::Object(fields), _) => fields.entry(key.clone()).or_insert_with(new),
        (Value::Array(values), Some(index)) if index < LONGEST => {
            if index >= values.len() {
                values.resize(index, Value::Null);
                values.push(new());
            }
            &mut values[index]
        }
        _ => {
            return Err(Unwritable {
                step: key.clone(),
                holder: kind,
            });
        }
    };
    put(child, rest, value)
}

/// What holds a child of this name.
fn holder(key: &str) -> Value {
    match index(key) {
        Some(_) => Value::Array(Vec::new()),
        None => Value::Object(Object::default()),
    }
}

fn index(key: &str) -> Option<usize> {
    let decimal = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    decimal.then(|| key.parse().ok()).flatten()
}

/// A value's kind in words, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Removes everything at `path`; inside of a list only the last element goes, others become null.
pub fn delete(record: &mut Object, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    if path.contains(&Step::Deep) {
        let mut whole = Value::Object(std::mem::take(record));
        prune(&mut whole, &[path.to_vec()]);
        if let Value::Object(fields) = whole {
            *record = fields;
        }
        return;
    }
    if rest.is_empty() {
        match step {
            Step::Key(key, _) => drop(record.shift_remove(key)),
            step => record.retain(|name, _| !step.takes_key(name)),
        }
        return;
    }
    for (name, value) in record.iter_mut() {
        if step.takes_key(name) {
            delete_in(value, rest);
        }
    }
}

fn delete_in(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    match value {
        Value::Object(fields) => delete(fields, path),
        Value::Array(values) if rest.is_empty() => {
            let length = values.len();
            remove_from(values, &mut |index, _| step.takes_index(index, length));
        }
        Value::Array(values) => {
            let length = values.len();
            for (index, value) in values.iter_mut().enumerate() {
                if step.takes_index(index, length) {
                    delete_in(value, rest);
                }
            }
        }
        _ => {}
    }
}

fn remove_from(values: &mut Vec<Value>, goes: &mut dyn FnMut(usize, &Value) -> bool) {
    let last = values.len().wrapping_sub(1);
    let mut last_goes = false;
    for (index, value) in values.iter_mut().enumerate() {
        if goes(index, value) {
            *value = Value::Null;
            last_goes |= index == last;
        }
    }
    if last_goes {
        values.pop();
    }
}

/// Removes what one of the paths' rests leads to, at any depth.
fn prune(node: &mut Value, rests: &[Vec<Step>]) {
    let after = |takes: &dyn Fn(&Step) -> bool| -> Vec<Vec<Step>> {
        let rests = rests.iter().flat_map(|rest| steps_after(rest, takes));
        rests.collect()
    };
    let ends = |rests: &[Vec<Step>]| {
        rests
            .iter()
            .any(|rest| rest.is_empty() || rest[..] == [Step::Deep])
    };
    match node {
        Value::Object(fields) => {
            fields.retain(|name, _| !ends(&after(&|step| step.takes_key(name))));
            for (name, value) in fields.iter_mut() {
                prune(value, &after(&|step| step.takes_key(name)));
            }
        }
        Value::Array(values) => {
            let length = values.len();
            let after = |index| after(&|step| step.takes_index(index, length));
            remove_from(values, &mut |index, _| ends(&after(index)));
            for (index, value) in values.iter_mut().enumerate() {
                prune(value, &after(index));
            }
        }
        _ => {}
    }
}

/// What is left of a path after one step into a child that `takes` says matches.
fn steps_after(path: &[Step], takes: &dyn Fn(&Step) -> bool) -> Vec<Vec<Step>> {
    match path.split_first() {
        None => Vec::new(),
        Some((Step::Deep, rest)) => {
            let mut left = steps_after(rest, takes);
            left.push(path.to_vec());
            left
        }
        Some((step, rest)) if takes(step) => vec![rest.to_vec()],
        Some(_) => Vec::new(),
    }
}

/// Takes away every list at `path`, even those in lists.
pub fn remove_lists(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    let goes = |value: &Value| rest.is_empty() && matches!(value, Value::Array(_));
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| !(step.takes_key(name) && goes(value)));
            for (name, value) in fields.iter_mut() {
                if step.takes_key(name) {
                    remove_lists(value, rest);
                }
            }
        }
        Value::Array(values) => {
            let length = values.len();
            let mut index = 0;
            values.retain_mut(|value| {
                let hit = step.takes_index(index, length);
                index += 1;
                if hit {
                    remove_lists(value, rest);
                }
                !(hit && goes(value))
            });
        }
        _ => {}
    }
}

/// Removes every value that holds no others and that `goes`, wherever it is.
pub fn delete_leaves(record: &mut Object, goes: &mut dyn FnMut(&Value) -> bool) {
    let mut goes_here = |value: &Value| !is_holder(value) && goes(value);
    record.retain(|_, value| !goes_here(value));
    for value in record.values_mut() {
        delete_leaves_in(value, goes);
    }
}

fn delete_leaves_in(value: &mut Value, goes: &mut dyn FnMut(&Value) -> bool) {
    match value {
        Value::Object(fields) => delete_leaves(fields, goes),
        Value::Array(values) => {
            remove_from(values, &mut |_, value| !is_holder(value) && goes(value));
            for value in values {
                delete_leaves_in(value, goes);
            }
        }
        _ => {}
    }
}

fn is_holder(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}
