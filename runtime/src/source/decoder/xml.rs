//! XML documents as values, in the form of Python's `xmltodict`.
//!
//! An attribute is `@name`, text beside attributes or elements is `#text`, an
//! element that repeats is a list, an empty one is null. Prefixes stay in names.
//! The only file that knows the XML parser.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::value::{Object, Value};

/// Deeper documents are refused: whatever reads them recurses.
const DEEPEST: usize = 200;

/// An element whose end has not come yet.
#[derive(Default)]
struct Open {
    name: String,
    fields: Object,
    text: String,
}

/// Decodes one XML document.
pub fn decode(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event();
        let event = event.map_err(|error| format!("{error} at byte {at}"))?;
        if matches!(event, Event::Eof) {
            return tree.finish();
        }
        tree.take(event)
            .map_err(|problem| format!("{problem} at byte {at}"))?;
    }
}

#[derive(Default)]
struct Tree {
    open: Vec<Open>,
    root: Option<Object>,
    has_types: bool,
}

impl Tree {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(start) => self.start(&start)?,
            Event::Empty(start) => {
                self.start(&start)?;
                self.end();
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => self.reference(&reference)?,
            Event::DocType(_) => self.has_types = true,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        if self.open.is_empty() && self.root.is_some() {
            return Err("there is a second root element".to_owned());
        }
        if self.open.len() == DEEPEST {
            return Err(format!("elements are nested more than {DEEPEST} deep"));
        }
        let mut element = Open {
            name: start.name().as_ref().to_owned(),
            ..Open::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|error| error.to_string())?;
            let name = format!("@{}", attribute.key.as_ref());
            element
                .fields
                .insert(name, Value::String(value.into_owned()));
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) {
        // The parser matches ends with starts.
        let Some(element) = self.open.pop() else {
            return;
        };
        let (name, value) = element.closed();
        match self.open.last_mut() {
            Some(parent) => push(&mut parent.fields, name, value),
            None => self.root = Some(Object::from_iter([(name, value)])),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("there is text outside of the root element".to_owned()),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), String> {
        let letter = reference.resolve_char_ref();
        if let Some(letter) = letter.map_err(|error| error.to_string())? {
            return self.text(letter.encode_utf8(&mut [0; 4]));
        }
        let name = reference.xml10_content();
        match resolve_predefined_entity(&name) {
            Some(text) => self.text(text),
            // The document's own entities are not expanded: they can grow without end.
            None if self.has_types => Ok(()),
            None => Err(format!("the entity `{name}` is not known")),
        }
    }

    fn finish(self) -> Result<Value, String> {
        match (self.root, self.open.last()) {
            (_, Some(element)) => Err(format!("it ends inside of the element `{}`", element.name)),
            (Some(root), None) => Ok(Value::Object(root)),
            (None, None) => Err("it has no element".to_owned()),
        }
    }
}

impl Open {
    fn closed(mut self) -> (String, Value) {
        let text = self.text.trim();
        let value = match (self.fields.is_empty(), text.is_empty()) {
            (true, true) => Value::Null,
            (true, false) => Value::from(text),
            (false, true) => Value::Object(self.fields),
            (false, false) => {
                push(&mut self.fields, "#text".to_owned(), Value::from(text));
                Value::Object(self.fields)
            }
        };
        (self.name, value)
    }
}

/// Sets a field; a second value makes it a list.
fn push(fields: &mut Object, name: String, value: Value) {
    match fields.get_mut(&name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => {
            let both = vec![std::mem::take(first), value];
            *first = Value::Array(both);
        }
        None => {
            fields.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        serde_json::to_string(&decode(text).unwrap()).unwrap()
    }

    #[test]
    fn elements_attributes_and_text_have_xmltodicts_form() {
        let text = r#"<?xml version="1.0"?><!-- c --><r xmlns:x="u">
            <x:a id="1" t="a&amp;b">  Text <!-- no --> more </x:a><b/><b> </b><b>2</b>
            <c><![CDATA[ <raw> ]]></c><d k="v"/><e>&lt;&#65;&#x42;</e>tail</r>"#;
        insta::assert_snapshot!(written(text), @r##"{"r":{"@xmlns:x":"u","x:a":{"@id":"1","@t":"a&b","#text":"Text  more"},"b":[null,null,"2"],"c":"<raw>","d":{"@k":"v"},"e":"<AB","#text":"tail"}}"##);
    }

    #[test]
    fn own_entities_are_left_out_and_unknown_ones_refused() {
        let text = "<!DOCTYPE r [<!ENTITY big \"lol\">]><r>a&big;b</r>";
        assert_eq!(written(text), r#"{"r":"ab"}"#);
        assert!(decode("<r>&big;</r>").is_err());
    }

    #[test]
    fn what_is_not_one_whole_document_is_an_error() {
        for text in [
            "", "text", "<a>", "<a></b>", "<a/><b/>", "<a/>text", "<a x=1/>", "{}",
        ] {
            assert!(decode(text).is_err(), "{text}");
        }
        let deep = "<a>".repeat(100_000);
        assert!(decode(&deep).unwrap_err().contains("nested"));
    }
}
