//! The partitions that rows fall into, as few spans of time.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::options::Granularity;
use crate::schema::Kind;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// More spans than that are joined: a statement has to stay short.
const MOST_SPANS: usize = 50;

/// Times that rows have in one column, rounded to whole partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// From the one up to before the other, in microseconds since 1970; in order, apart.
    pub spans: Vec<(i64, i64)>,
    /// Whether a row has none.
    pub null: bool,
}

impl Touched {
    /// Adds the rows of a column; one that has no times says nothing.
    pub fn add(&mut self, column: &dyn Array, granularity: Granularity) {
        match column.data_type() {
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>().iter().flatten();
                self.add_times(days.map(|day| i64::from(day) * DAY), granularity);
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times = column.as_primitive::<TimestampMicrosecondType>().iter();
                self.add_times(times.flatten(), granularity);
            }
            _ => return,
        }
        self.null |= column.null_count() > 0;
    }

    fn add_times(&mut self, times: impl Iterator<Item = i64>, granularity: Granularity) {
        let mut last = (0, 0);
        for time in times {
            if time < last.0 || time >= last.1 {
                last = partition(time, granularity);
                self.spans.push(last);
                if self.spans.len() > 4 * MOST_SPANS {
                    self.tidy();
                }
            }
        }
        self.tidy();
    }

    /// Both.
    pub fn join(&mut self, other: &Touched) {
        self.null |= other.null;
        self.spans.extend(&other.spans);
        self.tidy();
    }

    fn tidy(&mut self) {
        self.spans.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(self.spans.len());
        for &(start, end) in &self.spans {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        self.spans = fewer(joined);
    }

    /// The condition that a row's partition is one of these; `None` if it says nothing.
    pub fn condition(&self, column: &str, kind: &Kind) -> Option<String> {
        let literal = |micros: i64| literal(micros, kind);
        let mut parts = Vec::new();
        for (start, end) in &self.spans {
            let (start, end) = (literal(*start)?, literal(*end)?);
            parts.push(format!("{column} >= {start} AND {column} < {end}"));
        }
        if self.null {
            parts.push(format!("{column} IS NULL"));
        }
        match parts.len() {
            0 => None,
            _ => Some(format!("({})", parts.join(" OR "))),
        }
    }
}

/// Closes the narrowest gaps until few enough spans are left.
fn fewer(spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    if spans.len() <= MOST_SPANS {
        return spans;
    }
    let mut gaps: Vec<i64> = spans.windows(2).map(|two| two[1].0 - two[0].1).collect();
    gaps.sort_unstable();
    let widest_closed = gaps[spans.len() - MOST_SPANS - 1];
    let mut joined: Vec<(i64, i64)> = Vec::with_capacity(MOST_SPANS);
    for (start, end) in spans {
        match joined.last_mut() {
            Some(last) if start - last.1 <= widest_closed => last.1 = end,
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// The partition a time falls into.
fn partition(time: i64, granularity: Granularity) -> (i64, i64) {
    let of = |length: i64| {
        let start = time.div_euclid(length) * length;
        (start, start + length)
    };
    let civil = |first: fn(Date) -> Date, after: fn(Date) -> Option<Date>| {
        let day = date(time)?;
        let start = first(day);
        Some((micros(start), micros(after(start)?)))
    };
    let month = || {
        civil(Date::first_of_month, |day| {
            day.last_of_month().tomorrow().ok()
        })
    };
    let year = || {
        civil(Date::first_of_year, |day| {
            day.last_of_year().tomorrow().ok()
        })
    };
    match granularity {
        Granularity::Hour => of(HOUR),
        Granularity::Day => of(DAY),
        Granularity::Month => month().unwrap_or_else(|| of(DAY)),
        Granularity::Year => year().unwrap_or_else(|| of(DAY)),
    }
}

fn date(micros: i64) -> Option<Date> {
    let days = i32::try_from(micros.div_euclid(DAY)).ok()?;
    Date::constant(1970, 1, 1)
        .checked_add(jiff::Span::new().try_days(days).ok()?)
        .ok()
}

fn micros(date: Date) -> i64 {
    let days = Date::constant(1970, 1, 1)
        .until(date)
        .map_or(0, |span| i64::from(span.get_days()));
    days * DAY
}

/// `None` past year 9999, and for what is no time.
fn literal(micros: i64, kind: &Kind) -> Option<String> {
    let day = date(micros)?;
    let time = jiff::civil::Time::midnight()
        .checked_add(jiff::SignedDuration::from_micros(micros.rem_euclid(DAY)))
        .ok()?;
    let moment = format!("{day} {time}");
    match kind {
        Kind::Date => Some(format!("DATE '{day}'")),
        Kind::Datetime => Some(format!("DATETIME '{moment}'")),
        Kind::Timestamp => Some(format!("TIMESTAMP '{moment}+00'")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Int64Array, TimestampMicrosecondArray};
    use proptest::prelude::*;

    fn of(times: &[i64], granularity: Granularity) -> Touched {
        let mut touched = Touched::default();
        touched.add(
            &TimestampMicrosecondArray::from(times.to_vec()),
            granularity,
        );
        touched
    }

    fn condition(times: &[&str], granularity: Granularity, kind: &Kind) -> String {
        let micros = |text: &&str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let times: Vec<i64> = times.iter().map(micros).collect();
        of(&times, granularity).condition("T.`at`", kind).unwrap()
    }

    #[test]
    fn neighbours_are_one_span() {
        let times = [
            "2024-02-29T23:59:00Z",
            "2024-03-01T00:00:00Z",
            "2025-01-01T12:00:00Z",
        ];
        insta::assert_snapshot!(condition(&times, Granularity::Day, &Kind::Timestamp), @"(T.`at` >= TIMESTAMP '2024-02-29 00:00:00+00' AND T.`at` < TIMESTAMP '2024-03-02 00:00:00+00' OR T.`at` >= TIMESTAMP '2025-01-01 00:00:00+00' AND T.`at` < TIMESTAMP '2025-01-02 00:00:00+00')");
        insta::assert_snapshot!(condition(&times, Granularity::Month, &Kind::Date), @"(T.`at` >= DATE '2024-02-01' AND T.`at` < DATE '2024-04-01' OR T.`at` >= DATE '2025-01-01' AND T.`at` < DATE '2025-02-01')");
        insta::assert_snapshot!(condition(&times, Granularity::Year, &Kind::Datetime), @"(T.`at` >= DATETIME '2024-01-01 00:00:00' AND T.`at` < DATETIME '2026-01-01 00:00:00')");
        insta::assert_snapshot!(condition(&times[..1], Granularity::Hour, &Kind::Timestamp), @"(T.`at` >= TIMESTAMP '2024-02-29 23:00:00+00' AND T.`at` < TIMESTAMP '2024-03-01 00:00:00+00')");
    }

    #[test]
    fn rows_without_a_time_are_in_a_partition_too() {
        let mut touched = Touched::default();
        touched.add(&Date32Array::from(vec![Some(0), None]), Granularity::Day);
        insta::assert_snapshot!(touched.condition("d", &Kind::Date).unwrap(), @"(d >= DATE '1970-01-01' AND d < DATE '1970-01-02' OR d IS NULL)");
    }

    #[test]
    fn a_column_that_is_no_time_says_nothing() {
        let mut touched = Touched::default();
        touched.add(&Int64Array::from(vec![Some(1), None]), Granularity::Day);
        assert_eq!(touched.condition("i", &Kind::Int64), None);
    }

    proptest! {
        /// A row outside of the spans would be taken for a new one, and be there twice.
        #[test]
        fn each_time_is_in_a_span(
            times in proptest::collection::vec(-60_000_000_000_000_000i64..250_000_000_000_000_000, 1..400),
            granularity in prop_oneof![Just(Granularity::Hour), Just(Granularity::Day), Just(Granularity::Month), Just(Granularity::Year)],
        ) {
            let (first, rest) = times.split_at(times.len() / 2);
            let mut touched = of(first, granularity);
            touched.join(&of(rest, granularity));
            prop_assert!(touched.spans.len() <= MOST_SPANS);
            for time in times {
                prop_assert!(touched.spans.iter().any(|(start, end)| (*start..*end).contains(&time)), "{time} {touched:?}");
            }
        }
    }
}
