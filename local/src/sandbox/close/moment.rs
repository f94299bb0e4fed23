//! Dates as callers write them in filters.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use super::super::common::clock::SECOND;

/// Reads a date or a moment; one without a zone is `offset` hours from UTC. Fractions of a second are cut.
pub fn moment(text: &str, offset: i64) -> Option<i64> {
    let millis = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp.as_millisecond(),
        Err(_) => local(text, offset)?,
    };
    Some(millis.div_euclid(SECOND) * SECOND)
}

fn local(text: &str, offset: i64) -> Option<i64> {
    let civil = match text.parse::<Date>() {
        Ok(date) if !text.contains(['T', ' ']) => date.to_datetime(jiff::civil::Time::midnight()),
        _ => text.parse::<DateTime>().ok()?,
    };
    let zone = TimeZone::fixed(Offset::from_seconds(i32::try_from(offset * 3600).ok()?).ok()?);
    Some(civil.to_zoned(zone).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_a_zone_lies_in_the_callers() {
        let noon = moment("2025-07-01T12:00:00+00:00", 0).unwrap();
        assert_eq!(moment("2025-07-01T12:00:00.900Z", 5), Some(noon));
        assert_eq!(moment("2025-07-01T12:00:00", 0), Some(noon));
        assert_eq!(moment("2025-07-01T14:00:00", 2), Some(noon));
        assert_eq!(moment("2025-07-01", 0), Some(noon - 12 * 3_600_000));
        assert_eq!(moment("yesterday", 0), None);
    }
}
