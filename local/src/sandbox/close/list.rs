//! A list request: what the caller asks of a list, and which objects that is.
//!
//! What a list does not heed is refused, so that no client believes a filter was applied.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::super::common::clock::SECOND;
use super::moment::moment;
use super::org::{Object, Org};
use super::resources::{Paging, Resource, SUBSCRIPTION, TASK};

const DEFAULT_A_PAGE: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(pub String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Below,
    UpTo,
    Above,
    From,
}

#[derive(Debug, Clone, PartialEq)]
enum Filter {
    Date(String, Bound, i64),
    OneOf(String, Vec<String>),
}

/// The part of a list that is asked for.
#[derive(Debug)]
pub struct Query {
    skip: usize,
    limit: usize,
    filters: Vec<Filter>,
    fields: Option<Vec<String>>,
    order: Option<String>,
}

impl Query {
    pub fn parse(
        resource: &Resource,
        pairs: &[(String, String)],
        offset: i64,
    ) -> Result<Query, BadQuery> {
        let mut query = Query {
            skip: 0,
            limit: DEFAULT_A_PAGE.min(resource.most),
            filters: Vec::new(),
            fields: None,
            order: None,
        };
        for (name, value) in pairs {
            query.take(resource, name, value, offset)?;
        }
        query.check(resource)?;
        Ok(query)
    }

    fn take(
        &mut self,
        resource: &Resource,
        name: &str,
        value: &str,
        offset: i64,
    ) -> Result<(), BadQuery> {
        match name {
            "_skip" => self.skip = number(name, value)?,
            "_limit" => self.limit = number(name, value)?,
            "_cursor" if resource.paging == Paging::OffsetAndCursor => {
                self.skip = number(name, value)?;
            }
            "_fields" if resource.fields => {
                self.fields = Some(value.split(',').map(str::to_owned).collect());
            }
            "_order_by" if resource.order.contains(&value.trim_start_matches('-')) => {
                self.order = Some(value.to_owned());
            }
            _ => self.filters.push(filter(resource, name, value, offset)?),
        }
        Ok(())
    }

    fn check(&self, resource: &Resource) -> Result<(), BadQuery> {
        let refuse = |text: String| Err(BadQuery(text));
        if self.limit > resource.most || self.limit == 0 {
            return refuse(format!("_limit must be from 1 to {}.", resource.most));
        }
        if self.skip > resource.deepest() {
            return refuse(format!(
                "The skip you set is larger than the maximum skip for this resource (max_skip = {}). \
                 Please refine your search query.",
                resource.deepest()
            ));
        }
        if resource.path == SUBSCRIPTION && self.filters.is_empty() {
            return refuse("One of lead_id, contact_id or sequence_id is required.".to_owned());
        }
        Ok(())
    }

    /// The reply to the request.
    pub fn reply(&self, org: &Org, resource: &Resource, shown: &dyn Fn(&Object) -> bool) -> Value {
        let mut found: Vec<&Object> = org
            .visible(resource)
            .into_iter()
            .filter(|object| shown(object) && self.admits(resource, object))
            .collect();
        self.sort(resource, &mut found);
        let total = found.len();
        let (skip, limit) = match resource.paging {
            Paging::Whole => (0, usize::MAX),
            _ => (self.skip, self.limit),
        };
        let data: Vec<Value> = found
            .into_iter()
            .skip(skip)
            .take(limit)
            .map(|object| {
                let body = org.document(resource.path, object);
                Value::Object(project(resource, body, self.fields.as_deref()))
            })
            .collect();
        let next = skip.saturating_add(data.len());
        let mut reply = json!({"data": data, "has_more": next < total});
        match resource.paging {
            Paging::OffsetAndCursor if next < total => {
                reply["cursor_next"] = json!(next.to_string())
            }
            Paging::OffsetAndCursor => reply["cursor_next"] = Value::Null,
            _ => {}
        }
        if resource.path == "opportunity" {
            reply["total_results"] = json!(total);
        }
        reply
    }

    fn admits(&self, resource: &Resource, object: &Object) -> bool {
        let typed = self
            .filters
            .iter()
            .any(|filter| matches!(filter, Filter::OneOf(name, _) if name == "_type"));
        // Without a type, tasks are those of leads.
        if resource.path == TASK && !typed && object.body["_type"] != "lead" {
            return false;
        }
        self.filters.iter().all(|filter| filter.admits(object))
    }

    fn sort(&self, resource: &Resource, found: &mut [&Object]) {
        let usual = if resource.is_activity() {
            "-date_created"
        } else {
            ""
        };
        let order = self.order.as_deref().unwrap_or(usual);
        let (name, falling) = match order.strip_prefix('-') {
            Some(name) => (name, true),
            None => (order, false),
        };
        if name.is_empty() {
            return;
        }
        found.sort_by(|one, other| {
            let by = compare(one.body.get(name), other.body.get(name));
            if falling { by.reverse() } else { by }
        });
    }
}

fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    match (one, other) {
        (Some(Value::Number(one)), Some(Value::Number(other))) => one
            .as_f64()
            .partial_cmp(&other.as_f64())
            .unwrap_or(Ordering::Equal),
        (Some(Value::String(one)), Some(Value::String(other))) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

/// The fields asked for; `custom` stands for all custom fields.
pub fn project(
    resource: &Resource,
    mut body: Map<String, Value>,
    fields: Option<&[String]>,
) -> Map<String, Value> {
    let named = |name: &str| fields.is_some_and(|fields| fields.iter().any(|field| field == name));
    for name in resource.on_demand {
        if !named(name) {
            body.remove(*name);
        }
    }
    if fields.is_some() {
        body.retain(|name, _| named(name) || name.starts_with("custom.") && named("custom"));
    }
    body
}

fn filter(resource: &Resource, name: &str, value: &str, offset: i64) -> Result<Filter, BadQuery> {
    let (field, operator) = name.split_once("__").unwrap_or((name, ""));
    let bound = match operator {
        "lt" => Some(Bound::Below),
        "lte" => Some(Bound::UpTo),
        "gt" => Some(Bound::Above),
        "gte" => Some(Bound::From),
        _ => None,
    };
    match bound {
        Some(bound) if resource.dates.contains(&field) => {
            let at = moment(value, offset)
                .ok_or_else(|| BadQuery(format!("`{name}` is not a date: {value}")))?;
            Ok(Filter::Date(field.to_owned(), bound, at))
        }
        None if resource.equal.contains(&field) && operator.is_empty() => {
            Ok(Filter::OneOf(field.to_owned(), vec![value.to_owned()]))
        }
        None if resource.equal.contains(&field) && operator == "in" => {
            let values = value.split(',').map(str::to_owned).collect();
            Ok(Filter::OneOf(field.to_owned(), values))
        }
        _ => Err(BadQuery(format!(
            "{}/ does not heed `{name}`.",
            resource.path
        ))),
    }
}

impl Filter {
    fn admits(&self, object: &Object) -> bool {
        match self {
            Filter::OneOf(name, values) => {
                let value = match object.body.get(name) {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => return false,
                };
                values.contains(&value)
            }
            Filter::Date(name, bound, at) => {
                let text = object.body.get(name).and_then(Value::as_str);
                text.and_then(|text| moment(text, 0))
                    .is_some_and(|value| bound.admits(value, *at))
            }
        }
    }
}

impl Bound {
    /// Both are whole seconds.
    fn admits(self, value: i64, at: i64) -> bool {
        debug_assert_eq!(at % SECOND, 0);
        match self {
            Bound::Below => value < at,
            Bound::UpTo => value <= at,
            Bound::Above => value > at,
            Bound::From => value >= at,
        }
    }
}

fn number(name: &str, value: &str) -> Result<usize, BadQuery> {
    value
        .parse()
        .map_err(|_| BadQuery(format!("`{name}` must be a number, not `{value}`.")))
}
