//! What the language's components are: their fields, and what a field holds.
//!
//! `language.yaml` is made of the reference's schema (`tests/reference/language.py`).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value as Json;

use super::super::yaml;

/// What a field may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A component of this type.
    Component(String),
    List(Box<Kind>),
    Mapping(Box<Kind>),
    /// One of these words.
    Words(Vec<String>),
    Text,
    Number,
    Integer,
    Flag,
    Anything,
}

/// One type of component.
#[derive(Debug, Default)]
pub struct Shape {
    pub fields: BTreeMap<String, Vec<Kind>>,
    pub required: Vec<String>,
    /// Takes fields that it does not name.
    pub open: bool,
}

#[derive(Debug, Default)]
pub struct Language(BTreeMap<String, Shape>);

impl Language {
    /// The language as this runtime knows it.
    pub fn get() -> &'static Language {
        static LANGUAGE: OnceLock<Language> = OnceLock::new();
        LANGUAGE.get_or_init(|| {
            // The file is part of the program; a test reads it.
            let table = yaml::read(include_str!("language.yaml")).unwrap_or_default();
            Language::of(&table)
        })
    }

    fn of(table: &Json) -> Language {
        let components = table.as_object().into_iter().flatten();
        Language(
            components
                .map(|(name, shape)| (name.clone(), Shape::of(shape)))
                .collect(),
        )
    }

    pub fn shape(&self, component: &str) -> Option<&Shape> {
        self.0.get(component)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Shape {
    fn of(json: &Json) -> Shape {
        let fields = json["fields"].as_object().into_iter().flatten();
        Shape {
            fields: fields
                .map(|(name, said)| (name.clone(), kinds(said)))
                .collect(),
            required: words(&json["required"]).map(str::to_owned).collect(),
            open: json["open"] == true,
        }
    }
}

/// A field of which the schema says nothing takes anything.
fn kinds(json: &Json) -> Vec<Kind> {
    let kinds: Vec<Kind> = words(json).map(Kind::of).collect();
    match kinds.is_empty() {
        true => vec![Kind::Anything],
        false => kinds,
    }
}

fn words(json: &Json) -> impl Iterator<Item = &str> {
    json.as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
}

impl Kind {
    fn of(text: &str) -> Kind {
        let nested = |rest: &str| Box::new(Kind::of(rest));
        if let Some(rest) = text.strip_prefix("[]") {
            return Kind::List(nested(rest));
        }
        if let Some(rest) = text.strip_prefix("{}") {
            return Kind::Mapping(nested(rest));
        }
        if let Some(name) = text.strip_prefix('@') {
            return Kind::Component(name.to_owned());
        }
        if let Some(list) = text.strip_prefix('=') {
            return Kind::Words(list.split('|').map(str::to_owned).collect());
        }
        match text {
            "string" => Kind::Text,
            "number" => Kind::Number,
            "integer" => Kind::Integer,
            "boolean" => Kind::Flag,
            "array" => Kind::List(Box::new(Kind::Anything)),
            "object" => Kind::Mapping(Box::new(Kind::Anything)),
            _ => Kind::Anything,
        }
    }

    /// As a person reads it.
    pub fn shown(&self) -> String {
        match self {
            Kind::Component(name) => name.clone(),
            Kind::List(inner) if **inner == Kind::Anything => "a list".to_owned(),
            Kind::List(inner) => format!("a list of {}", inner.shown()),
            Kind::Mapping(_) => "a mapping".to_owned(),
            Kind::Words(words) => words.join(" or "),
            Kind::Text => "text".to_owned(),
            Kind::Number => "a number".to_owned(),
            Kind::Integer => "a whole number".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Anything => "anything".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_names_its_components_and_their_fields() {
        let requester = Language::get().shape("HttpRequester").unwrap();
        assert!(requester.fields["url_base"].contains(&Kind::Text));
        let retriever = Language::get().shape("SimpleRetriever").unwrap();
        let router = &retriever.fields["partition_router"];
        let substream = Kind::Component("SubstreamPartitionRouter".to_owned());
        assert!(router.contains(&substream));
        assert!(router.contains(&Kind::List(Box::new(substream))));
        assert!(Language::get().names().count() > 100);
    }
}
