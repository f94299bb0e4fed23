//! DatetimeBasedCursor: slices from a stream's state, request options from a slice,
//! and the state after slices are done.

use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SourceError};
use crate::value::Value;

use super::super::component::Component;
use super::super::moment::{Moment, Span};
use super::super::python;
use super::super::request::{Options, RequestOption};
use super::super::strptime;
use super::super::template::{Scope, TemplateError};
use super::boundary::Boundary;
use super::clamp::Clamp;
use super::intervals::{Cut, merge};
use super::progress::Progress;
use super::settings::cut;

/// How moments are kept between planning and reading: nothing is lost.
const EXACT: &str = "%Y-%m-%dT%H:%M:%S.%f%z";

pub struct DatetimeCursor {
    pub field: String,
    pub format: String,
    input_formats: Vec<String>,
    pub cut: Cut,
    end: Option<Boundary>,
    pub start_field: String,
    pub end_field: String,
    start_option: Option<RequestOption>,
    end_option: Option<RequestOption>,
    /// The source sends newest first; paging ends at the first old record.
    pub is_data_feed: bool,
    /// The source cannot filter; old records are dropped here.
    pub is_client_side: bool,
    /// The state of all partitions is one.
    pub is_global: bool,
}

impl DatetimeCursor {
    pub fn open(component: &Component<'_>, scope: &Scope) -> Result<DatetimeCursor, SourceError> {
        if component.kind() != "DatetimeBasedCursor" {
            return Err(component.unknown("DatetimeBasedCursor or IncrementingCountCursor"));
        }
        let text = |name: &str, default: &str| {
            let text = component.template_or(name, default)?.text(scope);
            text.map_err(|error| component.error(error.to_string()))
        };
        component.need("cursor_field")?;
        let format = component
            .text("datetime_format")
            .ok_or_else(|| component.error("DatetimeBasedCursor needs `datetime_format`"))?;
        let option = |name: &str| match component.child(name) {
            Some(option) => RequestOption::open(&option).map(Some),
            None => Ok(None),
        };
        let mut input_formats: Vec<String> = strings(component.field("cursor_datetime_formats"));
        input_formats.push(format.to_owned());
        Ok(DatetimeCursor {
            field: text("cursor_field", "")?,
            format: format.to_owned(),
            input_formats,
            cut: cut(component, format, scope)?,
            end: Boundary::open(component, "end_datetime", format)?,
            start_field: text("partition_field_start", "start_time")?,
            end_field: text("partition_field_end", "end_time")?,
            start_option: option("start_time_option")?,
            end_option: option("end_time_option")?,
            is_data_feed: component.flag("is_data_feed"),
            is_client_side: component.flag("is_client_side_incremental"),
            is_global: component.flag("global_substream_cursor"),
        })
    }

    /// The windows to read next.
    pub fn slices<'c>(
        &'c self,
        progress: &Progress,
        scope: &Scope,
    ) -> Result<impl Iterator<Item = Slice> + Send + use<'c>, TemplateError> {
        if progress.done.is_empty() {
            return Err(TemplateError {
                template: self.field.clone(),
                problem: "the state has no `slices`".to_owned(),
            });
        }
        let since = self.since(progress);
        let done = merge(progress.done.clone(), self.touching());
        let slices = self.cut.slices(&done, self.end(scope)?);
        Ok(slices.into_iter().map(move |(from, to)| Slice {
            interval: Map::from_iter([
                (self.start_field.clone(), self.written(from).into()),
                (self.end_field.clone(), self.written(to).into()),
            ]),
            since: since.clone(),
            ..Slice::default()
        }))
    }

    /// The oldest value that counts as new, for cursors that filter here.
    pub fn since(&self, progress: &Progress) -> Option<String> {
        let filters = self.is_client_side || self.is_data_feed;
        filters.then(|| exact(self.cut.lowest(progress.start)))
    }

    /// Where time ends: at the manifest's end, else now, at the end of a whole period if clamped.
    fn end(&self, scope: &Scope) -> Result<Moment, TemplateError> {
        let end = match &self.end {
            Some(end) => end.at(scope)?,
            None => Moment::now(),
        };
        let clamp = self.cut.clamp;
        if clamp == Clamp::None {
            return Ok(end);
        }
        let granularity = self.cut.granularity.unwrap_or(clamp.granularity());
        let end = clamp.down(end);
        Ok(end.plus(-granularity).unwrap_or(end))
    }

    /// The form of the state and of requests.
    pub fn written(&self, moment: Moment) -> String {
        strptime::format(moment, &self.format)
    }

    pub fn touching(&self) -> Span {
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
            value => self.moment(value),
        }
    }

    pub fn moment(&self, value: &Value) -> Option<Moment> {
        let mut formats = self.input_formats.iter();
        formats.find_map(|format| strptime::parse(&digits(value, format), format))
    }

    /// The newer of a cursor value seen so far and a record's.
    pub fn newest(&self, so_far: Option<Moment>, record: &Value) -> Option<Moment> {
        so_far.max(self.value(record))
    }

    /// A slice in two, as equal as the granularity allows; `None` where it cannot be cut.
    pub fn halves(&self, slice: &Slice, least: Option<Span>) -> Option<[Slice; 2]> {
        let unit = self.cut.granularity?;
        let boundary = |field: &String| self.moment(&Value::from(slice.interval.get(field)?));
        let (start, end) = (boundary(&self.start_field)?, boundary(&self.end_field)?);
        let length = end.at.as_microsecond() - start.at.as_microsecond();
        if unit.months != 0 || length <= 0 || least.is_some_and(|least| length <= least.micros) {
            return None;
        }
        let half = (length / unit.micros + 1) / 2;
        let after = |micros| start.plus(Span { months: 0, micros });
        let middle = after((half - 1) * unit.micros)?;
        let next = after(half * unit.micros)?;
        if half == 0 || next > end {
            return None;
        }
        let part = |from, to| {
            let mut part = slice.clone();
            let (from, to) = (self.written(from).into(), self.written(to).into());
            part.interval.insert(self.start_field.clone(), from);
            part.interval.insert(self.end_field.clone(), to);
            part
        };
        Some([part(start, middle), part(next, end)])
    }

    /// A filter for a slice's records, for streams that filter here.
    pub fn filter<'s>(
        &'s self,
        slice: &'s Slice,
        scope: &Scope,
    ) -> Result<impl Fn(&Value) -> bool + Copy + Send + Sync + 's, TemplateError> {
        let since = slice.since.as_deref().and_then(read_exact);
        // A clock goes on while the slice is read; a template's date is not evaluated for each record.
        let fixed = self.end.is_some() || self.cut.clamp != Clamp::None;
        let end = self.end(scope)?;
        Ok(move |record: &Value| {
            let Some(value) = self.value(record) else {
                return true;
            };
            since.is_none_or(|since| since <= value)
                && (value <= end || (!fixed && value <= Moment::now()))
        })
    }
}

/// A moment as it is kept between planning and reading.
pub fn exact(moment: Moment) -> String {
    strptime::format(moment, EXACT)
}

pub fn read_exact(text: &str) -> Option<Moment> {
    strptime::parse(text, EXACT)
}

/// A value as text; a fraction is cut off where the format counts whole units.
fn digits(value: &Value, format: &str) -> String {
    let text = python::text(value);
    let whole = matches!(format, "%s" | "%ms" | "%epoch_microseconds");
    match (value, text.split_once('.')) {
        (Value::Number(_), Some((whole_part, _))) if whole => whole_part.to_owned(),
        _ => text,
    }
}

fn strings(json: Option<&Json>) -> Vec<String> {
    let list = json.and_then(Json::as_array).into_iter().flatten();
    list.filter_map(Json::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stream::SliceDone;

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
        let progress = cursor.progress(&state).unwrap();
        let slices = cursor.slices(&progress, &scope()).unwrap();
        slices.map(|slice| Json::Object(slice.interval)).collect()
    }

    fn first_slice(cursor: &DatetimeCursor, state: Json) -> Slice {
        let progress = cursor.progress(&state).unwrap();
        cursor.slices(&progress, &scope()).unwrap().next().unwrap()
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
        let done = |start: &str, end: &str, newest: Option<&str>| {
            let slice = Slice {
                interval: Map::from_iter([
                    ("start_time".to_owned(), start.into()),
                    ("end_time".to_owned(), end.into()),
                ]),
                ..Slice::default()
            };
            SliceDone::now(
                slice,
                newest.map(|day| format!("{day}T00:00:00.000000+0000")),
            )
        };
        let first = done("2024-01-01", "2024-01-10", Some("2024-01-07"));
        let second = done("2024-01-11", "2024-01-20", Some("2024-01-15"));
        let state = |done: &[SliceDone]| cursor.state_after(&json!({"other": 1}), done);
        assert_eq!(state(&[]), json!({"other": 1, "updated": "2024-01-01"}));
        assert_eq!(
            state(&[first.clone(), second.clone()]),
            json!({"other": 1, "updated": "2024-01-15"})
        );
        let both = cursor.condensed(&[first, second.clone()]);
        assert_eq!(both.len(), 1);
        assert_eq!(state(&both), json!({"other": 1, "updated": "2024-01-15"}));
        assert_eq!(
            state(&cursor.condensed(std::slice::from_ref(&second))),
            state(std::slice::from_ref(&second))
        );
        assert_eq!(
            state(&[second]),
            json!({"other": 1, "updated": "2024-01-01"})
        );
    }

    #[test]
    fn a_window_is_halved_down_to_one_unit() {
        let cursor = cursor(json!({"step": "P10D", "cursor_granularity": "P1D"}));
        let halves = |start: &str, end: &str, least: Option<&str>| {
            let interval = Map::from_iter([
                ("start_time".to_owned(), start.into()),
                ("end_time".to_owned(), end.into()),
            ]);
            let slice = Slice {
                interval,
                ..Slice::default()
            };
            let halves = cursor.halves(&slice, least.and_then(Span::parse));
            halves.map(|halves| halves.map(|half| Json::Object(half.interval)))
        };
        assert_eq!(
            halves("2024-01-01", "2024-01-05", None),
            Some([
                json!({"start_time": "2024-01-01", "end_time": "2024-01-02"}),
                json!({"start_time": "2024-01-03", "end_time": "2024-01-05"}),
            ])
        );
        assert!(halves("2024-01-01", "2024-01-02", None).is_some());
        assert_eq!(halves("2024-01-01", "2024-01-01", None), None);
        assert_eq!(halves("2024-01-01", "2024-01-05", Some("P4D")), None);
    }

    #[test]
    fn a_slice_starts_its_requests() {
        let cursor = cursor(json!({}));
        let slice = first_slice(&cursor, Json::Null);
        let options = cursor.options(&slice, &scope()).unwrap();
        assert_eq!(
            options.headers["If-Modified-Since"],
            Value::from("2024-01-01")
        );
    }

    #[test]
    fn records_are_new_from_the_state_on() {
        let cursor = cursor(json!({"is_client_side_incremental": true}));
        let slice = first_slice(&cursor, json!({"updated": "2024-01-10"}));
        let filter = cursor.filter(&slice, &scope()).unwrap();
        let is_new = |updated: Json| filter(&Value::from(&json!({"updated": updated})));
        assert!(is_new(json!("2024-01-10")));
        assert!(is_new(json!("2024-01-11T10:00:00Z")));
        assert!(!is_new(json!("2024-01-09T23:59:59Z")));
        assert!(is_new(json!(null)));
    }
}
