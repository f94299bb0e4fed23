//! Paths into values as the reference's `dpath` library walks them, `*` standing for any key.

use crate::value::{Object, Value};

/// Takes what is at `path` out of `body`; `None` where nothing is.
pub fn take(mut body: Value, path: &[String]) -> Option<Value> {
    let mut node = &mut body;
    for key in path {
        node = child(node, key)?;
    }
    Some(std::mem::take(node))
}

/// The one value at `path`, in which `*` stands for any key; several are an error.
pub fn find<'v>(node: &'v Value, path: &[String]) -> Result<Option<&'v Value>, String> {
    let mut found = Vec::new();
    find_all(node, path, &mut found);
    match found.len() {
        0 | 1 => Ok(found.pop()),
        several => Err(format!("`{}` leads to {several} values", path.join("/"))),
    }
}

fn find_all<'v>(node: &'v Value, path: &[String], found: &mut Vec<&'v Value>) {
    let Some((key, rest)) = path.split_first() else {
        return found.push(node);
    };
    match node {
        Value::Object(fields) => {
            let children = fields.iter().filter(|(name, _)| matches(key, name));
            children.for_each(|(_, child)| find_all(child, rest, found));
        }
        Value::Array(values) => {
            let children = values.iter().enumerate();
            let children = children.filter(|(index, _)| matches(key, &index.to_string()));
            children.for_each(|(_, child)| find_all(child, rest, found));
        }
        _ => {}
    }
}

/// Takes everything at `path`, which has a `*`.
pub fn take_all(body: Value, path: &[String]) -> Vec<Value> {
    let Some((key, rest)) = path.split_first() else {
        return vec![body];
    };
    if key == "**" {
        return take_deep(body, rest);
    }
    let children: Vec<Value> = match body {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| matches(key, name))
            .map(|(_, value)| value)
            .collect(),
        Value::Array(values) => values
            .into_iter()
            .enumerate()
            .filter(|(index, _)| matches(key, &index.to_string()))
            .map(|(_, value)| value)
            .collect(),
        _ => Vec::new(),
    };
    let found = children.into_iter().map(|child| take_all(child, rest));
    found.flatten().collect()
}

/// Any number of keys, none included.
fn take_deep(body: Value, rest: &[String]) -> Vec<Value> {
    let mut found = take_all(body.clone(), rest);
    let children: Vec<Value> = match body {
        Value::Object(fields) => fields.into_values().collect(),
        Value::Array(values) => values,
        _ => Vec::new(),
    };
    for child in children {
        found.extend(take_deep(child, rest));
    }
    found
}

fn child<'v>(node: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    match node {
        Value::Object(fields) => fields.get_mut(key),
        Value::Array(values) => {
            let index = key.parse().ok()?;
            values.get_mut::<usize>(index)
        }
        _ => None,
    }
}

/// Shell patterns with `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            matches(rest, name)
                || name
                    .chars()
                    .next()
                    .is_some_and(|first| matches(pattern, &name[first.len_utf8()..]))
        }
        (Some(wanted), Some(there)) if wanted == '?' || wanted == there => {
            matches(&pattern[wanted.len_utf8()..], &name[there.len_utf8()..])
        }
        _ => false,
    }
}

/// Sets the value at `path`, making objects on the way.
pub fn set(record: &mut Object, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let Some((first, rest)) = parents.split_first() else {
        record.insert(last.clone(), value);
        return;
    };
    let mut node = record
        .entry(first.clone())
        .or_insert_with(|| Value::Object(Object::new()));
    for key in rest {
        node = grow(node, key);
    }
    *grow(node, last) = value;
}

/// The child at `key`; a list grows to reach it, and what holds no children becomes an object.
fn grow<'v>(node: &'v mut Value, key: &str) -> &'v mut Value {
    if let (Value::Array(values), Ok(index)) = (&mut *node, key.parse::<usize>())
        && index < 100_000
    {
        if index >= values.len() {
            values.resize(index + 1, Value::Null);
        }
    } else if !matches!(node, Value::Object(_)) {
        *node = Value::Object(Object::new());
    }
    match node {
        Value::Array(values) => {
            let index = key.parse::<usize>().unwrap_or(0);
            &mut values[index]
        }
        Value::Object(fields) => fields.entry(key.to_owned()).or_default(),
        // Made an object above.
        other => other,
    }
}

/// Removes everything at `path` that `goes`.
pub fn delete(record: &mut Object, path: &[String], goes: &mut dyn FnMut(&Value) -> bool) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        record.retain(|name, value| !(matches(key, name) && goes(value)));
        return;
    }
    for (name, value) in record.iter_mut() {
        if matches(key, name) {
            delete_in(value, rest, goes);
        }
    }
}

fn delete_in(value: &mut Value, path: &[String], goes: &mut dyn FnMut(&Value) -> bool) {
    match value {
        Value::Object(fields) => delete(fields, path, goes),
        Value::Array(values) => delete_items(values, path, goes),
        _ => {}
    }
}

fn delete_items(values: &mut Vec<Value>, path: &[String], goes: &mut dyn FnMut(&Value) -> bool) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        let mut index = 0;
        values.retain(|value| {
            let hit = matches(key, &index.to_string()) && goes(value);
            index += 1;
            !hit
        });
        return;
    }
    for (index, value) in values.iter_mut().enumerate() {
        if matches(key, &index.to_string()) {
            delete_in(value, rest, goes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    fn object(json: Json) -> Object {
        match Value::from(&json) {
            Value::Object(fields) => fields,
            other => panic!("{other:?} is no object"),
        }
    }

    #[test]
    fn stars_take_from_every_branch() {
        let body = Value::from(&json!({"a": [{"x": [1]}, {"x": [2, 3]}, {"y": 0}]}));
        let found = take_all(body.clone(), &path("a.*.x"));
        assert_eq!(Value::Array(found).to_json(), json!([[1], [2, 3]]));
        assert_eq!(
            take(body.clone(), &path("a.1.x")).unwrap().to_json(),
            json!([2, 3])
        );
        assert_eq!(take(body, &path("a.x")), None);
    }

    #[test]
    fn setting_makes_what_is_missing() {
        let mut record = object(json!({"a": 1}));
        set(&mut record, &path("b.c.d"), Value::Int(2));
        set(&mut record, &path("a"), Value::Int(3));
        assert_eq!(
            Value::Object(record).to_json(),
            json!({"a": 3, "b": {"c": {"d": 2}}})
        );
    }

    #[test]
    fn deleting_follows_lists_and_patterns() {
        let mut record =
            object(json!({"l": [{"k": 1, "s": 2}, {"k": 3}], "x_1": 1, "x_2": 2, "y": 3}));
        delete(&mut record, &path("l.*.k"), &mut |_| true);
        delete(&mut record, &path("x_*"), &mut |value| {
            *value == Value::Int(2)
        });
        delete(&mut record, &path("no.such"), &mut |_| true);
        assert_eq!(
            Value::Object(record).to_json(),
            json!({"l": [{"s": 2}, {}], "x_1": 1, "y": 3})
        );
    }
}
