//! Clamping: windows that begin and end with days, weeks or months.

use super::super::moment::{Moment, Span};

const DAY: i64 = 86_400_000_000;

/// What windows are clamped to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clamp {
    None,
    Day,
    /// Weeks that begin with this day; Monday is 0.
    Week(i64),
    Month,
}

impl Clamp {
    /// The period's boundary at or after `moment`, as the reference counts it: a time on
    /// the first day of a week or a month goes back to its midnight.
    pub fn up(&self, moment: Moment) -> Moment {
        let midnight = midnight(moment);
        match self {
            Clamp::None => moment,
            Clamp::Day if midnight == moment => moment,
            Clamp::Day => days(midnight, 1),
            Clamp::Week(first) => days(midnight, days_to(moment, *first)),
            Clamp::Month if moment.civil().day() == 1 => midnight,
            Clamp::Month => next_month(midnight),
        }
    }

    /// The period's boundary at or before `moment`.
    pub fn down(&self, moment: Moment) -> Moment {
        let midnight = midnight(moment);
        match self {
            Clamp::None => moment,
            Clamp::Day => midnight,
            Clamp::Week(first) => match days_to(moment, *first) {
                0 => midnight,
                ahead => days(midnight, ahead - 7),
            },
            Clamp::Month => first_of_month(midnight),
        }
    }

    /// The least that separates one period's end from the next one's start.
    pub fn granularity(&self) -> Span {
        let micros = if *self == Clamp::Day { 1_000_000 } else { DAY };
        Span { months: 0, micros }
    }
}

fn midnight(moment: Moment) -> Moment {
    let civil = moment.civil().date().at(0, 0, 0, 0);
    let at = moment.offset.to_timestamp(civil).unwrap_or(moment.at);
    Moment { at, ..moment }
}

fn first_of_month(midnight: Moment) -> Moment {
    days(midnight, 1 - i64::from(midnight.civil().day()))
}

fn next_month(midnight: Moment) -> Moment {
    let month = Span {
        months: 1,
        micros: 0,
    };
    let first = first_of_month(midnight);
    first.plus(month).unwrap_or(first)
}

fn days_to(moment: Moment, first: i64) -> i64 {
    let today = i64::from(moment.civil().weekday().to_monday_zero_offset());
    (first - today).rem_euclid(7)
}

fn days(moment: Moment, number: i64) -> Moment {
    let span = Span {
        months: 0,
        micros: number * DAY,
    };
    moment.plus(span).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clamped(clamp: Clamp, text: &str) -> (String, String) {
        let moment = super::super::super::isoparse::parse(text).unwrap();
        let shown = |moment| super::super::super::strptime::format(moment, "%Y-%m-%d %H:%M");
        (shown(clamp.down(moment)), shown(clamp.up(moment)))
    }

    fn pair(down: &str, up: &str) -> (String, String) {
        (format!("{down} 00:00"), format!("{up} 00:00"))
    }

    #[test]
    fn a_moment_is_between_the_boundaries_of_its_period() {
        // A Wednesday.
        let moment = "2024-01-31T10:00:00";
        assert_eq!(
            clamped(Clamp::Day, moment),
            pair("2024-01-31", "2024-02-01")
        );
        assert_eq!(
            clamped(Clamp::Week(0), moment),
            pair("2024-01-29", "2024-02-05")
        );
        assert_eq!(
            clamped(Clamp::Week(6), moment),
            pair("2024-01-28", "2024-02-04")
        );
        assert_eq!(
            clamped(Clamp::Month, moment),
            pair("2024-01-01", "2024-02-01")
        );
    }

    #[test]
    fn a_boundary_stays() {
        let both = |day| pair(day, day);
        assert_eq!(clamped(Clamp::Day, "2024-12-01"), both("2024-12-01"));
        assert_eq!(clamped(Clamp::Week(0), "2024-12-02"), both("2024-12-02"));
        assert_eq!(clamped(Clamp::Month, "2024-12-01"), both("2024-12-01"));
        assert_eq!(
            clamped(Clamp::Month, "2024-12-31"),
            pair("2024-12-01", "2025-01-01")
        );
    }
}
