//! After how long without a run somebody is told: by the cron, as far as Cloud Monitoring can watch.
//!
//! The days of a cron are the same each year but for leap years, so the longest time between two
//! runs is found without knowing what day it is: a plan of tomorrow says what today's says.

use std::str::FromStr;
use std::time::Duration;

use croner::{CronPattern, Weekday};
use jiff::ToSpan;
use jiff::civil::Date;

use super::ConfigError;
use super::Schedule;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Cloud Monitoring: a window of 25 hours at most, which can stay empty for 23.5 more.
pub const LONGEST_WATCHED: Duration = Duration::from_secs(48 * 3600);
/// A run does not end at the same time each day.
const LEAST_GRACE: Duration = HOUR;
const LEAST: Duration = Duration::from_secs(5 * 60);

/// How long without a run is too long; `None` where that is longer than can be watched, or where
/// no run is due. A run may take as long as `timeout`.
pub(super) fn after(
    at: &str,
    schedule: Option<&Schedule>,
    timeout: Duration,
    wanted: Option<Duration>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(schedule) = schedule.filter(|schedule| !schedule.paused) else {
        return Ok(None);
    };
    let Some(gap) = longest_watched_gap(&schedule.cron) else {
        return Ok(None);
    };
    match wanted {
        None => Ok(Some(by_itself(gap, &schedule.time_zone, timeout))),
        Some(wanted) if wanted > gap => Ok(Some(wanted)),
        Some(wanted) => Err(ConfigError::invalid(
            at,
            format!(
                "alerts.missed_after is {}, but two of its runs are up to {} apart: it would tell all the time",
                shown(wanted),
                shown(gap)
            ),
        )),
    }
}

fn longest_watched_gap(cron: &str) -> Option<Duration> {
    longest_gap(cron, LONGEST_WATCHED - LEAST_GRACE)
}

fn by_itself(gap: Duration, time_zone: &str, timeout: Duration) -> Duration {
    let clocks = match time_zone {
        "UTC" | "Etc/UTC" => Duration::ZERO,
        // Once a year an hour comes twice.
        _ => HOUR,
    };
    (gap + timeout + LEAST_GRACE + clocks).min(LONGEST_WATCHED)
}

/// The seconds without a run that are too many where no file says how many are.
pub fn usually(cron: &str, time_zone: &str, timeout_seconds: u64) -> Option<u64> {
    let gap = longest_watched_gap(cron)?;
    Some(by_itself(gap, time_zone, Duration::from_secs(timeout_seconds)).as_secs())
}

/// A time for `alerts.missed_after`.
pub(super) fn wanted(at: &str, text: &str) -> Result<Duration, ConfigError> {
    let found = super::value::seconds(text).map(Duration::from_secs);
    let problem = match found {
        Some(time) if time > LONGEST_WATCHED => format!(
            "`{text}` is longer than Cloud Monitoring can watch, which is {} at most",
            shown(LONGEST_WATCHED)
        ),
        Some(time) if time >= LEAST && time.as_secs().is_multiple_of(60) => return Ok(time),
        _ => format!("`{text}` must be whole minutes from `5m` to `48h`, such as `26h`"),
    };
    Err(ConfigError::invalid(at, problem))
}

/// In hours, as days of 23 and 25 hours are meant, too.
fn shown(time: Duration) -> String {
    match (time.as_secs() / 3600, time.as_secs() % 3600 / 60) {
        (0, minutes) => format!("{minutes}m"),
        (hours, 0) => format!("{hours}h"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

/// The longest time between two runs of a cron that reads; `None` where it is more than `most`.
fn longest_gap(cron: &str, most: Duration) -> Option<Duration> {
    let pattern = croner::Cron::from_str(cron).ok()?.pattern;
    let times = times(&pattern);
    let (first, last) = (*times.first()?, *times.last()?);
    let within = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    let across = DAY * longest_days(&pattern, most)? + first - last;
    let longest = across.max(within.unwrap_or_default());
    (longest <= most).then_some(longest)
}

/// The times of a day.
fn times(pattern: &CronPattern) -> Vec<Duration> {
    let hours = (0..24).filter(|hour| pattern.hour_match(*hour).unwrap_or(false));
    let times = hours.flat_map(|hour| {
        let minutes = (0..60).filter(|minute| pattern.minute_match(*minute).unwrap_or(false));
        minutes.map(move |minute| HOUR * hour + MINUTE * minute)
    });
    times.collect()
}

/// The most days from one on which it runs to the next; looks no further than it takes to be
/// more than `most`.
fn longest_days(pattern: &CronPattern, most: Duration) -> Option<u32> {
    if pattern
        .as_str()
        .split_whitespace()
        .skip(2)
        .all(|it| it == "*")
    {
        return Some(1);
    }
    // Four years, as one of them is a leap year.
    let (mut day, end) = (Date::constant(2024, 1, 1), Date::constant(2028, 1, 1));
    let (mut longest, mut since) = (0, None);
    while day < end {
        if runs_on(pattern, day) {
            longest = longest.max(since.unwrap_or(0));
            since = Some(0);
        }
        since = since.map(|days: u32| days + 1);
        let without = since.unwrap_or(0);
        if DAY * without > most + DAY {
            return None;
        }
        day = day.saturating_add(1.day());
    }
    (longest > 0).then_some(longest)
}

fn runs_on(pattern: &CronPattern, day: Date) -> bool {
    let (year, month) = (i32::from(day.year()), u32::from(day.month().unsigned_abs()));
    let weekday = u32::from(day.weekday().to_sunday_zero_offset().unsigned_abs());
    let weekday = Weekday::from_days_from_sunday(weekday);
    let date = u32::from(day.day().unsigned_abs());
    pattern.month_match(month).unwrap_or(false)
        && pattern
            .day_match(year, month, date, weekday)
            .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            cron: cron.to_owned(),
            time_zone: zone.to_owned(),
            paused: false,
            retries: 1,
            min_backoff: HOUR,
            max_backoff: HOUR,
            deadline: HOUR,
        }
    }

    fn told(cron: &str, zone: &str, wanted: Option<Duration>) -> String {
        match after("p", Some(&schedule(cron, zone)), HOUR, wanted) {
            Ok(Some(time)) => shown(time),
            Ok(None) => "never".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_run_is_missed_after_the_longest_time_between_two_and_the_time_one_may_take() {
        assert_eq!(told("0 2 * * *", "UTC", None), "26h");
        assert_eq!(told("0 2 * * *", "Europe/London", None), "27h");
        assert_eq!(told("*/15 * * * *", "UTC", None), "2h15m");
        assert_eq!(told("0 8,20 * * *", "UTC", None), "14h");
        assert_eq!(told("0 9-17 * * *", "UTC", None), "18h");
    }

    #[test]
    fn what_runs_less_often_than_can_be_watched_is_not_watched() {
        for cron in [
            "0 2 * * 1-5",
            "0 2 * * 0",
            "0 2 1 * *",
            "0 2 */2 * *",
            "0 2 29 2 *",
            "0 2 31 2 *",
            "0 2 * 1-11 *",
        ] {
            assert_eq!(told(cron, "UTC", None), "never", "{cron}");
        }
        assert_eq!(told("0 2,14 * * 1-6", "UTC", None), "38h");
        assert_eq!(told("0 2,14 * * 0-6", "UTC", None), "14h");
    }

    #[test]
    fn a_time_of_ones_own_is_longer_than_the_schedules() {
        assert_eq!(told("0 2 * * *", "UTC", Some(30 * HOUR)), "30h");
        insta::assert_snapshot!(told("0 2 * * *", "UTC", Some(6 * HOUR)), @"p: alerts.missed_after is 6h, but two of its runs are up to 24h apart: it would tell all the time");
        assert_eq!(told("0 2 * * 0", "UTC", Some(6 * HOUR)), "never");
        assert_eq!(wanted("a", "30h").unwrap(), 30 * HOUR);
        insta::assert_snapshot!(wanted("alerts.missed_after", "3d").unwrap_err(), @"alerts.missed_after: `3d` is longer than Cloud Monitoring can watch, which is 48h at most");
        insta::assert_snapshot!(wanted("alerts.missed_after", "1m").unwrap_err(), @"alerts.missed_after: `1m` must be whole minutes from `5m` to `48h`, such as `26h`");
    }

    #[test]
    fn what_is_paused_misses_nothing() {
        let paused = Schedule {
            paused: true,
            ..schedule("0 2 * * *", "UTC")
        };
        assert_eq!(after("p", Some(&paused), HOUR, None).unwrap(), None);
        assert_eq!(after("p", None, HOUR, None).unwrap(), None);
    }
}
