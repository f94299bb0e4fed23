//! `POST data/search/`: Advanced Filtering, as far as a copy of an organisation needs it.
//!
//! Conditions the sandbox does not serve are refused by name.

use serde_json::{Map, Value, json};

use super::list::{BadQuery, project};
use super::moment::moment;
use super::org::{Object, Org};
use super::resources::{ALL, Resource};

/// A query gives no more than this, however it is paged.
const MOST: usize = 10_000;
const MOST_A_PAGE: usize = 200;
/// A cursor lives this long, in milliseconds.
const CURSOR_LIFE: i64 = 30_000;

struct Search {
    resource: &'static Resource,
    conditions: Vec<Condition>,
    fields: Vec<String>,
    limit: usize,
    skip: usize,
}

/// `from <= field < to`.
struct Condition {
    field: String,
    from: i64,
    to: i64,
}

/// The reply to a search at `clock`, the time cursors go by.
pub fn search(
    org: &Org,
    body: &Value,
    clock: i64,
    shown: &dyn Fn(&Object) -> bool,
) -> Result<Value, BadQuery> {
    let search = Search::parse(body, clock)?;
    let mut found: Vec<&Object> = org
        .visible(search.resource)
        .into_iter()
        .filter(|object| shown(object) && search.admits(object))
        .collect();
    found.sort_by_key(|object| (object.updated, object.id.clone()));
    found.truncate(MOST);
    let total = found.len();
    let data: Vec<Value> = found
        .into_iter()
        .skip(search.skip)
        .take(search.limit)
        .map(|object| search.write(org, object))
        .collect();
    let next = search.skip + data.len();
    let cursor = (next < total).then(|| format!("at{next}.{}", clock + CURSOR_LIFE));
    Ok(json!({"data": data, "cursor": cursor}))
}

impl Search {
    fn parse(body: &Value, clock: i64) -> Result<Search, BadQuery> {
        let mut search = Search {
            resource: resource(&body["query"])?,
            conditions: Vec::new(),
            fields: Vec::new(),
            limit: limit(&body["_limit"])?,
            skip: skip(&body["cursor"], clock)?,
        };
        search.take(&body["query"])?;
        let object_type = search.resource.object_type();
        let fields = body["_fields"][&object_type].as_array();
        search.fields = fields
            .into_iter()
            .flatten()
            .filter_map(|field| field.as_str().map(str::to_owned))
            .collect();
        Ok(search)
    }

    fn take(&mut self, query: &Value) -> Result<(), BadQuery> {
        match query["type"].as_str().unwrap_or_default() {
            "and" => {
                let queries = query["queries"].as_array();
                queries
                    .into_iter()
                    .flatten()
                    .try_for_each(|inner| self.take(inner))
            }
            "object_type" | "match_all" => Ok(()),
            "field_condition" => {
                self.conditions.push(condition(query)?);
                Ok(())
            }
            other => Err(BadQuery(format!(
                "the sandbox does not serve queries of type `{other}`"
            ))),
        }
    }

    fn admits(&self, object: &Object) -> bool {
        self.conditions.iter().all(|condition| {
            let value = match condition.field.as_str() {
                "date_updated" => object.updated,
                _ => object.created,
            };
            (condition.from..condition.to).contains(&value)
        })
    }

    /// Little more than the id, unless fields are named.
    fn write(&self, org: &Org, object: &Object) -> Value {
        let mut fields = self.fields.clone();
        fields.push("id".to_owned());
        let body = org.document(self.resource.path, object);
        let mut written: Map<String, Value> = project(self.resource, body, Some(&fields));
        written.insert(
            "__object_type".to_owned(),
            json!(self.resource.object_type()),
        );
        Value::Object(written)
    }
}

fn resource(query: &Value) -> Result<&'static Resource, BadQuery> {
    let queries = query["queries"].as_array().into_iter().flatten();
    let name = queries
        .chain([query])
        .find(|inner| inner["type"] == "object_type")
        .and_then(|inner| inner["object_type"].as_str())
        .ok_or_else(|| BadQuery("the query names no object_type".to_owned()))?;
    ALL.iter()
        .find(|resource| resource.object_type() == name)
        .ok_or_else(|| BadQuery(format!("there is no object_type `{name}`")))
}

fn limit(value: &Value) -> Result<usize, BadQuery> {
    match value.as_u64() {
        None if value.is_null() => Ok(100),
        Some(limit @ 1..=200) => Ok(limit as usize),
        _ => Err(BadQuery(format!("_limit must be from 1 to {MOST_A_PAGE}"))),
    }
}

fn skip(cursor: &Value, clock: i64) -> Result<usize, BadQuery> {
    if cursor.is_null() {
        return Ok(0);
    }
    // Never a number alone: a manifest's templates would make one of it.
    let text = cursor.as_str().and_then(|text| text.strip_prefix("at"));
    let parts = text.and_then(|text| text.split_once('.'));
    let parts =
        parts.and_then(|(skip, ends)| Some((skip.parse().ok()?, ends.parse::<i64>().ok()?)));
    match parts {
        Some((skip, ends)) if clock <= ends => Ok(skip),
        _ => Err(BadQuery("the cursor is unknown or has expired".to_owned())),
    }
}

fn condition(query: &Value) -> Result<Condition, BadQuery> {
    let field = query["field"]["field_name"].as_str().unwrap_or_default();
    if !["date_created", "date_updated"].contains(&field) {
        return Err(BadQuery(format!(
            "the sandbox has no conditions on `{field}`"
        )));
    }
    let condition = &query["condition"];
    if condition["type"] != "moment_range" {
        return Err(BadQuery(format!(
            "the sandbox does not serve {}",
            condition["type"]
        )));
    }
    let mut span = Condition {
        field: field.to_owned(),
        from: i64::MIN,
        to: i64::MAX,
    };
    for (name, value) in condition.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("type", _) | (_, Value::Null) => {}
            ("on_or_after", value) => span.from = fixed(value)?,
            ("after", value) => span.from = fixed(value)? + 1,
            ("before", value) => span.to = fixed(value)?,
            ("on_or_before", value) => span.to = fixed(value)? + 1,
            _ => return Err(BadQuery(format!("moment_range has no `{name}`"))),
        }
    }
    Ok(span)
}

fn fixed(value: &Value) -> Result<i64, BadQuery> {
    let bad = || BadQuery(format!("not a moment the sandbox serves: {value}"));
    let text = value["value"].as_str().ok_or_else(bad)?;
    let at = moment(text, 0).ok_or_else(bad)?;
    match (value["type"].as_str(), value["which"].as_str()) {
        (Some("fixed_utc"), _) | (Some("fixed_local_date"), Some("start") | None) => Ok(at),
        (Some("fixed_local_date"), Some("end")) => Ok(at + 24 * 3_600_000),
        _ => Err(bad()),
    }
}
