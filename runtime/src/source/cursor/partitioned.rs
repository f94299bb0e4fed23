//! A DatetimeBasedCursor for each partition, with one for all where there are too many.
//!
//! Pure: which slices a partition has, and the state after slices, given what a state says.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use crate::stream::{Closing, Slice, SliceDone};

use super::super::moment::Span;
use super::super::partition::{Partition, partition_key};
use super::super::template::{Scope, TemplateError};
use super::book::Book;
use super::datetime::DatetimeCursor;
use super::progress::Progress;

/// The cursor of a stream that has partitions.
pub struct PartitionedCursor {
    pub each: DatetimeCursor,
    /// No state by partition makes sense.
    pub is_grouped: bool,
}

impl PartitionedCursor {
    /// The slices of a partition, in the order the partitions come.
    pub fn slices(
        &self,
        book: &mut Book,
        partition: &Partition,
        scope: &Scope,
    ) -> Result<Vec<Slice>, TemplateError> {
        let key = partition_key(&partition.fields);
        book.meet(&key);
        let progress = self.progress(book, &key)?;
        let since = match book.is_global {
            true => self.each.since(&self.all(book)?),
            false => self.each.since(&progress),
        };
        let slices = self.each.slices(&progress, scope)?;
        let slices: Vec<_> = slices
            .map(|slice| Slice {
                partition: partition.fields.clone(),
                extra_fields: partition.extra.clone(),
                since: since.clone(),
                size: partition.size,
                ..slice
            })
            .collect();
        let clash = |name: &&String| {
            let mut slices = slices.iter();
            slices.any(|slice| slice.interval.contains_key(*name))
        };
        match partition.fields.keys().find(clash) {
            Some(name) => Err(TemplateError {
                template: name.clone(),
                problem: "the partition and the cursor's window both have this field".to_owned(),
            }),
            None => Ok(slices),
        }
    }

    /// How far a partition is; one that is new starts where all partitions were.
    fn progress(&self, book: &Book, key: &str) -> Result<Progress, TemplateError> {
        match book.partitions.get(key).filter(|state| !state.is_null()) {
            Some(state) => self.each.progress(state),
            None => self.all(book),
        }
    }

    fn all(&self, book: &Book) -> Result<Progress, TemplateError> {
        let Some(global) = &book.global else {
            return self.each.progress(&Json::Null);
        };
        let mut value = Json::from(global.as_str());
        // The rest of a step would be read twice.
        if book.lookback != 0 && !self.each.cut.whole_steps {
            let moment = self.each.state_value(&value)?;
            let back = Span {
                months: 0,
                micros: -book.lookback.saturating_mul(1_000_000),
            };
            value = self
                .each
                .written(moment.plus(back).unwrap_or(moment))
                .into();
        }
        let state = Map::from_iter([(self.each.field.clone(), value)]);
        self.each.progress(&Json::Object(state))
    }

    /// The state once these slices are in the warehouse; a partition that is not done
    /// holds back what is said of all.
    pub fn state_after(&self, state: &Json, done: &[SliceDone]) -> Json {
        match self.counted(state, done) {
            Ok(book) => self.state(&book),
            Err(error) => {
                tracing::warn!(%error, "the state stays as it was");
                state.clone()
            }
        }
    }

    fn counted(&self, state: &Json, done: &[SliceDone]) -> Result<Book, TemplateError> {
        let mut book = self.open(state)?;
        let mut count = Count::default();
        for done in done {
            if let Some(closing) = &done.slice.closing {
                count.closing = Some((closing, &done.slice.parent_state));
                continue;
            }
            self.count(done, &mut book, &mut count)?;
        }
        if count.is_prefix && count.parents.is_some() {
            book.parents = count.parents.cloned();
        }
        if !book.is_global {
            let states = count.progress.iter();
            let states = states.map(|(key, progress)| (key.clone(), self.each.state(progress)));
            book.partitions.extend(states);
        }
        // Nothing is said of all partitions until all are done.
        if let Some((closing, parents)) = count.closing
            && count.finished == closing.slices
        {
            self.close(&mut book, &count, closing);
            book.parents = parents.clone();
        }
        Ok(book)
    }

    fn count<'d>(
        &self,
        done: &'d SliceDone,
        book: &mut Book,
        count: &mut Count<'d>,
    ) -> Result<(), TemplateError> {
        let key = partition_key(&done.slice.partition);
        // One cursor for all needs none of each.
        if !book.is_global && !count.progress.contains_key(&key) {
            book.meet(&key);
            let progress = self.progress(book, &key)?;
            count.progress.insert(key.clone(), progress);
        }
        let Some(finished) = done.finished else {
            count.is_broken = true;
            return Ok(());
        };
        count.finished += 1;
        count.until = count.until.max(finished);
        if !count.is_broken {
            count.is_prefix = true;
            count.parents = done.slice.parent_state.as_ref().or(count.parents);
        }
        if let Some(progress) = count.progress.get_mut(&key) {
            self.each.close(progress, done);
        }
        if let Some(newest) = self.each.seen(done) {
            count.greatest = count.greatest.take().max(Some(self.each.written(newest)));
        }
        Ok(())
    }

    /// Says of all partitions what the sync has seen. The reference compares the
    /// values as they are written.
    fn close(&self, book: &mut Book, count: &Count<'_>, closing: &Closing) {
        let Some(greatest) = &count.greatest else {
            return;
        };
        let mut all = book.global.take().max(Some(greatest.clone()));
        if !book.is_global {
            let marks = count.progress.values().map(|it| self.each.mark(it));
            all = marks.fold(all, Option::max);
        }
        book.global = all;
        let millis = count.until.saturating_sub(closing.began).max(1);
        book.lookback = (millis + 999) / 1000;
    }
}

/// What a list of slices adds to a state.
#[derive(Default)]
struct Count<'d> {
    progress: IndexMap<String, Progress>,
    finished: usize,
    /// The greatest cursor value, as it is written.
    greatest: Option<String>,
    /// When the last slice was finished.
    until: i64,
    /// A slice before this one is not finished.
    is_broken: bool,
    is_prefix: bool,
    /// The parents' state at the end of the unbroken beginning.
    parents: Option<&'d Json>,
    closing: Option<(&'d Closing, &'d Option<Json>)>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use serde_json::json;

    use super::super::super::component::Component;
    use super::super::book::MOST_PARTITIONS;
    use super::*;

    fn cursor() -> PartitionedCursor {
        let json = json!({
            "type": "DatetimeBasedCursor",
            "cursor_field": "at",
            "datetime_format": "%Y-%m-%d",
            "start_datetime": "2024-01-01",
            "end_datetime": "2024-01-30",
            "step": "P10D",
            "cursor_granularity": "P1D",
        });
        PartitionedCursor {
            each: DatetimeCursor::open(&Component::new(&json, "here"), &scope()).unwrap(),
            is_grouped: false,
        }
    }

    fn scope() -> Scope {
        Scope::new(minijinja::context! {})
    }

    fn partition(id: usize) -> Partition {
        Partition {
            fields: Map::from_iter([("id".to_owned(), id.into())]),
            ..Partition::default()
        }
    }

    /// The whole plan for so many partitions, its end included.
    fn plan(cursor: &PartitionedCursor, state: &Json, count: usize) -> Vec<Slice> {
        let mut book = cursor.open(state).unwrap();
        let mut slices = Vec::new();
        for id in 0..count {
            slices.extend(cursor.slices(&mut book, &partition(id), &scope()).unwrap());
        }
        let closing = Closing {
            slices: slices.len(),
            began: 0,
        };
        slices.push(Slice {
            closing: Some(closing),
            parent_state: Some(json!({"parents": "done"})),
            ..Slice::default()
        });
        slices
    }

    fn finished(slice: Slice, day: Option<&str>) -> SliceDone {
        SliceDone {
            slice,
            cursor: day.map(|day| format!("{day}T00:00:00.000000+0000")),
            finished: Some(1500),
        }
    }

    #[test]
    fn all_partitions_done_say_how_far_all_are() {
        let cursor = cursor();
        let slices = plan(&cursor, &Json::Null, 2);
        let done: Vec<_> = slices
            .into_iter()
            .enumerate()
            .map(|(index, slice)| finished(slice, (index == 1).then_some("2024-01-15")))
            .collect();
        let states = json!([
            {"partition": {"id": 0}, "cursor": {"at": "2024-01-15"}},
            {"partition": {"id": 1}, "cursor": {"at": "2024-01-01"}},
        ]);
        assert_eq!(
            cursor.state_after(&Json::Null, &done),
            json!({
                "use_global_cursor": false,
                "states": states,
                "state": {"at": "2024-01-15"},
                "lookback_window": 2,
                "parent_state": {"parents": "done"},
            })
        );
    }

    #[test]
    fn a_partition_that_is_not_done_holds_back_what_is_said_of_all() {
        let cursor = cursor();
        let before = json!({"states": [], "state": {"at": "2024-01-05"}, "lookback_window": 9, "parent_state": {"parents": "before"}});
        let mut slices = plan(&cursor, &before, 2);
        slices[3].parent_state = Some(json!({"parents": "between"}));
        let mut done: Vec<_> = slices
            .into_iter()
            .map(|slice| finished(slice, Some("2024-01-15")))
            .collect();
        done[1].finished = None;
        let after = cursor.state_after(&before, &done);
        assert_eq!(after["state"], json!({"at": "2024-01-05"}));
        assert_eq!(after["lookback_window"], json!(9));
        assert_eq!(after["parent_state"], json!({"parents": "before"}));
    }

    #[test]
    fn above_the_limit_one_cursor_is_for_all() {
        let cursor = cursor();
        let done = |count| -> Vec<_> {
            let slices = plan(&cursor, &Json::Null, count).into_iter();
            slices
                .map(|slice| finished(slice, Some("2024-01-15")))
                .collect()
        };
        let at_limit = cursor.state_after(&Json::Null, &done(MOST_PARTITIONS + 1));
        assert_eq!(at_limit["use_global_cursor"], json!(false));
        let above = cursor.state_after(&Json::Null, &done(MOST_PARTITIONS + 2));
        assert_eq!(
            above,
            json!({
                "use_global_cursor": true,
                "state": {"at": "2024-01-15"},
                "lookback_window": 2,
                "parent_state": {"parents": "done"},
            })
        );
    }

    proptest! {
        #[test]
        fn what_was_not_done_is_planned_again(
            count in 1_usize..5,
            is_done in proptest::collection::vec(any::<bool>(), 16),
        ) {
            let cursor = cursor();
            let slices = plan(&cursor, &Json::Null, count);
            let done: Vec<_> = slices
                .iter()
                .zip(is_done)
                .map(|(slice, is_done)| match is_done {
                    // A record on the last day of each window.
                    true => {
                        let last = slice.interval.get("end_time").and_then(Json::as_str);
                        finished(slice.clone(), last)
                    }
                    false => SliceDone::unfinished(slice.clone()),
                })
                .collect();
            let state = cursor.state_after(&Json::Null, &done);
            let again = plan(&cursor, &state, count);
            let is_planned = |slice: &Slice| {
                let bound = |slice: &Slice, name: &str| slice.interval[name].as_str().unwrap().to_owned();
                let same = again.iter().filter(|it| it.partition == slice.partition && it.closing.is_none());
                // Windows are read from the first that is missing on.
                let mut same = same.map(|it| bound(it, "start_time"));
                same.any(|start| start <= bound(slice, "start_time"))
            };
            for done in done.iter().filter(|done| done.finished.is_none() && done.slice.closing.is_none()) {
                prop_assert!(is_planned(&done.slice), "{:?} in {state}", done.slice);
            }
        }
    }
}
