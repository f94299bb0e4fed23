//! When a schedule is due: unix-cron in a time zone. The only file that knows `croner` and `chrono`.

use std::str::FromStr;

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;

use crate::error::ApiError;

/// A schedule that was understood.
#[derive(Debug)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    pub fn parse(schedule: &str, time_zone: &str) -> Result<Schedule, ApiError> {
        let lower = schedule.trim_start().to_lowercase();
        if lower.starts_with("every ") || lower.contains(" of ") {
            return Err(ApiError::unimplemented(format!(
                "the local cloud reads unix-cron schedules, not App Engine's `{schedule}`"
            )));
        }
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(schedule)
            .map_err(|error| {
                ApiError::invalid(format!(
                    "Schedule or time zone is invalid: `{schedule}`: {error}"
                ))
            })?;
        let zone = Tz::from_str(time_zone).map_err(|_| {
            ApiError::invalid(format!("Schedule or time zone is invalid: `{time_zone}`"))
        })?;
        Ok(Schedule { cron, zone })
    }

    /// The first due time after `time`; `None` when there never is one.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        let time: DateTime<Utc> = Utc.timestamp_opt(time.as_second(), 0).single()?;
        let mut local = time.with_timezone(&self.zone);
        loop {
            local = self.cron.find_next_occurrence(&local, false).ok()?;
            // A wall-clock time that a clock change skips is not run (Cloud Scheduler's
            // cron page); the search may answer with the moment after the gap.
            if self.cron.is_time_matching(&local).ok()? {
                return Timestamp::from_second(local.timestamp()).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(schedule: &str, zone: &str, time: &str) -> String {
        let schedule = Schedule::parse(schedule, zone).unwrap();
        schedule.after(time.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_wall_clock_of_the_zone_decides() {
        let next = after("0 2 * * *", "Pacific/Auckland", "2026-06-01T00:00:00Z");
        assert_eq!(next, "2026-06-01T14:00:00Z");
        let next = after("0 2 * * *", "Pacific/Auckland", "2026-12-01T00:00:00Z");
        assert_eq!(next, "2026-12-01T13:00:00Z");
    }

    #[test]
    fn a_due_time_is_not_after_itself() {
        let next = after("*/5 * * * *", "Etc/UTC", "2026-11-21T10:05:00Z");
        assert_eq!(next, "2026-11-21T10:10:00Z");
    }

    #[test]
    fn a_skipped_wall_clock_time_is_not_run() {
        // On 29 March 2026 London's clocks went from 01:00 to 02:00.
        let next = after("30 1 * * *", "Europe/London", "2026-03-28T12:00:00Z");
        assert_eq!(next, "2026-03-30T00:30:00Z");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for (schedule, zone) in [
            ("", "Etc/UTC"),
            ("* * * *", "Etc/UTC"),
            ("0 0 2 * * *", "Etc/UTC"),
            ("61 * * * *", "Etc/UTC"),
            ("0 2 * * *", "Mars/Base"),
        ] {
            let refused = Schedule::parse(schedule, zone).unwrap_err();
            assert_eq!(refused.code, 400, "{schedule} {zone}");
        }
        let refused = Schedule::parse("every 5 minutes", "Etc/UTC").unwrap_err();
        assert_eq!(refused.code, 501);
    }
}
