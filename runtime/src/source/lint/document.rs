//! A manifest as it is written: its parts by JSON pointer, references followed.
//!
//! Unlike the resolved manifest, what is found here has a line and a column.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::super::yaml::{self, Place, Places, YamlError, escaped};

const REF: &str = "$ref";
/// A chain of references longer than this goes in a circle.
const LONGEST_CHAIN: usize = 50;

pub struct Document {
    text: String,
    pub json: Json,
    pub places: Places,
}

/// A reference that leads nowhere, and where it stands.
#[derive(Debug, PartialEq)]
pub struct Dangling {
    pub pointer: String,
    pub reference: String,
}

impl Document {
    pub fn read(text: &str) -> Result<Document, YamlError> {
        let (json, places) = yaml::read_with_places(text)?;
        let text = text.to_owned();
        Ok(Document { text, json, places })
    }

    pub fn value(&self, pointer: &str) -> &Json {
        self.json.pointer(pointer).unwrap_or(&Json::Null)
    }

    /// Where parts of a template begin: `offsets` in bytes of its `value`, in order.
    pub fn inside(&self, pointer: &str, value: &str, offsets: &[usize]) -> Vec<Place> {
        self.places.inside(pointer, &self.text, value, offsets)
    }

    /// Where a value is written: the end of the references that stand at `pointer`.
    ///
    /// A mapping with fields of its own beside `$ref` is where it is.
    pub fn follow(&self, pointer: &str) -> Result<String, Dangling> {
        let mut at = pointer.to_owned();
        for _ in 0..LONGEST_CHAIN {
            let reference = match self.value(&at) {
                Json::String(text) if text.starts_with("#/") => text,
                Json::Object(fields) if fields.len() == 1 => match fields.get(REF) {
                    Some(Json::String(reference)) => reference,
                    _ => return Ok(at),
                },
                _ => return Ok(at),
            };
            at = self.target(reference).ok_or_else(|| Dangling {
                pointer: at.clone(),
                reference: reference.clone(),
            })?;
        }
        let reference = self.value(pointer).as_str().unwrap_or(pointer).to_owned();
        Err(Dangling {
            pointer: pointer.to_owned(),
            reference,
        })
    }

    /// The fields of a mapping by name, each with the pointer to its value; its own win over
    /// those of the mapping it refers to.
    pub fn fields(&self, pointer: &str) -> Result<BTreeMap<String, String>, Dangling> {
        self.fields_within(pointer, LONGEST_CHAIN)
    }

    fn fields_within(
        &self,
        pointer: &str,
        depth: usize,
    ) -> Result<BTreeMap<String, String>, Dangling> {
        let Json::Object(own) = self.value(pointer) else {
            return Ok(BTreeMap::new());
        };
        let mut fields = BTreeMap::new();
        if let Some(Json::String(reference)) = own.get(REF) {
            let dangling = || Dangling {
                pointer: format!("{pointer}/{REF}"),
                reference: reference.clone(),
            };
            let target = self.target(reference).filter(|_| depth > 0);
            let target = self.follow(&target.ok_or_else(dangling)?)?;
            fields = self.fields_within(&target, depth - 1)?;
        }
        let own = own.keys().filter(|key| *key != REF);
        fields.extend(own.map(|key| (key.clone(), format!("{pointer}/{}", escaped(key)))));
        Ok(fields)
    }

    /// The pointer that a reference (`#/definitions/x`) names.
    pub fn target(&self, reference: &str) -> Option<String> {
        let path = reference.strip_prefix("#/")?;
        let mut pointer = String::new();
        locate(path, &self.json, &mut pointer).then_some(pointer)
    }
}

/// A key may itself hold slashes, so the whole rest is tried first, as the reference does.
fn locate(path: &str, node: &Json, pointer: &mut String) -> bool {
    if path.is_empty() {
        return true;
    }
    let (step, rest) = match node.get(path) {
        Some(_) => (path, ""),
        None => path.split_once('/').unwrap_or((path, "")),
    };
    let next = match (node, step.parse::<usize>()) {
        (Json::Array(values), Ok(index)) => values.get(index),
        _ => node.get(step),
    };
    let Some(next) = next else { return false };
    pointer.push('/');
    pointer.push_str(&escaped(step));
    locate(rest, next, pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "definitions:\n  base: {a: 1, b: 2}\n  more: {$ref: '#/definitions/base', b: 3}\n  'x/y': {c: 1}\nstreams: ['#/definitions/more', {$ref: '#/definitions/x/y'}, {$ref: '#/none'}]\n";

    #[test]
    fn fields_are_found_where_they_are_written() {
        let document = Document::read(TEXT).unwrap();
        let stream = document.follow("/streams/0").unwrap();
        let fields = document.fields(&stream).unwrap();
        assert_eq!(fields["a"], "/definitions/base/a");
        assert_eq!(fields["b"], "/definitions/more/b");
        assert_eq!(document.follow("/streams/1").unwrap(), "/definitions/x~1y");
    }

    #[test]
    fn a_reference_to_nowhere_or_in_a_circle_is_told() {
        let document = Document::read(TEXT).unwrap();
        let dangling = document.follow("/streams/2").unwrap_err();
        assert_eq!(dangling.reference, "#/none");
        let circle = Document::read("a: '#/b'\nb: '#/a'\n").unwrap();
        assert!(circle.follow("/a").is_err());
        let circle = Document::read("a: {$ref: '#/b', x: 1}\nb: {$ref: '#/a', y: 1}\n").unwrap();
        assert!(circle.fields("/a").is_err());
    }
}
