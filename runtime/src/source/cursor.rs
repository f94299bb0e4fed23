//! DatetimeBasedCursor: slices from a stream's state, request options from a slice,
//! and the state after slices are done.

use serde_json::{Map, Value as Json, json};

use crate::stream::{Slice, SliceDone, SourceError};
use crate::value::Value;

use super::component::Component;
use super::intervals::{Cut, Interval, merge};
use super::moment::{Moment, Span};
use super::python;
use super::request::{Options, RequestOption};
use super::strptime;
use super::template::{Scope, Template, TemplateError};

pub struct DatetimeCursor {
    pub field: String,
    format: String,
    input_formats: Vec<String>,
    cut: Cut,
    end: Option<Boundary>,
    start_field: String,
    end_field: String,
    start_option: Option<RequestOption>,
    end_option: Option<RequestOption>,
    /// The source sends newest first; paging ends at the first old record.
    pub is_data_feed: bool,
    /// The source cannot filter; old records are dropped here.
    pub is_client_side: bool,
}

/// A date of the manifest, with its bounds.
struct Boundary {
    value: Template,
    least: Option<Template>,
    most: Option<Template>,
    format: String,
}

impl DatetimeCursor {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<DatetimeCursor, SourceError> {
        if component.kind() != "DatetimeBasedCursor" {
            return Err(component.unknown("DatetimeBasedCursor"));
        }
        component.unsupported(&["clamping"])?;
        let said = |value: Result<String, TemplateError>| {
            value.map_err(|error| component.error(error.to_string()))
        };
        let format = component
            .text("datetime_format")
            .ok_or_else(|| component.error("DatetimeBasedCursor needs `datetime_format`"))?;
        let start = Boundary::open(component, "start_datetime", format)?
            .ok_or_else(|| component.error("DatetimeBasedCursor needs `start_datetime`"))?;
        let start = start
            .at(scope)
            .map_err(|error| component.error(error.to_string()))?;
        let span = |name: &str| span(component, name, scope);
        let (step, granularity) = (span("step")?, span("cursor_granularity")?);
        if step.is_some() != granularity.is_some() {
            return Err(
                component.error("`step` and `cursor_granularity` are given together or not at all")
            );
        }
        let option = |name: &str| match component.child(name) {
            Some(option) => RequestOption::open(&option).map(Some),
            None => Ok(None),
        };
        let mut input_formats: Vec<String> = strings(component.field("cursor_datetime_formats"));
        input_formats.push(format.to_owned());
        Ok(DatetimeCursor {
            field: said(component.need_template("cursor_field")?.text(scope))?,
            format: format.to_owned(),
            input_formats,
            cut: Cut {
                start,
                lookback: span("lookback_window")?,
                step,
                granularity,
                strictly: component.flag("is_compare_strictly"),
            },
            end: Boundary::open(component, "end_datetime", format)?,
            start_field: said(
                component
                    .template_or("partition_field_start", "start_time")?
                    .text(scope),
            )?,
            end_field: said(
                component
                    .template_or("partition_field_end", "end_time")?
                    .text(scope),
            )?,
            start_option: option("start_time_option")?,
            end_option: option("end_time_option")?,
            is_data_feed: component.flag("is_data_feed"),
            is_client_side: component.flag("is_client_side_incremental"),
        })
    }

    /// What to read next.
    pub fn slices(&self, state: &Json, scope: &Scope) -> Result<Vec<Slice>, TemplateError> {
        let (start, done) = self.intervals(state)?;
        let since = (self.is_client_side || self.is_data_feed)
            .then(|| self.written(self.cut.lowest(start)));
        let done = merge(done, self.touching());
        let slices = self.cut.slices(&done, self.end(scope)?);
        Ok(slices
            .into_iter()
            .map(|(from, to)| Slice {
                interval: Map::from_iter([
                    (self.start_field.clone(), self.written(from).into()),
                    (self.end_field.clone(), self.written(to).into()),
                ]),
                since: since.clone(),
                ..Slice::default()
            })
            .collect())
    }

    /// Where time ends: at the manifest's end, else now.
    fn end(&self, scope: &Scope) -> Result<Moment, TemplateError> {
        match &self.end {
            Some(end) => end.at(scope),
            None => Ok(Moment::now()),
        }
    }

    fn written(&self, moment: Moment) -> String {
        strptime::format(moment, &self.format)
    }

    fn touching(&self) -> Span {
        self.cut.granularity.unwrap_or(Span::MILLISECOND)
    }

    /// What a slice adds to its requests.
    pub fn options(&self, slice: &Slice, scope: &Scope) -> Result<Options, TemplateError> {
        let mut options = Options::default();
        let both = [
            (&self.start_option, &self.start_field),
            (&self.end_option, &self.end_field),
        ];
        for (option, field) in both {
            if let (Some(option), Some(value)) = (option, slice.interval.get(field)) {
                option.inject(&mut options, Value::from(value), scope)?;
            }
        }
        Ok(options)
    }

    /// A record's cursor value; `None` where it has none that can be read.
    pub fn value(&self, record: &Value) -> Option<Moment> {
        match record.get(&self.field)? {
            Value::Null => None,
            value => self.read(&python::text(value)),
        }
    }

    fn read(&self, text: &str) -> Option<Moment> {
        let mut formats = self.input_formats.iter();
        formats.find_map(|format| strptime::parse(text, format))
    }

    /// The newer of a cursor seen so far and a record's, in the form the state keeps.
    pub fn newest(&self, so_far: Option<Moment>, record: &Value) -> Option<Moment> {
        so_far.max(self.value(record))
    }

    pub fn shown(&self, moment: Moment) -> String {
        self.written(moment)
    }

    /// Whether a record is new, for streams that filter here.
    pub fn is_new(&self, record: &Value, slice: &Slice, end: Moment) -> bool {
        let Some(value) = self.value(record) else {
            return true;
        };
        let since = slice.since.as_deref().and_then(|since| self.read(since));
        since.is_none_or(|since| since <= value) && value <= end
    }

    /// The end against which new records are told in this slice.
    pub fn filter_end(&self, scope: &Scope) -> Result<Moment, TemplateError> {
        self.end(scope)
    }

    /// The state once these slices are in the warehouse.
    pub fn state_after(&self, state: &Json, done: &[SliceDone]) -> Json {
        let Ok((_, mut intervals)) = self.intervals(state) else {
            return state.clone();
        };
        intervals.extend(done.iter().filter_map(|done| self.interval(done)));
        let merged = merge(intervals, self.touching());
        let mut legacy = match is_range(state) {
            true => Map::new(),
            false => state.as_object().cloned().unwrap_or_default(),
        };
        if let Some(first) = merged.first() {
            let newest = first.newest.unwrap_or(first.start);
            legacy.insert(self.field.clone(), self.written(newest).into());
        }
        Json::Object(legacy)
    }

    fn interval(&self, done: &SliceDone) -> Option<Interval> {
        let boundary = |field: &String| self.read(done.slice.interval.get(field)?.as_str()?);
        Some(Interval {
            start: boundary(&self.start_field)?,
            end: boundary(&self.end_field)?,
            newest: done.cursor.as_deref().and_then(|cursor| self.read(cursor)),
        })
    }

    /// Where new records start, and the stretches a state says are done.
    fn intervals(&self, state: &Json) -> Result<(Moment, Vec<Interval>), TemplateError> {
        if is_range(state) {
            return self.ranges(state);
        }
        let mark = match state.get(&self.field).filter(|mark| !mark.is_null()) {
            Some(mark) => Some(self.state_value(mark)?),
            None => None,
        };
        let start = mark.map_or(self.cut.start, |mark| mark.max(self.cut.start));
        let done = Interval {
            start: self.cut.start,
            end: start,
            newest: Some(start),
        };
        Ok((start, vec![done]))
    }

    fn ranges(&self, state: &Json) -> Result<(Moment, Vec<Interval>), TemplateError> {
        let slices = state["slices"].as_array().into_iter().flatten();
        let mut intervals = Vec::new();
        for slice in slices {
            let newest = &slice["most_recent_cursor_value"];
            intervals.push(Interval {
                start: self.state_value(&slice["start"])?,
                end: self.state_value(&slice["end"])?,
                newest: match newest.is_null() {
                    true => None,
                    false => Some(self.state_value(newest)?),
                },
            });
        }
        let first = intervals
            .first()
            .map(|first| first.newest.unwrap_or(first.end));
        Ok((first.unwrap_or(self.cut.start), intervals))
    }

    fn state_value(&self, value: &Json) -> Result<Moment, TemplateError> {
        let text = python::text(&Value::from(value));
        self.read(&text).ok_or_else(|| TemplateError {
            template: self.format.clone(),
            problem: format!(
                "the state's `{}` is `{text}`, which has another form",
                self.field
            ),
        })
    }
}

fn is_range(state: &Json) -> bool {
    state.get("state_type") == Some(&json!("date-range"))
}

fn strings(json: Option<&Json>) -> Vec<String> {
    let list = json.and_then(Json::as_array).into_iter().flatten();
    list.filter_map(Json::as_str).map(str::to_owned).collect()
}

fn span(component: &Component<'_>, name: &str, scope: &Scope) -> Result<Option<Span>, SourceError> {
    let Some(template) = component.template(name)? else {
        return Ok(None);
    };
    let text = template
        .text(scope)
        .map_err(|error| component.error(error.to_string()))?;
    if text.is_empty() {
        return Ok(None);
    }
    Span::parse(&text)
        .map(Some)
        .ok_or_else(|| component.error(format!("`{name}: {text}` is no ISO 8601 duration")))
}

impl Boundary {
    fn open(
        component: &Component<'_>,
        name: &str,
        format: &str,
    ) -> Result<Option<Boundary>, SourceError> {
        let Some(child) = component.child(name) else {
            return Ok(None);
        };
        if !child.json().is_object() {
            return Ok(Some(Boundary {
                value: component.need_template(name)?,
                least: None,
                most: None,
                format: format.to_owned(),
            }));
        }
        let own = child.text("datetime_format").filter(|own| !own.is_empty());
        Ok(Some(Boundary {
            value: child.need_template("datetime")?,
            least: child.template("min_datetime")?,
            most: child.template("max_datetime")?,
            format: own.unwrap_or(format).to_owned(),
        }))
    }

    fn at(&self, scope: &Scope) -> Result<Moment, TemplateError> {
        let mut moment = self
            .read(&self.value, scope)?
            .ok_or_else(|| TemplateError {
                template: self.value.source().to_owned(),
                problem: "it is empty".to_owned(),
            })?;
        if let Some(least) = &self.least {
            moment = moment.max(self.read(least, scope)?.unwrap_or(moment));
        }
        if let Some(most) = &self.most {
            moment = moment.min(self.read(most, scope)?.unwrap_or(moment));
        }
        Ok(moment)
    }

    fn read(&self, template: &Template, scope: &Scope) -> Result<Option<Moment>, TemplateError> {
        let text = template.text(scope)?;
        if text.is_empty() {
            return Ok(None);
        }
        let moment = strptime::parse(&text, &self.format);
        moment.map(Some).ok_or_else(|| TemplateError {
            template: template.source().to_owned(),
            problem: format!("`{text}` does not have the form `{}`", self.format),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(more: Json) -> DatetimeCursor {
        let mut json = json!({
            "type": "DatetimeBasedCursor",
            "cursor_field": "updated",
            "datetime_format": "%Y-%m-%d",
            "cursor_datetime_formats": ["%Y-%m-%dT%H:%M:%SZ"],
            "start_datetime": {"type": "MinMaxDatetime", "datetime": "{{ config.start }}"},
            "end_datetime": "2024-01-31",
            "start_time_option": {"type": "RequestOption", "inject_into": "header", "field_name": "If-Modified-Since"},
        });
        for (key, value) in more.as_object().unwrap() {
            json[key] = value.clone();
        }
        DatetimeCursor::open(&Component::new(&json, "here"), &scope()).unwrap()
    }

    fn scope() -> Scope {
        Scope::new(minijinja::context! { start => "2024-01-01" })
    }

    fn slices(cursor: &DatetimeCursor, state: Json) -> Vec<Json> {
        let slices = cursor.slices(&state, &scope()).unwrap();
        slices
            .into_iter()
            .map(|slice| Json::Object(slice.interval))
            .collect()
    }

    #[test]
    fn a_state_moves_the_start() {
        let cursor = cursor(json!({"lookback_window": "P1D"}));
        assert_eq!(
            slices(&cursor, json!(null)),
            [json!({"start_time": "2024-01-01", "end_time": "2024-01-31"})]
        );
        assert_eq!(
            slices(&cursor, json!({"updated": "2024-01-20"})),
            [json!({"start_time": "2024-01-19", "end_time": "2024-01-31"})]
        );
        assert_eq!(
            slices(&cursor, json!({"updated": "2020-01-20"})),
            [json!({"start_time": "2024-01-01", "end_time": "2024-01-31"})]
        );
        assert_eq!(
            slices(
                &cursor,
                json!({"state_type": "date-range", "slices": [{"start": "2024-01-01", "end": "2024-01-10"}]})
            ),
            [json!({"start_time": "2024-01-09", "end_time": "2024-01-31"})]
        );
    }

    #[test]
    fn the_state_after_is_the_newest_record_of_the_first_stretch() {
        let cursor = cursor(json!({"step": "P10D", "cursor_granularity": "P1D"}));
        let done = |start: &str, end: &str, newest: Option<&str>| SliceDone {
            slice: Slice {
                interval: Map::from_iter([
                    ("start_time".to_owned(), start.into()),
                    ("end_time".to_owned(), end.into()),
                ]),
                ..Slice::default()
            },
            cursor: newest.map(str::to_owned),
        };
        let first = done("2024-01-01", "2024-01-10", Some("2024-01-07"));
        let second = done("2024-01-11", "2024-01-20", Some("2024-01-15"));
        let state = |done: &[SliceDone]| cursor.state_after(&json!({"other": 1}), done);
        assert_eq!(state(&[]), json!({"other": 1, "updated": "2024-01-01"}));
        assert_eq!(
            state(&[first.clone(), second.clone()]),
            json!({"other": 1, "updated": "2024-01-15"})
        );
        assert_eq!(
            state(&[second]),
            json!({"other": 1, "updated": "2024-01-01"})
        );
    }

    #[test]
    fn a_slice_starts_its_requests() {
        let cursor = cursor(json!({}));
        let slice = cursor.slices(&Json::Null, &scope()).unwrap().remove(0);
        let options = cursor.options(&slice, &scope()).unwrap();
        assert_eq!(
            options.headers["If-Modified-Since"],
            Value::from("2024-01-01")
        );
    }

    #[test]
    fn records_are_new_from_the_state_on() {
        let cursor = cursor(json!({"is_client_side_incremental": true}));
        let slice = cursor
            .slices(&json!({"updated": "2024-01-10"}), &scope())
            .unwrap()
            .remove(0);
        let end = cursor.filter_end(&scope()).unwrap();
        let is_new =
            |updated: Json| cursor.is_new(&Value::from(&json!({"updated": updated})), &slice, end);
        assert!(is_new(json!("2024-01-10")));
        assert!(is_new(json!("2024-01-11T10:00:00Z")));
        assert!(!is_new(json!("2024-01-09T23:59:59Z")));
        assert!(is_new(json!(null)));
    }
}
