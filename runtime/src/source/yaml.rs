//! YAML as the reference reads it: YAML 1.1's plain scalars, merge keys, the last of equal keys.
//!
//! The only file that knows the YAML parser. What a scalar means is in `scalar`.
//! Values are JSON: a date is its text, a key that is no text becomes one.

mod places;
mod scalar;
mod written;

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value as Json};

pub use places::{Place, Places, escaped};

/// Aliases copy what they name; a document that unfolds to more than this is hostile.
const MOST_NODES: usize = 2_000_000;
const TAGS: &str = "tag:yaml.org,2002:";

/// What is wrong with a document, and where.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{problem} at line {line} column {column}")]
pub struct YamlError {
    pub problem: String,
    pub line: usize,
    pub column: usize,
}

/// Reads one document; an empty text is null.
pub fn read(text: &str) -> Result<Json, YamlError> {
    reader(text).document()
}

/// Reads one document, and where its keys and values stand.
pub fn read_with_places(text: &str) -> Result<(Json, Places), YamlError> {
    let mut reader = reader(text);
    reader.places = Some(Places::default());
    let document = reader.document()?;
    Ok((document, reader.places.unwrap_or_default()))
}

fn reader(text: &str) -> Reader<'_> {
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    Reader {
        events: Parser::new_from_str_with_options(text, options),
        at: Span::default(),
        anchors: HashMap::new(),
        nodes: 0,
        places: None,
    }
}

/// The parser's words, and what to do where people often go wrong.
fn advised(problem: String) -> String {
    let mut words = problem.split(|letter: char| !letter.is_alphabetic());
    match words.any(|word| matches!(word, "tab" | "tabs")) {
        true => problem + " (YAML is indented with spaces)",
        false => problem,
    }
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// Where the last event stood.
    at: Span,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// Kept only for those who ask.
    places: Option<Places>,
}

#[derive(Clone)]
struct Node {
    value: Json,
    size: usize,
    /// A plain `<<`.
    is_merge: bool,
}

type Result<T, E = YamlError> = std::result::Result<T, E>;

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Json> {
        let mut document = None;
        loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(document.unwrap_or(Json::Null)),
                Event::DocumentStart(..) if document.is_some() => {
                    return Err(self.error("expected a single document, but found another"));
                }
                Event::DocumentStart(..) => {
                    let event = self.next()?;
                    document = Some(self.node(event)?.value);
                }
                _ => return Err(self.error("expected a document")),
            }
        }
    }

    fn next(&mut self) -> Result<Event<'t>> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.at = span;
                Ok(event)
            }
            Some(Err(error)) => Err(YamlError {
                problem: advised(error.info()),
                line: error.marker().line(),
                column: error.marker().col() + 1,
            }),
            None => Ok(Event::StreamEnd),
        }
    }

    fn error(&self, problem: impl Into<String>) -> YamlError {
        YamlError {
            problem: problem.into(),
            line: self.at.start.line(),
            column: self.at.start.col() + 1,
        }
    }

    fn node(&mut self, event: Event<'t>) -> Result<Node> {
        let before = self.nodes;
        self.count(1)?;
        self.note(Places::value);
        let (anchor, value, is_merge) = match event {
            Event::Alias(id) => return self.alias(id),
            Event::Scalar(text, style, anchor, tag) => {
                self.note_template(&text, style);
                let is_plain = style == ScalarStyle::Plain;
                let is_merge = is_plain && tag.is_none() && text == "<<";
                (
                    anchor,
                    self.scalar(&text, is_plain, tag.as_deref())?,
                    is_merge,
                )
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq")?;
                (anchor, self.sequence()?, false)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map")?;
                (anchor, self.mapping()?, false)
            }
            _ => return Err(self.error("expected a value")),
        };
        let size = self.nodes - before;
        let node = Node {
            value,
            size,
            is_merge,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Tells the places what begins here.
    fn note(&mut self, what: impl FnOnce(&mut Places, Place)) {
        let place = Place::of(&self.at);
        if let Some(places) = &mut self.places {
            what(places, place);
        }
    }

    fn note_template(&mut self, text: &str, style: ScalarStyle) {
        if let (Some(places), true) = (&mut self.places, text.contains('{')) {
            places.template(&self.at, style);
        }
    }

    fn count(&mut self, nodes: usize) -> Result<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        match self.nodes > MOST_NODES {
            true => Err(self.error("the document is too large once its aliases are unfolded")),
            false => Ok(()),
        }
    }

    fn alias(&mut self, id: usize) -> Result<Node> {
        let Some(size) = self.anchors.get(&id).map(|node| node.size) else {
            return Err(self.error("an alias stands inside of what it names"));
        };
        self.count(size)?;
        let found = self.anchors.get(&id).cloned();
        found.ok_or_else(|| self.error("an alias stands inside of what it names"))
    }

    fn scalar(&self, text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<Json> {
        let Some(tag) = tag else {
            return Ok(match is_plain {
                true => scalar::plain(text),
                false => text.into(),
            });
        };
        let name = tag.suffix_in_namespace(TAGS);
        name.and_then(|name| scalar::tagged(&name, text))
            .ok_or_else(|| self.error(format!("cannot read `{text}` as {}", tag.original())))
    }

    fn collection_tag(&self, tag: Option<&Tag>, expected: &str) -> Result<()> {
        let Some(tag) = tag else { return Ok(()) };
        match tag.is_yaml_core_schema_tag(expected) {
            true => Ok(()),
            false => Err(self.error(format!("the tag {} is not known", tag.original()))),
        }
    }

    fn sequence(&mut self) -> Result<Json> {
        let mut values = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Json::Array(values)),
                event => {
                    self.note(|places, _| places.enter(&values.len().to_string()));
                    values.push(self.node(event)?.value);
                    self.note(|places, _| places.leave());
                }
            }
        }
    }

    /// Merged fields come first and lose against the mapping's own.
    fn mapping(&mut self) -> Result<Json> {
        let mut merged = Map::new();
        let mut own = Vec::new();
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let at = Place::of(&self.at);
            let (name, is_merge) = self.name(event)?;
            self.note(|places, _| places.key(&name, at));
            let event = self.next()?;
            let value = self.node(event)?.value;
            self.note(|places, _| places.leave());
            match is_merge {
                true => self.merge(value, &mut merged)?,
                false => own.push((name, value)),
            }
        }
        merged.extend(own);
        Ok(Json::Object(merged))
    }

    fn name(&mut self, event: Event<'t>) -> Result<(String, bool)> {
        // A key's own parts are of no interest.
        let places = self.places.take();
        let key = self.node(event);
        self.places = places;
        let key = key?;
        Ok((self.key(key.value)?, key.is_merge))
    }

    /// Of several mappings the first that has a key gives its value.
    fn merge(&self, value: Json, merged: &mut Map<String, Json>) -> Result<()> {
        let mappings = match value {
            Json::Array(values) => values,
            value => vec![value],
        };
        for mapping in mappings.into_iter().rev() {
            let Json::Object(fields) = mapping else {
                return Err(self.error("`<<` takes a mapping or a list of mappings"));
            };
            merged.extend(fields);
        }
        Ok(())
    }

    fn key(&self, key: Json) -> Result<String> {
        match key {
            Json::String(text) => Ok(text),
            Json::Array(_) | Json::Object(_) => Err(self.error("a key is no list or mapping")),
            key => Ok(crate::source::python::text(&(&key).into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_scalar_is_what_yaml_1_1_says() {
        let text =
            "[yes, No, on, y, ~, 010, 0x1F, 1_000, 1:30, 1e3, 1.5e+3, '1', 0o17, 2024-01-01]";
        assert_eq!(
            read(text).unwrap(),
            json!([
                true,
                false,
                true,
                "y",
                null,
                8,
                31,
                1000,
                90,
                "1e3",
                1500.0,
                "1",
                "0o17",
                "2024-01-01"
            ])
        );
    }

    #[test]
    fn merged_fields_lose_against_own_ones() {
        let text =
            "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b], w: 3}\nd: {<<: *a}";
        let document = read(text).unwrap();
        assert_eq!(document["c"], json!({"x": 1, "y": 1, "z": 3, "w": 3}));
        assert_eq!(document["d"], json!({"x": 1, "y": 1}));
    }

    #[test]
    fn the_last_of_equal_keys_wins_and_keys_are_text() {
        assert_eq!(
            read("a: 1\n200: x\nyes: y\na: 2").unwrap(),
            json!({"a": 2, "200": "x", "True": "y"})
        );
    }

    #[test]
    fn a_document_of_json_is_read() {
        let text = r#"{"a": [1, 2.5, "x\u00e9", true, null], "b": {}}"#;
        assert_eq!(
            read(text).unwrap(),
            json!({"a": [1, 2.5, "xé", true, null], "b": {}})
        );
        assert_eq!(read("").unwrap(), Json::Null);
    }

    #[test]
    fn a_malformed_document_names_the_place() {
        let error = read("a:\n  - [1, 2\n  b: }\n").unwrap_err();
        assert_eq!(error.line, 3, "{error}");
        assert!(
            read("a: 1\n---\nb: 2")
                .unwrap_err()
                .problem
                .contains("single document")
        );
        assert!(read("a: !x 1").unwrap_err().problem.contains("!x"));
        let tab = read("a:\n\tb: 1\n").unwrap_err();
        assert!(tab.problem.contains("with spaces"), "{tab}");
    }

    #[test]
    fn aliases_that_unfold_without_end_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
        }
        assert!(read(&text).unwrap_err().problem.contains("too large"));
        assert!(read("a: &a [*a]").is_err());
    }
}
