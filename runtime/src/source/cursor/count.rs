//! IncrementingCountCursor: a number that only grows; one slice a sync.

use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SliceDone, SourceError};
use crate::value::Value;

use super::super::component::Component;
use super::super::python;
use super::super::request::{Options, RequestOption};
use super::super::template::{Scope, TemplateError};

pub struct CountCursor {
    pub field: String,
    start: i64,
    option: Option<RequestOption>,
}

impl CountCursor {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<CountCursor, SourceError> {
        let text = |name: &str, default: &str| {
            let text = component.template_or(name, default)?.text(scope);
            text.map_err(|error| component.error(error.to_string()))
        };
        component.need("cursor_field")?;
        let start = text("start_value", "0")?;
        let start = start
            .trim()
            .parse()
            .map_err(|_| component.error(format!("`start_value: {start}` is no whole number")))?;
        let option = component.child("start_value_option");
        Ok(CountCursor {
            field: text("cursor_field", "")?,
            start,
            option: option
                .map(|option| RequestOption::open(&option))
                .transpose()?,
        })
    }

    /// All from where the state is.
    pub fn slice(&self, state: &Json) -> Result<Slice, TemplateError> {
        Ok(Slice {
            interval: Map::from_iter([
                ("start".to_owned(), self.reached(state)?),
                ("end".to_owned(), "inf".into()),
            ]),
            ..Slice::default()
        })
    }

    fn reached(&self, state: &Json) -> Result<Json, TemplateError> {
        let state = match state.get("state_type") {
            Some(_) => range(state)?,
            None => state.get(&self.field),
        };
        match state {
            None | Some(Json::Null) => Ok(self.start.into()),
            Some(Json::Number(number)) if number.as_f64() >= Some(self.start as f64) => {
                Ok(number.clone().into())
            }
            Some(Json::Number(_)) => Ok(self.start.into()),
            Some(other) => Err(self.problem(format!("the state is `{other}`, not a number"))),
        }
    }

    pub fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options::default();
        if let (Some(option), Some(start)) = (&self.option, slice.interval.get("start")) {
            option.inject(&mut options, Value::from(start), scope)?;
        }
        Ok(options)
    }

    /// The greater of a number seen so far and a record's.
    pub fn newest(
        &self,
        so_far: Option<Value>,
        record: &Value,
    ) -> Result<Option<Value>, TemplateError> {
        let Some(value) = record.get(&self.field).filter(|it| **it != Value::Null) else {
            return Ok(so_far);
        };
        let number = size(value).ok_or_else(|| {
            let text = python::text(value);
            self.problem(format!(
                "a record's `{}` is `{text}`, not a number",
                self.field
            ))
        })?;
        let greatest = so_far.as_ref().and_then(size);
        Ok(match greatest.is_none_or(|greatest| greatest < number) {
            true => Some(value.clone()),
            false => so_far,
        })
    }

    /// The state once these slices are in the warehouse.
    pub fn state_after(&self, state: &Json, done: &[SliceDone]) -> Json {
        let Ok(mut reached) = self.reached(state) else {
            return state.clone();
        };
        let finished = done.iter().filter(|done| done.finished.is_some());
        for cursor in finished.filter_map(|done| done.cursor.as_deref()) {
            let seen: Json = serde_json::from_str(cursor).unwrap_or_default();
            if seen.as_f64() > reached.as_f64() {
                reached = seen;
            }
        }
        let mut after = match state.get("state_type") {
            Some(_) => Map::new(),
            None => state.as_object().cloned().unwrap_or_default(),
        };
        after.insert(self.field.clone(), reached);
        Json::Object(after)
    }

    fn problem(&self, problem: String) -> TemplateError {
        TemplateError {
            template: self.field.clone(),
            problem,
        }
    }
}

/// How far a state of stretches is; the reference never writes more than one.
fn range(state: &Json) -> Result<Option<&Json>, TemplateError> {
    match state["slices"].as_array().map(Vec::as_slice) {
        Some([one]) => {
            let newest = one.get("most_recent_cursor_value");
            Ok(newest.filter(|it| !it.is_null()).or(one.get("end")))
        }
        _ => Err(TemplateError {
            template: "slices".to_owned(),
            problem: "the state does not have exactly one stretch".to_owned(),
        }),
    }
}

fn size(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Number(digits) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cursor() -> CountCursor {
        let json = json!({
            "type": "IncrementingCountCursor", "cursor_field": "id", "start_value": "5",
        });
        let scope = Scope::new(minijinja::context! {});
        CountCursor::open(&Component::new(&json, "here"), &scope).unwrap()
    }

    #[test]
    fn the_state_is_the_greatest_number_and_never_goes_back() {
        let cursor = cursor();
        let after = |state: &Json, seen: Option<&str>| {
            let slice = cursor.slice(state).unwrap();
            cursor.state_after(state, &[SliceDone::now(slice, seen.map(str::to_owned))])
        };
        assert_eq!(after(&json!(null), None), json!({"id": 5}));
        assert_eq!(after(&json!(null), Some("7")), json!({"id": 7}));
        assert_eq!(
            after(&json!({"id": 9, "a": 1}), Some("7")),
            json!({"id": 9, "a": 1})
        );
        assert_eq!(after(&json!({"id": 2}), None), json!({"id": 5}));
        let range = json!({"state_type": "integer", "slices": [{"start": 0, "end": 8}]});
        assert_eq!(after(&range, None), json!({"id": 8}));
    }

    #[test]
    fn a_cursor_value_that_is_no_number_is_an_error() {
        let cursor = cursor();
        let newest = |id: Json| cursor.newest(None, &Value::from(&json!({"id": id})));
        assert_eq!(newest(json!(3)).unwrap(), Some(Value::Int(3)));
        assert_eq!(newest(json!(null)).unwrap(), None);
        assert!(newest(json!("x")).is_err());
    }
}
