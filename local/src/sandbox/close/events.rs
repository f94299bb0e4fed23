//! `GET event/`: newest first, by a cursor, of the last thirty days.

use serde_json::{Value, json};

use super::list::BadQuery;
use super::moment::moment;
use super::org::{Object, Org};
use super::resources::Resource;

const MOST_A_PAGE: usize = 50;
const EQUAL: &[&str] = &[
    "object_type",
    "object_id",
    "lead_id",
    "user_id",
    "action",
    "request_id",
];

/// What a request narrows the log to; a cursor carries the dates of the first.
struct Asked {
    from: i64,
    to: i64,
    skip: usize,
    limit: usize,
    equal: Vec<(String, String)>,
}

pub fn events(
    org: &Org,
    resource: &Resource,
    pairs: &[(String, String)],
    offset: i64,
) -> Result<Value, BadQuery> {
    let asked = Asked::parse(pairs, offset)?;
    let mut found: Vec<&Object> = org.visible(resource);
    found.retain(|event| asked.admits(event));
    found.sort_by_key(|event| std::cmp::Reverse((event.updated, event.id.clone())));
    let total = found.len();
    let data: Vec<&serde_json::Map<String, Value>> = found
        .into_iter()
        .skip(asked.skip)
        .take(asked.limit)
        .map(|event| &event.body)
        .collect();
    let next = asked.skip + data.len();
    let cursor = (next < total).then(|| format!("{next}:{}:{}", asked.from, asked.to));
    Ok(json!({"data": data, "cursor_next": cursor, "cursor_previous": null}))
}

impl Asked {
    fn parse(pairs: &[(String, String)], offset: i64) -> Result<Asked, BadQuery> {
        let mut asked = Asked {
            from: i64::MIN,
            to: i64::MAX,
            skip: 0,
            limit: MOST_A_PAGE,
            equal: Vec::new(),
        };
        let dated = pairs
            .iter()
            .any(|(name, _)| name.starts_with("date_updated"));
        for (name, value) in pairs {
            let at = || moment(value, offset).ok_or_else(|| bad(name, value));
            match name.as_str() {
                "_limit" => asked.limit = limit(value)?,
                "_cursor" if dated => {
                    return Err(BadQuery(
                        "date_updated must not be sent with _cursor".to_owned(),
                    ));
                }
                "_cursor" => asked.go_on(value)?,
                "date_updated__gte" => asked.from = at()?,
                "date_updated__gt" => asked.from = at()? + 1,
                "date_updated__lt" => asked.to = at()?,
                "date_updated__lte" => asked.to = at()? + 1,
                name if EQUAL.contains(&name) => {
                    asked.equal.push((name.to_owned(), value.clone()));
                }
                _ => return Err(bad(name, value)),
            }
        }
        Ok(asked)
    }

    fn go_on(&mut self, cursor: &str) -> Result<(), BadQuery> {
        let mut parts = cursor.split(':').map(str::parse::<i64>);
        let (Some(Ok(skip)), Some(Ok(from)), Some(Ok(to))) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(bad("_cursor", cursor));
        };
        self.skip = usize::try_from(skip).map_err(|_| bad("_cursor", cursor))?;
        (self.from, self.to) = (from, to);
        Ok(())
    }

    fn admits(&self, event: &Object) -> bool {
        let named = |(name, value): &(String, String)| event.body.get(name) == Some(&json!(value));
        (self.from..self.to).contains(&event.updated) && self.equal.iter().all(named)
    }
}

fn limit(value: &str) -> Result<usize, BadQuery> {
    let limit = value.parse().ok();
    limit
        .filter(|limit| (1..=MOST_A_PAGE).contains(limit))
        .ok_or_else(|| BadQuery(format!("_limit must be from 1 to {MOST_A_PAGE}.")))
}

fn bad(name: &str, value: &str) -> BadQuery {
    BadQuery(format!("event/ cannot be asked for `{name}` of `{value}`."))
}
