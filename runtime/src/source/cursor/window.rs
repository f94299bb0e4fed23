//! Less of a slice than was planned: its rest after a record, or its halves.

use crate::stream::Slice;
use crate::value::Value;

use super::super::moment::{Moment, Span};
use super::datetime::DatetimeCursor;

impl DatetimeCursor {
    /// The slice from a cursor value on.
    pub fn rest(&self, slice: &Slice, newest: Moment) -> Slice {
        let mut rest = slice.clone();
        let start = self.written(newest).into();
        rest.interval.insert(self.start_field.clone(), start);
        rest
    }

    /// The slice in two, neither below the granularity; `None` where it cannot be
    /// cut, or is no longer than `least`.
    pub fn halves(&self, slice: &Slice, least: Option<Span>) -> Option<[Slice; 2]> {
        let granularity = self.cut.granularity?.micros;
        let moment = |field: &str| self.moment(&Value::from(slice.interval.get(field)?));
        let (start, end) = (moment(&self.start_field)?, moment(&self.end_field)?);
        let span = end.at.as_microsecond() - start.at.as_microsecond();
        if granularity <= 0 || span <= 0 || least.is_some_and(|least| span <= least.micros) {
            return None;
        }
        let half = (span / granularity + 1) / 2;
        if half < 1 {
            return None;
        }
        let after = |units: i64| {
            let micros = units * granularity;
            start.plus(Span { months: 0, micros })
        };
        let (first_end, second_start) = (after(half - 1)?, after(half)?);
        if second_start > end {
            return None;
        }
        let mut first = slice.clone();
        let first_end = self.written(first_end).into();
        first.interval.insert(self.end_field.clone(), first_end);
        Some([first, self.rest(slice, second_start)])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::source::component::Component;
    use crate::source::template::Scope;

    fn cursor() -> DatetimeCursor {
        let json = json!({"type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%d",
            "start_datetime": "2024-01-01", "step": "P30D", "cursor_granularity": "P1D"});
        let scope = Scope::new(minijinja::context! {});
        DatetimeCursor::open(&Component::new(&json, "here"), &scope).unwrap()
    }

    fn slice(start: &str, end: &str) -> Slice {
        let interval = json!({"start_time": start, "end_time": end});
        Slice {
            interval: Map::from_iter(interval.as_object().unwrap().clone()),
            ..Slice::default()
        }
    }

    #[test]
    fn a_slice_is_halved_down_to_a_day() {
        let halves = |start, end| cursor().halves(&slice(start, end), None);
        assert_eq!(
            halves("2024-01-01", "2024-01-10"),
            Some([
                slice("2024-01-01", "2024-01-05"),
                slice("2024-01-06", "2024-01-10")
            ])
        );
        assert_eq!(
            halves("2024-01-01", "2024-01-02"),
            Some([
                slice("2024-01-01", "2024-01-01"),
                slice("2024-01-02", "2024-01-02")
            ])
        );
        assert_eq!(halves("2024-01-01", "2024-01-01"), None);
        let week = Span::parse("P7D");
        assert_eq!(
            cursor().halves(&slice("2024-01-01", "2024-01-08"), week),
            None
        );
    }

    #[test]
    fn the_rest_of_a_slice_begins_at_the_newest_record() {
        let newest = cursor()
            .value(&Value::from(&json!({"at": "2024-01-04"})))
            .unwrap();
        assert_eq!(
            cursor().rest(&slice("2024-01-01", "2024-01-10"), newest),
            slice("2024-01-04", "2024-01-10")
        );
    }
}
