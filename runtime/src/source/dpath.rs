//! Paths into values as the reference's `dpath` library walks them.
//!
//! A step is a key, an index, or a shell pattern for either; `**` stands for any
//! number of steps. `take` and `values` read, `set` and `delete` write.

use crate::value::{Object, Value};

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

/// A step that cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cannot set `{step}` in {holder}")]
pub struct Unwritable {
    step: String,
    holder: &'static str,
}

/// A list is not made longer than this for an index beyond its end.
const LONGEST: usize = 100_000;

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

/// Shell patterns with `*`, `?` and `[letters]`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut here) = (0, 0);
    // Where to go on when a `*` has to stand for one letter more.
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match single(&pattern[at..], name[here]) {
            Some(0) => {
                star = Some((at + 1, here));
                at += 1;
            }
            Some(length) => {
                at += length;
                here += 1;
            }
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    at = after;
                    here = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// The length of the pattern's part that takes this letter: 0 for a `*`, none if it does not.
fn single(pattern: &[char], letter: char) -> Option<usize> {
    match pattern.first()? {
        '*' => Some(0),
        '?' => Some(1),
        '[' => match set_length(pattern) {
            Some(length) => in_set(&pattern[1..length - 1], letter).then_some(length),
            None => (letter == '[').then_some(1),
        },
        wanted => (*wanted == letter).then_some(1),
    }
}

/// The length of `[...]`; a `]` right at its beginning is one of its letters.
fn set_length(pattern: &[char]) -> Option<usize> {
    let start = match pattern.get(1)? {
        '!' => 3,
        _ => 2,
    };
    let end = pattern
        .iter()
        .skip(start)
        .position(|letter| *letter == ']')?;
    Some(start + end + 1)
}

fn in_set(set: &[char], letter: char) -> bool {
    let (set, wanted) = match set.split_first() {
        Some(('!', rest)) => (rest, false),
        _ => (set, true),
    };
    let mut rest = set;
    let mut hit = false;
    while let Some(first) = rest.first() {
        match rest {
            [low, '-', high, ..] => {
                hit |= (*low..=*high).contains(&letter);
                rest = &rest[3..];
            }
            _ => {
                hit |= *first == letter;
                rest = &rest[1..];
            }
        }
    }
    hit == wanted
}

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
        None => Value::Object(Object::new()),
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

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn path(text: &str) -> Vec<Step> {
        text.split('.').map(Step::key).collect()
    }

    fn object(json: Json) -> Object {
        match Value::from(&json) {
            Value::Object(fields) => fields,
            other => panic!("{other:?} is no object"),
        }
    }

    fn taken(body: &Json, steps: &[Step]) -> Option<Json> {
        let found = take(Value::from(body), steps).unwrap();
        found.map(|value| value.to_json())
    }

    #[test]
    fn a_path_leads_through_keys_and_places() {
        let body = json!({"a": [{"x": [1]}, {"x": [2, 3]}], "0": "zero", "b*": 1});
        assert_eq!(taken(&body, &path("a.1.x")), Some(json!([2, 3])));
        assert_eq!(taken(&body, &path("a.-1.x.0")), Some(json!(2)));
        assert_eq!(taken(&body, &path("a.x")), None);
        assert_eq!(taken(&body, &path("0")), Some(json!("zero")));
        assert_eq!(taken(&body, &[Step::of(&Value::Int(0))]), None);
        assert_eq!(taken(&body, &path("b?")), Some(json!(1)));
        assert_eq!(taken(&body, &path("[!a0]*")), Some(json!(1)));
        assert_eq!(take(Value::from(&body), &path("?")), Err(Ambiguous));
    }

    #[test]
    fn stars_take_from_every_branch() {
        let body = Value::from(&json!({"a": [{"x": [1]}, {"x": [2, 3]}, {"y": 0}]}));
        let found = values(body.clone(), &path("a.*.x"));
        assert_eq!(Value::Array(found).to_json(), json!([[1], [2, 3]]));
        let found = values(body, &path("**.x.*"));
        assert_eq!(Value::Array(found).to_json(), json!([1, 2, 3]));
        let nested = Value::from(&json!({"x": {"x": 1}, "y": {"x": 2}}));
        let found = values(nested, &path("**.x"));
        assert_eq!(Value::Array(found).to_json(), json!([{"x": 1}, 1, 2]));
    }

    #[test]
    fn patterns_are_the_shells() {
        for (pattern, name, hit) in [
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdef", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("a[", "a[", true),
            ("?", "é", true),
        ] {
            assert_eq!(matches(pattern, name), hit, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(40), &"a".repeat(39)));
    }

    #[test]
    fn setting_makes_what_is_missing() {
        let set_all = |record: Json, sets: &[(&str, i64)]| {
            let mut record = object(record);
            for (path, value) in sets {
                let path: Vec<String> = path.split('.').map(str::to_owned).collect();
                set(&mut record, &path, Value::Int(*value))?;
            }
            Ok::<_, Unwritable>(Value::Object(record).to_json())
        };
        assert_eq!(
            set_all(json!({"a": 1}), &[("b.c.d", 2), ("a", 3)]).unwrap(),
            json!({"a": 3, "b": {"c": {"d": 2}}})
        );
        assert_eq!(
            set_all(json!({"l": [1]}), &[("l.2", 3), ("m.1.x", 4)]).unwrap(),
            json!({"l": [1, null, 3], "m": [null, {"x": 4}]})
        );
        let problem = set_all(json!({"a": null}), &[("a.b", 1)]).unwrap_err();
        assert_eq!(problem.to_string(), "cannot set `b` in null");
        assert!(set_all(json!({"a": []}), &[("a.b", 1)]).is_err());
        assert!(set_all(json!({"a": []}), &[("a.99999999999", 1)]).is_err());
    }

    #[test]
    fn deleting_leaves_nulls_in_lists() {
        let deleted = |record: Json, text: &str| {
            let mut record = object(record);
            delete(&mut record, &path(text));
            Value::Object(record).to_json()
        };
        assert_eq!(
            deleted(json!({"l": [{"k": 1, "s": 2}, {"k": 3}]}), "l.*.k"),
            json!({"l": [{"s": 2}, {}]})
        );
        assert_eq!(
            deleted(json!({"x_1": 1, "x_2": 2, "y": 3}), "x_*"),
            json!({"y": 3})
        );
        assert_eq!(
            deleted(json!({"l": [1, 2, 3]}), "l.0"),
            json!({"l": [null, 2, 3]})
        );
        assert_eq!(
            deleted(json!({"l": [1, 2, 3]}), "l.*"),
            json!({"l": [null, null]})
        );
        assert_eq!(
            deleted(json!({"x": 1, "a": {"x": 2, "y": [{"x": 3}]}}), "**.x"),
            json!({"a": {"y": [{}]}})
        );
        assert_eq!(deleted(json!({"x": 1, "a": {"x": 2}}), "**"), json!({}));
        assert_eq!(deleted(json!({"a": 1}), "no.such"), json!({"a": 1}));
    }

    #[test]
    fn leaves_are_deleted_wherever_they_are() {
        let mut record =
            object(json!({"a": null, "b": {"c": null, "d": 1}, "l": [null, 1, null], "e": {}}));
        delete_leaves(&mut record, &mut |value| *value == Value::Null);
        assert_eq!(
            Value::Object(record).to_json(),
            json!({"b": {"d": 1}, "l": [null, 1], "e": {}})
        );
    }
}
