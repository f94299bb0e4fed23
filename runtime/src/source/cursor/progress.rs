//! How far a stream or a partition is: read off a state, moved by slices, and written back.

use serde_json::{Map, Value as Json};

use crate::stream::{Slice, SliceDone};
use crate::value::Value;

use super::super::moment::Moment;
use super::super::python;
use super::super::template::TemplateError;
use super::datetime::{DatetimeCursor, exact, read_exact};
use super::intervals::{Interval, merge};

/// How far a stream or one of its partitions is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Where new records start.
    pub start: Moment,
    pub done: Vec<Interval>,
    /// What the state holds besides the cursor.
    legacy: Map<String, Json>,
}

impl DatetimeCursor {
    /// How far a state says this is.
    pub fn progress(&self, state: &Json) -> Result<Progress, TemplateError> {
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
        Ok(Progress {
            start,
            done: vec![done],
            legacy: state.as_object().cloned().unwrap_or_default(),
        })
    }

    /// How far a state says this is, if it says so and that can be read.
    pub fn reached(&self, state: &Json) -> Option<Moment> {
        let value = match is_range(state) {
            true => {
                let first = state.pointer("/slices/0")?;
                let newest = first.get("most_recent_cursor_value");
                newest.filter(|it| !it.is_null()).or(first.get("end"))?
            }
            false => state.get(&self.field)?,
        };
        self.moment(&Value::from(value))
    }

    fn ranges(&self, state: &Json) -> Result<Progress, TemplateError> {
        let slices = state["slices"].as_array().into_iter().flatten();
        let mut done = Vec::new();
        for slice in slices {
            let newest = &slice["most_recent_cursor_value"];
            done.push(Interval {
                start: self.state_value(&slice["start"])?,
                end: self.state_value(&slice["end"])?,
                newest: match newest.is_null() {
                    true => None,
                    false => Some(self.state_value(newest)?),
                },
            });
        }
        let first = done.first().map(|first| first.newest.unwrap_or(first.end));
        let legacy = state.get("legacy").and_then(Json::as_object);
        Ok(Progress {
            start: first.unwrap_or(self.cut.start),
            done,
            legacy: legacy.cloned().unwrap_or_default(),
        })
    }

    /// A state's value, which has one of the cursor's forms.
    pub fn state_value(&self, value: &Json) -> Result<Moment, TemplateError> {
        let value = Value::from(value);
        self.moment(&value).ok_or_else(|| TemplateError {
            template: self.format.clone(),
            problem: format!(
                "the state's `{}` is `{}`, which has another form",
                self.field,
                python::text(&value)
            ),
        })
    }

    /// Adds a slice that was read to its end.
    pub fn close(&self, progress: &mut Progress, done: &SliceDone) {
        let boundary = |field: &String| self.moment(&Value::from(done.slice.interval.get(field)?));
        let both = boundary(&self.start_field).zip(boundary(&self.end_field));
        progress.done.extend(both.map(|(start, end)| Interval {
            start,
            end,
            newest: self.seen(done),
        }));
    }

    /// The newest record of a slice.
    ///
    /// Where steps are whole, the end of the slice is as far as it goes, records or none.
    pub fn seen(&self, done: &SliceDone) -> Option<Moment> {
        if self.cut.whole_steps {
            return self.moment(&Value::from(done.slice.interval.get(&self.end_field)?));
        }
        done.cursor.as_deref().and_then(read_exact)
    }

    /// How far this is, in the form the state keeps; `None` where nothing was ever read.
    pub fn mark(&self, progress: &Progress) -> Option<String> {
        let merged = merge(progress.done.clone(), self.touching());
        let first = merged.first()?;
        Some(self.written(first.newest.unwrap_or(first.start)))
    }

    pub fn state(&self, progress: &Progress) -> Json {
        let mut state = progress.legacy.clone();
        if let Some(mark) = self.mark(progress) {
            state.insert(self.field.clone(), mark.into());
        }
        Json::Object(state)
    }

    /// Fewer slices that say the same to `state_after`: those that touch are one.
    pub fn condensed(&self, done: &[SliceDone]) -> Vec<SliceDone> {
        let mut read = Progress {
            start: self.cut.start,
            done: Vec::new(),
            legacy: Map::new(),
        };
        for done in done.iter().filter(|done| done.finished.is_some()) {
            self.close(&mut read, done);
        }
        let merged = merge(read.done, self.touching()).into_iter();
        merged
            .map(|interval| self.read_to_its_end(interval))
            .collect()
    }

    fn read_to_its_end(&self, interval: Interval) -> SliceDone {
        let slice = Slice {
            interval: Map::from_iter([
                (
                    self.start_field.clone(),
                    self.written(interval.start).into(),
                ),
                (self.end_field.clone(), self.written(interval.end).into()),
            ]),
            ..Slice::default()
        };
        SliceDone::now(slice, interval.newest.map(exact))
    }

    /// The state once these slices are in the warehouse.
    pub fn state_after(&self, state: &Json, done: &[SliceDone]) -> Json {
        let Ok(mut progress) = self.progress(state) else {
            return state.clone();
        };
        // Ranges that hold none cannot be read, so nothing was read after them.
        if progress.done.is_empty() {
            return state.clone();
        }
        for done in done.iter().filter(|done| done.finished.is_some()) {
            self.close(&mut progress, done);
        }
        self.state(&progress)
    }
}

fn is_range(state: &Json) -> bool {
    let kind = state.get("state_type").and_then(Json::as_str);
    matches!(kind, Some("date-range" | "integer"))
}
