//! A stream's steps, checked and ready: what they make of a record, a schema, a name.

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use crate::source::Alone;
use crate::stream::{SourceError, StreamInfo};
use crate::value::{Object, Value};

use super::path::Path;
use super::step::{Added, CastType, Mask, Step, Zone};
use super::values;

/// What steps need beside what they say.
pub struct Around<'a> {
    /// The source's config without its secrets, for templates.
    pub config: &'a Map<String, Json>,
    /// The key of hashes, where the pipeline has one.
    pub hash_key: Option<&'a SecretString>,
}

/// The steps of one stream, in their order.
#[derive(Debug, Default)]
pub struct Steps(Vec<Ready>);

#[derive(Debug)]
enum Ready {
    Component(Alone),
    Add(Alone, Vec<(Path, CastType)>),
    Remove(Vec<Path>),
    Rename(Vec<(Path, String)>),
    Cast(Vec<(Path, CastType)>),
    Hash(Vec<Path>, SecretString),
    Mask(Vec<Path>, usize),
    Zone {
        fields: Vec<Path>,
        from: TimeZone,
        to: Option<TimeZone>,
    },
}

impl Steps {
    /// Fails where a step is not exactly one, or names no field, type or zone.
    pub fn open(stream: &str, steps: &[Step], around: &Around<'_>) -> Result<Steps, SourceError> {
        let steps = steps.iter().enumerate().map(|(index, step)| {
            let at = format!("stream `{stream}`, transformations[{index}]");
            Ready::open(step, &at, around)
        });
        Ok(Steps(steps.collect::<Result<_, _>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes records in place.
    pub fn apply(&self, records: &mut [Value]) -> Result<(), SourceError> {
        for step in &self.0 {
            if let Ready::Component(alone) | Ready::Add(alone, _) = step {
                alone.apply(records)?;
            }
            for record in &mut *records {
                if let Value::Object(fields) = record {
                    step.change(fields);
                }
            }
        }
        Ok(())
    }

    /// The JSON Schema of changed records; one that declares no field stays as it is.
    pub fn schema(&self, schema: Json) -> Json {
        match schema {
            Json::Object(mut schema) if schema.contains_key("properties") => {
                self.declare(&mut schema);
                schema.into()
            }
            other => other,
        }
    }

    fn declare(&self, schema: &mut Map<String, Json>) {
        for step in &self.0 {
            step.change_schema(schema);
        }
    }

    /// What is known of the stream once its records are changed.
    pub fn info(&self, info: &StreamInfo) -> StreamInfo {
        let mut changed = info.clone();
        changed.schema = self.schema(changed.schema);
        let mut types = Map::new();
        self.declare(&mut types);
        changed.types = types.into();
        for step in &self.0 {
            let names = changed
                .primary_key
                .iter_mut()
                .chain(&mut changed.cursor_field);
            for name in names {
                if let Some(new) = step.renamed(name) {
                    *name = new;
                }
            }
        }
        changed
    }
}

impl Ready {
    fn open(step: &Step, at: &str, around: &Around<'_>) -> Result<Ready, SourceError> {
        let mut ready = Vec::new();
        if let Some(fields) = &step.add {
            ready.push(added(fields, at, around)?);
        }
        if let Some(fields) = &step.remove {
            ready.push(Ready::Remove(paths(fields, at)?));
        }
        if let Some(fields) = &step.rename {
            ready.push(Ready::Rename(renames(fields, at)?));
        }
        if let Some(fields) = &step.cast {
            let casts = fields.iter().map(|(field, to)| Ok((path(field, at)?, *to)));
            ready.push(Ready::Cast(casts.collect::<Result<_, SourceError>>()?));
        }
        if let Some(fields) = &step.hash {
            let key = around.hash_key.ok_or_else(|| {
                wrong(
                    at,
                    "`hash` needs the secret `hash_key`, which this pipeline does not have",
                )
            })?;
            ready.push(Ready::Hash(paths(fields, at)?, key.clone()));
        }
        if let Some(Mask { fields, keep_last }) = &step.mask {
            ready.push(Ready::Mask(paths(fields, at)?, *keep_last));
        }
        if let Some(zone) = &step.time_zone {
            ready.push(zoned(zone, at)?);
        }
        if let Some(component) = &step.component {
            ready.push(Ready::Component(Alone::open(component, at, around.config)?));
        }
        let count = ready.len();
        let one = ready.pop().filter(|_| count == 1);
        one.ok_or_else(|| {
            wrong(
                at,
                "a step is exactly one of add, remove, rename, cast, hash, mask, time_zone and \
                 component; give each its own `-`",
            )
        })
    }

    fn change(&self, record: &mut Object) {
        match self {
            Ready::Component(_) => {}
            Ready::Add(_, fields) | Ready::Cast(fields) => {
                for (path, to) in fields {
                    path.change(record, &mut |value| values::cast(value, *to));
                }
            }
            Ready::Remove(fields) => {
                for path in fields {
                    path.change_parents(record, &mut |parent| {
                        parent.shift_remove(path.last());
                    });
                }
            }
            Ready::Rename(fields) => {
                for (path, new) in fields {
                    path.change_parents(record, &mut |parent| rename(parent, path.last(), new));
                }
            }
            Ready::Hash(fields, key) => {
                for path in fields {
                    path.change(record, &mut |value| values::hash(value, key));
                }
            }
            Ready::Mask(fields, keep) => {
                for path in fields {
                    path.change(record, &mut |value| values::mask(value, *keep));
                }
            }
            Ready::Zone { fields, from, to } => {
                for path in fields {
                    let mut change = |value: &mut Value| values::in_zone(value, from, to.as_ref());
                    path.change(record, &mut change);
                }
            }
        }
    }

    fn change_schema(&self, schema: &mut Map<String, Json>) {
        match self {
            Ready::Component(_) => {}
            Ready::Add(_, fields) | Ready::Cast(fields) => {
                for (path, to) in fields {
                    declare(schema, path, &json!({"xetl_type": to.name()}));
                }
            }
            Ready::Remove(fields) => {
                for path in fields {
                    path.change_schema(schema, &mut |properties| {
                        properties.shift_remove(path.last());
                    });
                }
            }
            Ready::Rename(fields) => {
                for (path, new) in fields {
                    path.change_schema(schema, &mut |properties| {
                        if let Some(property) = properties.shift_remove(path.last()) {
                            properties.insert(new.clone(), property);
                        }
                    });
                }
            }
            Ready::Hash(fields, _) | Ready::Mask(fields, _) => {
                for path in fields {
                    declare(schema, path, &json!({"type": "string"}));
                }
            }
            Ready::Zone { fields, to, .. } => {
                let kind = to.as_ref().map_or("TIMESTAMP", |_| "DATETIME");
                for path in fields {
                    declare(schema, path, &json!({"xetl_type": kind}));
                }
            }
        }
    }

    /// The new name of a field at the record's top, if this step gives it one.
    fn renamed(&self, name: &str) -> Option<String> {
        let Ready::Rename(fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(path, _)| path.top() == Some(name));
        found.map(|(_, new)| new.clone())
    }
}

fn declare(schema: &mut Map<String, Json>, path: &Path, property: &Json) {
    path.change_schema(schema, &mut |properties| {
        properties.insert(path.last().to_owned(), property.clone());
    });
}

/// Gives a field its new name and leaves it in its place; one whose new name is taken stays.
fn rename(fields: &mut Object, old: &str, new: &str) {
    if fields.get(new).is_some_and(|taken| *taken != Value::Null) {
        return;
    }
    fields.shift_remove(new);
    if let Some((place, _, value)) = fields.shift_remove_full(old) {
        fields.shift_insert(place, new.to_owned(), value);
    }
}

fn added(
    fields: &IndexMap<String, Added>,
    at: &str,
    around: &Around<'_>,
) -> Result<Ready, SourceError> {
    let mut templates = Vec::new();
    let mut casts = Vec::new();
    for (field, added) in fields {
        let (template, to) = match added {
            Added::Text(template) => (template, CastType::String),
            Added::Typed(typed) => (&typed.value, typed.to),
        };
        // The language's own wish for a text keeps `007` as it is.
        let keys: Vec<&str> = field.split('.').collect();
        templates.push(match to {
            CastType::String => json!({"path": keys, "value": template, "value_type": "string"}),
            _ => json!({"path": keys, "value": template}),
        });
        casts.push((path(field, at)?, to));
    }
    let mut component = Map::new();
    component.insert("type".to_owned(), "AddFields".into());
    component.insert("fields".to_owned(), templates.into());
    Ok(Ready::Add(
        Alone::open(&component, at, around.config)?,
        casts,
    ))
}

fn renames(
    fields: &IndexMap<String, String>,
    at: &str,
) -> Result<Vec<(Path, String)>, SourceError> {
    let renames = fields.iter().map(|(field, new)| {
        match new.is_empty() || new.contains('.') {
            true => Err(wrong(
                at,
                &format!("`{new}` is no name for `{field}`: a field keeps its place, give only its last key"),
            )),
            false => Ok((path(field, at)?, new.clone())),
        }
    });
    renames.collect()
}

fn zoned(Zone { fields, from, to }: &Zone, at: &str) -> Result<Ready, SourceError> {
    let zone = |name: &str| {
        TimeZone::get(name).map_err(|_| {
            wrong(
                at,
                &format!("there is no time zone `{name}`; name one such as Europe/London"),
            )
        })
    };
    Ok(Ready::Zone {
        fields: paths(fields, at)?,
        from: zone(from.as_deref().unwrap_or("UTC"))?,
        to: to.as_deref().map(zone).transpose()?,
    })
}

fn paths(fields: &[String], at: &str) -> Result<Vec<Path>, SourceError> {
    fields.iter().map(|field| path(field, at)).collect()
}

fn path(field: &str, at: &str) -> Result<Path, SourceError> {
    Path::parse(field).ok_or_else(|| {
        wrong(
            at,
            &format!("`{field}` names no field; write `a`, `a.b` or `list.*.b`"),
        )
    })
}

fn wrong(at: &str, problem: &str) -> SourceError {
    SourceError::Config {
        at: at.to_owned(),
        problem: problem.to_owned(),
    }
}
