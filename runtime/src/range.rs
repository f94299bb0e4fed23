//! A range of time that a person asks for: `--from D --to D`.
//!
//! It stands in for what a stream's state would say, and leaves that state as it is.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// From one moment up to and with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The options a range is asked for by, the same for each command.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub struct RangeArgs {
    /// Read the named streams from this day or moment (UTC), whatever was read before
    #[arg(long, value_name = "DATE", requires = "streams")]
    pub from: Option<String>,
    /// ... up to this day, which is read whole, or moment [default: now]
    #[arg(long, value_name = "DATE", requires = "from")]
    pub to: Option<String>,
}

/// Why options make no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    #[error("--{option} is `{text}`; give a day as 2025-06-30 or a moment as 2025-06-30T12:00:00Z")]
    Malformed { option: &'static str, text: String },
    #[error("--from {from} is after --to {to}")]
    Backwards { from: String, to: String },
    #[error("--from {from} lies in the future")]
    Future { from: String },
}

impl RangeArgs {
    /// The range, where one is asked for at the time `now`.
    pub fn range(&self, now: Timestamp) -> Result<Option<Range>, RangeError> {
        let Some(from) = &self.from else {
            return Ok(None);
        };
        let start = first(from).ok_or_else(|| malformed("from", from))?;
        let end = match &self.to {
            Some(to) => last(to).ok_or_else(|| malformed("to", to))?,
            None if start > now => return Err(RangeError::Future { from: from.clone() }),
            None => now,
        };
        if start > end {
            return Err(RangeError::Backwards {
                from: from.clone(),
                to: self.to.clone().unwrap_or_default(),
            });
        }
        Ok(Some(Range {
            from: start,
            to: end,
        }))
    }

    /// The same options for another process.
    pub fn arguments(&self) -> Vec<String> {
        let options = [("--from", &self.from), ("--to", &self.to)];
        options
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]))
            .flatten()
            .collect()
    }
}

fn malformed(option: &'static str, text: &str) -> RangeError {
    RangeError::Malformed {
        option,
        text: text.to_owned(),
    }
}

/// Where a day or a moment begins.
fn first(text: &str) -> Option<Timestamp> {
    match day(text) {
        Some(date) => utc(date.to_datetime(jiff::civil::Time::midnight())),
        None => moment(text),
    }
}

/// Where it ends: a day has a last microsecond.
fn last(text: &str) -> Option<Timestamp> {
    match day(text) {
        Some(date) => {
            let next = utc(date
                .tomorrow()
                .ok()?
                .to_datetime(jiff::civil::Time::midnight()))?;
            next.checked_sub(SignedDuration::from_micros(1)).ok()
        }
        None => moment(text),
    }
}

fn day(text: &str) -> Option<Date> {
    (text.len() == "2025-06-30".len())
        .then(|| Date::strptime("%Y-%m-%d", text).ok())
        .flatten()
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(timestamp) = text.parse() {
        return Some(timestamp);
    }
    text.contains('T')
        .then(|| utc(text.parse::<DateTime>().ok()?))
        .flatten()
}

fn utc(civil: DateTime) -> Option<Timestamp> {
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: Option<&str>) -> Result<String, String> {
        let args = RangeArgs {
            from: Some(from.to_owned()),
            to: to.map(str::to_owned),
        };
        let range = args.range("2025-07-01T12:00:00Z".parse().unwrap());
        match range {
            Ok(Some(range)) => Ok(format!("{} {}", range.from, range.to)),
            Ok(None) => Ok("none".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_day_is_read_whole_and_a_moment_is_exact() {
        let whole = "2025-06-30T00:00:00Z 2025-06-30T23:59:59.999999Z";
        assert_eq!(range("2025-06-30", Some("2025-06-30")).unwrap(), whole);
        assert_eq!(
            range("2025-06-30T01:00:00+01:00", Some("2025-06-30T12:00:00")).unwrap(),
            "2025-06-30T00:00:00Z 2025-06-30T12:00:00Z"
        );
        assert_eq!(
            range("2025-06-30", None).unwrap(),
            "2025-06-30T00:00:00Z 2025-07-01T12:00:00Z"
        );
    }

    #[test]
    fn what_is_no_range_is_said() {
        insta::assert_snapshot!(range("30.6.2025", None).unwrap_err(), @"--from is `30.6.2025`; give a day as 2025-06-30 or a moment as 2025-06-30T12:00:00Z");
        insta::assert_snapshot!(range("2025-06-30", Some("2025-02-30")).unwrap_err(), @"--to is `2025-02-30`; give a day as 2025-06-30 or a moment as 2025-06-30T12:00:00Z");
        insta::assert_snapshot!(range("2025-06-30", Some("2025-06-29")).unwrap_err(), @"--from 2025-06-30 is after --to 2025-06-29");
        insta::assert_snapshot!(range("2026-01-01", None).unwrap_err(), @"--from 2026-01-01 lies in the future");
    }
}
