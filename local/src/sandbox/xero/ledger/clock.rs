//! Moments of the ledger, in milliseconds since 1970, and how Xero writes them.

pub use crate::sandbox::common::clock::{DAY, SECOND, START, iso};

/// 2024-01-01T00:00:00Z: nothing in the ledger is older.
pub const OPENING: i64 = 1_704_067_200_000;

/// `/Date(1751328000000+0000)/`, as Xero's JSON has moments and dates.
pub fn moment(millis: i64) -> String {
    format!("/Date({millis}+0000)/")
}

/// The calendar date of a moment, which Xero writes as that day's midnight.
pub fn date(millis: i64) -> String {
    moment(millis.div_euclid(DAY) * DAY)
}

/// `2025-07-01T00:00:00`, as in `DateString`.
pub fn date_text(millis: i64) -> String {
    iso(millis.div_euclid(DAY) * DAY)
}

/// Reads `2025-07-01T00:00:00`, the one form in which Xero heeds `If-Modified-Since`.
pub fn parse_seconds(text: &str) -> Option<i64> {
    if text.len() != "2025-07-01T00:00:00".len() {
        return None;
    }
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%dT%H:%M:%S", text).ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dot_net_does() {
        assert_eq!(moment(START), "/Date(1751328000000+0000)/");
        assert_eq!(date(START + 5), "/Date(1751328000000+0000)/");
        assert_eq!(date(-5), "/Date(-86400000+0000)/");
        assert_eq!(iso(START), "2025-07-01T00:00:00");
        assert_eq!(iso(START + 520), "2025-07-01T00:00:00.520");
    }

    #[test]
    fn only_seconds_without_a_zone_are_understood() {
        assert_eq!(parse_seconds("2025-07-01T00:00:00"), Some(START));
        for other in [
            "2025-07-01T00:00:00Z",
            "2025-07-01T00:00:00.000",
            "2025-07-01",
            "Tue, 01 Jul 2025 00:00:00 GMT",
            "",
        ] {
            assert_eq!(parse_seconds(other), None, "{other}");
        }
    }
}
