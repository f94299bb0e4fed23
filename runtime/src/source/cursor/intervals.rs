//! Which stretches of time are read, and which come next: the arithmetic of the
//! reference's concurrent cursor, without its streams and without a clock.

use super::super::moment::{Moment, Span};
use super::clamp::Clamp;

/// A stretch that is in the warehouse, and the newest record seen in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub start: Moment,
    pub end: Moment,
    pub newest: Option<Moment>,
}

/// How a stream's time is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    pub start: Moment,
    pub lookback: Option<Span>,
    pub step: Option<Span>,
    pub granularity: Option<Span>,
    pub clamp: Clamp,
    /// An empty stretch at the end is left out.
    pub strictly: bool,
    /// A step that is done is never read again, and every slice begins with a step from the start.
    pub whole_steps: bool,
}

/// Joins stretches that touch; `granularity` is the distance that still touches.
pub fn merge(mut intervals: Vec<Interval>, granularity: Span) -> Vec<Interval> {
    intervals.sort_by_key(|interval| (interval.start, interval.end));
    let mut merged: Vec<Interval> = Vec::new();
    for interval in intervals {
        match merged.last_mut() {
            Some(last) if touches(last.end, granularity, interval.start) => {
                last.end = last.end.max(interval.end);
                last.newest = last.newest.max(interval.newest);
            }
            _ => merged.push(interval),
        }
    }
    merged
}

fn touches(end: Moment, granularity: Span, start: Moment) -> bool {
    end.plus(granularity).is_none_or(|reach| reach >= start)
}

impl Cut {
    /// The stretches to read, given what is read already (merged) and where time ends.
    pub fn slices(&self, done: &[Interval], end: Moment) -> Vec<(Moment, Moment)> {
        let mut slices = Vec::new();
        let (Some(first), Some(last)) = (done.first(), done.last()) else {
            return slices;
        };
        let gap = |to| Stretch {
            to,
            is_last: false,
            end,
        };
        if self.start < first.start {
            self.split(self.start, gap(first.start), &mut slices);
        }
        for pair in done.windows(2) {
            let lower = match self.granularity {
                Some(granularity) => pair[0].end.plus(granularity).unwrap_or(pair[0].end),
                None => pair[0].end,
            };
            self.split(lower, gap(pair[1].start), &mut slices);
        }
        let last_stretch = Stretch {
            to: end,
            is_last: true,
            end,
        };
        self.split(self.next_after(last.end), last_stretch, &mut slices);
        slices
    }

    /// Where to go on after what is done.
    fn next_after(&self, end: Moment) -> Moment {
        match (self.whole_steps, self.granularity) {
            (true, Some(granularity)) => self.step_with(end.plus(granularity).unwrap_or(end)),
            _ => self.back(end),
        }
    }

    /// The beginning of the step a moment is in.
    fn step_with(&self, moment: Moment) -> Moment {
        let length = self.step.map_or(0, |step| step.micros);
        let since = moment.at.as_microsecond() - self.start.at.as_microsecond();
        match length {
            0 => moment,
            length => {
                let micros = since.rem_euclid(length);
                let back = Span {
                    months: 0,
                    micros: -micros,
                };
                moment.plus(back).unwrap_or(moment)
            }
        }
    }

    fn back(&self, moment: Moment) -> Moment {
        match self.lookback {
            Some(lookback) => moment.plus(-lookback).unwrap_or(moment),
            None => moment,
        }
    }

    /// The oldest cursor value that counts as new.
    pub fn lowest(&self, start: Moment) -> Moment {
        match self.lookback {
            None => start,
            Some(_) => self.back(start).max(start.min(self.start)),
        }
    }

    fn split(&self, lower: Moment, stretch: Stretch, slices: &mut Vec<(Moment, Moment)>) {
        let Stretch { to, is_last, end } = stretch;
        let empty = lower == to && self.granularity.is_none();
        if lower > to || empty || to < self.start {
            return;
        }
        let lower = self.clamp.up(lower.max(self.start));
        if lower > to || (lower == to && (self.strictly || !is_last)) {
            return;
        }
        if self.step_from(lower, end) >= to {
            slices.push((lower, self.whole(stretch)));
            return;
        }
        let mut from = lower;
        loop {
            let upper = self.step_from(from, end).min(to);
            let clamped = if upper == to {
                to
            } else {
                self.clamp.up(upper)
            };
            let reached = upper >= to || clamped == to;
            from = self.clamp.up(from);
            if from >= clamped {
                return;
            }
            let inclusive = is_last && reached;
            let until = if inclusive {
                clamped
            } else {
                self.before(clamped)
            };
            slices.push((from, until));
            if reached {
                return;
            }
            from = clamped;
        }
    }

    /// The end of a stretch that is not cut.
    fn whole(&self, stretch: Stretch) -> Moment {
        match (stretch.is_last, self.granularity) {
            // With a granularity the end is the last unit to read.
            (true, Some(_)) => stretch.to,
            (true, None) => self.clamp.up(stretch.to),
            (false, _) => self.before(self.clamp.up(stretch.to)),
        }
    }

    /// A step too long for the calendar goes to where time ends.
    fn step_from(&self, from: Moment, end: Moment) -> Moment {
        self.step.and_then(|step| from.plus(step)).unwrap_or(end)
    }

    /// The last moment before `end`.
    fn before(&self, end: Moment) -> Moment {
        match self.granularity {
            Some(granularity) => end.plus(-granularity).unwrap_or(end),
            None => end,
        }
    }
}

/// Where a stretch to cut ends, and where all time does.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    to: Moment,
    is_last: bool,
    end: Moment,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Moment {
        super::super::super::isoparse::parse(text).unwrap()
    }

    fn cut(step: Option<&str>) -> Cut {
        Cut {
            start: at("2024-01-01"),
            lookback: None,
            step: step.map(|step| Span::parse(step).unwrap()),
            granularity: step.map(|_| Span::parse("P1D").unwrap()),
            clamp: Clamp::None,
            strictly: false,
            whole_steps: false,
        }
    }

    fn shown(slices: &[(Moment, Moment)]) -> Vec<String> {
        let day = |moment| super::super::super::strptime::format(moment, "%m-%d");
        let slices = slices.iter();
        slices
            .map(|(from, to)| format!("{}..{}", day(*from), day(*to)))
            .collect()
    }

    fn done(start: &str, end: &str) -> Interval {
        Interval {
            start: at(start),
            end: at(end),
            newest: None,
        }
    }

    #[test]
    fn time_is_cut_into_steps_that_do_not_overlap() {
        let slices =
            cut(Some("P10D")).slices(&[done("2024-01-01", "2024-01-01")], at("2024-01-25"));
        assert_eq!(
            shown(&slices),
            ["01-01..01-10", "01-11..01-20", "01-21..01-25"]
        );
    }

    #[test]
    fn without_a_step_there_is_one_slice_from_the_state_less_the_lookback() {
        let mut cut = cut(None);
        cut.lookback = Span::parse("P2D");
        let slices = cut.slices(&[done("2024-01-01", "2024-01-10")], at("2024-01-25"));
        assert_eq!(shown(&slices), ["01-08..01-25"]);
        let slices = cut.slices(&[done("2024-01-01", "2024-01-02")], at("2024-01-25"));
        assert_eq!(shown(&slices), ["01-01..01-25"]);
    }

    #[test]
    fn gaps_between_finished_slices_are_read_again() {
        let slices = cut(Some("P10D")).slices(
            &[
                done("2024-01-01", "2024-01-05"),
                done("2024-01-10", "2024-01-20"),
            ],
            at("2024-01-25"),
        );
        assert_eq!(shown(&slices), ["01-06..01-09", "01-20..01-25"]);
    }

    #[test]
    fn whole_steps_are_read_once_and_begin_where_they_would_from_the_start() {
        let mut cut = cut(Some("P7D"));
        cut.whole_steps = true;
        let after = |end: &str| shown(&cut.slices(&[done("2024-01-01", end)], at("2024-01-21")));
        let all = ["01-01..01-07", "01-08..01-14", "01-15..01-21"];
        assert_eq!(after("2024-01-01"), all);
        assert_eq!(after("2024-01-07"), all[1..]);
        assert_eq!(after("2024-01-09"), all[1..]);
        assert!(after("2024-01-21").is_empty());
    }

    proptest! {
        #[test]
        fn slices_cover_every_day_once(days in 0_i64..400, step in 1_i64..50) {
            let day = |number: i64| at("2024-01-01").plus(Span { months: 0, micros: number * 86_400_000_000 }).unwrap();
            let cut = cut(Some(&format!("P{step}D")));
            let slices = cut.slices(&[done("2024-01-01", "2024-01-01")], day(days));
            let mut next = day(0);
            for (from, to) in &slices {
                prop_assert_eq!(*from, next);
                prop_assert!(to >= from);
                next = to.plus(Span { months: 0, micros: 86_400_000_000 }).unwrap();
            }
            prop_assert_eq!(next, day(days + 1));
            // All of it done: one stretch again.
            let all = slices.iter().map(|(start, end)| Interval { start: *start, end: *end, newest: None });
            let merged = merge(all.collect(), Span { months: 0, micros: 86_400_000_000 });
            prop_assert_eq!(merged.len(), 1);
        }

        #[test]
        fn what_is_done_is_not_read_again_and_nothing_is_left_out(
            days in 1_i64..200,
            step in 1_i64..30,
            finished in proptest::collection::vec(any::<bool>(), 200),
        ) {
            const DAY: Span = Span { months: 0, micros: 86_400_000_000 };
            let day = |number: i64| at("2024-01-01").plus(Span { months: 0, micros: number * DAY.micros }).unwrap();
            let number = |moment: Moment| (moment.at.as_second() - at("2024-01-01").at.as_second()) / 86_400;
            let cut = cut(Some(&format!("P{step}D")));
            let first = cut.slices(&[done("2024-01-01", "2024-01-01")], day(days));
            let kept = first.iter().zip(&finished).filter(|(_, finished)| **finished);
            let mut state = vec![done("2024-01-01", "2024-01-01")];
            state.extend(kept.map(|((start, end), _)| Interval { start: *start, end: *end, newest: None }));
            let state = merge(state, DAY);
            let mut times_read = vec![0; days as usize + 1];
            for (from, to) in cut.slices(&state, day(days)) {
                (number(from)..=number(to)).for_each(|day| times_read[day as usize] += 1);
            }
            // The last unit that is done is read once more, as more may have come in it.
            let last = number(state.last().unwrap().end);
            for (number, times) in times_read.into_iter().enumerate() {
                let is_done = state.iter().any(|it| it.start <= day(number as i64) && day(number as i64) <= it.end);
                let wanted = !is_done || number as i64 == last;
                prop_assert_eq!(times, i32::from(wanted), "day {}", number);
            }
        }
    }
}
