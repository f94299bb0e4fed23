//! The fields of a connection specification: JSON Schema with Airbyte's conventions.

use serde_json::{Map, Value};

/// One thing to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Dotted path in the config, such as `credentials.client_id`.
    pub path: String,
    pub title: String,
    pub help: Option<String>,
    pub kind: Kind,
    pub default: Option<Value>,
    pub required: bool,
    pub secret: bool,
    pub(super) rules: Rules,
}

/// What an answer looks like.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Text,
    Date,
    DateTime,
    Integer,
    Number,
    Bool,
    /// One of these values.
    Choice(Vec<Value>),
    /// One of these groups of fields; the answer is the field that tells them apart.
    Variant(Vec<Variant>),
    /// Values with commas between them, each of the kind.
    List(Box<Kind>),
    Json,
}

/// A group of fields of which one is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    pub title: String,
    pub help: Option<String>,
    /// The constant that stands for it.
    pub value: Value,
    names: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    pub pattern: Option<String>,
    /// The pattern in words.
    pub descriptor: Option<String>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
}

impl Variant {
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

impl Field {
    /// A secret that no specification tells of.
    pub fn secret(path: &str, title: &str) -> Field {
        Field {
            path: path.to_owned(),
            title: title.to_owned(),
            help: None,
            kind: Kind::Text,
            default: None,
            required: true,
            secret: true,
            rules: Rules::default(),
        }
    }

    /// The answers there are, where they are few.
    pub fn values(&self) -> Vec<String> {
        match &self.kind {
            Kind::Choice(values) => values.iter().map(plain).collect(),
            Kind::Variant(variants) => variants.iter().map(|it| plain(&it.value)).collect(),
            Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
            _ => Vec::new(),
        }
    }

    /// The path of the object it is in, with the dot at its end.
    pub fn group(&self) -> &str {
        self.path.rfind('.').map_or("", |dot| &self.path[..=dot])
    }
}

/// The value at a dotted path.
pub fn at<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    let found = path
        .split('.')
        .try_fold(config, |value, key| value.get(key));
    found.filter(|value| !value.is_null())
}

/// All fields to be answered, given what the config chose so far.
pub fn fields(specification: &Value, config: &Value) -> Vec<Field> {
    let mut walk = Walk::default();
    walk.object(specification, config, "", true);
    walk.fields
}

/// The fields that have only one value, in the variants that are chosen.
pub fn constants(specification: &Value, config: &Value) -> Vec<(String, Value)> {
    let mut walk = Walk::default();
    walk.object(specification, config, "", true);
    walk.constants
}

#[derive(Default)]
struct Walk {
    fields: Vec<Field>,
    constants: Vec<(String, Value)>,
}

impl Walk {
    fn object(&mut self, schema: &Value, config: &Value, path: &str, required: bool) {
        let names = schema["required"].as_array();
        for (name, property) in in_order(schema) {
            let needed = names.is_some_and(|names| names.iter().any(|known| known == name));
            let path = join(path, name);
            self.property(name, property, &config[name], &path, required && needed);
        }
        if let Some(variants) = schema["oneOf"].as_array() {
            self.variants(schema, variants, config, path, required);
        }
    }

    fn property(&mut self, name: &str, schema: &Value, value: &Value, path: &str, required: bool) {
        if let Some(constant) = constant(schema) {
            if required || !value.is_null() {
                self.constants.push((path.to_owned(), constant.clone()));
            }
            return;
        }
        // Hidden ones are for platforms; a flag or a file can still set them.
        let hidden = schema["airbyte_hidden"] == true && schema["default"].is_null();
        if schema["oneOf"].is_array() || schema["properties"].is_object() {
            // Once a part of it is given, the rest is needed.
            self.object(schema, value, path, required || !value.is_null());
            return;
        }
        self.fields.push(Field {
            path: path.to_owned(),
            title: text(schema, "title").unwrap_or_else(|| name.replace('_', " ")),
            help: text(schema, "description"),
            kind: kind(schema),
            default: schema.get("default").filter(|it| !it.is_null()).cloned(),
            required: required && !hidden,
            secret: schema["airbyte_secret"] == true,
            rules: rules(schema),
        });
    }

    fn variants(
        &mut self,
        schema: &Value,
        variants: &[Value],
        config: &Value,
        path: &str,
        required: bool,
    ) {
        let Some(tag) = variants.iter().find_map(discriminator) else {
            // Nothing tells them apart, so there is nothing to choose by: take the first.
            if let Some(first) = variants.first() {
                self.object(first, config, path, required);
            }
            return;
        };
        let known = |variant: &&Value| constant(&variant["properties"][tag]) == config.get(tag);
        self.fields.push(Field {
            path: join(path, tag),
            title: text(schema, "title").unwrap_or_else(|| tag.replace('_', " ")),
            help: text(schema, "description"),
            default: schema["default"].get(tag).cloned(),
            kind: Kind::Variant(
                variants
                    .iter()
                    .filter_map(|it| described(it, tag))
                    .collect(),
            ),
            required,
            secret: false,
            rules: Rules::default(),
        });
        if let Some(chosen) = variants
            .iter()
            .find(known)
            .filter(|_| config[tag] != Value::Null)
        {
            self.object(chosen, config, path, true);
        }
    }
}

fn described(variant: &Value, tag: &str) -> Option<Variant> {
    let value = constant(&variant["properties"][tag])?.clone();
    Some(Variant {
        title: text(variant, "title").unwrap_or_else(|| plain(&value)),
        help: text(variant, "description"),
        value,
        names: variant["properties"].as_object()?.keys().cloned().collect(),
    })
}

/// The property of a variant that has one value only.
fn discriminator(variant: &Value) -> Option<&str> {
    let properties = variant["properties"].as_object()?;
    properties
        .iter()
        .find(|(_, property)| constant(property).is_some())
        .map(|(name, _)| name.as_str())
}

fn constant(schema: &Value) -> Option<&Value> {
    let single = || match schema["enum"].as_array()?.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    schema.get("const").or_else(single)
}

/// Properties by their `order`, then as they are written.
fn in_order(schema: &Value) -> Vec<(&String, &Value)> {
    let properties: Option<&Map<String, Value>> = schema["properties"].as_object();
    let mut properties: Vec<_> = properties.into_iter().flatten().collect();
    properties.sort_by_key(|(_, property)| property["order"].as_i64().unwrap_or(i64::MAX));
    properties
}

fn kind(schema: &Value) -> Kind {
    if let Some(values) = schema["enum"].as_array() {
        return Kind::Choice(values.clone());
    }
    let kind = match &schema["type"] {
        Value::Array(types) => types.iter().find(|kind| **kind != "null"),
        kind => Some(kind),
    };
    match (kind.and_then(Value::as_str), schema["format"].as_str()) {
        (Some("integer"), _) => Kind::Integer,
        (Some("number"), _) => Kind::Number,
        (Some("boolean"), _) => Kind::Bool,
        (Some("array"), _) => match self::kind(&schema["items"]) {
            Kind::Json => Kind::Json,
            item => Kind::List(Box::new(item)),
        },
        (Some("object"), _) => Kind::Json,
        (_, Some("date")) => Kind::Date,
        (_, Some("date-time")) => Kind::DateTime,
        _ => Kind::Text,
    }
}

fn rules(schema: &Value) -> Rules {
    Rules {
        pattern: text(schema, "pattern"),
        descriptor: text(schema, "pattern_descriptor"),
        minimum: schema["minimum"].as_f64(),
        maximum: schema["maximum"].as_f64(),
    }
}

fn text(schema: &Value, key: &str) -> Option<String> {
    let text = schema[key].as_str().map(without_markup)?;
    (!text.is_empty()).then_some(text)
}

/// Descriptions are written for web pages; a terminal wants the words.
fn without_markup(text: &str) -> String {
    let mut words = String::new();
    let mut within = false;
    for character in text.chars() {
        match character {
            '<' => within = true,
            '>' if within => within = false,
            _ if within => {}
            _ => words.push(character),
        }
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value as a person writes it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}
