//! Components held against the language: unknown types and keys, values of the wrong kind,
//! what is missing. Their templates are `templates`' part.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value as Json;

use super::super::{manifest, native};
use super::document::{Dangling, Document};
use super::language::{Kind, Language, Shape};
use super::nearest::nearest;
use super::{Findings, Severity, templates};

/// Fields that are xetl's own, in any component (docs/native-components.md).
const OWN: [&str; 5] = [
    "xetl_type",
    "xetl_mode",
    "xetl_ratelimit_header",
    "xetl_count",
    "xetl_whole_steps",
];

/// Parameters that stand above a component; they may fill what it leaves out.
type Parameters = BTreeSet<String>;

pub fn check(document: &Document, findings: &mut Findings) {
    let mut linter = Linter {
        document,
        language: Language::get(),
        findings,
        seen: HashSet::new(),
    };
    match &document.json {
        Json::Object(fields) if fields.get("type") == Some(&"CustomSource".into()) => {
            linter.source(fields.get("class_name"));
        }
        Json::Object(_) => linter.component("", "DeclarativeSource", &Parameters::new()),
        _ => linter.error("", "a manifest is a mapping".to_owned()),
    }
}

struct Linter<'l> {
    document: &'l Document,
    language: &'static Language,
    findings: &'l mut Findings,
    /// A definition that many refer to is looked at once for each set of parameters.
    seen: HashSet<(String, String, Parameters)>,
}

impl Linter<'_> {
    fn error(&mut self, at: &str, message: String) {
        let place = self.document.places.of_value(at);
        self.findings.add(Severity::Error, at, place, message);
    }

    fn at_key(&mut self, severity: Severity, at: &str, message: String) {
        let place = self.document.places.of_key(at);
        self.findings.add(severity, at, place, message);
    }

    fn dangling(&mut self, dangling: &Dangling) {
        let message = format!("the reference `{}` leads nowhere", dangling.reference);
        self.error(&dangling.pointer, message);
    }

    fn component(&mut self, pointer: &str, name: &str, above: &Parameters) {
        let fields = match self.document.fields(pointer) {
            Ok(fields) => fields,
            Err(dangling) => return self.dangling(&dangling),
        };
        let Some(shape) = self.language.shape(name) else {
            return;
        };
        let mut parameters = above.clone();
        parameters.extend(self.parameters(&fields));
        let known = (pointer.to_owned(), name.to_owned(), parameters.clone());
        if !self.seen.insert(known) {
            return;
        }
        self.missing(pointer, name, shape, &fields, &parameters);
        for (field, at) in &fields {
            self.field(name, shape, field, at, &parameters);
        }
    }

    /// A source that is code of ours has nothing to look at but what it asks for.
    fn source(&mut self, class: Option<&Json>) {
        let class = class.and_then(Json::as_str).unwrap_or_default();
        if !native::known("CustomSource").contains(&class) {
            self.error("/class_name", native::unknown("CustomSource", class));
        }
        self.component("/spec", "Spec", &Parameters::new());
    }

    fn parameters(&self, fields: &BTreeMap<String, String>) -> Vec<String> {
        let own = fields.get("$parameters").map(|at| self.document.fields(at));
        own.and_then(Result::ok)
            .into_iter()
            .flat_map(BTreeMap::into_keys)
            .collect()
    }

    fn missing(
        &mut self,
        pointer: &str,
        name: &str,
        shape: &Shape,
        fields: &BTreeMap<String, String>,
        parameters: &Parameters,
    ) {
        for field in &shape.required {
            if !fields.contains_key(field) && !parameters.contains(field) {
                self.error(pointer, format!("{name} needs `{field}`"));
            }
        }
    }

    fn field(&mut self, name: &str, shape: &Shape, field: &str, at: &str, above: &Parameters) {
        if matches!(field, "type" | "$parameters" | "definitions") {
            return;
        }
        let Some(kinds) = shape.fields.get(field) else {
            if !shape.open && !OWN.contains(&field) {
                let near = nearest(field, shape.fields.keys().map(String::as_str));
                self.at_key(
                    Severity::Error,
                    at,
                    format!("{name} has no `{field}`{near}"),
                );
            }
            return;
        };
        let mut above = above.clone();
        above.remove(field);
        let place = format!("{name}.{field}");
        self.value(&place, at, kinds, &above);
    }

    /// `place` is the component and field where the value stands.
    fn value(&mut self, place: &str, pointer: &str, kinds: &[Kind], above: &Parameters) {
        let pointer = match self.document.follow(pointer) {
            Ok(pointer) => pointer,
            Err(dangling) => return self.dangling(&dangling),
        };
        match self.document.value(&pointer) {
            Json::Object(_) => self.mapping(place, &pointer, kinds, above),
            Json::Array(values) => self.list(place, &pointer, values.len(), kinds, above),
            Json::Null => {}
            Json::String(text) => {
                templates::check(self.document, place, &pointer, text, self.findings);
                self.scalar(place, &pointer, kinds);
            }
            _ => self.scalar(place, &pointer, kinds),
        }
    }

    fn mapping(&mut self, place: &str, pointer: &str, kinds: &[Kind], above: &Parameters) {
        let fields = match self.document.fields(pointer) {
            Ok(fields) => fields,
            Err(dangling) => return self.dangling(&dangling),
        };
        let components: Vec<&str> = components(kinds).collect();
        let written = fields.get("type").map(|at| self.document.value(at));
        let values = inner(kinds, |kind| match kind {
            Kind::Mapping(values) => Some(values),
            _ => None,
        });
        let kind = match written {
            Some(Json::String(kind)) if !components.is_empty() => Some(kind.as_str()),
            _ if !values.is_empty() => return self.entries(place, &fields, &values, above),
            _ => default_kind(place, &fields, &components),
        };
        match kind {
            _ if kinds.contains(&Kind::Anything) => {}
            Some(kind) => self.typed(place, pointer, kind, &components, &fields, above),
            None if components.is_empty() => self.wrong_kind(place, pointer, kinds),
            None => {
                let message = format!("a `type` is missing; expected {}", listed(&components));
                self.error(pointer, message);
            }
        }
    }

    fn typed(
        &mut self,
        place: &str,
        pointer: &str,
        kind: &str,
        expected: &[&str],
        fields: &BTreeMap<String, String>,
        above: &Parameters,
    ) {
        let at = fields
            .get("type")
            .map_or(pointer, String::as_str)
            .to_owned();
        let kind = full_name(kind);
        if self.language.shape(kind).is_none() {
            let near = nearest(kind, self.language.names());
            return self.error(&at, format!("there is no component `{kind}`{near}"));
        }
        if !expected.contains(&kind) {
            let message = format!(
                "{kind} cannot stand in {place}; expected {}",
                listed(expected)
            );
            return self.error(&at, message);
        }
        if kind.starts_with("Custom") {
            self.native(kind, fields);
        }
        self.component(pointer, kind, above);
    }

    /// Components in another's code can only be those this runtime has.
    fn native(&mut self, kind: &str, fields: &BTreeMap<String, String>) {
        let Some(at) = fields.get("class_name") else {
            return;
        };
        let class = self.document.value(at).as_str().unwrap_or_default();
        if !class.starts_with("xetl.") {
            let message = format!(
                "{kind} `{class}` is code of another runtime; xetl has its own components (`xetl.<Name>`)"
            );
            self.error(at, message);
        }
    }

    fn entries(
        &mut self,
        place: &str,
        fields: &BTreeMap<String, String>,
        values: &[Kind],
        above: &Parameters,
    ) {
        if place.ends_with("SchemaLoader.schema") {
            return;
        }
        for at in fields.values() {
            self.value(place, at, values, above);
        }
    }

    fn list(
        &mut self,
        place: &str,
        pointer: &str,
        length: usize,
        kinds: &[Kind],
        above: &Parameters,
    ) {
        let elements = inner(kinds, |kind| match kind {
            Kind::List(inner) => Some(inner),
            _ => None,
        });
        if elements.is_empty() {
            return self.wrong_kind(place, pointer, kinds);
        }
        for index in 0..length {
            self.value(place, &format!("{pointer}/{index}"), &elements, above);
        }
    }

    fn scalar(&mut self, place: &str, pointer: &str, kinds: &[Kind]) {
        let value = self.document.value(pointer);
        if !kinds.is_empty() && !kinds.iter().any(|kind| takes(kind, value)) {
            self.wrong_kind(place, pointer, kinds);
        }
    }

    fn wrong_kind(&mut self, place: &str, pointer: &str, kinds: &[Kind]) {
        let expected: Vec<String> = kinds.iter().map(Kind::shown).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let shown = match self.document.value(pointer) {
            Json::Object(_) => "a mapping".to_owned(),
            Json::Array(_) => "a list".to_owned(),
            other => format!("`{}`", other.to_string().trim_matches('"')),
        };
        let message = format!("{place} is {shown}; expected {}", listed(&expected));
        self.error(pointer, message);
    }
}

/// The kinds of what lists, or mappings, may hold here.
fn inner(kinds: &[Kind], of: impl Fn(&Kind) -> Option<&Kind>) -> Vec<Kind> {
    let inner = kinds.iter().filter_map(|kind| match kind {
        Kind::Anything => Some(Kind::Anything),
        kind => of(kind).cloned(),
    });
    inner.collect()
}

fn components(kinds: &[Kind]) -> impl Iterator<Item = &str> {
    kinds.iter().filter_map(|kind| match kind {
        Kind::Component(name) => Some(name.as_str()),
        _ => None,
    })
}

/// The component of a type; two are written shorter than they are called.
fn full_name(kind: &str) -> &str {
    match kind {
        "ApiKey" => "SessionTokenRequestApiKeyAuthenticator",
        "Bearer" => "SessionTokenRequestBearerAuthenticator",
        kind => kind,
    }
}

/// The type of a component that is written without one.
fn default_kind<'k>(
    place: &str,
    fields: &BTreeMap<String, String>,
    components: &[&'k str],
) -> Option<&'k str> {
    let is_custom = fields.contains_key("class_name");
    let default = manifest::default_kind(place, is_custom);
    let known = default.and_then(|default| components.iter().find(|name| **name == default));
    match (known, components) {
        (Some(known), _) => Some(known),
        (None, [only]) => Some(only),
        _ => None,
    }
}

/// Whether a value can stand for a kind; text may be a template of it, and numbers are read as text.
fn takes(kind: &Kind, value: &Json) -> bool {
    let text = value.as_str();
    let is_template = text.is_some_and(|text| text.contains("{{") || text.contains("{%"));
    match kind {
        Kind::Anything => true,
        Kind::Text => !value.is_object() && !value.is_array(),
        Kind::Words(words) => {
            is_template || text.is_some_and(|text| words.iter().any(|word| word == text))
        }
        Kind::Number => value.is_number() || parses::<f64>(text),
        Kind::Integer => value.is_i64() || value.is_u64() || parses::<i64>(text),
        Kind::Flag => value.is_boolean() || matches!(text, Some("true" | "false")),
        Kind::Component(_) | Kind::List(_) | Kind::Mapping(_) => is_template,
    }
}

fn parses<T: std::str::FromStr>(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.parse::<T>().is_ok())
}

pub fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
