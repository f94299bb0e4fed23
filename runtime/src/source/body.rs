//! A JSON body as templates see it: its fields are decoded when one asks for them.
//!
//! Most templates read a token beside thousands of records; only the token is
//! decoded for them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use indexmap::IndexMap;
use minijinja::Value as Shown;
use minijinja::value::{Enumerator, Object};

use super::json;
use super::template::to_template;

/// The whole document; an empty mapping where it is no JSON.
pub fn shown(body: &Bytes) -> Shown {
    match Fields::of(body) {
        Some(fields) => Shown::from_object(fields),
        None => json::decode(body).map_or_else(|_| nothing(), |document| to_template(&document)),
    }
}

/// The document, or the first one where the body is a list of them.
pub fn shown_first(body: &Bytes) -> Shown {
    match json::spans(body, &[]) {
        Ok(spans) if body.trim_ascii_start().starts_with(b"[") => match spans.first() {
            Some(span) => decoded(&body[span.clone()]),
            None => nothing(),
        },
        _ => match shown(body) {
            none if none.is_none() => nothing(),
            document => document,
        },
    }
}

fn nothing() -> Shown {
    Shown::from_pairs::<_, &str, Shown>([])
}

fn decoded(bytes: &[u8]) -> Shown {
    json::decode(bytes).map_or_else(|_| Shown::from(()), |value| to_template(&value))
}

/// The fields of an object: where each is, and its value once somebody asked.
#[derive(Debug)]
struct Fields {
    body: Bytes,
    fields: IndexMap<String, (Range<usize>, OnceLock<Shown>)>,
}

impl Fields {
    fn of(body: &Bytes) -> Option<Fields> {
        let fields = json::fields(body).ok()??;
        let fields = fields.into_iter();
        Some(Fields {
            body: body.clone(),
            fields: fields
                .map(|(name, span)| (name, (span, OnceLock::new())))
                .collect(),
        })
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Shown) -> Option<Shown> {
        let (span, value) = self.fields.get(key.as_str()?)?;
        let value = value.get_or_init(|| decoded(&self.body[span.clone()]));
        Some(value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.keys().map(Shown::from).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.fields.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shown: &Shown) -> String {
        shown.to_string()
    }

    #[test]
    fn a_body_is_the_same_however_it_is_decoded() {
        for body in [
            r#"{"a": {"b": [1, 2.5]}, "c": "\u00e9", "a": null, "": 1}"#,
            "[1, {\"a\": 2}]",
            "{}",
            "\"text\"",
            "<html>",
            "{\"cut\": ",
        ] {
            let document = json::decode(body.as_bytes());
            let whole = document.map_or_else(|_| nothing(), |it| to_template(&it));
            let shown = shown(&Bytes::from_static(body.as_bytes()));
            assert_eq!(text(&shown), text(&whole), "{body}");
        }
    }

    #[test]
    fn of_a_list_the_first_document_is_seen() {
        let first = |body: &'static str| text(&shown_first(&Bytes::from_static(body.as_bytes())));
        assert_eq!(first(" [{\"a\": 1}, 2]"), "{'a': 1}");
        assert_eq!(first("[]"), "{}");
        assert_eq!(first("null"), "{}");
        assert_eq!(first("{\"a\": [1]}"), "{'a': [1]}");
    }
}
