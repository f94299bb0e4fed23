//! Arithmetic on days and moments: parts, boundaries, differences.
//!
//! Pure. A moment is a count of microseconds since 1970, a day a count of days.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    /// Weeks that begin on this day.
    Week(Weekday),
    Month,
    Quarter,
    Year,
    IsoYear,
}

type Outcome<T> = Result<T, String>;

impl Part {
    pub fn parse(name: &str) -> Outcome<Part> {
        Ok(match name {
            "MICROSECOND" => Part::Microsecond,
            "MILLISECOND" => Part::Millisecond,
            "SECOND" => Part::Second,
            "MINUTE" => Part::Minute,
            "HOUR" => Part::Hour,
            "DAY" => Part::Day,
            "WEEK" | "WEEK_SUNDAY" => Part::Week(Weekday::Sunday),
            "ISOWEEK" | "WEEK_MONDAY" => Part::Week(Weekday::Monday),
            "WEEK_TUESDAY" => Part::Week(Weekday::Tuesday),
            "WEEK_WEDNESDAY" => Part::Week(Weekday::Wednesday),
            "WEEK_THURSDAY" => Part::Week(Weekday::Thursday),
            "WEEK_FRIDAY" => Part::Week(Weekday::Friday),
            "WEEK_SATURDAY" => Part::Week(Weekday::Saturday),
            "MONTH" => Part::Month,
            "QUARTER" => Part::Quarter,
            "YEAR" => Part::Year,
            "ISOYEAR" => Part::IsoYear,
            other => {
                return Err(format!(
                    "A valid date part name is required but found {other}"
                ));
            }
        })
    }

    /// Length in microseconds of the parts that always have the same.
    fn micros(self) -> Option<i64> {
        Some(match self {
            Part::Microsecond => 1,
            Part::Millisecond => 1_000,
            Part::Second => 1_000_000,
            Part::Minute => 60_000_000,
            Part::Hour => 3_600_000_000,
            Part::Day => 86_400_000_000,
            _ => return None,
        })
    }
}

pub fn zone(name: &str) -> Outcome<TimeZone> {
    if name.is_empty() || name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    let offset = strtime::parse("%:z", name)
        .ok()
        .and_then(|parsed| parsed.offset());
    match offset {
        Some(offset) => Ok(TimeZone::fixed(offset)),
        None => TimeZone::get(name).map_err(|_| format!("Invalid time zone: {name}")),
    }
}

/// The wall clock at a moment.
pub fn civil(micros: i64, zone: &TimeZone) -> Outcome<DateTime> {
    let moment = Timestamp::from_microsecond(micros).map_err(|error| error.to_string())?;
    Ok(zone.to_datetime(moment))
}

/// The moment a wall clock shows; a skipped or repeated hour is taken as the earlier offset says.
pub fn moment(civil: DateTime, zone: &TimeZone) -> Outcome<i64> {
    let zoned = zone.to_zoned(civil).map_err(|error| error.to_string())?;
    Ok(zoned.timestamp().as_microsecond())
}

pub fn date(days: i32) -> Outcome<Date> {
    Date::constant(1970, 1, 1)
        .checked_add(Span::new().days(days))
        .map_err(|error| error.to_string())
}

pub fn days(date: Date) -> Outcome<i32> {
    let span = date
        .since((jiff::Unit::Day, Date::constant(1970, 1, 1)))
        .map_err(|error| error.to_string())?;
    Ok(span.get_days())
}

/// The start of the part that a wall clock is in.
pub fn truncate(at: DateTime, part: Part) -> Outcome<DateTime> {
    let (day, time) = (at.date(), at.time());
    let midnight = |date: Date| date.at(0, 0, 0, 0);
    Ok(match part {
        Part::Microsecond => at,
        Part::Millisecond => day.at(
            time.hour(),
            time.minute(),
            time.second(),
            i32::from(time.millisecond()) * 1_000_000,
        ),
        Part::Second => day.at(time.hour(), time.minute(), time.second(), 0),
        Part::Minute => day.at(time.hour(), time.minute(), 0, 0),
        Part::Hour => day.at(time.hour(), 0, 0, 0),
        Part::Day => midnight(day),
        Part::Week(first) => midnight(week_start(day, first)?),
        Part::Month => midnight(day.first_of_month()),
        Part::Quarter => {
            let month = (day.month() - 1) / 3 * 3 + 1;
            midnight(Date::new(day.year(), month, 1).map_err(|error| error.to_string())?)
        }
        Part::Year => midnight(day.first_of_year()),
        Part::IsoYear => {
            let fourth =
                Date::new(day.iso_week_date().year(), 1, 4).map_err(|error| error.to_string())?;
            midnight(week_start(fourth, Weekday::Monday)?)
        }
    })
}

fn week_start(day: Date, first: Weekday) -> Outcome<Date> {
    let back = day.weekday().to_monday_zero_offset() - first.to_monday_zero_offset();
    day.checked_sub(Span::new().days(back.rem_euclid(7)))
        .map_err(|error| error.to_string())
}

/// `at` moved by so many parts; a month's last day stays within its month.
pub fn shift(at: DateTime, count: i64, part: Part) -> Outcome<DateTime> {
    let span = match part {
        Part::Microsecond => Span::new().try_microseconds(count),
        Part::Millisecond => Span::new().try_milliseconds(count),
        Part::Second => Span::new().try_seconds(count),
        Part::Minute => Span::new().try_minutes(count),
        Part::Hour => Span::new().try_hours(count),
        Part::Day => Span::new().try_days(count),
        Part::Week(_) => Span::new().try_weeks(count),
        Part::Month => Span::new().try_months(count),
        Part::Quarter => Span::new().try_months(count.saturating_mul(3)),
        Part::Year | Part::IsoYear => Span::new().try_years(count),
    };
    span.and_then(|span| at.checked_add(span))
        .map_err(|error| error.to_string())
}

/// Boundaries of `part` between two wall clocks.
pub fn boundaries(to: DateTime, from: DateTime, part: Part) -> Outcome<i64> {
    let (to, from) = (truncate(to, part)?, truncate(from, part)?);
    let months = |at: DateTime| i64::from(at.year()) * 12 + i64::from(at.month());
    let micros = moment(to, &TimeZone::UTC)? - moment(from, &TimeZone::UTC)?;
    Ok(match part {
        Part::Month => months(to) - months(from),
        Part::Quarter => (months(to) - months(from)) / 3,
        Part::Year => i64::from(to.year()) - i64::from(from.year()),
        Part::IsoYear => {
            i64::from(to.date().iso_week_date().year())
                - i64::from(from.date().iso_week_date().year())
        }
        Part::Week(_) => micros / 604_800_000_000,
        other => micros / other.micros().unwrap_or(1),
    })
}

/// Whole parts between two moments, cut towards zero.
pub fn whole_parts(to: i64, from: i64, part: Part) -> Outcome<i64> {
    match part.micros() {
        Some(length) => Ok((to - from) / length),
        None => Err(format!(
            "TIMESTAMP_DIFF does not support the {part:?} date part"
        )),
    }
}

/// The number of a part, as EXTRACT gives it.
pub fn extract(at: DateTime, name: &str) -> Outcome<i64> {
    let (day, time) = (at.date(), at.time());
    let day_of_year = i64::from(day.day_of_year());
    Ok(match name {
        "YEAR" => day.year().into(),
        "ISOYEAR" => day.iso_week_date().year().into(),
        "QUARTER" => ((day.month() - 1) / 3 + 1).into(),
        "MONTH" => day.month().into(),
        "DAY" => day.day().into(),
        "DAYOFWEEK" => i64::from(day.weekday().to_sunday_one_offset()),
        "DAYOFYEAR" => day_of_year,
        "ISOWEEK" => day.iso_week_date().week().into(),
        "HOUR" => time.hour().into(),
        "MINUTE" => time.minute().into(),
        "SECOND" => time.second().into(),
        "MILLISECOND" => time.millisecond().into(),
        "MICROSECOND" => i64::from(time.subsec_nanosecond() / 1000),
        week if week.starts_with("WEEK") => {
            let Part::Week(first) = Part::parse(week)? else {
                return Err(format!(
                    "A valid date part name is required but found {week}"
                ));
            };
            // Days before the year's first such weekday are in week 0.
            let since = day.weekday().to_monday_zero_offset() - first.to_monday_zero_offset();
            (day_of_year - 1 - i64::from(since.rem_euclid(7)) + 7) / 7
        }
        other => {
            return Err(format!(
                "A valid date part name is required but found {other}"
            ));
        }
    })
}

/// `strftime` with BigQuery's own elements.
pub fn format(pattern: &str, at: DateTime, zone: &TimeZone) -> Outcome<String> {
    let quarter = (at.month() - 1) / 3 + 1;
    let pattern = pattern
        .replace("%E*S", "%S%.f")
        .replace("%E6S", "%S%.6f")
        .replace("%E3S", "%S%.3f")
        .replace("%E4Y", "%Y")
        .replace("%Q", &quarter.to_string())
        .replace("%x", "%m/%d/%y")
        .replace("%X", "%H:%M:%S")
        .replace("%c", "%a %b %e %H:%M:%S %Y")
        .replace("%Ez", "%:z");
    let zoned = zone.to_zoned(at).map_err(|error| error.to_string())?;
    strtime::format(&pattern, &zoned).map_err(|error| error.to_string())
}

/// The wall clock a text shows; what the pattern leaves out is 1970-01-01 00:00.
pub fn parse(pattern: &str, text: &str) -> Outcome<(DateTime, Option<TimeZone>)> {
    let pattern = pattern
        .replace("%E*S", "%S%.f")
        .replace("%E6S", "%S%.f")
        .replace("%E3S", "%S%.f")
        .replace("%E4Y", "%Y")
        .replace("%Ez", "%:z");
    let failed = || format!("Failed to parse input string \"{text}\"");
    let found = strtime::parse(&pattern, text).map_err(|_| failed())?;
    if let Some(seconds) = found.timestamp() {
        return Ok((TimeZone::UTC.to_datetime(seconds), None));
    }
    let day = Date::new(
        found.year().unwrap_or(1970),
        found.month().unwrap_or(1),
        found.day().unwrap_or(1),
    );
    let date = found.to_date().or(day).map_err(|_| failed())?;
    let nanos = found.subsec_nanosecond().unwrap_or(0);
    let at = match found.to_time() {
        Ok(time) => date.to_datetime(time),
        Err(_) => date.at(
            found.hour().unwrap_or(0),
            found.minute().unwrap_or(0),
            found.second().unwrap_or(0),
            nanos,
        ),
    };
    Ok((at, found.offset().map(TimeZone::fixed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    fn cut(text: &str, part: &str) -> String {
        truncate(at(text), Part::parse(part).unwrap())
            .unwrap()
            .to_string()
    }

    #[test]
    fn parts_begin_where_calendars_say() {
        let moment = "2024-05-15T13:45:59.5"; // a Wednesday
        assert_eq!(cut(moment, "WEEK"), "2024-05-12T00:00:00");
        assert_eq!(cut(moment, "WEEK_MONDAY"), "2024-05-13T00:00:00");
        assert_eq!(cut(moment, "QUARTER"), "2024-04-01T00:00:00");
        assert_eq!(cut(moment, "HOUR"), "2024-05-15T13:00:00");
        assert_eq!(cut("2024-12-30T00:00:00", "ISOYEAR"), "2024-12-30T00:00:00");
    }

    #[test]
    fn differences_count_boundaries_and_timestamps_whole_parts() {
        let (to, from) = (at("2024-03-01T00:00:00"), at("2024-02-29T23:00:00"));
        assert_eq!(boundaries(to, from, Part::Day).unwrap(), 1);
        assert_eq!(boundaries(to, from, Part::Month).unwrap(), 1);
        assert_eq!(whole_parts(3_600_000_000, 0, Part::Day).unwrap(), 0);
        assert!(whole_parts(0, 0, Part::Month).is_err());
    }

    #[test]
    fn a_month_later_stays_within_the_month() {
        assert_eq!(
            shift(at("2024-01-31T00:00:00"), 1, Part::Month).unwrap(),
            at("2024-02-29T00:00:00")
        );
    }

    #[test]
    fn weeks_are_numbered_from_the_first_such_weekday() {
        assert_eq!(extract(at("2023-01-01T00:00:00"), "WEEK").unwrap(), 1); // a Sunday
        assert_eq!(extract(at("2024-01-01T00:00:00"), "WEEK").unwrap(), 0); // a Monday
        assert_eq!(extract(at("2024-01-01T00:00:00"), "DAYOFWEEK").unwrap(), 2);
    }

    #[test]
    fn texts_are_formatted_and_parsed() {
        let utc = TimeZone::UTC;
        assert_eq!(
            format("%Y-Q%Q %b", at("2024-05-15T00:00:00"), &utc).unwrap(),
            "2024-Q2 May"
        );
        let parsed = |pattern, text| parse(pattern, text).unwrap().0;
        assert_eq!(parsed("%d/%m/%Y", "15/05/2024"), at("2024-05-15T00:00:00"));
        assert_eq!(
            parsed("%Y-%m-%dT%H:%M:%E*SZ", "2024-05-15T01:02:03.5Z"),
            at("2024-05-15T01:02:03.5")
        );
        assert_eq!(parsed("%Y%m", "202405"), at("2024-05-01T00:00:00"));
        assert!(parse("%F", "nonsense").is_err());
    }
}
