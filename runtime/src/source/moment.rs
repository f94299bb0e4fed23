//! Points in time and spans as the reference has them: Python's aware `datetime`
//! and ISO 8601 durations, months apart from seconds.

use std::cmp::Ordering;
use std::ops::Neg;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

/// An instant and the offset it is written in.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub at: Timestamp,
    pub offset: Offset,
}

impl Moment {
    pub fn now() -> Moment {
        Moment::utc(Timestamp::now())
    }

    pub fn utc(at: Timestamp) -> Moment {
        Moment {
            at,
            offset: Offset::UTC,
        }
    }

    /// The time a clock at this offset shows.
    pub fn civil(&self) -> DateTime {
        self.offset.to_datetime(self.at)
    }

    /// This moment moved by `span`; `None` outside the years 1 to 9999.
    pub fn plus(&self, span: Span) -> Option<Moment> {
        let moved = self
            .civil()
            .checked_add(i32::try_from(span.months).ok()?.months())
            .ok()?;
        let moved = moved.checked_add(span.micros.microseconds()).ok()?;
        if !(1..=9999).contains(&moved.year()) {
            return None;
        }
        let at = self.offset.to_timestamp(moved).ok()?;
        Some(Moment {
            at,
            offset: self.offset,
        })
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Moment) -> bool {
        self.at == other.at
    }
}
impl Eq for Moment {}
impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Moment) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Moment {
    fn cmp(&self, other: &Moment) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// A length of time: calendar months, and microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Span {
    pub months: i64,
    pub micros: i64,
}

impl Span {
    pub const MILLISECOND: Span = Span {
        months: 0,
        micros: 1000,
    };

    /// So many of it, one after another.
    pub fn times(self, count: u64) -> Span {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Span {
            months: self.months.saturating_mul(count),
            micros: self.micros.saturating_mul(count),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// Parses an ISO 8601 duration: `P1D`, `PT0.5S`, `P1Y2M`, `P2W`, with a sign in front.
    pub fn parse(text: &str) -> Option<Span> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (date, time) = match rest.strip_prefix('P')?.split_once('T') {
            Some((date, time)) => (date, time),
            None => (rest.strip_prefix('P')?, ""),
        };
        if date.is_empty() && time.is_empty() {
            return None;
        }
        let mut span = Span::default();
        for (number, unit) in parts(date)? {
            span = match unit {
                'Y' => span.longer(number * 12.0, 0.0)?,
                'M' => span.longer(number, 0.0)?,
                'W' => span.longer(0.0, number * 604_800.0)?,
                'D' => span.longer(0.0, number * 86_400.0)?,
                _ => return None,
            };
        }
        for (number, unit) in parts(time)? {
            span = match unit {
                'H' => span.longer(0.0, number * 3_600.0)?,
                'M' => span.longer(0.0, number * 60.0)?,
                'S' => span.longer(0.0, number)?,
                _ => return None,
            };
        }
        Some(if sign < 0 { -span } else { span })
    }

    /// This span and more of whole months and seconds; `None` where no date is so far away.
    fn longer(self, months: f64, seconds: f64) -> Option<Span> {
        let micros = seconds * 1e6;
        let fits = months.abs() < LONGEST && micros.abs() < LONGEST;
        let span = Span {
            months: self.months.checked_add(months as i64)?,
            micros: self.micros.checked_add(micros.round() as i64)?,
        };
        fits.then_some(span)
    }
}

impl Neg for Span {
    type Output = Span;
    fn neg(self) -> Span {
        Span {
            months: -self.months,
            micros: -self.micros,
        }
    }
}

/// Half of what an integer holds, so that two spans can be joined.
const LONGEST: f64 = (i64::MAX / 2) as f64;

fn parts(text: &str) -> Option<Vec<(f64, char)>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number = rest[..end].replace(',', ".").parse().ok()?;
        parts.push((number, rest[end..].chars().next()?));
        rest = &rest[end + 1..];
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_months_apart() {
        let span = |text| Span::parse(text).map(|span| (span.months, span.micros));
        assert_eq!(span("P1Y2M"), Some((14, 0)));
        assert_eq!(span("P1DT1S"), Some((0, 86_401_000_000)));
        assert_eq!(span("PT0.000001S"), Some((0, 1)));
        assert_eq!(span("-P1W"), Some((0, -604_800_000_000)));
        assert_eq!(span("1 day"), None);
        assert_eq!(span("P"), None);
        assert_eq!(span("P99999999999999999999Y"), None);
        assert_eq!(span("PT99999999999999999999H9e999S"), None);
    }

    #[test]
    fn a_month_after_the_end_of_january_is_the_end_of_february() {
        let end = Moment::utc("2024-01-31T00:00:00Z".parse().unwrap());
        let later = end.plus(Span::parse("P1M").unwrap()).unwrap();
        assert_eq!(later.at.to_string(), "2024-02-29T00:00:00Z");
    }
}
