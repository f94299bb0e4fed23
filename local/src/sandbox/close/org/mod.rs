//! A made-up organisation: some thousand objects, generated from a seed, and what a day does to them.
//!
//! Knows neither HTTP nor the real clock: its time stands still until `advance`.

mod day;
mod make;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::common::clock::{DAY, START, written};
use super::super::common::draw::Draw;
use super::resources::{self, Resource};

/// Some documents are a year and a half old at the start.
const HISTORY: i64 = 540 * DAY;
/// How long the event log remembers.
const MEMORY: i64 = 30 * DAY;

#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub id: String,
    pub created: i64,
    pub updated: i64,
    pub body: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Org {
    pub seed: u64,
    pub now: i64,
    /// By path, in the order they were made.
    objects: BTreeMap<&'static str, Vec<Object>>,
    /// How many were ever made: an id is not given twice.
    made: BTreeMap<&'static str, usize>,
}

impl Org {
    /// An organisation of `leads` leads, and about eight other objects for each.
    pub fn new(seed: u64, leads: usize) -> Org {
        let mut org = Org {
            seed,
            now: START,
            objects: BTreeMap::new(),
            made: BTreeMap::new(),
        };
        org.settle(leads);
        org
    }

    pub fn all(&self, path: &str) -> &[Object] {
        self.objects.get(path).map_or(&[], Vec::as_slice)
    }

    /// What the event log still remembers; else all there is.
    pub fn visible(&self, resource: &Resource) -> Vec<&Object> {
        let objects = self.all(resource.path).iter();
        if resource.path != resources::EVENT {
            return objects.collect();
        }
        objects
            .filter(|event| event.updated >= self.now - MEMORY)
            .collect()
    }

    /// A part of an object's fields, and the parts of others that some carry.
    pub fn document(&self, path: &str, object: &Object) -> Map<String, Value> {
        let mut body = object.body.clone();
        if path == resources::LEAD {
            for (name, of) in [
                ("contacts", resources::CONTACT),
                ("opportunities", resources::OPPORTUNITY),
                ("tasks", resources::TASK),
            ] {
                body.insert(name.to_owned(), self.children(of, &object.id));
            }
        }
        body
    }

    fn children(&self, path: &str, lead: &str) -> Value {
        let children = self.all(path).iter();
        children
            .filter(|child| child.body["lead_id"] == lead)
            .map(|child| Value::Object(child.body.clone()))
            .collect()
    }

    fn draw(&self, purpose: &str, number: usize) -> Draw {
        Draw::new(self.seed, purpose, &[number as u64])
    }

    /// Adds an object; its id and dates come first, then what `make` gives it.
    fn add(&mut self, path: &'static str, created: i64) -> usize {
        let Some(resource) = Resource::of_path(path) else {
            return 0;
        };
        let made = self.made.entry(path).or_default();
        let number = *made;
        *made += 1;
        let id = format!("{}_{}", resource.prefix, token(self.seed, path, number));
        let mut body = Map::new();
        body.insert("id".to_owned(), json!(id));
        body.insert("organization_id".to_owned(), json!("orga_sandbox"));
        body.insert("date_created".to_owned(), json!(stamp(created)));
        body.insert("date_updated".to_owned(), json!(stamp(created)));
        if let Value::Object(own) = self.make(path, number, created) {
            body.extend(own);
        }
        self.objects.entry(path).or_default().push(Object {
            id,
            created,
            updated: created,
            body,
        });
        number
    }

    /// Changes a field of an object, and with it its date.
    fn edit(&mut self, path: &str, position: usize, at: i64, name: &str, value: Value) {
        let objects = self.objects.get_mut(path);
        if let Some(object) = objects.and_then(|objects| objects.get_mut(position)) {
            object.updated = at;
            object
                .body
                .insert("date_updated".to_owned(), json!(stamp(at)));
            object.body.insert(name.to_owned(), value);
        }
    }
}

/// `2025-07-01T00:00:00.120000+00:00`.
pub fn stamp(millis: i64) -> String {
    written(millis, "%Y-%m-%dT%H:%M:%S%.6f+00:00")
}

fn date(millis: i64) -> String {
    written(millis, "%Y-%m-%d")
}

/// Letters and digits, as Close's ids have behind their prefix.
fn token(seed: u64, path: &str, number: usize) -> String {
    let mut draw = Draw::new(seed, path, &[number as u64, 1]);
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..22).map(|_| char::from(draw.pick(SIGNS))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_organisation() {
        let (mut one, mut other) = (Org::new(7, 60), Org::new(7, 60));
        one.advance();
        other.advance();
        assert_eq!(one, other);
        assert_ne!(one, Org::new(8, 60));
    }

    #[test]
    fn every_list_has_something() {
        let mut org = Org::new(7, 60);
        (0..3).for_each(|_| org.advance());
        for resource in resources::ALL {
            assert!(!org.all(resource.path).is_empty(), "{}", resource.path);
        }
    }
}
