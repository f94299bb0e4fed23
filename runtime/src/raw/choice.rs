//! Which of the kept slices a replay takes.
//!
//! Pure: what is kept and what is asked for in, slices out. A run is in a range of time if it
//! began to read in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::options::Mode;
use crate::range::Range;
use crate::state::{Plan, SliceManifest};
use crate::stream::{Slice, Way};

/// Where a slice of a replay comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub run: String,
    pub slice: usize,
    /// When that run began to read, in microseconds since 1970.
    pub extracted_at: i64,
}

/// A run of which pages are kept, and its finished slices in the plan's order.
#[derive(Debug, Clone)]
pub struct Kept {
    pub plan: Plan,
    pub finished: Vec<SliceManifest>,
}

/// Why nothing can be loaded again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "no pages of this stream are kept. With `keep_raw: true` in the client file they are, from the next run on"
    )]
    NothingKept,
    #[error(
        "no run between {from} and {to} kept pages of this stream; pages are kept of runs from {first} to {last}"
    )]
    NothingInRange {
        from: Timestamp,
        to: Timestamp,
        first: Timestamp,
        last: Timestamp,
    },
    #[error(
        "run {by} read all of this stream anew at {at}, after what was asked for: \
         to load older pages again would bring back what it replaced"
    )]
    Refreshed { by: String, at: Timestamp },
    #[error(
        "the stream is loaded with mode `overwrite`, and of no run in the range all pages are kept \
         (run {run} has those of {kept} of its {planned} slices): a part would replace the table"
    )]
    NotWhole {
        run: String,
        kept: usize,
        planned: usize,
    },
    #[error(
        "the stream is loaded with mode `overwrite`, and its table has what was read at {loaded}; \
         the newest pages in the range are of {kept}, which are older"
    )]
    Older { loaded: Timestamp, kept: Timestamp },
}

impl Kept {
    fn at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.plan.extracted_at).unwrap_or_default()
    }

    fn slices_kept(&self) -> usize {
        let kept = self.finished.iter().filter(|slice| slice.raw.is_some());
        kept.count()
    }

    /// Whether all of the plan is kept.
    fn is_complete(&self) -> bool {
        self.slices_kept() == self.plan.slices.len()
    }

    /// Whether it stands for all there was, as far as it came.
    fn reads_all(&self) -> bool {
        self.plan.range.is_none() && (self.plan.mode == Mode::Overwrite || self.plan.refresh)
    }

    /// Its slices with records, and where they come from.
    fn slices(&self) -> impl Iterator<Item = (Origin, Slice)> {
        let kept = self.finished.iter().filter(|manifest| {
            let files = manifest.raw.as_ref();
            files.is_some_and(|files| !files.is_empty())
        });
        kept.filter_map(|manifest| {
            let mut slice = self.plan.slices.get(manifest.slice)?.clone();
            // A range is read of the stream that reads by time.
            if self.plan.range.is_some() {
                slice.way = Some(Way::Incremental);
            }
            let origin = Origin {
                run: self.plan.run.clone(),
                slice: manifest.slice,
                extracted_at: self.plan.extracted_at,
            };
            Some((origin, slice))
        })
    }
}

/// The slices to load again with `mode`, oldest first; `loaded` is when that was read which
/// the table has.
pub fn chosen(
    mut kept: Vec<Kept>,
    range: &Range,
    mode: Mode,
    loaded: Option<Timestamp>,
) -> Result<Vec<(Origin, Slice)>, ReplayError> {
    kept.sort_by_key(|run| run.plan.extracted_at);
    let (Some(first), Some(last)) = (kept.first(), kept.last()) else {
        return Err(ReplayError::NothingKept);
    };
    let nothing = ReplayError::NothingInRange {
        from: range.from,
        to: range.to,
        first: first.at(),
        last: last.at(),
    };
    let in_range = |run: &&Kept| (range.from..=range.to).contains(&run.at());
    let runs: Vec<&Kept> = kept.iter().filter(in_range).collect();
    let newest = *runs.last().ok_or_else(|| nothing.clone())?;
    let slices: Vec<_> = match mode {
        Mode::Overwrite => whole(&runs, newest, loaded)?.slices().collect(),
        Mode::Append | Mode::Merge => {
            let refresh = kept
                .iter()
                .rfind(|run| run.reads_all() && run.is_complete());
            let since = refresh.map_or(i64::MIN, |run| run.plan.extracted_at);
            let valid = runs.iter().filter(|run| run.plan.extracted_at >= since);
            let slices: Vec<_> = valid.flat_map(|run| run.slices()).collect();
            match refresh {
                Some(refresh) if newest.plan.extracted_at < since => {
                    return Err(ReplayError::Refreshed {
                        by: refresh.plan.run.clone(),
                        at: refresh.at(),
                    });
                }
                _ => slices,
            }
        }
    };
    match slices.is_empty() {
        true => Err(nothing),
        false => Ok(slices),
    }
}

/// The newest run that may stand for the whole table.
fn whole<'k>(
    runs: &[&'k Kept],
    newest: &'k Kept,
    loaded: Option<Timestamp>,
) -> Result<&'k Kept, ReplayError> {
    let complete = runs
        .iter()
        .rfind(|run| run.reads_all() && run.is_complete());
    let Some(run) = complete else {
        return Err(ReplayError::NotWhole {
            run: newest.plan.run.clone(),
            kept: newest.slices_kept(),
            planned: newest.plan.slices.len(),
        });
    };
    match loaded.filter(|loaded| *loaded > run.at()) {
        Some(loaded) => Err(ReplayError::Older {
            loaded,
            kept: run.at(),
        }),
        None => Ok(run),
    }
}

/// When rows that are loaded again count as read: when they were, moved on by a millionth of
/// the time since. So they win over the rows they were loaded as before, and over those of
/// an earlier replay, and lose to what the source said later.
pub fn stamp(extracted_at: i64, now: i64) -> i64 {
    extracted_at + ((now - extracted_at) / 1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::RawFile;
    use crate::stream::SliceDone;
    use proptest::prelude::*;

    const DAY: i64 = 24 * 3600 * 1_000_000;

    /// A run of the nth day with `planned` slices, of which the first `kept` are kept.
    fn run(day: i64, planned: usize, kept: usize, mode: Mode) -> Kept {
        let manifest = |slice| SliceManifest {
            slice,
            done: SliceDone::unfinished(Slice::default()),
            rows: 1,
            pages: 1,
            parts: Vec::new(),
            touched: None,
            raw: Some(vec![RawFile {
                name: format!("{day}-{slice}"),
                replies: 1,
                bytes: 1,
                generation: 1,
            }]),
        };
        Kept {
            plan: Plan {
                run: format!("r{day}"),
                mode,
                extracted_at: day * DAY,
                state: serde_json::Value::Null,
                replaces: 0,
                refresh: false,
                range: None,
                replay: Vec::new(),
                slices: vec![Slice::default(); planned],
            },
            finished: (0..kept).map(manifest).collect(),
        }
    }

    fn refresh(day: i64) -> Kept {
        let mut run = run(day, 1, 1, Mode::Merge);
        run.plan.refresh = true;
        run
    }

    fn day(number: i64) -> Timestamp {
        Timestamp::from_microsecond(number * DAY).unwrap()
    }

    fn taken(kept: Vec<Kept>, days: (i64, i64), mode: Mode) -> Result<Vec<String>, String> {
        let range = Range {
            from: day(days.0),
            to: day(days.1),
        };
        let chosen = chosen(kept, &range, mode, Some(day(9)));
        let name = |(origin, _): (Origin, Slice)| format!("{} {}", origin.run, origin.slice);
        chosen
            .map(|slices| slices.into_iter().map(name).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn rows_are_added_from_every_run_in_the_range_oldest_first() {
        let runs = || {
            vec![
                run(3, 2, 1, Mode::Append),
                run(1, 1, 1, Mode::Append),
                run(2, 1, 1, Mode::Append),
            ]
        };
        assert_eq!(
            taken(runs(), (1, 2), Mode::Append).unwrap(),
            ["r1 0", "r2 0"]
        );
        assert_eq!(
            taken(runs(), (2, 9), Mode::Merge).unwrap(),
            ["r2 0", "r3 0"]
        );
    }

    #[test]
    fn a_table_is_replaced_by_the_newest_whole_run_alone() {
        let mode = Mode::Overwrite;
        let runs = vec![run(8, 2, 2, mode), run(9, 2, 2, mode), run(10, 2, 1, mode)];
        assert_eq!(taken(runs, (1, 20), mode).unwrap(), ["r9 0", "r9 1"]);
        insta::assert_snapshot!(taken(vec![run(10, 2, 1, mode)], (1, 20), mode).unwrap_err(), @"the stream is loaded with mode `overwrite`, and of no run in the range all pages are kept (run r10 has those of 1 of its 2 slices): a part would replace the table");
        insta::assert_snapshot!(taken(vec![run(8, 2, 2, mode)], (1, 20), mode).unwrap_err(), @"the stream is loaded with mode `overwrite`, and its table has what was read at 1970-01-10T00:00:00Z; the newest pages in the range are of 1970-01-09T00:00:00Z, which are older");
    }

    #[test]
    fn what_a_refresh_replaced_does_not_come_back() {
        let runs = || {
            vec![
                run(1, 1, 1, Mode::Merge),
                refresh(2),
                run(3, 1, 1, Mode::Merge),
            ]
        };
        assert_eq!(
            taken(runs(), (1, 9), Mode::Merge).unwrap(),
            ["r2 0", "r3 0"]
        );
        insta::assert_snapshot!(taken(runs(), (1, 1), Mode::Merge).unwrap_err(), @"run r2 read all of this stream anew at 1970-01-03T00:00:00Z, after what was asked for: to load older pages again would bring back what it replaced");
    }

    #[test]
    fn where_nothing_is_kept_what_is_is_said() {
        let mode = Mode::Merge;
        insta::assert_snapshot!(taken(Vec::new(), (1, 2), mode).unwrap_err(), @"no pages of this stream are kept. With `keep_raw: true` in the client file they are, from the next run on");
        insta::assert_snapshot!(taken(vec![run(5, 1, 1, mode)], (1, 2), mode).unwrap_err(), @"no run between 1970-01-02T00:00:00Z and 1970-01-03T00:00:00Z kept pages of this stream; pages are kept of runs from 1970-01-06T00:00:00Z to 1970-01-06T00:00:00Z");
    }

    proptest! {
        /// Of two readings and a replay of the first: over the first, under the second.
        #[test]
        fn a_replay_lies_between_what_it_replays_and_what_came_later(
            first in 0..DAY, gap in 60_000_000..DAY, later in 0..300 * DAY, again in 1_000_000..DAY,
        ) {
            let second = first + gap;
            let now = second + later.min(gap.saturating_mul(900_000));
            let replayed = stamp(first, now);
            prop_assert!(first < replayed && replayed < second);
            prop_assert!(stamp(first, now + again) > replayed);
            prop_assert!(stamp(first, now) < stamp(second, now));
        }
    }
}
