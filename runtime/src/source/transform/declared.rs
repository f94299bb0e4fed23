//! `xetl.DeclaredTypes`: values as the stream's schema means them.
//!
//! A date keeps its day, a local time what the clock on the wall says, and a moment
//! without a zone is read in the source's own. Lists are never null and hold no nulls.
//! What is no date stays as it is, for the load to put aside, and is counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use crate::value::{Object, Value};

#[derive(Debug, Clone)]
pub struct DeclaredTypes {
    pub zone: TimeZone,
}

/// What a schema makes of a value.
#[derive(Debug, Clone, PartialEq)]
enum Form {
    Kept,
    /// Nothing the source says can be used.
    Null,
    Date,
    Local,
    Moment,
    List(Box<Form>),
    Fields(Vec<(String, Form)>),
}

/// The transformation of one page's records, and how many values were no dates.
pub struct Declared<'t> {
    types: &'t DeclaredTypes,
    form: Form,
    misfits: Mutex<BTreeMap<String, usize>>,
}

impl DeclaredTypes {
    pub fn for_schema(&self, schema: &Json) -> Declared<'_> {
        Declared {
            types: self,
            form: Form::of(schema),
            misfits: Mutex::default(),
        }
    }

    fn written(&self, form: &Form, text: &str) -> Option<String> {
        let pieces = Pieces::parse(text.trim()).ok()?;
        let date = pieces.date();
        let local = DateTime::from_parts(date, pieces.time().unwrap_or(Time::midnight()));
        Some(match form {
            Form::Date => date.to_string(),
            Form::Local => local.to_string(),
            _ => match pieces.to_numeric_offset() {
                Some(offset) => offset.to_timestamp(local).ok()?.to_string(),
                None => self.zone.to_timestamp(local).ok()?.to_string(),
            },
        })
    }
}

impl Form {
    fn of(schema: &Json) -> Form {
        if schema.get("const").is_some_and(Json::is_null) {
            return Form::Null;
        }
        let kind = schema["xetl_type"].as_str().map(str::to_ascii_uppercase);
        match (kind.as_deref(), schema["format"].as_str()) {
            (Some("DATE"), _) | (None, Some("date")) => return Form::Date,
            (Some("DATETIME"), _) => return Form::Local,
            (Some("TIMESTAMP"), _) | (None, Some("date-time")) => return Form::Moment,
            _ => {}
        }
        if is(schema, "array") {
            return Form::List(Box::new(Form::of(&schema["items"])));
        }
        let fields = schema["properties"].as_object().into_iter().flatten();
        let fields: Vec<_> = fields
            .map(|(name, schema)| (name.clone(), Form::of(schema)))
            .filter(|(_, form)| *form != Form::Kept)
            .collect();
        match fields.is_empty() {
            true => Form::Kept,
            false => Form::Fields(fields),
        }
    }
}

fn is(schema: &Json, kind: &str) -> bool {
    match &schema["type"] {
        Json::Array(kinds) => kinds.iter().any(|known| known == kind),
        known => known == kind,
    }
}

impl Declared<'_> {
    pub fn transform(&self, record: &mut Object) {
        if let Form::Fields(fields) = &self.form {
            self.fields(fields, record);
        }
    }

    fn fields(&self, fields: &[(String, Form)], record: &mut Object) {
        for (name, form) in fields {
            match record.get_mut(name.as_str()) {
                Some(value) => self.value(name, form, value),
                None if matches!(form, Form::List(_)) => {
                    record.insert(name.as_str().into(), Value::Array(Vec::new()));
                }
                None => {}
            }
        }
    }

    fn value(&self, name: &str, form: &Form, value: &mut Value) {
        match (form, value) {
            (Form::Null, value) => *value = Value::Null,
            (Form::List(_), value @ Value::Null) => *value = Value::Array(Vec::new()),
            (Form::List(form), Value::Array(values)) => {
                values.retain(|value| *value != Value::Null);
                for value in values {
                    self.value(name, form, value);
                }
            }
            (Form::Fields(fields), Value::Object(record)) => self.fields(fields, record),
            (Form::Date | Form::Local | Form::Moment, value) => self.date(name, form, value),
            _ => {}
        }
    }

    fn date(&self, name: &str, form: &Form, value: &mut Value) {
        let written = match value {
            Value::Null => return,
            Value::String(text) if text.trim().is_empty() => {
                *value = Value::Null;
                return;
            }
            Value::String(text) => self.types.written(form, text),
            _ => None,
        };
        match written {
            Some(written) => *value = Value::String(written),
            None => {
                let mut misfits = self.misfits.lock().unwrap_or_else(PoisonError::into_inner);
                *misfits.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
}

/// Tells of a page's misfits, never of their values.
impl Drop for Declared<'_> {
    fn drop(&mut self) {
        let misfits = self.misfits.lock().unwrap_or_else(PoisonError::into_inner);
        for (column, count) in misfits.iter() {
            tracing::warn!(column, count, "values that are no dates are put aside");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn transformed(schema: Json, record: Json) -> (Json, BTreeMap<String, usize>) {
        let zone = TimeZone::get("America/New_York").unwrap();
        let types = DeclaredTypes { zone };
        let declared = types.for_schema(&json!({"properties": schema}));
        let Value::Object(mut record) = Value::from(&record) else {
            panic!("an object")
        };
        declared.transform(&mut record);
        let misfits = declared.misfits.lock().unwrap().clone();
        (Value::Object(record).to_json(), misfits)
    }

    #[test]
    fn a_date_keeps_its_day_a_local_time_its_hour_and_a_moment_has_the_zone() {
        let schema = json!({
            "dob": {"type": "string", "format": "date"},
            "local": {"type": "string", "xetl_type": "DATETIME"},
            "at": {"type": "string", "format": "date-time"},
            "told": {"type": "string", "xetl_type": "TIMESTAMP"},
        });
        let record = json!({
            "dob": "2008-03-14T00:00:00", "local": "2024-07-01T09:30:00.1234567",
            "at": "2024-07-01T09:30:00", "told": "2024-07-01T09:30:00+01:00",
        });
        assert_eq!(
            transformed(schema, record).0,
            json!({
                "dob": "2008-03-14", "local": "2024-07-01T09:30:00.1234567",
                "at": "2024-07-01T13:30:00Z", "told": "2024-07-01T08:30:00Z",
            })
        );
    }

    #[test]
    fn lists_are_never_null_and_hold_no_nulls() {
        let texts = json!({"type": "array", "items": {"type": "string"}});
        let schema = json!({"a": texts, "b": texts, "c": texts, "d": {"type": "string"}});
        let record = json!({"a": null, "b": [null, "x", null], "d": null});
        assert_eq!(
            transformed(schema, record).0,
            json!({"a": [], "b": ["x"], "d": null, "c": []})
        );
    }

    #[test]
    fn a_column_without_a_usable_value_is_null() {
        let schema = json!({"endDate": {"type": ["string", "null"], "const": null}});
        let (record, _) = transformed(schema, json!({"endDate": "0001-01-01", "id": 1}));
        assert_eq!(record, json!({"endDate": null, "id": 1}));
    }

    #[test]
    fn what_is_no_date_stays_and_is_counted() {
        let schema = json!({"dob": {"format": "date"}, "list": {"type": "array", "items": {
            "properties": {"on": {"format": "date-time"}}}}});
        let record =
            json!({"dob": "unknown", "list": [{"on": ""}, {"on": "2024-02-30"}, {"on": 5}]});
        let (record, misfits) = transformed(schema, record);
        assert_eq!(
            record,
            json!({"dob": "unknown", "list": [{"on": null}, {"on": "2024-02-30"}, {"on": 5}]})
        );
        assert_eq!(
            misfits,
            BTreeMap::from([("dob".into(), 1), ("on".into(), 2)])
        );
    }
}
